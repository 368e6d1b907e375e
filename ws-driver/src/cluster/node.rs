//! What a node says of itself to the others, with its lease.

use std::fmt;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::counters::ClusterCounters;
use crate::id::cluster::NodeId;
use crate::util::sync::Arc;

/// A node of a cluster, as it described itself when it last renewed its lease: up to 5 s ago.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// Its label: option `node_name`. Several nodes can have the same one, and it is empty if none is set.
    pub name: Arc<str>,
    /// The number of its open connections.
    pub connections: usize,
    /// What it has counted.
    pub counters: ClusterCounters,
}

/// The first byte of a description. A node ignores those with another one.
const VERSION: u8 = 1;
/// The versions of the envelope that this one reads: the lowest and the highest.
const ENVELOPE_VERSIONS: [u8; 2] = [1, 1];
/// The longest label, in bytes; what is beyond is cut off.
const NAME_LIMIT: usize = 255;
/// For a time that is not known.
const NO_TIME: u64 = u64::MAX;

impl Node {
    /// Encodes all but the id.
    pub(super) fn encode(&self) -> Bytes {
        let name = cut(&self.name);
        let mut bytes = BytesMut::new();
        bytes.put_u8(VERSION);
        bytes.put_slice(&ENVELOPE_VERSIONS);
        bytes.put_u8(u8::try_from(name.len()).unwrap_or(0));
        bytes.put_slice(name.as_bytes());
        bytes.put_u64_le(count(self.connections));
        let ClusterCounters {
            published,
            batches,
            dropped,
            in_doubt,
            received,
            duplicates,
            missed,
            malformed,
            undelivered,
            queued_bytes,
            inbound_bytes,
            connects,
            held,
            echo_lag,
            nodes,
            subscriptions,
            paused,
            log_gaps,
            appended,
        } = self.counters;
        for number in [
            published,
            batches,
            dropped,
            in_doubt,
            received,
            duplicates,
            missed,
            malformed,
            undelivered,
            count(queued_bytes),
            count(inbound_bytes),
            connects,
            micros(held),
            echo_lag.map_or(NO_TIME, micros),
            count(subscriptions),
            paused,
            count(nodes),
            log_gaps,
            appended,
        ] {
            bytes.put_u64_le(number);
        }
        bytes.freeze()
    }

    /// Decodes what a node says of itself. Any bytes can stand in an engine; a node that says nothing that is known here has
    /// no label and no counters. Numbers that a later version adds are ignored, and those that are missing are zero.
    pub(super) fn decode(id: NodeId, bytes: &[u8]) -> Self {
        let mut node = Self::unknown(id);
        let Some((&[VERSION, _, _, name_len], mut rest)) = bytes.split_first_chunk() else {
            return node;
        };
        let Some((name, numbers)) = rest.split_at_checked(usize::from(name_len)) else {
            return node;
        };
        node.name = String::from_utf8_lossy(name).into();
        rest = numbers;
        let mut next = || rest.try_get_u64_le().unwrap_or(0);
        node.connections = size(next());
        node.counters = ClusterCounters {
            published: next(),
            batches: next(),
            dropped: next(),
            in_doubt: next(),
            received: next(),
            duplicates: next(),
            missed: next(),
            malformed: next(),
            undelivered: next(),
            queued_bytes: size(next()),
            inbound_bytes: size(next()),
            connects: next(),
            held: Duration::from_micros(next()),
            echo_lag: Some(next())
                .filter(|micros| *micros != NO_TIME)
                .map(Duration::from_micros),
            subscriptions: size(next()),
            paused: next(),
            nodes: size(next()),
            log_gaps: next(),
            appended: next(),
        };
        node
    }

    /// A node of which nothing but the id is known.
    fn unknown(id: NodeId) -> Self {
        Self {
            id,
            name: Arc::from(""),
            connections: 0,
            counters: ClusterCounters::default(),
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.name {
            "" => self.id.fmt(f),
            name => write!(f, "{name} ({})", self.id),
        }
    }
}

/// The beginning of a label that has a place, without a half character.
fn cut(name: &str) -> &str {
    let mut end = name.len().min(NAME_LIMIT);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_reads_back() {
        let node = Node {
            id: NodeId(7),
            name: "web-\u{e9}".into(),
            connections: 12,
            counters: ClusterCounters {
                published: 1,
                undelivered: 2,
                queued_bytes: 3,
                held: Duration::from_millis(4),
                echo_lag: Some(Duration::from_micros(5)),
                paused: 6,
                ..ClusterCounters::default()
            },
        };
        assert_eq!(Node::decode(NodeId(7), &node.encode()), node);
        let quiet = Node::unknown(NodeId(7));
        assert_eq!(Node::decode(NodeId(7), &quiet.encode()), quiet);
    }

    /// Whatever stands in an engine, it is read without a panic, and a long label is cut between characters.
    #[test]
    fn any_bytes_are_read() {
        let long = Node {
            name: "\u{20ac}".repeat(100).into(),
            ..Node::unknown(NodeId(7))
        };
        let bytes = long.encode();
        assert_eq!(Node::decode(NodeId(7), &bytes).name.len(), 255);
        for len in 0..bytes.len() {
            Node::decode(NodeId(7), &bytes[..len]);
        }
        let unknown = Node::unknown(NodeId(7));
        for bytes in [&b""[..], b"hello", &[1, 1, 1, 255, 0], &[2; 100]] {
            assert_eq!(Node::decode(NodeId(7), bytes), unknown);
        }
    }
}
