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
    undelivered: u64,
    expected: Vec<(u8, Vec<u8>)>,
    /// The slot and the generation of the member.
    member: (u64, u64),
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
        let id = server.clients().iter().next().expect("it is open").id();
        let id = id.to_string();
        let (slot, generation) = id.split_once('.').expect("two numbers");
        let number = |digits: &str| digits.parse().expect("a number");
        let mut model = Model {
            member: (number(slot), number(generation)),
            ..Model::default()
        };
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
            let bytes = if what == 6 {
                raw(u)?
            } else {
                envelope(u, model.member)?
            };
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

/// An envelope as a node writes it, of one of three nodes, for all members or for one connection.
fn envelope(u: &mut Unstructured<'_>, member: (u64, u64)) -> Result<Vec<u8>> {
    let kind = u.int_in_range(1..=5)?;
    let flags = u.int_in_range(0..=7)?;
    let mut bytes = vec![1, kind, flags, 0];
    let sequence = u.int_in_range(0..=40)?;
    let begin = u.int_in_range(0..=sequence)?;
    for number in [u.int_in_range(1u64..=3)? << 40, sequence, begin] {
        bytes.extend(number.to_le_bytes());
    }
    if flags & 2 != 0 {
        let (slot, generation) = member;
        // The member, or a connection that never was.
        for number in [slot, generation + u.int_in_range(0..=1)?] {
            bytes.extend(number.to_le_bytes());
        }
    }
    let len = u.int_in_range(0..=30)?;
    bytes.extend(u.bytes(len.min(u.len()))?);
    Ok(bytes)
}

impl Model {
    fn deliver(&mut self, channel: &Channel, bytes: &[u8]) {
        let Some(Decoded {
            kind,
            node,
            sequence,
            begin,
            to,
            payload,
        }) = decode(bytes)
        else {
            self.malformed += 1;
            return;
        };
        let is_own = matches!(channel, Channel::Node(_));
        match kind {
            // A sign of life.
            3 => return,
            // What became of a message: nobody has asked.
            4 => {
                self.malformed += u64::from(!is_own || !is_outcome(payload));
                return;
            }
            // An entry of a log: no topic has one.
            5 => {
                self.malformed += u64::from(!matches!(channel, Channel::Topic(_)));
                return;
            }
            _ => {}
        }
        if *channel == Channel::Topic("u".into()) {
            return;
        }
        if is_own != to.is_some() {
            self.malformed += 1;
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
        if kind == 1 && std::str::from_utf8(payload).is_err() {
            self.malformed += 1;
            return;
        }
        if let Some((connection, asks)) = to
            && connection != self.member
        {
            self.undelivered += u64::from(!asks);
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
                counters.malformed,
                counters.undelivered
            ),
            (
                self.received,
                self.duplicates,
                self.missed,
                self.malformed,
                self.undelivered
            )
        );
        assert_eq!(counters.inbound_bytes, 0);
        assert_eq!(frames(&peer.read()), std::mem::take(&mut self.expected));
    }
}

/// An envelope.
struct Decoded<'a> {
    kind: u8,
    node: u64,
    sequence: u64,
    begin: u64,
    /// The one connection that it is for, and whether its node is to answer.
    to: Option<((u64, u64), bool)>,
    payload: &'a [u8],
}

/// The format, a second time and plain.
fn decode(bytes: &[u8]) -> Option<Decoded<'_>> {
    let number = |at: usize| {
        let bytes = bytes.get(at..at + 8)?.try_into().ok()?;
        Some(u64::from_le_bytes(bytes))
    };
    let (node, sequence, begin) = (number(4)?, number(12)?, number(20)?);
    let (kind, flags) = (bytes[1], bytes[2]);
    let is_known = bytes[0] == 1 && (1..=5).contains(&kind) && flags <= 7 && bytes[3] == 0;
    if !is_known || begin > sequence && kind != 5 {
        return None;
    }
    let (is_addressed, asks) = (flags & 2 != 0, flags & 4 != 0);
    if asks && !is_addressed {
        return None;
    }
    let mut at = 28;
    let mut to = None;
    if is_addressed {
        to = Some(((number(28)?, number(36)?), asks));
        at = 44;
    }
    if asks {
        number(44)?;
        at = 52;
    }
    Some(Decoded {
        kind,
        node,
        sequence,
        begin,
        to,
        payload: &bytes[at..],
    })
}

/// Tells whether this says what became of a message: the number of the question, a code, and what belongs to it.
fn is_outcome(payload: &[u8]) -> bool {
    let Some((code, rest)) = payload.get(8..).and_then(<[u8]>::split_first) else {
        return false;
    };
    match code {
        0 | 1 | 2 | 4 => true,
        3 => rest.first().is_some_and(|version| *version < 3),
        5 => rest.len() >= 16,
        _ => false,
    }
}
