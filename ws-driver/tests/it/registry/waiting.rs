//! Broadcasts and sends by id that wait for room.

use ws_driver::ws_proto::SendError;
use ws_driver::{SendToError, SlowPeer};

use super::slow_server::{
    POLICIES, TAKEN, fill, numbered, numbers, open_slow, read_all, server_with, spawned,
};
use ws_testing::sim::peer::masked;
use ws_testing::sim::{Peer, Sim, poll_once, seconds};

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
        sender.begin_close(1000.try_into().unwrap(), "").unwrap();
        sim.settle().await;
        let closed = SendToError::Send(SendError::Closed);
        assert_eq!(*second.lock().unwrap(), Some(Err(closed)));
        slow.link().reset();
        sim.settle().await;
        let nobody = server.clients().send_wait(id, "lost").await;
        assert_eq!(nobody, Err(SendToError::NoSuchClient { id }));
    });
}
