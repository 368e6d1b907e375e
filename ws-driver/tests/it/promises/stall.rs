//! P4: how long a peer may take nothing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ws_driver::ws_proto::{CloseCause, ProtocolError, SendError, Version};

use super::limited::{LIMIT, limited_server};
use ws_testing::sim::peer::{DRAFT75, DRAFT76, KEY3, RFC6455, masked, ping, text};
use ws_testing::sim::{ANY, Peer, Server, Sim, echo, seconds, serve};

/// A handler that waits for room to send is released by the stall timeout, and the connection is gone, in
/// every version, however much its peer sends: a peer that never reads. Breaks if only silence is timed.
#[test]
fn p4_a_handler_that_waits_to_send_is_released_in_time() {
    for version in Version::ALL {
        Sim::run(async |sim| {
            let server = limited_server().await;
            let ended = Arc::new(Mutex::new(None));
            let (told, clock) = (Arc::clone(&ended), sim.clone());
            serve(&sim, &server, move |connection| {
                let (told, clock) = (Arc::clone(&told), clock.clone());
                async move {
                    let error = loop {
                        if let Err(error) = connection.send("x".repeat(1000)).await {
                            break error;
                        }
                    };
                    *told.lock().unwrap() = Some((clock.now(), error));
                }
            });
            let addr = server.local_addr();
            let mut peer = Peer::connect(&sim, addr);
            let (request, sign) = match version {
                Version::Rfc6455 => (RFC6455.as_bytes().to_vec(), ping(b"here")),
                Version::Draft75 => (DRAFT75.as_bytes().to_vec(), b"\0here\xff".to_vec()),
                Version::Draft76 => ([DRAFT76.as_bytes(), KEY3].concat(), b"\0here\xff".to_vec()),
            };
            peer.write(&request).await;
            sim.settle().await;
            let start = sim.now();
            let sender = server.clients().iter().next().unwrap();
            assert_eq!(sender.version(), version);
            for _ in 0..11 {
                assert!(sender.buffered_amount() >= LIMIT, "it waits for room");
                sim.sleep(seconds(5)).await;
                peer.write(&sign).await;
            }
            sim.sleep(seconds(4)).await;
            assert_eq!(*ended.lock().unwrap(), None);
            sim.sleep(seconds(1)).await;
            let end = (start + seconds(60), SendError::Closed);
            assert_eq!(*ended.lock().unwrap(), Some(end));
            let Some(CloseCause::Failed(ProtocolError::WriteStalled { waited, buffered })) =
                sender.closed().map(|closed| closed.cause)
            else {
                panic!("{version}: {:?}", sender.closed());
            };
            assert_eq!(waited, seconds(60));
            assert!(buffered >= LIMIT);
            assert_eq!(server.clients().len(), 0, "the stream is given up");
            assert_eq!(sim.live_tasks(), 1);
        });
    }
}

/// A peer that reads a little in each timeout is never given up, and its handler goes on; when it stops it
/// is, within one and a half times the timeout. Breaks if what leaves does not begin the wait anew.
#[test]
fn p4_a_peer_that_reads_slowly_is_not_given_up() {
    Sim::run(async |sim| {
        let server = limited_server().await;
        serve(&sim, &server, async |connection| {
            while connection.send("x".repeat(1000)).await.is_ok() {}
        });
        let mut peer = Peer::connect(&sim, server.local_addr());
        peer.write(&[DRAFT76.as_bytes(), KEY3].concat()).await;
        sim.settle().await;
        let sender = server.clients().iter().next().unwrap();
        let mut sent = 0;
        for _ in 0..100 {
            sim.sleep(seconds(59)).await;
            assert_eq!(sender.closed(), None);
            assert!(!peer.read().is_empty());
            sim.settle().await;
            assert!(sender.counters().messages_sent > sent);
            sent = sender.counters().messages_sent;
        }
        sim.sleep(seconds(59)).await;
        assert_eq!(sender.closed(), None);
        sim.sleep(seconds(31)).await;
        assert!(sender.closed().is_some());
        assert_eq!(server.clients().len(), 0);
    });
}

/// Who writes all that there is is not timed: an idle connection of a draft costs no poll in an hour, one of
/// RFC 6455 what its pings cost. Breaks if each connection is looked at now and then.
#[test]
fn p4_the_stall_timeout_costs_an_idle_connection_nothing() {
    let polls = |stall_timeout: Option<Duration>, is_draft: bool| {
        let polls = Arc::new(AtomicUsize::new(0));
        let total = Arc::clone(&polls);
        Sim::run(async |sim| {
            let builder = Server::builder().stall_timeout(stall_timeout);
            let server = builder.bind(ANY).await.unwrap();
            serve(&sim, &server, echo);
            let mut peer = match is_draft {
                true => Peer::open_76(&sim, server.local_addr()).await,
                false => Peer::open(&sim, server.local_addr()).await,
            };
            let message = if is_draft {
                b"\0hi\xff".to_vec()
            } else {
                text("hi")
            };
            peer.ask(message).await;
            let before = sim.polls();
            for _ in 0..180 {
                sim.sleep(seconds(20)).await;
                if !peer.read().is_empty() {
                    peer.write(&masked(0x8a, b"")).await;
                }
            }
            let polls = usize::try_from(sim.polls() - before).unwrap();
            total.store(polls, Ordering::SeqCst);
        });
        polls.load(Ordering::SeqCst)
    };
    let off: Option<Duration> = None;
    let on = Some(seconds(60));
    assert_eq!(polls(on, false), polls(off, false));
    assert_eq!(polls(on, true), polls(off, true));
    assert_eq!(polls(on, true), 0);
}
