//! Who is in a topic, on all nodes. Each node stores the members that show themselves under its lease, so that the engine
//! forgets those of a dead node with it, all at once.

use std::pin::pin;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::error::BackplaneError;
use super::listing::Listing;
use super::seat::SeatRequest;
use super::shared::{Exchange, SharedCluster};
use crate::id::ConnectionId;
use crate::id::cluster::{ClusterId, NodeId};
use crate::registry::presence::{Shown, encoded_len};
use crate::runtime::{Runtime, sleep};
use crate::util::race::{Winner, race};
use crate::util::sync::Arc;

/// A connection that shows itself in a topic: [`Connection::track`](crate::Connection::track).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Presence {
    /// The connection.
    pub id: ClusterId,
    /// What it says of itself.
    pub data: Bytes,
}

/// The members of a topic that show themselves on this node, to be stored under its lease.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PresenceChange {
    /// The name of the topic.
    pub topic: Arc<str>,
    /// The new value; any bytes. `None` if the topic has no such members any more: the old value is removed.
    pub members: Option<Bytes>,
}

/// Changes to store together.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PresenceStore {
    /// Larger with each question of the node. An engine ignores one that is not larger than the last, because a question of
    /// a link that broke can be read late.
    pub version: u64,
    /// The changes.
    pub changes: Arc<[PresenceChange]>,
}

/// What an engine knows about a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceRead {
    /// What the nodes with leases have stored.
    pub stored: Vec<StoredPresence>,
    /// Whether it can be all: the engine has known leases for [`LEASE_TIME`](crate::LEASE_TIME), this node is among them, and
    /// none of the nodes has come or come back within [`PRESENCE_SETTLED`].
    pub is_complete: bool,
}

/// What a node has stored about a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPresence {
    /// The node. It has a lease.
    pub node: NodeId,
    /// The value that it stored; any bytes.
    pub members: Bytes,
}

/// How long a node that has come may take to store what it has. Until then an engine calls no [`PresenceRead`] complete.
pub const PRESENCE_SETTLED: Duration = Duration::from_secs(5);

/// The pause between two times that changes are stored.
const PAUSE: Duration = Duration::from_secs(1);
/// The most topics that are stored at a time, and the most bytes if there is more than one.
const CHANGES: usize = 256;
const CHANGES_LEN: usize = 256 << 10;

impl SharedCluster {
    /// Returns who shows itself in a topic, on all nodes.
    pub(crate) async fn presence(
        &self,
        topic: &Arc<str>,
    ) -> Result<Listing<Presence>, BackplaneError> {
        let Some(exchange) = &self.exchange else {
            return Ok(Listing::new(self.shown(topic), true, Duration::ZERO));
        };
        let (is_up, refusal) = {
            let outbound = exchange.lock();
            (outbound.link.is_up(), outbound.leases.refusal())
        };
        if !is_up {
            // Those of other nodes are not known, and may be gone.
            return Ok(Listing::new(self.shown(topic), false, Duration::ZERO));
        }
        // Then it lacks at least what this node shows.
        if let Some(error) = refusal {
            return Err(BackplaneError::Refused { error });
        }
        let stored = exchange.presence_reads.get(Arc::clone(topic), || {
            let asked = Arc::clone(topic);
            self.ask(exchange, asked, SeatRequest::ReadPresence)
        });
        let stored = stored.await?;
        // What this node has stored is older than what it knows.
        let mut members = self.shown(topic);
        let others = stored.stored.into_iter().filter(|it| it.node != self.node);
        members.extend(others.flat_map(|it| decode(it.node, it.members)));
        members.sort_by_key(|presence| presence.id);
        Ok(Listing::new(members, stored.is_complete, Duration::ZERO))
    }

    /// Who shows itself in a topic on this node.
    fn shown(&self, topic: &str) -> Vec<Presence> {
        let shown = self.registry.shown(topic).into_iter();
        let presences = shown.map(|Shown { id: local, data }| Presence {
            id: ClusterId {
                node: self.node,
                local,
            },
            data,
        });
        let mut presences: Vec<_> = presences.collect();
        presences.sort_by_key(|presence| presence.id);
        presences
    }

    /// Takes up to so many topics whose members have changed, and what is to be stored of each.
    fn take_changes(&self, limit: usize) -> Arc<[PresenceChange]> {
        let (mut changes, mut len) = (Vec::new(), 0);
        while changes.len() < limit && len < CHANGES_LEN {
            let Some((topic, shown)) = self.registry.take_changed_presence() else {
                break;
            };
            let members = (!shown.is_empty()).then(|| encode(&shown));
            len += topic.len() + members.as_ref().map_or(0, Bytes::len);
            changes.push(PresenceChange { topic, members });
        }
        changes.into()
    }
}

/// Stores the changes of this node under its lease.
pub(super) async fn run<R: Runtime>(runtime: R, shared: Arc<SharedCluster>) {
    let Some(exchange) = &shared.exchange else {
        return;
    };
    let mut version = 0;
    loop {
        let changed = pin!(shared.registry.presence_news());
        if let Winner::First(()) = race(pin!(exchange.ended()), changed).await {
            return;
        }
        store_changes(&shared, exchange, &mut version).await;
        // Whatever happens meanwhile is one change.
        if let Winner::First(()) = race(pin!(exchange.ended()), pin!(sleep(&runtime, PAUSE))).await
        {
            return;
        }
    }
}

/// Stores what has changed. What is not stored waits for the next time.
async fn store_changes(shared: &SharedCluster, exchange: &Exchange, version: &mut u64) {
    let (mut limit, mut kept) = (CHANGES, Vec::new());
    loop {
        let changes = shared.take_changes(limit);
        if changes.is_empty() {
            break;
        }
        *version += 1;
        let asked = PresenceStore {
            version: *version,
            changes: Arc::clone(&changes),
        };
        let stored = shared.ask(exchange, asked, SeatRequest::StorePresence);
        let stored = stored.await;
        if stored == Ok(true) {
            continue;
        }
        let topics = changes.iter().map(|it| Arc::clone(&it.topic));
        match stored {
            // One of them may be at fault, and the others are not to wait for it.
            Err(BackplaneError::Refused { .. }) if limit > 1 => {
                limit = 1;
                shared.registry.note_presence_changed(topics);
            }
            Err(BackplaneError::Refused { .. }) => kept.extend(topics),
            // No link, or no lease.
            Ok(_) | Err(_) => {
                kept.extend(topics);
                exchange.lock().leases.want(shared.clock.now());
                break;
            }
        }
    }
    shared.registry.note_presence_changed(kept.into_iter());
}

/// Encodes the members of a topic on one node: for each slot, generation, the length of the data as u16, and the data.
fn encode(shown: &[Shown]) -> Bytes {
    let len = shown.iter().map(|it| encoded_len(&it.data)).sum();
    let mut bytes = BytesMut::with_capacity(len);
    for Shown { id, data } in shown {
        id.put(&mut bytes);
        bytes.put_u16_le(u16::try_from(data.len()).unwrap_or(u16::MAX));
        bytes.put_slice(data);
    }
    bytes.freeze()
}

/// Decodes what a node has stored, up to what is malformed.
fn decode(node: NodeId, mut bytes: Bytes) -> impl Iterator<Item = Presence> {
    std::iter::from_fn(move || {
        let local = ConnectionId::take(&mut bytes)?;
        let len = usize::from(bytes.try_get_u16_le().ok()?);
        if len > bytes.len() {
            bytes.clear();
            return None;
        }
        let data = bytes.split_to(len);
        let id = ClusterId { node, local };
        Some(Presence { id, data })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_read_back_and_what_is_cut_is_left_out() {
        let shown = [("1.1", "anna"), ("2.7", ""), ("3.9", "bert")].map(|(id, data)| Shown {
            id: id.parse().unwrap(),
            data: Bytes::from_static(data.as_bytes()),
        });
        let bytes = encode(&shown);
        let lens = shown.iter().map(|it| encoded_len(&it.data));
        assert_eq!(bytes.len(), lens.sum::<usize>());
        let expected = shown.map(|Shown { id: local, data }| Presence {
            id: ClusterId {
                node: NodeId(5),
                local,
            },
            data,
        });
        let decoded: Vec<_> = decode(NodeId(5), bytes.clone()).collect();
        assert_eq!(decoded, expected);
        for len in 0..bytes.len() {
            let decoded: Vec<_> = decode(NodeId(5), bytes.slice(..len)).collect();
            assert!(decoded.len() < 3);
            assert_eq!(decoded, expected[..decoded.len()], "{len} bytes");
        }
    }
}
