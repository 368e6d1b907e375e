//! The results of the attempts at the addresses of a host, for error messages.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// The results of the attempts at the addresses of a host.
#[derive(Clone, Debug, Default)]
pub struct Attempts {
    pub(super) tried: Vec<FailedAttempt>,
    pub(super) untried: usize,
}

impl Attempts {
    /// Returns the addresses that were tried, each with its error: first the addresses that failed, in the
    /// order of the failures, then those that had not answered.
    pub fn tried(&self) -> &[FailedAttempt] {
        &self.tried
    }

    /// Returns the number of addresses that were not tried, because the time was over or because the host has
    /// more than 16.
    pub fn untried(&self) -> usize {
        self.untried
    }
}

impl fmt::Display for Attempts {
    /// Writes a list such as `[::1]:80: no answer, 127.0.0.1:80: Connection refused (os error 111)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, FailedAttempt { addr, error }) in self.tried.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{addr}: {error}")?;
        }
        match self.untried {
            0 => Ok(()),
            untried => write!(f, ", and {untried} more not tried"),
        }
    }
}

/// An address to which the client could not connect.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FailedAttempt {
    /// The address.
    pub addr: SocketAddr,
    /// The error; of kind [`TimedOut`](io::ErrorKind::TimedOut) if the address did not answer.
    pub error: Arc<io::Error>,
}
