//! P6: every queue is bounded.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ws_driver::ws_proto::SendError;
use ws_driver::{ConnectionId, SendToError};

use super::frames::{read_exactly, texted};
use super::limited::{LIMIT, flood, limited_server};
use ws_testing::sim::peer::{OK_6455, RFC6455, frames, ping, text};
use ws_testing::sim::{Peer, Sim, echo, seconds, serve};

/// What one read takes at most, and what a pipe holds.
const READ_LEN: usize = 64 << 10;

/// A peer that floods and never reads is made to wait, and an echo holds no more than its limits.
/// Breaks if `send` does not wait for room, or reading does not stop.
#[test]
fn p6_a_peer_that_never_reads_its_echoes_has_to_wait() {
    Sim::run(async |sim| {
        let server = limited_server().await;
        serve(&sim, &server, echo);
        for message in [text("x".repeat(1000)), text("")] {
            let mut peer = Peer::open(&sim, server.local_addr()).await;
            let sender = server.clients().iter().last().unwrap();
            // An echo is shorter than its message by the mask.
            let (len, echo_len) = (message.len(), message.len() - 4);
            let echoed_len = (LIMIT + echo_len + READ_LEN) / echo_len * len;
            let read_len = flood(&sim, &mut peer, message).await - RFC6455.len();
            assert!(sender.buffered_amount() < LIMIT + echo_len);
            assert!(
                read_len <= echoed_len + LIMIT + READ_LEN,
                "{read_len} bytes"
            );
            assert_eq!(sender.closed(), None, "waiting is no reason to close");
        }
    });
}

/// Reading stops at the receive queue limit, large messages or empty ones, and goes on when the handler
/// receives. Breaks if reading does not stop, or nothing wakes it again.
#[test]
fn p6_reading_stops_while_the_handler_does_not_receive() {
    // No timer of keepalive runs out just then and hides that reading was not taken up again.
    const BUSY: Duration = seconds(1805);
    Sim::run(async |sim| {
        for message in [text("x".repeat(1000)), text("")] {
            let server = limited_server().await;
            let total = Arc::new(AtomicUsize::new(0));
            let (count, clock) = (Arc::clone(&total), sim.clone());
            serve(&sim, &server, move |mut connection| {
                let (count, clock) = (Arc::clone(&count), clock.clone());
                async move {
                    clock.sleep(BUSY).await;
                    while connection.recv().await.is_some() {
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
            let start = sim.now();
            let mut peer = Peer::open(&sim, server.local_addr()).await;
            let read_len = flood(&sim, &mut peer, message.clone()).await;
            assert!(read_len < LIMIT + READ_LEN + RFC6455.len(), "{read_len}");
            let sent_len = read_len - RFC6455.len() + peer.link().to_far.bytes.len();
            sim.sleep(start + BUSY - sim.now()).await;
            assert_eq!(total.load(Ordering::SeqCst), sent_len / message.len());
        }
    });
}

/// A peer over the send limit is closed with 1013 by a send by id and by a broadcast, and the others
/// go on. Breaks if such a send is queued without limit or dropped in silence.
#[test]
fn p6_a_peer_that_makes_a_broadcast_wait_is_closed_with_1013() {
    Sim::run(async |sim| {
        let server = limited_server().await;
        serve(&sim, &server, echo);
        for by_id in [true, false] {
            let slow = Peer::open(&sim, server.local_addr()).await;
            slow.link().to_near.capacity = 1000;
            let slow_id = server.clients().iter().map(|sender| sender.id()).max();
            let slow_id: ConnectionId = slow_id.unwrap();
            let fast = Peer::open(&sim, server.local_addr()).await;
            let (mut sent, mut failed) = (0, false);
            for _ in 0..100 {
                let message = "x".repeat(2000);
                failed = match by_id {
                    true => match server.send(slow_id, message) {
                        Ok(()) => false,
                        Err(SendToError::Send(SendError::QueueFull { buffered, limit })) => {
                            assert!(buffered >= limit && buffered < limit + 2004 && limit == LIMIT);
                            true
                        }
                        Err(error) => panic!("{error}"),
                    },
                    false => server.broadcast(message) == 1,
                };
                sim.settle().await;
                if failed {
                    break;
                }
                sent += 1;
                assert_eq!(frames(&fast.read()).len(), usize::from(!by_id));
            }
            assert!(failed, "nothing was ever refused");
            assert!(sent < 12, "{sent} messages of 2000 bytes were taken");
            let reason = [&1013u16.to_be_bytes()[..], b"too slow"].concat();
            let count = sent * 2004 + 2 + reason.len();
            let bytes = read_exactly(&sim, &slow, count).await;
            assert_eq!(frames(&bytes).last(), Some(&(0x88, reason)));
            assert_eq!(server.broadcast("still there"), 1);
            sim.settle().await;
            assert_eq!(frames(&fast.read()).last(), Some(&texted("still there")));
            drop((fast, slow));
            sim.settle().await;
        }
    });
}

/// `send` waits at the limit and goes on when the peer reads; nothing is lost. Breaks if it fails or
/// queues on, or nobody tells it of room.
#[test]
fn p6_send_waits_for_room() {
    Sim::run(async |sim| {
        let server = limited_server().await;
        let sent = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&sent);
        serve(&sim, &server, move |connection| {
            let count = Arc::clone(&count);
            async move {
                for _ in 0..1000 {
                    connection.send("x".repeat(1000)).await.unwrap();
                    count.fetch_add(1, Ordering::SeqCst);
                }
                pending().await
            }
        });
        let mut peer = Peer::connect(&sim, server.local_addr());
        peer.write(RFC6455.as_bytes()).await;
        sim.settle().await;
        let before = sent.load(Ordering::SeqCst);
        assert!(
            before <= (LIMIT + READ_LEN) / 1004 + 1,
            "{before} were taken"
        );
        sim.sleep(seconds(5)).await;
        assert_eq!(sent.load(Ordering::SeqCst), before, "it waits");
        let count = OK_6455.len() + 1000 * 1004;
        let bytes = read_exactly(&sim, &peer, count).await;
        assert_eq!(frames(&bytes[OK_6455.len()..]).len(), 1000);
        assert_eq!(sent.load(Ordering::SeqCst), 1000);
    });
}

/// A peer that pings for ever and never reads costs no more than the room for control frames. Breaks if
/// pongs are queued without limit.
#[test]
fn p6_pongs_for_a_peer_that_never_reads_are_bounded() {
    Sim::run(async |sim| {
        let server = limited_server().await;
        serve(&sim, &server, echo);
        let mut peer = Peer::open(&sim, server.local_addr()).await;
        let sender = server.clients().iter().next().unwrap();
        for _ in 0..10_000 {
            peer.write(&ping(&[b'p'; 125])).await;
        }
        sim.settle().await;
        assert!(sender.buffered_amount() <= 17 << 10, "{sender:?}");
    });
}
