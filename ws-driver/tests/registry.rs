//! The registry: topics, what happens to slow peers under each policy, and the counters.
#![allow(
    clippy::unwrap_used,
    reason = "clippy spares tests, but not their helpers"
)]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::peer::{Frame, RFC6455, close, frames, masked, ping, text};
use support::{ANY, Peer, Server, Sim, echo, poll_once, seconds, serve};
use ws_driver::ws_proto::{Message, SendError, Version};
use ws_driver::{
    ClientError, Connection, ConnectionId, RejectionCounts, Sender, SlowPeer, TOPIC_NAME_LIMIT,
    TopicError,
};

/// The send queue limit of these servers.
const LIMIT: usize = 10_000;

/// The payload of most messages, and what it makes on the wire.
const LEN: usize = 1000;
const FRAME_LEN: usize = LEN + 4;

/// Messages that are taken while less than [`LIMIT`] waits.
const TAKEN: usize = LIMIT.div_ceil(FRAME_LEN);

const POLICIES: [SlowPeer; 4] = [
    SlowPeer::Wait,
    SlowPeer::DropNewest,
    SlowPeer::DropOldest,
    SlowPeer::Close,
];

async fn server_with(sim: &Sim, policy: SlowPeer) -> Server {
    let server = Server::builder()
        .slow_peer(policy)
        .send_queue_limit(Some(LIMIT));
    let server = server.bind(ANY).await.unwrap();
    serve(sim, &server, echo);
    server
}

/// A message of [`LEN`] bytes that begins with its number.
fn numbered(number: usize) -> String {
    format!("{number:<LEN$}")
}

/// The numbers of messages in frames of RFC 6455; anything else is a mistake.
fn numbers(bytes: &[u8]) -> Vec<usize> {
    let number = |(first_byte, payload): Frame| {
        assert_eq!((first_byte, payload.len()), (0x81, LEN));
        let text = String::from_utf8(payload).unwrap();
        text.trim_end().parse().unwrap()
    };
    frames(bytes).into_iter().map(number).collect()
}

/// Opens a connection whose peer does not read.
async fn open_slow(sim: &Sim, server: &Server) -> (Peer, Sender) {
    let peer = Peer::open(sim, server.local_addr()).await;
    peer.link().to_near.capacity = 0;
    let newest = server
        .clients()
        .iter()
        .max_by_key(|sender| order(sender.id()));
    (peer, newest.unwrap())
}

/// Fills the send queue of a peer that does not read.
fn fill(sender: &Sender) {
    for _ in 0..TAKEN {
        sender.try_send(numbered(0)).unwrap();
    }
    assert!(sender.try_send("one more").is_err());
}

/// Broadcasts a range of messages, whoever takes them.
fn broadcast_all(server: &Server, range: std::ops::Range<usize>) {
    for number in range {
        server.broadcast(numbered(number));
    }
}

/// Ids in the order in which they were given.
fn order(id: ConnectionId) -> u64 {
    let id = id.to_string();
    id.split_once('.').unwrap().1.parse().unwrap()
}

/// Lets a slow peer read all that comes, for a minute at most.
async fn read_all(sim: &Sim, peer: &Peer) -> Vec<u8> {
    peer.link().to_near.capacity = 5000;
    let mut bytes = Vec::new();
    for _ in 0..1000 {
        let read = peer.read();
        sim.settle().await;
        if read.is_empty() && peer.link().to_near.bytes.is_empty() {
            return bytes;
        }
        bytes.extend(read);
    }
    panic!("the server writes for ever");
}

fn too_slow() -> Frame {
    (0x88, [&1013u16.to_be_bytes()[..], b"too slow"].concat())
}

/// A future's output, once it has come.
fn spawned<T: Send + 'static>(
    sim: &Sim,
    future: impl Future<Output = T> + Send + 'static,
) -> Arc<Mutex<Option<T>>> {
    let slot = Arc::new(Mutex::new(None));
    let output = Arc::clone(&slot);
    sim.spawn_task(async move {
        let value = future.await;
        *output.lock().unwrap() = Some(value);
    });
    slot
}

// Backpressure.

/// A peer that never reads gets what its policy says, in order and whole, costs bounded memory, and
/// nobody else notices; the outcomes are reported and counted.
#[test]
fn each_policy_does_what_it_says_in_a_broadcast_to_a_peer_that_does_not_read() {
    const ALL: usize = 500;
    for policy in POLICIES {
        Sim::run(async |sim| {
            let server = server_with(&sim, policy).await;
            let (slow, slow_sender) = open_slow(&sim, &server).await;
            let fast = Peer::open(&sim, server.local_addr()).await;
            let start = sim.now();
            for number in 0..ALL {
                let reached = server.broadcast(numbered(number));
                let reaches_slow = number < TAKEN || policy == SlowPeer::DropOldest;
                assert_eq!(
                    reached,
                    1 + usize::from(reaches_slow),
                    "{policy:?} {number}"
                );
                sim.settle().await;
                assert_eq!(numbers(&fast.read()), [number]);
                let backlog = LIMIT * usize::from(policy == SlowPeer::DropOldest);
                let buffered = slow_sender.buffered_amount();
                assert!(buffered < LIMIT + FRAME_LEN + backlog, "{buffered}");
            }
            assert_eq!(sim.now(), start, "nothing waited");

            let mut bytes = read_all(&sim, &slow).await;
            let mut dropped = 0;
            let head: Vec<_> = (0..TAKEN).collect();
            match policy {
                SlowPeer::Wait => assert_eq!(numbers(&bytes), head),
                SlowPeer::DropNewest => {
                    assert_eq!(numbers(&bytes), head);
                    dropped = ALL - TAKEN;
                }
                SlowPeer::DropOldest => {
                    let numbers = numbers(&bytes);
                    let (first, last) = numbers.split_at(TAKEN);
                    assert_eq!(first, head);
                    let kept: Vec<_> = (ALL - last.len()..ALL).collect();
                    assert_eq!(last, kept, "the newest, in order");
                    assert!(last.len() >= LIMIT / LEN - 1, "{last:?}");
                    dropped = ALL - numbers.len();
                }
                SlowPeer::Close => {
                    let end = bytes.split_off(TAKEN * FRAME_LEN);
                    assert_eq!(numbers(&bytes), head);
                    assert_eq!(frames(&end), [too_slow()]);
                }
                policy => panic!("{policy:?} is not tested"),
            }
            let dropped = u64::try_from(dropped).unwrap();
            assert_eq!(slow_sender.counters().messages_dropped, dropped);
            assert_eq!(slow_sender.counters().buffered_amount, 0);
            let counters = server.counters();
            assert_eq!(counters.messages_dropped, dropped);
            let is_closed = policy == SlowPeer::Close;
            assert_eq!(counters.slow_closes, u64::from(is_closed));
            assert_eq!(server.broadcast("next"), 2 - usize::from(is_closed));
        });
    }
}

/// A send by id to a full queue tells what came of it, under each policy.
#[test]
fn each_policy_does_what_it_says_in_a_send_by_id() {
    for policy in POLICIES {
        Sim::run(async |sim| {
            let server = server_with(&sim, policy).await;
            let (slow, sender) = open_slow(&sim, &server).await;
            for number in 0..TAKEN {
                server.send(sender.id(), numbered(number)).unwrap();
            }
            let sent = server.send(sender.id(), numbered(TAKEN));
            let (buffered, limit) = (TAKEN * FRAME_LEN, LIMIT);
            let full = ClientError::Send(SendError::QueueFull { buffered, limit });
            let (expected, dropped, closed) = match policy {
                SlowPeer::Wait => (Err(full), 0, 0),
                SlowPeer::DropNewest => (Err(full), 1, 0),
                SlowPeer::DropOldest => (Ok(()), 0, 0),
                SlowPeer::Close => (Err(full), 0, 1),
                policy => panic!("{policy:?} is not tested"),
            };
            assert_eq!(sent, expected, "{policy:?}");
            let counters = server.counters();
            assert_eq!(counters.messages_dropped, dropped, "{policy:?}");
            assert_eq!(counters.slow_closes, closed, "{policy:?}");
            let read = frames(&read_all(&sim, &slow).await);
            let more = usize::from(policy == SlowPeer::DropOldest) + usize::from(closed > 0);
            assert_eq!(read.len(), TAKEN + more);
            assert_eq!(read.last() == Some(&too_slow()), closed > 0);
        });
    }
}

/// A close by the policy is for good: nothing is taken although there is room again before the peer has
/// answered, and nothing follows the close.
#[test]
fn a_connection_that_was_closed_as_too_slow_takes_nothing_more() {
    Sim::run(async |sim| {
        let server = server_with(&sim, SlowPeer::default()).await;
        let (mut slow, sender) = open_slow(&sim, &server).await;
        let waiting = sender.clone();
        fill(&sender);
        assert_eq!(server.broadcast(numbered(0)), 0);
        let waiting = spawned(&sim, async move { waiting.send("waited").await });
        sim.settle().await;
        assert_eq!(*waiting.lock().unwrap(), Some(Err(SendError::Closed)));
        let read = frames(&read_all(&sim, &slow).await);
        assert_eq!(sender.buffered_amount(), 0, "there is room");
        assert_eq!(read.last(), Some(&too_slow()));
        assert_eq!(server.broadcast("more"), 0);
        assert_eq!(sender.try_send("more"), Err(SendError::Closed));
        let closed = ClientError::Send(SendError::Closed);
        assert_eq!(server.send(sender.id(), "more"), Err(closed.clone()));
        let later = server.clients().send_wait(sender.id(), "more").await;
        assert_eq!(later, Err(closed));
        assert_eq!(server.counters().slow_closes, 1);
        assert_eq!(slow.ask(close(1013)).await, b"");
        assert!(slow.has_ended());
    });
}

/// What is sent otherwise goes behind the backlog, pings go ahead, and a draft gets whole frames, too.
#[test]
fn a_backlog_goes_out_before_anything_that_is_sent_later() {
    Sim::run(async |sim| {
        let server = server_with(&sim, SlowPeer::DropOldest).await;
        let (slow, sender) = open_slow(&sim, &server).await;
        for number in 0..TAKEN + 5 {
            assert_eq!(server.broadcast(numbered(number)), 1);
        }
        let full = sender.try_send("too early");
        assert!(matches!(full, Err(SendError::QueueFull { .. })), "{full:?}");
        let later = sender.clone();
        let later = spawned(&sim, async move { later.send(numbered(1000)).await });
        sim.settle().await;
        assert_eq!(*later.lock().unwrap(), None);
        sender.ping(b"").unwrap();
        let bytes = read_all(&sim, &slow).await;
        assert_eq!(*later.lock().unwrap(), Some(Ok(())));
        let mut read = frames(&bytes);
        let ping = read.iter().position(|frame| frame.0 == 0x89).unwrap();
        assert_eq!(ping, TAKEN, "ahead of the backlog");
        read.remove(ping);
        let payloads: Vec<_> = read.into_iter().map(|frame| frame.1).collect();
        let expected = (0..TAKEN + 5).chain([1000]).map(numbered);
        let expected: Vec<_> = expected.map(String::into_bytes).collect();
        assert_eq!(payloads, expected);
        drop(slow);

        for draft in [75, 76] {
            let peer = match draft {
                75 => Peer::open_75(&sim, server.local_addr()).await,
                _ => Peer::open_76(&sim, server.local_addr()).await,
            };
            peer.link().to_near.capacity = 0;
            broadcast_all(&server, 0..100);
            assert_eq!(server.broadcast(b"binary"), 0, "the drafts have none");
            let bytes = read_all(&sim, &peer).await;
            let parts = bytes.split_inclusive(|byte| *byte == 0xff);
            let texts: Vec<_> = parts.map(String::from_utf8_lossy).collect();
            let text = |number| format!("\0{}\u{fffd}", numbered(number));
            assert_eq!(texts.first(), Some(&text(0).into()));
            assert_eq!(texts.last(), Some(&text(99).into()));
            assert!(texts.iter().all(|text| text.len() == LEN + 4));
        }
    });
}

/// What is in the backlog when the connection closes is dropped and counted, and its memory is free.
#[test]
fn a_backlog_ends_with_its_connection() {
    for by_reset in [true, false] {
        Sim::run(async |sim| {
            let server = server_with(&sim, SlowPeer::DropOldest).await;
            let (slow, sender) = open_slow(&sim, &server).await;
            broadcast_all(&server, 0..TAKEN + 3);
            assert_eq!(sender.counters().messages_dropped, 0);
            match by_reset {
                true => slow.link().reset(),
                false => sender.close(1001.try_into().unwrap(), "").unwrap(),
            }
            sim.settle().await;
            assert_eq!(sender.counters().messages_dropped, 3);
            assert_eq!(server.counters().messages_dropped, 3);
            if !by_reset {
                let read = frames(&read_all(&sim, &slow).await);
                assert_eq!(read.len(), TAKEN + 1);
                assert_eq!(read[TAKEN], (0x88, 1001u16.to_be_bytes().to_vec()));
            }
            assert_eq!(sender.buffered_amount(), 0);
        });
    }
}

/// At a limit of zero nothing is kept: not by the backlog either.
#[test]
fn a_limit_of_zero_means_zero() {
    for policy in POLICIES {
        Sim::run(async |sim| {
            let server = Server::builder().slow_peer(policy).send_queue_limit(0);
            let server = server.bind(ANY).await.unwrap();
            serve(&sim, &server, echo);
            let peer = Peer::open(&sim, server.local_addr()).await;
            let sender = server.clients().iter().next().unwrap();
            assert_eq!(server.broadcast("lost"), 0);
            assert_eq!(server.counters().messages_sent, 0);
            let drops = matches!(policy, SlowPeer::DropNewest | SlowPeer::DropOldest);
            assert_eq!(sender.counters().messages_dropped, u64::from(drops));
            sim.settle().await;
            let read = frames(&peer.read());
            assert_eq!(read.len(), usize::from(policy == SlowPeer::Close));
        });
    }
}

/// A broadcast does not wake the tasks of peers whose queues are full: many that hang cost it next to
/// nothing.
#[test]
fn a_broadcast_costs_peers_that_are_full_no_poll() {
    for policy in [SlowPeer::Wait, SlowPeer::DropNewest, SlowPeer::DropOldest] {
        Sim::run(async |sim| {
            let server = server_with(&sim, policy).await;
            let mut peers = Vec::new();
            for _ in 0..50 {
                let peer = Peer::open(&sim, server.local_addr()).await;
                peer.link().vanish();
                peers.push(peer);
            }
            broadcast_all(&server, 0..TAKEN + 1);
            sim.settle().await;
            let before = sim.polls();
            broadcast_all(&server, 0..100);
            for sender in server.clients().iter() {
                assert!(sender.try_send("more").is_err());
            }
            sim.settle().await;
            assert_eq!(sim.polls() - before, 0, "{policy:?}");
            drop(peers);
        });
    }
}

// Waiting.

/// A broadcast that waits reaches who has room at once, the slow when they read, nobody waits for
/// anybody else, and one that has vanished is waited for until its connection ends.
#[test]
fn a_broadcast_that_waits_waits_for_each_by_itself() {
    for policy in POLICIES {
        Sim::run(async |sim| {
            let server = server_with(&sim, policy).await;
            let (gone, gone_sender) = open_slow(&sim, &server).await;
            gone.link().vanish();
            let (mut slow, slow_sender) = open_slow(&sim, &server).await;
            [&gone_sender, &slow_sender].into_iter().for_each(fill);
            let mut fast = Peer::open(&sim, server.local_addr()).await;
            let start = sim.now();
            let (clients, topic) = (server.clients(), policy == SlowPeer::Wait);
            let reached = spawned(&sim, async move {
                if topic {
                    assert!(clients.iter().all(|sender| sender.join("all") == Ok(true)));
                    return clients.topic("all").broadcast_wait(numbered(7)).await;
                }
                clients.broadcast_wait(numbered(7)).await
            });
            sim.settle().await;
            assert_eq!(numbers(&fast.read()), [7]);
            assert_eq!(*reached.lock().unwrap(), None);
            let read = numbers(&read_all(&sim, &slow).await);
            assert_eq!(read.len(), TAKEN + 1);
            assert_eq!(read.last(), Some(&7));
            assert_eq!(sim.now(), start);
            assert_eq!(*reached.lock().unwrap(), None, "one is still waited for");
            for _ in 0..60 {
                sim.sleep(seconds(1)).await;
                // The others live, which the keepalive wants to see.
                for peer in [&mut fast, &mut slow] {
                    assert!(!peer.has_ended());
                    peer.ask(masked(0x8a, b"")).await;
                }
                if reached.lock().unwrap().is_some() {
                    break;
                }
            }
            assert_eq!(*reached.lock().unwrap(), Some(2));
            assert!(gone_sender.closed().is_some());
        });
    }
}

/// If a send or a broadcast that waits is dropped, who had room has the message and the others get
/// nothing of it.
#[test]
fn a_wait_that_is_dropped_sends_nothing_later() {
    Sim::run(async |sim| {
        let server = server_with(&sim, SlowPeer::Wait).await;
        let clients = server.clients();
        let (slow, sender) = open_slow(&sim, &server).await;
        let fast = Peer::open(&sim, server.local_addr()).await;
        fill(&sender);
        for _ in 0..10 {
            assert_eq!(poll_once(clients.broadcast_wait(numbered(7))), None);
            let sending = clients.send_wait(sender.id(), numbered(8));
            assert_eq!(poll_once(sending), None);
        }
        assert_eq!(numbers(&read_all(&sim, &slow).await), [0; TAKEN]);
        assert_eq!(numbers(&fast.read()), [7; 10]);
        clients.send_wait(sender.id(), numbered(9)).await.unwrap();
        assert_eq!(numbers(&read_all(&sim, &slow).await), [9]);
    });
}

/// A send that waits goes on when there is room, fails at once when the connection closes, and knows
/// who is not there.
#[test]
fn a_send_by_id_can_wait() {
    Sim::run(async |sim| {
        let server = server_with(&sim, SlowPeer::Wait).await;
        let (slow, sender) = open_slow(&sim, &server).await;
        let id = sender.id();
        fill(&sender);
        let start = |number| {
            let clients = server.clients();
            spawned(&sim, async move {
                clients.send_wait(id, numbered(number)).await
            })
        };
        let first = start(1);
        sim.settle().await;
        assert_eq!(*first.lock().unwrap(), None);
        let read = numbers(&read_all(&sim, &slow).await);
        assert_eq!((read.len(), read.last()), (TAKEN + 1, Some(&1)));
        assert_eq!(*first.lock().unwrap(), Some(Ok(())));

        slow.link().to_near.capacity = 0;
        fill(&sender);
        let second = start(2);
        sim.settle().await;
        assert_eq!(*second.lock().unwrap(), None);
        sender.close(1000.try_into().unwrap(), "").unwrap();
        sim.settle().await;
        let closed = ClientError::Send(SendError::Closed);
        assert_eq!(*second.lock().unwrap(), Some(Err(closed)));
        slow.link().reset();
        sim.settle().await;
        let nobody = server.clients().send_wait(id, "lost").await;
        assert_eq!(nobody, Err(ClientError::NoSuchClient { id }));
    });
}

// Topics.

/// A message to a topic goes to its members and to nobody else, in every version; who leaves gets no
/// more; a handle and the connection itself can join.
#[test]
fn a_message_to_a_topic_goes_to_its_members_only() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, async |mut connection: Connection| {
            if connection.version() == Version::Draft76 {
                assert_eq!(connection.join("room"), Ok(true));
            }
            while let Some(message) = connection.recv().await {
                let left = connection.leave("room");
                connection
                    .send(format!("{left} {message:?}"))
                    .await
                    .unwrap();
            }
        });
        let clients = server.clients();
        let peer = Peer::open(&sim, server.local_addr()).await;
        let mut peer_76 = Peer::open_76(&sim, server.local_addr()).await;
        let peer_75 = Peer::open_75(&sim, server.local_addr()).await;
        let senders: Vec<_> = clients.iter().collect();
        let (room, other) = (clients.topic("room"), clients.topic("other"));
        assert_eq!(room.name(), "room");
        assert_eq!((room.len(), other.len(), other.is_empty()), (1, 0, true));
        assert_eq!(senders[0].join("room"), Ok(true));
        assert_eq!(senders[0].join("room"), Ok(false));
        assert_eq!(senders[2].join("other"), Ok(true));
        assert_eq!(room.len(), 2);
        assert!(room.contains(senders[0].id()) && room.contains(senders[1].id()));
        assert!(!room.contains(senders[2].id()) && other.contains(senders[2].id()));
        let mut names: Vec<_> = clients.topics().map(|it| it.name().to_owned()).collect();
        names.sort();
        assert_eq!(names, ["other", "room"]);
        let mut members: Vec<_> = room.iter().map(|sender| sender.id()).collect();
        members.sort();
        let mut expected = [senders[0].id(), senders[1].id()];
        expected.sort();
        assert_eq!(members, expected);

        let read = async || {
            sim.settle().await;
            [&peer, &peer_75].map(|peer| peer.read().escape_ascii().to_string())
        };
        assert_eq!(room.broadcast("hi"), 2);
        assert_eq!(read().await, [r"\x81\x02hi", ""]);
        assert_eq!(peer_76.read(), b"\0hi\xff");
        assert_eq!(room.broadcast_except(senders[1].id(), "but one"), 1);
        assert_eq!(read().await, [r"\x81\x07but one", ""]);
        assert_eq!(room.broadcast_except(senders[2].id(), b"binary"), 1);
        assert_eq!(read().await, [r"\x82\x06binary", ""]);
        assert_eq!(other.broadcast("other"), 1);
        assert_eq!(read().await, ["", r"\x00other\xff"]);
        assert_eq!(peer_76.ask(b"\0x\xff").await, b"\0true Text(\"x\")\xff");
        assert_eq!(peer_76.ask(b"\0x\xff").await, b"\0false Text(\"x\")\xff");
        assert_eq!(room.broadcast("after"), 1);
        assert!(senders[0].leave("room") && !senders[0].leave("room"));
        assert_eq!(
            (room.broadcast("nobody"), clients.topic("").broadcast("")),
            (0, 0)
        );
        assert_eq!(
            clients.topics().count(),
            1,
            "a topic is gone with its members"
        );
    });
}

/// A connection can join 64 topics, or what `topic_limit` says, with names of at most 256 bytes; the
/// errors say what was seen and allowed.
#[test]
fn joining_is_limited() {
    Sim::run(async |sim| {
        for (limit, allowed) in [(None, 64), (Some(Some(2)), 2), (Some(Some(0)), 0)] {
            let server = match limit {
                None => Server::builder(),
                Some(limit) => Server::builder().topic_limit(limit),
            };
            let server = server.bind(ANY).await.unwrap();
            serve(&sim, &server, echo);
            let peer = Peer::open(&sim, server.local_addr()).await;
            let sender = server.clients().iter().next().unwrap();
            for number in 0..allowed {
                assert_eq!(sender.join(&format!("topic {number}")), Ok(true));
            }
            let error = sender.join("one more").unwrap_err();
            let (joined, limit) = (allowed, allowed);
            assert_eq!(error, TopicError::TooManyTopics { joined, limit });
            assert!(error.to_string().ends_with("(option topic_limit)"));
            if allowed > 0 {
                assert_eq!(sender.join("topic 0"), Ok(false), "it is a member");
                assert!(sender.leave("topic 0"));
                assert_eq!(sender.join("one more"), Ok(true));
            }
            assert_eq!(server.clients().topics().count(), allowed);
            drop(peer);
        }
        let server = Server::builder().topic_limit(None).bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let _peer = Peer::open(&sim, server.local_addr()).await;
        let sender = server.clients().iter().next().unwrap();
        assert!((0..1000).all(|number| sender.join(&number.to_string()) == Ok(true)));
        let long = "x".repeat(TOPIC_NAME_LIMIT + 1);
        let (len, limit) = (257, 256);
        assert_eq!(
            sender.join(&long),
            Err(TopicError::NameTooLong { len, limit })
        );
    });
}

/// A connection that ends leaves its topics, whatever ends it; nothing is left of them, and who comes
/// into its place is no member.
#[test]
fn who_has_gone_is_in_no_topic() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let clients = server.clients();
        let mut before: Option<Sender> = None;
        for how in 0..4 {
            let mut peer = Peer::open(&sim, server.local_addr()).await;
            let sender = clients.iter().next().unwrap();
            let id = sender.id();
            assert!((0..10).all(|number| !clients.topic(number.to_string()).contains(id)));
            assert!((0..10).all(|number| sender.join(&number.to_string()) == Ok(true)));
            if let Some(before) = before.replace(sender.clone()) {
                // It had the same place; its id means nothing any more.
                assert_ne!(before.id(), id);
                assert!(clients.get(before.id()).is_none());
                assert!(!clients.topic("3").contains(before.id()));
                assert!(!before.leave("3"));
                assert_eq!(before.join("4"), Err(TopicError::Closed));
                assert_eq!(clients.topic("3").len(), 1);
            }
            match how {
                0 => drop(peer),
                1 => peer.link().reset(),
                2 => drop(peer.ask(close(1000)).await),
                _ => {
                    sender.close(1000.try_into().unwrap(), "").unwrap();
                    sim.settle().await;
                    assert!(clients.topic("3").contains(id), "it has not ended yet");
                    assert_eq!(clients.topic("3").broadcast("late"), 0);
                    peer.ask(close(1000)).await;
                }
            }
            sim.sleep(seconds(11)).await;
            assert_eq!(clients.len(), 0);
            assert_eq!(clients.topics().count(), 0);
            let topic = clients.topic("3");
            assert!(topic.is_empty() && !topic.contains(id) && topic.iter().next().is_none());
            assert_eq!(sender.join("3"), Err(TopicError::Closed));
            assert!(!sender.leave("3"));
        }
        let sender = {
            let (server, _peer) = {
                let server = Server::bind(ANY).await.unwrap();
                serve(&sim, &server, echo);
                let peer = Peer::open(&sim, server.local_addr()).await;
                (server, peer)
            };
            let sender = server.clients().iter().next().unwrap();
            server.shutdown(seconds(0)).await;
            sender
        };
        sim.settle().await;
        assert_eq!(sender.join("room"), Err(TopicError::Closed));
    });
}

/// The connection of a client has no topics and says so; it has counters.
#[test]
fn a_clients_connection_has_no_topics() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let url = format!("ws://{}/", server.local_addr());
        let mut connection = ws_driver::connect::<Sim>(&url).await.unwrap();
        assert_eq!(connection.join("room"), Err(TopicError::NoServer));
        assert_eq!(connection.sender().join("room"), Err(TopicError::NoServer));
        assert!(!connection.leave("room"));
        connection.send("hello").await.unwrap();
        assert_eq!(connection.recv().await, Some(Message::from("hello")));
        let counters = connection.counters();
        assert_eq!((counters.messages_sent, counters.bytes_sent), (1, 5));
        assert_eq!(
            (counters.messages_received, counters.bytes_received),
            (1, 5)
        );
    });
}

// Counters.

/// The server's numbers are the sums of its connections', those that have ended included; every
/// connection that was opened is open or has ended in one of the classes.
#[test]
fn counters_add_up() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let addr = server.local_addr();
        let mut senders = Vec::new();
        let mut ends: Vec<(Peer, &[u8])> = Vec::new();
        let unmasked = b"\x81\x01x";
        let endings = [
            close(1000),
            close(4000),
            unmasked.to_vec(),
            close(1009),
            vec![],
        ];
        for (index, ending) in endings.iter().enumerate() {
            let mut peer = Peer::open(&sim, addr).await;
            for number in 0..=index {
                peer.ask(text("x".repeat(100 * number))).await;
            }
            ends.push((peer, ending));
        }
        let mut peer_76 = Peer::open_76(&sim, addr).await;
        peer_76.ask(b"\0draft\xff").await;
        let peer_75 = Peer::open_75(&sim, addr).await;
        for refused in [
            RFC6455.replace(": 13", ": 99"),
            "nonsense\r\n\r\n".to_owned(),
        ] {
            let mut peer = Peer::connect(&sim, addr);
            assert!(peer.ask(refused).await.starts_with(b"HTTP/1.1 4"));
        }
        senders.extend(server.clients().iter());
        assert_eq!(server.broadcast(b"12345678"), 5);

        let sum = |of: fn(&Sender) -> u64| senders.iter().map(of).sum::<u64>();
        let check = || {
            let counters = server.counters();
            let opened = counters.open.total() + counters.closes.total();
            assert_eq!((counters.opened.total(), opened), (7, 7));
            assert_eq!(counters.opened.of(Version::Rfc6455), 5);
            assert_eq!(counters.opened.of(Version::Draft76), 1);
            assert_eq!(counters.opened.of(Version::Draft75), 1);
            assert_eq!(counters.rejected, 2);
            let RejectionCounts {
                version, malformed, ..
            } = counters.rejections;
            assert_eq!((version, malformed), (1, 1));
            let by_code = counters.closes.codes().map(|(_, count)| count);
            assert_eq!(by_code.sum::<u64>(), counters.closes.total());
            assert_eq!(counters.panics, 0);
            assert_eq!(counters.messages_received, 1 + 2 + 3 + 4 + 5 + 1);
            assert_eq!(counters.bytes_received, 100 * (1 + 3 + 6 + 10) + 5);
            assert_eq!(counters.messages_sent, counters.messages_received + 5);
            assert_eq!(counters.bytes_sent, counters.bytes_received + 5 * 8);
            assert_eq!(
                counters.messages_received,
                sum(|it| it.counters().messages_received)
            );
            assert_eq!(
                counters.bytes_received,
                sum(|it| it.counters().bytes_received)
            );
            assert_eq!(
                counters.messages_sent,
                sum(|it| it.counters().messages_sent)
            );
            assert_eq!(counters.bytes_sent, sum(|it| it.counters().bytes_sent));
            counters
        };
        let counters = check();
        assert_eq!(counters.open.total(), 7);
        assert_eq!(
            counters.buffered_amount,
            5 * 10,
            "the broadcast is not written yet"
        );
        sim.settle().await;
        assert_eq!(check().buffered_amount, 0);
        for (mut peer, ending) in ends {
            peer.write(ending).await;
            sim.settle().await;
        }
        sim.sleep(seconds(1)).await;
        let counters = check();
        assert_eq!(counters.open.total(), 2);
        assert_eq!(counters.open.of(Version::Rfc6455), 0);
        assert_eq!(counters.closes.normal, 1, "1000");
        assert_eq!(counters.closes.application, 1, "4000");
        assert_eq!(counters.closes.protocol, 2, "the unmasked frame and 1009");
        assert_eq!(counters.closes.abnormal, 1, "the end without a close");
        peer_76.ask(b"\xff\0").await;
        drop((peer_75, peer_76));
        sim.sleep(seconds(1)).await;
        let counters = check();
        assert_eq!(counters.open.total(), 0);
        assert_eq!(counters.closes.normal, 3, "the drafts have no codes");
    });
}

/// Pings are counted: the peer's, those of the application, and those of the keepalive.
#[test]
fn pings_are_counted() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let mut peer = Peer::open(&sim, server.local_addr()).await;
        let sender = server.clients().iter().next().unwrap();
        peer.ask([ping(b"1"), ping(b"2")].concat()).await;
        sender.ping(b"3").unwrap();
        assert!(sender.ping(&[0; 126]).is_err());
        sim.sleep(seconds(21)).await;
        let pings = frames(&peer.read()).into_iter().filter(|it| it.0 == 0x89);
        assert_eq!(pings.count(), 2, "of the application and the keepalive");
        let counters = sender.counters();
        assert_eq!((counters.pings_sent, counters.pings_received), (2, 2));
        assert_eq!((counters.messages_sent, counters.messages_received), (0, 0));
    });
}

/// Messages are counted when they arrive: once, also if the handler takes them after the end, or never.
#[test]
fn what_arrived_is_counted_whoever_takes_it() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        let clock = sim.clone();
        serve(&sim, &server, move |mut connection| {
            let clock = clock.clone();
            async move {
                clock.sleep(seconds(5)).await;
                connection.recv().await;
            }
        });
        let mut peer = Peer::open(&sim, server.local_addr()).await;
        let sender = server.clients().iter().next().unwrap();
        peer.ask(text("12345").repeat(3)).await;
        peer.ask(masked(0x81, b"")).await;
        peer.link().reset();
        for wait in [0, 6] {
            sim.sleep(seconds(wait) + Duration::from_millis(1)).await;
            let counters = server.counters();
            assert_eq!((counters.open.total(), counters.closes.abnormal), (0, 1));
            assert_eq!(
                (counters.messages_received, counters.bytes_received),
                (4, 15)
            );
            assert_eq!(sender.counters().messages_received, 4);
        }
    });
}
