//! What two endpoints agreed on (RFC 7692 §7.1), and how it is written down. Knows nothing of how they came to
//! agree, and nothing of how messages are compressed.

use std::fmt;

use crate::state::Role;

pub(crate) const SERVER_NO_CONTEXT_TAKEOVER: &str = "server_no_context_takeover";
pub(crate) const CLIENT_NO_CONTEXT_TAKEOVER: &str = "client_no_context_takeover";
pub(crate) const SERVER_MAX_WINDOW_BITS: &str = "server_max_window_bits";
pub(crate) const CLIENT_MAX_WINDOW_BITS: &str = "client_max_window_bits";

/// The smallest window of the compressor: zlib has none of 256 bytes (PROTOCOL.md §6.4, trap 4).
pub(crate) const LEAST_COMPRESSOR_BITS: u8 = 9;

/// What two endpoints agreed on, as one of them sees it. As text it is the server's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeflateTerms {
    /// Who sees it: the server that [accepted](crate::Deflate::accept), or the client that
    /// [confirmed](crate::Deflate::confirm).
    pub(crate) role: Role,
    pub(crate) level: u8,
    pub(crate) threshold: usize,
    /// What holds for what this side sends; it can be less than was agreed on.
    pub(crate) sending: Direction,
    /// What holds for what the peer sends.
    pub(crate) receiving: Direction,
    pub(crate) answer: Parameters,
}

impl DeflateTerms {
    /// Returns whose they are: a server's from [`Deflate::accept`](crate::Deflate::accept), a client's from
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

/// What was agreed on for one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Direction {
    /// How far back a message may refer: two to this power, in bytes; 8 to 15.
    pub(crate) window_bits: u8,
    /// Whether a message may refer to those before it.
    pub(crate) takeover: bool,
}

/// The parameters of an offer or an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parameters {
    pub(crate) server_no_context_takeover: bool,
    pub(crate) client_no_context_takeover: bool,
    /// Whether it is there, and with which value.
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
