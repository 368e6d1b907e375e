//! The ids of nodes, and of connections in a cluster.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use ws_proto::Randomness;

use super::ConnectionId;

/// The id of a node: a server that takes part in a cluster. It is drawn at random when the server is made, 64 bits, so
/// neither a restart nor a copy of a machine has the id of another. Nobody configures it.
///
/// It is displayed as 13 digits of base32 (RFC 4648 §7, in lower case), and parsed from the same text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(crate) u64);

impl NodeId {
    /// The id of no node: that of connections which belong to no server.
    pub(crate) const NONE: Self = Self(0);

    /// Draws an id.
    pub(crate) fn random(randomness: &mut impl Randomness) -> Self {
        /// Servers of one process differ, whatever its randomness is worth.
        static DRAWN: AtomicU64 = AtomicU64::new(1);
        let mut bytes = [0; 8];
        randomness.fill(&mut bytes);
        let number = u64::from_le_bytes(bytes) ^ DRAWN.fetch_add(1, Ordering::Relaxed);
        Self(number.max(1))
    }
}

/// The digits of a [`NodeId`] in text: enough for 64 bits at five each.
const DIGITS: usize = 13;

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in (0..DIGITS).rev() {
            let digit = u32::try_from(self.0 >> (5 * place) & 31).unwrap_or(0);
            fmt::Write::write_char(f, char::from_digit(digit, 32).unwrap_or('0'))?;
        }
        Ok(())
    }
}

impl FromStr for NodeId {
    type Err = ParseClusterIdError;

    fn from_str(text: &str) -> Result<Self, ParseClusterIdError> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'v').contains(&byte);
        if text.len() != DIGITS || !text.bytes().all(is_digit) {
            return Err(ParseClusterIdError(()));
        }
        let number = u64::from_str_radix(text, 32).map_err(|_| ParseClusterIdError(()))?;
        Ok(Self(number))
    }
}

/// The id of a connection in a cluster. It is unique among all connections of all nodes, ever.
///
/// It is small and [`Copy`]. It is displayed as `node-slot.generation` and parsed from the same text. It names a connection and
/// permits nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterId {
    /// The node that has the connection.
    pub node: NodeId,
    /// Its id there.
    pub local: ConnectionId,
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.node, self.local)
    }
}

impl FromStr for ClusterId {
    type Err = ParseClusterIdError;

    fn from_str(text: &str) -> Result<Self, ParseClusterIdError> {
        let (node, local) = text.split_once('-').ok_or(ParseClusterIdError(()))?;
        let local = local.parse().map_err(|_| ParseClusterIdError(()))?;
        Ok(Self {
            node: node.parse()?,
            local,
        })
    }
}

/// Error from parsing a [`NodeId`] or a [`ClusterId`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseClusterIdError(());

impl fmt::Display for ParseClusterIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not an id of a cluster: a node is 13 digits of base32, and a connection is its node, a dash, and two \
             numbers with a dot between them",
        )
    }
}

impl std::error::Error for ParseClusterIdError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_from_what_it_displays() {
        for number in [0, 1, 31, 32, u64::MAX, 0x0123_4567_89ab_cdef] {
            let node = NodeId(number);
            assert_eq!(node.to_string().len(), DIGITS);
            assert_eq!(node.to_string().parse(), Ok(node));
            let id = ClusterId {
                node,
                local: "7.9".parse().unwrap(),
            };
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        // Other spellings of a number, and numbers beyond 64 bits, are no ids: two texts never name one node.
        for text in [
            "",
            "1",
            "+000000000001",
            "000000000000W",
            "g000000000000",
            "-",
            "0000000000001-1",
            "0000000000001",
        ] {
            let as_cluster: Result<ClusterId, _> = text.parse();
            assert!(as_cluster.is_err(), "{text:?}");
        }
        assert!("g000000000000".parse::<NodeId>().is_err(), "beyond 64 bits");
    }
}
