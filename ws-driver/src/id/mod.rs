//! The id of a connection within its server; beside it stand the ids in a cluster.
//!
//! Imports: nothing.

pub(crate) mod cluster;

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, BufMut};

/// The id of a connection. It is unique among all connections that a server ever had.
///
/// It is small and [`Copy`]. It is displayed as `slot.generation` and parsed from the same text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId {
    /// The place in the registry. Later connections use it again.
    pub(crate) slot: usize,
    /// The number of the connection among all that the server ever had, from 1. It makes the id unique.
    pub(crate) generation: u64,
}

impl ConnectionId {
    /// Makes an id for a connection that is in no registry. It only distinguishes the client connections of this
    /// process, for instance in a log.
    pub(crate) fn of_client() -> Self {
        static GENERATION: AtomicU64 = AtomicU64::new(1);
        Self {
            slot: 0,
            generation: GENERATION.fetch_add(1, Ordering::Relaxed),
        }
    }
}

impl ConnectionId {
    /// Appends the bytes that stand for it between nodes: slot and generation, each a little-endian u64.
    pub(crate) fn put(self, bytes: &mut impl BufMut) {
        // No machine has more slots.
        bytes.put_u64_le(u64::try_from(self.slot).unwrap_or(u64::MAX));
        bytes.put_u64_le(self.generation);
    }

    /// Takes an id from the front of any bytes. Returns `None` if there is none that this machine can have.
    pub(crate) fn take(bytes: &mut impl Buf) -> Option<Self> {
        let slot = bytes.try_get_u64_le().ok()?;
        let generation = bytes.try_get_u64_le().ok()?;
        let slot = usize::try_from(slot).ok()?;
        Some(Self { slot, generation })
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

/// Error from parsing a [`ConnectionId`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseConnectionIdError(());

impl fmt::Display for ParseConnectionIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a connection id, which is two numbers with a dot between them")
    }
}

impl std::error::Error for ParseConnectionIdError {}

impl From<ParseIntError> for ParseConnectionIdError {
    fn from(_: ParseIntError) -> Self {
        Self(())
    }
}

impl FromStr for ConnectionId {
    type Err = ParseConnectionIdError;

    fn from_str(text: &str) -> Result<Self, ParseConnectionIdError> {
        let (slot, generation) = text.split_once('.').ok_or(ParseConnectionIdError(()))?;
        Ok(Self {
            slot: slot.parse()?,
            generation: generation.parse()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_from_what_it_displays() {
        let id = ConnectionId {
            slot: 7,
            generation: u64::MAX,
        };
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "7", "7.", ".7", "7.1.1", "a.b"] {
            assert!(text.parse::<ConnectionId>().is_err(), "{text:?}");
        }
    }
}
