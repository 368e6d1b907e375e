//! The promises of the connection task, P1 to P8, each with a test that fails without it. What breaks
//! them is said above each test. P5 is in `memory.rs`, as it counts what the whole process allocates.
#![allow(
    clippy::unwrap_used,
    reason = "clippy spares tests, but not their helpers"
)]

mod support;

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::peer::{
    ACCEPT_76, DRAFT75, DRAFT76, Frame, KEY3, OK_6455, RFC6455, close, frames, masked, ping, text,
};
use support::{ANY, Peer, Server, Sim, echo, poll_once, seconds, serve, yield_now};
use ws_driver::ws_proto::{
    CloseCause, CloseCode, Closed, Message, ProtocolError, SendError, Version,
};
use ws_driver::{ClientError, ConnectionId, ConnectionInfo, Observer};

const HOUR: Duration = seconds(3600);

/// A frame that carries a close code.
fn closing(code: u16) -> Frame {
    (0x88, code.to_be_bytes().to_vec())
}

/// A server's text frame.
fn texted(message: impl AsRef<[u8]>) -> Frame {
    (0x81, message.as_ref().to_vec())
}

/// What comes from a server that answers everything with everything.
fn record_writes(peer: &Peer) {
    peer.link().to_near.writes = Some(Vec::new());
}

fn recorded_writes(peer: &Peer) -> Vec<usize> {
    peer.link().to_near.writes.clone().unwrap()
}

/// Reads until `count` bytes have arrived, for a minute at most.
async fn read_exactly(sim: &Sim, peer: &Peer, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..60 * 1000 {
        bytes.extend(peer.read());
        if bytes.len() >= count {
            assert_eq!(bytes.len(), count);
            return bytes;
        }
        sim.sleep(Duration::from_millis(1)).await;
    }
    panic!("{} bytes of {count} arrived", bytes.len());
}

// P1: one task per connection, and the handler is polled inside it.

/// A server has one task for each connection and no other. Breaks if the handler, a timer, a reader
/// or a writer gets a task of its own.
#[test]
fn p1_a_server_has_one_task_for_each_connection() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let before = sim.spawned();
        let mut peers = Vec::new();
        for count in 1..=20 {
            let mut peer = Peer::open(&sim, server.local_addr()).await;
            assert_eq!(frames(&peer.ask(text("hi")).await), [texted("hi")]);
            peers.push(peer);
            assert_eq!(sim.spawned() - before, count);
            assert_eq!(sim.live_tasks(), count + 1);
        }
    });
}

/// Bytes reach the handler, and its answer the stream, in one poll of one task. Breaks if there is a
/// channel or a task between the socket and the handler: then two polls are needed.
#[test]
fn p1_a_message_is_received_and_answered_in_one_poll_of_one_task() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        let tasks = Arc::new(Mutex::new(Vec::new()));
        let (seen, clock) = (Arc::clone(&tasks), sim.clone());
        serve(&sim, &server, move |mut connection| {
            let (seen, clock) = (Arc::clone(&seen), clock.clone());
            async move {
                while let Some(message) = connection.recv().await {
                    seen.lock()
                        .unwrap()
                        .push((clock.current_task(), clock.polls()));
                    connection.send(message).await.unwrap();
                }
            }
        });
        let mut peer = Peer::open(&sim, server.local_addr()).await;
        let before = sim.polls();
        assert_eq!(frames(&peer.ask(text("hi")).await), [texted("hi")]);
        assert_eq!(sim.polls() - before, 1);
        peer.ask(text("again")).await;
        let tasks = tasks.lock().unwrap().clone();
        assert_eq!(tasks.len(), 2);
        assert_eq!(tasks[0].0, tasks[1].0);
        assert_eq!(tasks[0].1, before);
    });
}

// P2: what a handler sends while it works through one read leaves in one vectored write.

/// 32 messages in one read make 32 echoes in one write. Breaks if each send is written by itself, or
/// the handler gets one message for each turn of the driver.
#[test]
fn p2_many_answers_to_one_read_leave_in_one_write() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let mut peer = Peer::open(&sim, server.local_addr()).await;
        let messages: Vec<_> = (0..32).map(|i| format!("message {i}")).collect();
        let sent: Vec<u8> = messages.iter().flat_map(text).collect();
        record_writes(&peer);
        let answer = peer.ask(&sent).await;
        let expected: Vec<_> = messages.iter().map(texted).collect();
        assert_eq!(frames(&answer), expected);
        assert_eq!(recorded_writes(&peer), [answer.len()]);
    });
}

/// Large payloads that are kept by reference, small ones, pongs and the close leave together, too.
/// Breaks if what is gathered is written slice by slice.
#[test]
fn p2_payloads_that_are_not_copied_leave_in_the_same_write() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, |mut connection| async move {
            let large = Message::from("x".repeat(9000));
            connection.recv().await;
            for _ in 0..3 {
                connection.send(large.clone()).await.unwrap();
                connection.send("small").await.unwrap();
            }
            connection.close().await;
        });
        let mut peer = Peer::open(&sim, server.local_addr()).await;
        record_writes(&peer);
        let answer = peer.ask([text("go"), ping(b"?")].concat()).await;
        let opcodes: Vec<_> = frames(&answer).iter().map(|frame| frame.0).collect();
        assert_eq!(
            opcodes,
            [0x8a, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x88],
            "the pong, three times two messages, the close"
        );
        assert_eq!(recorded_writes(&peer), [answer.len()]);
    });
}

/// The 101 and what the handler sends first leave in one write, in RFC 6455 and in draft-76. Breaks if
/// the handshake is flushed before the connection is driven.
#[test]
fn p2_the_answer_to_the_upgrade_and_a_greeting_leave_in_one_write() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, |connection| async move {
            connection.send("welcome").await.unwrap();
            pending().await
        });
        let greeting = b"\x81\x07welcome".to_vec();
        let expected = [OK_6455.as_bytes(), &greeting].concat();
        let mut peer = Peer::connect(&sim, server.local_addr());
        record_writes(&peer);
        assert_eq!(peer.ask(RFC6455).await, expected);
        assert_eq!(recorded_writes(&peer), [expected.len()]);

        let mut peer = Peer::connect(&sim, server.local_addr());
        record_writes(&peer);
        let answer = peer.ask([DRAFT76.as_bytes(), KEY3].concat()).await;
        let end = [&ACCEPT_76[..], b"\0welcome\xff"].concat();
        assert!(answer.ends_with(&end), "{}", answer.escape_ascii());
        assert_eq!(recorded_writes(&peer), [answer.len()]);
    });
}

// P3: a send is never stuck.

/// What was sent is written although the handler then waits for a timer, for nothing at all, or for
/// another task. Breaks if only `recv` or the next `send` flushes.
#[test]
fn p3_what_was_sent_is_written_whatever_the_handler_waits_for() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        let clock = sim.clone();
        serve(&sim, &server, move |mut connection| {
            let clock = clock.clone();
            async move {
                let what = connection.recv().await.unwrap();
                connection.send("one").await.unwrap();
                yield_now().await;
                connection.send("two").await.unwrap();
                match what.as_text() {
                    Some("timer") => clock.sleep(HOUR).await,
                    Some("nothing") => pending().await,
                    _ => {
                        connection.sender().wait_closed().await;
                    }
                }
                drop(connection);
            }
        });
        for what in ["timer", "nothing", "another task"] {
            let start = sim.now();
            let mut peer = Peer::open(&sim, server.local_addr()).await;
            let answer = peer.ask(text(what)).await;
            assert_eq!(frames(&answer), [texted("one"), texted("two")], "{what}");
            assert_eq!(sim.now(), start, "no time has passed: {what}");
        }
    });
}

/// More than a pipe holds is written to the end while the handler waits for ever. Breaks if a write
/// that got stuck is only taken up again by the handler.
#[test]
fn p3_a_write_that_got_stuck_goes_on_without_the_handler() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, |connection| async move {
            for _ in 0..20 {
                connection.send("x".repeat(10_000)).await.unwrap();
            }
            pending().await
        });
        let mut peer = Peer::connect(&sim, server.local_addr());
        peer.link().to_near.capacity = 1000;
        peer.write(RFC6455.as_bytes()).await;
        let count = OK_6455.len() + 20 * (4 + 10_000);
        let bytes = read_exactly(&sim, &peer, count).await;
        assert_eq!(frames(&bytes[OK_6455.len()..]).len(), 20);
    });
}

// P4: while the handler is busy elsewhere.

/// A server whose handler sleeps for an hour; what `serve` returned of each connection is told.
async fn busy_server(sim: &Sim) -> (Server, Arc<Mutex<Vec<Closed>>>) {
    let server = Server::bind(ANY).await.unwrap();
    let closed = Arc::new(Mutex::new(Vec::new()));
    let (told, clock) = (Arc::clone(&closed), sim.clone());
    serve(sim, &server, move |mut connection| {
        let (told, clock) = (Arc::clone(&told), clock.clone());
        async move {
            clock.sleep(HOUR).await;
            while connection.recv().await.is_some() {}
            told.lock().unwrap().push(connection.closed().unwrap());
        }
    });
    (server, closed)
}

/// Pings are answered at once. Breaks if the stream is only read when the handler receives.
#[test]
fn p4_pings_are_answered_while_the_handler_is_busy() {
    Sim::run(async |sim| {
        let (server, _) = busy_server(&sim).await;
        let mut peer = Peer::open(&sim, server.local_addr()).await;
        for i in 0..10u8 {
            let answer = peer.ask([text("unread"), ping(&[i])].concat()).await;
            assert_eq!(frames(&answer), [(0x8a, vec![i])]);
        }
    });
}

/// A close is answered at once, or, behind messages that nobody took, after the close timeout; the
/// stream ends and the registry forgets it, all before the handler looks. Breaks if only the handler
/// takes notice.
#[test]
fn p4_a_close_is_answered_while_the_handler_is_busy() {
    Sim::run(async |sim| {
        let (server, told) = busy_server(&sim).await;
        let mut peer = Peer::open(&sim, server.local_addr()).await;
        let answer = peer.ask(close(4001)).await;
        assert_eq!(frames(&answer), [closing(4001)]);
        assert!(peer.has_ended());
        peer.end().await;
        sim.settle().await;
        assert_eq!(server.clients().len(), 0);

        let mut peer = Peer::open(&sim, server.local_addr()).await;
        let answer = peer.ask([text("unread"), close(4002)].concat()).await;
        assert_eq!(frames(&answer), []);
        sim.sleep(seconds(10)).await;
        assert_eq!(frames(&peer.read()), [closing(4002)]);
        peer.end().await;
        sim.settle().await;
        assert_eq!(server.clients().len(), 0);

        assert_eq!(told.lock().unwrap().len(), 0);
        sim.sleep(HOUR).await;
        let codes: Vec<_> = told.lock().unwrap().iter().map(|end| end.code).collect();
        assert_eq!(codes, [4001, 4002]);
    });
}

/// The keepalive ping goes out after 20 s, again and again for a peer that answers; one that has
/// vanished is found out 20 s after it. Breaks if timers wait for the handler.
#[test]
fn p4_keepalive_runs_while_the_handler_is_busy() {
    Sim::run(async |sim| {
        let (server, told) = busy_server(&sim).await;
        let mut peer = Peer::open(&sim, server.local_addr()).await;
        for _ in 0..5 {
            sim.sleep(seconds(20)).await;
            assert_eq!(frames(&peer.read()), [(0x89, vec![])]);
            assert_eq!(peer.ask(masked(0x8a, b"")).await, b"");
        }
        peer.link().vanish();
        let sender = server.clients().iter().next().unwrap();
        sim.sleep(seconds(39)).await;
        assert_eq!(sender.closed(), None);
        sim.sleep(seconds(1)).await;
        let waited = seconds(20);
        let cause = CloseCause::Failed(ProtocolError::PongTimeout { waited });
        assert_eq!(sender.closed().unwrap().cause, cause);
        sim.sleep(seconds(10)).await;
        assert_eq!(server.clients().len(), 0, "the stream is given up");
        sim.sleep(HOUR).await;
        assert_eq!(told.lock().unwrap()[0].cause, cause);
    });
}

/// A peer that has vanished is found out although the handler does not receive, as it waits for the peer
/// to read. Breaks if not reading excuses a transport that takes nothing.
#[test]
fn p4_a_vanished_peer_is_found_out_while_the_handler_waits_to_send() {
    Sim::run(async |sim| {
        let server = limited_server().await;
        serve(&sim, &server, echo);
        let mut peer = Peer::open(&sim, server.local_addr()).await;
        flood(&sim, &mut peer, text("x".repeat(1000))).await;
        let sender = server.clients().iter().next().unwrap();
        assert!(sender.buffered_amount() >= LIMIT, "the echo waits for room");
        peer.link().vanish();
        sim.sleep(seconds(60)).await;
        let waited = seconds(20);
        let cause = CloseCause::Failed(ProtocolError::PongTimeout { waited });
        assert_eq!(sender.closed().map(|closed| closed.cause), Some(cause));
        sim.sleep(seconds(10)).await;
        assert_eq!(server.clients().len(), 0);
    });
}

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

/// What other tasks send goes out at once: through a sender, by id, by broadcast. Breaks if their
/// sends do not wake the driver.
#[test]
fn p4_what_other_tasks_send_goes_out_while_the_handler_is_busy() {
    Sim::run(async |sim| {
        let (server, _) = busy_server(&sim).await;
        let peer = Peer::open(&sim, server.local_addr()).await;
        let sender = server.clients().iter().next().unwrap();
        let start = sim.now();
        sender.send("sender").await.unwrap();
        sim.settle().await;
        assert_eq!(frames(&peer.read()), [texted("sender")]);
        server.send(sender.id(), "id").unwrap();
        sim.settle().await;
        assert_eq!(frames(&peer.read()), [texted("id")]);
        assert_eq!(server.broadcast("broadcast"), 1);
        sim.settle().await;
        assert_eq!(frames(&peer.read()), [texted("broadcast")]);
        sender.ping(b"!").unwrap();
        sender.close(CloseCode::new(4000).unwrap(), "bye").unwrap();
        sim.settle().await;
        let end = (0x88, [&4000u16.to_be_bytes()[..], b"bye"].concat());
        assert_eq!(frames(&peer.read()), [(0x89, b"!".to_vec()), end]);
        assert_eq!(sim.now(), start);
    });
}

// P6: every queue is bounded in bytes.

const LIMIT: usize = 16 << 10;

/// What one read takes at most, and what a pipe holds.
const READ_LEN: usize = 64 << 10;

async fn limited_server() -> Server {
    let limit = Some(LIMIT);
    let builder = Server::builder();
    let builder = builder.send_queue_limit(limit).receive_queue_limit(limit);
    builder.bind(ANY).await.unwrap()
}

/// Sends `message` for a minute at most, and returns how many bytes the server has read.
async fn flood(sim: &Sim, peer: &mut Peer, message: Vec<u8>) -> usize {
    let flooding = async {
        for _ in 0..100_000 {
            peer.write(&message).await;
        }
    };
    let done = sim.within(seconds(1), flooding).await;
    assert!(done.is_none(), "the peer was never made to wait");
    peer.link().to_far.read_len
}

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
                        Err(ClientError::Send(SendError::QueueFull { buffered, limit })) => {
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

// P7: recv, send and close can be dropped at any time.

/// Every `recv` is dropped at its first poll, every `send` that has to wait, too, while bytes come and
/// go in portions of one to seven; all messages come back once and in order. Breaks if a message is
/// taken out of the machine before the future is ready, or queued before it is.
#[test]
fn p7_receiving_and_sending_in_futures_that_are_dropped_loses_nothing() {
    for portion in 1..=7 {
        Sim::run(async |sim| {
            let server = Server::builder().send_queue_limit(Some(20));
            let server = server.bind(ANY).await.unwrap();
            let dropped = Arc::new(AtomicUsize::new(0));
            let (drops, clock) = (Arc::clone(&dropped), sim.clone());
            serve(&sim, &server, move |mut connection| {
                let (drops, clock) = (Arc::clone(&drops), clock.clone());
                async move {
                    let mut waiting = Vec::new();
                    loop {
                        match poll_once(connection.recv()) {
                            Some(Some(message)) => waiting.push(message),
                            Some(None) => break,
                            None => drop(drops.fetch_add(1, Ordering::SeqCst)),
                        }
                        if let Some(message) = waiting.first() {
                            match poll_once(connection.send(message.clone())) {
                                Some(sent) => drop((sent.unwrap(), waiting.remove(0))),
                                None => drop(drops.fetch_add(1, Ordering::SeqCst)),
                            }
                        }
                        clock.sleep(Duration::from_micros(1)).await;
                    }
                }
            });
            let mut peer = Peer::open(&sim, server.local_addr()).await;
            peer.link().chop(portion);
            peer.link().to_near.capacity = 50;
            let messages: Vec<_> = (0..50).map(|i| format!("message number {i}")).collect();
            let mut bytes = Vec::new();
            for message in &messages {
                for piece in text(message).chunks(5) {
                    peer.write(piece).await;
                    sim.sleep(Duration::from_micros(1)).await;
                    bytes.extend(peer.read());
                }
            }
            let count = messages.iter().map(|message| message.len() + 2).sum();
            for _ in 0..10_000 {
                bytes.extend(peer.read());
                if bytes.len() >= count {
                    break;
                }
                sim.sleep(Duration::from_micros(1)).await;
            }
            let expected: Vec<_> = messages.iter().map(texted).collect();
            assert_eq!(frames(&bytes), expected, "in portions of {portion}");
            peer.write(&close(1000)).await;
            sim.sleep(seconds(1)).await;
            assert!(dropped.load(Ordering::SeqCst) > 100, "{dropped:?} dropped");
        });
    }
}

/// A `close_with` that is dropped goes on closing, and asking again sends no second close. Breaks if the
/// close is queued by the end of the future, or by each.
#[test]
fn p7_a_close_that_is_dropped_goes_on_and_is_sent_once() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        let ends = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&ends);
        serve(&sim, &server, move |mut connection| {
            let told = Arc::clone(&told);
            async move {
                for i in 0..20 {
                    let code = CloseCode::new(4000 + i).unwrap();
                    assert!(poll_once(connection.close_with(code, "")).is_none());
                    yield_now().await;
                }
                let end = connection.close().await;
                told.lock().unwrap().push(end);
            }
        });
        let mut peer = Peer::connect(&sim, server.local_addr());
        let answer = peer.ask(RFC6455).await;
        assert_eq!(frames(&answer[OK_6455.len()..]), [closing(4000)]);
        assert_eq!(peer.ask(close(4000)).await, b"");
        assert!(ends.lock().unwrap().is_empty(), "the stream is still open");
        peer.end().await;
        sim.sleep(seconds(1)).await;
        let end = ends.lock().unwrap().pop().unwrap();
        assert_eq!((end.code, end.clean), (4000, true));
    });
}

// P8: a panic in a handler ends that connection only.

#[derive(Clone, Default)]
struct Panics(Arc<Mutex<Vec<ConnectionId>>>);

impl Observer for Panics {
    fn panicked(&self, info: &ConnectionInfo) {
        self.0.lock().unwrap().push(info.id);
    }
}

/// The peer gets what was sent before and then 1011, the observer is told once, the other connections
/// and new ones work. Breaks if the panic is not caught: then it ends the executor.
#[test]
fn p8_a_panic_in_a_handler_ends_that_connection_only() {
    Sim::run(async |sim| {
        let panics = Panics::default();
        let server = Server::builder().observer(panics.clone());
        let server = server.bind(ANY).await.unwrap();
        serve(&sim, &server, |mut connection| {
            if connection.request().unwrap().path() == "/now" {
                panic!("a handler panics before it has a future, as this test wants");
            }
            async move {
                while let Some(message) = connection.recv().await {
                    connection.send(message.clone()).await.unwrap();
                    if message.as_text() == Some("panic") {
                        panic!("a handler panics, as this test wants");
                    }
                }
            }
        });
        let mut other = Peer::open(&sim, server.local_addr()).await;
        let mut peer = Peer::open(&sim, server.local_addr()).await;
        let answer = peer.ask([text("panic"), text("unread")].concat()).await;
        assert_eq!(frames(&answer), [texted("panic"), closing(1011)]);
        assert_eq!(panics.0.lock().unwrap().len(), 1);
        assert_eq!(peer.ask(close(1011)).await, b"");
        assert!(peer.has_ended());
        peer.end().await;
        sim.settle().await;

        let mut peer = Peer::connect(&sim, server.local_addr());
        let answer = peer.ask(RFC6455.replace("/chat", "/now")).await;
        assert_eq!(frames(&answer[OK_6455.len()..]), [closing(1011)]);
        peer.ask(close(1011)).await;
        peer.end().await;
        sim.settle().await;
        assert_eq!(panics.0.lock().unwrap().len(), 2);
        assert_eq!(server.clients().len(), 1);

        assert_eq!(frames(&other.ask(text("hi")).await), [texted("hi")]);
        let mut new = Peer::open(&sim, server.local_addr()).await;
        assert_eq!(frames(&new.ask(text("hi")).await), [texted("hi")]);
        assert_eq!(panics.0.lock().unwrap().len(), 2);
    });
}
