//! The terms that two endpoints agreed on (RFC 7692 §7.1), and their text form. Knows nothing of negotiating, and
//! nothing of compressing.

use std::fmt;

use crate::state::Role;

pub(crate) const SERVER_NO_CONTEXT_TAKEOVER: &str = "server_no_context_takeover";
pub(crate) const CLIENT_NO_CONTEXT_TAKEOVER: &str = "client_no_context_takeover";
pub(crate) const SERVER_MAX_WINDOW_BITS: &str = "server_max_window_bits";
pub(crate) const CLIENT_MAX_WINDOW_BITS: &str = "client_max_window_bits";

/// The smallest window of the compressor, as a power of two: zlib does not support one of 256 bytes (PROTOCOL.md §6.4,
/// trap 4).
pub(crate) const LEAST_COMPRESSOR_BITS: u8 = 9;

/// The terms that two endpoints agreed on, from the view of one of them. Its text form is the server's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeflateTerms {
    /// The endpoint whose view it is: the server that [accepted](crate::Deflate::accept), or the client that
    /// [confirmed](crate::Deflate::confirm).
    pub(crate) role: Role,
    pub(crate) level: u8,
    pub(crate) threshold: usize,
    /// The terms for messages that this endpoint sends. They can be narrower than the agreement.
    pub(crate) sending: Direction,
    /// The terms for messages that the peer sends.
    pub(crate) receiving: Direction,
    pub(crate) answer: Parameters,
}

impl DeflateTerms {
    /// Returns the role of the endpoint whose terms they are: the server for terms from
    /// [`Deflate::accept`](crate::Deflate::accept), the client for terms from
    /// [`Deflate::confirm`](crate::Deflate::confirm).
    pub fn role(&self) -> Role {
        self.role
    }
}

impl fmt::Display for DeflateTerms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.answer.fmt(f)
    }
}

/// The terms for one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Direction {
    /// The greatest distance that a message may refer to: 2^`window_bits` bytes; 8 to 15.
    pub(crate) window_bits: u8,
    /// Whether a message may refer to earlier messages.
    pub(crate) takeover: bool,
}

/// The parameters of an offer or an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parameters {
    pub(crate) server_no_context_takeover: bool,
    pub(crate) client_no_context_takeover: bool,
    /// Whether the parameter is there, and its value. An offer can have it without one (RFC 7692 §7.1.2.2).
    pub(crate) server_max_window_bits: Option<Option<u8>>,
    pub(crate) client_max_window_bits: Option<Option<u8>>,
}

impl fmt::Display for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("permessage-deflate")?;
        for (name, is_there) in [
            (SERVER_NO_CONTEXT_TAKEOVER, self.server_no_context_takeover),
            (CLIENT_NO_CONTEXT_TAKEOVER, self.client_no_context_takeover),
        ] {
            if is_there {
                write!(f, "; {name}")?;
            }
        }
        for (name, bits) in [
            (SERVER_MAX_WINDOW_BITS, self.server_max_window_bits),
            (CLIENT_MAX_WINDOW_BITS, self.client_max_window_bits),
        ] {
            match bits {
                Some(Some(bits)) => write!(f, "; {name}={bits}")?,
                Some(None) => write!(f, "; {name}")?,
                None => {}
            }
        }
        Ok(())
    }
}
