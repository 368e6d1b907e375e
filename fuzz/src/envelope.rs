//! What arrives for a node of a cluster: any bytes on any channel, as a plain decoder and plain tables say.

use std::collections::BTreeMap;

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use ws_driver::{Channel, Connection, Gate, Seat};

use ws_testing::sim::peer::frames;
use ws_testing::sim::{ANY, Lent, Peer, Server, Sim, serve};

/// Steps of one run.
const STEP_LIMIT: usize = 64;

/// What a node is to have counted, and what its member is to have got.
#[derive(Default)]
struct Model {
    last: BTreeMap<(String, u64), u64>,
    received: u64,
    duplicates: u64,
    missed: u64,
    malformed: u64,
    expected: Vec<(u8, Vec<u8>)>,
}

/// Choices for each step: what to do, the channel, then the bytes or the fields.
pub(crate) fn exercise(u: &mut Unstructured<'_>) -> Result<()> {
    Sim::run(|sim| async move {
        let lent = Lent::default();
        let builder = Server::builder().keepalive_interval(None);
        let server = builder.backplane(lent.clone()).bind(ANY).await;
        let server = server.expect("the network is simulated");
        serve(&sim, &server, async |mut connection: Connection| {
            connection.join("t").expect("it is open");
            while connection.recv().await.is_some() {}
        });
        let peer = Peer::open(&sim, server.local_addr()).await;
        let seat = lent.seat();
        link(&seat).await;
        let mut model = Model::default();
        for _ in 0..STEP_LIMIT {
            if u.is_empty() {
                break;
            }
            let what = u.int_in_range(0..=7)?;
            if what == 7 {
                seat.link_down("as the input says");
                link(&seat).await;
                continue;
            }
            let channel = match u.int_in_range(0..=3)? {
                0 => Channel::All,
                1 => Channel::Node(seat.node()),
                2 => Channel::Topic("t".into()),
                // Nobody is a member of it.
                _ => Channel::Topic("u".into()),
            };
            let bytes = if what == 6 { raw(u)? } else { envelope(u)? };
            model.deliver(&channel, &bytes);
            assert_eq!(seat.deliver(channel, Bytes::from(bytes)), Gate::Open);
            sim.settle().await;
            model.check(&server, &peer);
        }
        Ok(())
    })
}

/// Links the node to an engine that confirms at once.
async fn link(seat: &Seat) {
    seat.link_up();
    loop {
        let change = seat.interest().await;
        seat.subscribed(&change.subscribe);
        if change.subscribe.contains(&Channel::All) {
            return;
        }
    }
}

fn raw(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let len = u.int_in_range(0..=80)?;
    Ok(u.bytes(len.min(u.len()))?.to_vec())
}

/// An envelope as a node writes it, of one of three nodes.
fn envelope(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let kind = u.int_in_range(1..=3)?;
    let mut bytes = vec![1, kind, u.int_in_range(0..=1)?, 0];
    let sequence = u.int_in_range(0..=40)?;
    let begin = u.int_in_range(0..=sequence)?;
    for number in [u.int_in_range(1u64..=3)? << 40, sequence, begin] {
        bytes.extend(number.to_le_bytes());
    }
    let len = u.int_in_range(0..=30)?;
    bytes.extend(u.bytes(len.min(u.len()))?);
    Ok(bytes)
}

impl Model {
    fn deliver(&mut self, channel: &Channel, bytes: &[u8]) {
        let Some((kind, node, sequence, begin, payload)) = decode(bytes) else {
            self.malformed += 1;
            return;
        };
        let is_wanted = *channel != Channel::Topic("u".into());
        if kind == 3 || !is_wanted {
            return;
        }
        let last = self.last.entry((channel.to_string(), node));
        match last {
            std::collections::btree_map::Entry::Occupied(mut last) => {
                if sequence <= *last.get() {
                    self.duplicates += 1;
                    return;
                }
                // Of the numbers between, those before the beginning tell nothing.
                let between = (last.get() + 1..sequence).filter(|number| *number >= begin);
                self.missed += u64::try_from(between.count()).expect("there are few");
                last.insert(sequence);
            }
            std::collections::btree_map::Entry::Vacant(last) => {
                last.insert(sequence);
            }
        }
        self.received += 1;
        if matches!(channel, Channel::Node(_)) {
            return;
        }
        if kind == 1 && std::str::from_utf8(payload).is_err() {
            self.malformed += 1;
            return;
        }
        let first_byte = if kind == 1 { 0x81 } else { 0x82 };
        self.expected.push((first_byte, payload.to_vec()));
    }

    fn check(&mut self, server: &Server, peer: &Peer) {
        let counters = server.cluster().counters();
        assert_eq!(
            (
                counters.received,
                counters.duplicates,
                counters.missed,
                counters.malformed
            ),
            (self.received, self.duplicates, self.missed, self.malformed)
        );
        assert_eq!(counters.inbound_bytes, 0);
        assert_eq!(frames(&peer.read()), std::mem::take(&mut self.expected));
    }
}

/// The format, a second time and plain: kind, node, sequence, beginning, payload.
fn decode(bytes: &[u8]) -> Option<(u8, u64, u64, u64, &[u8])> {
    let number = |at: usize| {
        let bytes = bytes.get(at..at + 8)?.try_into().ok()?;
        Some(u64::from_le_bytes(bytes))
    };
    let (node, sequence, begin) = (number(4)?, number(12)?, number(20)?);
    let is_known = bytes[0] == 1 && (1..=3).contains(&bytes[1]) && bytes[2] <= 1 && bytes[3] == 0;
    let is_one = is_known && begin <= sequence;
    is_one.then(|| (bytes[1], node, sequence, begin, &bytes[28..]))
}
