//! What came of the addresses of a host, for the errors that tell it.

use std::fmt;
use std::io;
use std::net::SocketAddr;

/// What came of the addresses of a host that a client has tried.
#[derive(Debug, Default)]
pub struct Attempts {
    pub(super) tried: Vec<FailedAttempt>,
    pub(super) untried: usize,
}

impl Attempts {
    /// Returns the addresses that were tried, each with the reason why there is no stream to it: first
    /// those that failed, in that order, then those that had not answered.
    pub fn tried(&self) -> &[FailedAttempt] {
        &self.tried
    }

    /// Returns the number of addresses that the host has and that were not tried, because time ran out
    /// or because they are more than 16.
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

/// An address to which there is no stream.
#[derive(Debug)]
#[non_exhaustive]
pub struct FailedAttempt {
    /// The address.
    pub addr: SocketAddr,
    /// Why not; of kind [`TimedOut`](io::ErrorKind::TimedOut) if nothing answered.
    pub error: io::Error,
}
