//! What happens to peers that do not read, under each policy.

use ws_driver::ws_proto::SendError;
use ws_driver::{SendToError, SlowPeer};

use super::slow_server::{
    FRAME_LEN, LEN, LIMIT, POLICIES, TAKEN, broadcast_all, fill, numbered, numbers, open_slow,
    read_all, server_with, spawned, too_slow,
};
use ws_testing::sim::peer::{close, frames};
use ws_testing::sim::{ANY, Peer, Server, Sim, echo, serve};

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
            let full = SendToError::Send(SendError::QueueFull { buffered, limit });
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
        let more = sender.try_send("more").map_err(SendError::from);
        assert_eq!(more, Err(SendError::Closed));
        let closed = SendToError::Send(SendError::Closed);
        assert_eq!(server.send(sender.id(), "more"), Err(closed.clone()));
        let later = server.clients().send_wait(sender.id(), "more").await;
        assert_eq!(later, Err(closed));
        assert_eq!(server.counters().slow_closes, 1);
        assert_eq!(slow.ask(close(1013)).await, b"");
        assert!(slow.has_ended());
    });
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
