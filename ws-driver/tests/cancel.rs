//! Cancel safety: each public future is polled so many times and then dropped, for every number of polls
//! until it is ready at last, over streams that move a byte at a time. After it exactly what its section
//! `# Cancel safety` says holds: nothing is lost, nothing comes twice, the connection is as good as
//! before or closed as documented, and no task and no entry of the registry is left in the end.
#![allow(
    clippy::unwrap_used,
    reason = "clippy spares tests, but not their helpers"
)]

mod support;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use futures_core::Stream;
use futures_sink::Sink;
use support::peer::{Frame, OK_6455, RFC6455, close, frames, masked, text};
use support::{ANY, Peer, Server, Sim, SimStream, echo, seconds, serve, yield_now};
use ws_driver::ws_proto::{ClientConfig, CloseCode, Closed, Message, Version};
use ws_driver::{Connection, PreparedMessage, Runtime, ShutdownReport};

/// Every public async function, by file, in its order there; each is polled in a test below.
const PUBLIC: [(&str, &[&str]); 9] = [
    // Of every adapter; what they call is polled.
    ("adapter.rs", &["connect", "connect_with", "connect_over"]),
    ("client.rs", &["connect", "connect_with", "connect_over"]),
    (
        "clients.rs",
        &["send_wait", "broadcast_wait", "broadcast_wait"],
    ),
    (
        "connection.rs",
        &[
            "recv",
            "recv_fragment",
            "send",
            "send_fragment",
            "send_prepared",
            "close",
            "close_with",
        ],
    ),
    ("sender.rs", &["send", "send_prepared", "wait_closed"]),
    (
        "server/mod.rs",
        &["bind", "serve", "accept", "handle_stream", "shutdown"],
    ),
    ("server/door.rs", &["handle_request", "examine_request"]),
    ("server/builder.rs", &["bind"]),
    ("test.rs", &["send", "receive", "receive_to_end"]),
];

/// More polls than any case needs.
const POLL_LIMIT: usize = 500;

/// How often a future is dropped before it may go to its end.
const DROPS: usize = 3;

/// Polls a future `polls` times, each other task once in between, then drops it.
async fn polled<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    polled_while(polls, future, |_| {}).await
}

/// As [`polled`]; does something after each poll.
async fn polled_while<T>(
    polls: usize,
    future: impl Future<Output = T>,
    mut meanwhile: impl FnMut(usize),
) -> Option<T> {
    let mut future = pin!(future);
    for poll in 0..polls {
        let ready = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(output) = ready {
            return Some(output);
        }
        yield_now().await;
        meanwhile(poll);
    }
    None
}

/// Runs a case with 0, 1, 2, … polls, until it says that nothing was dropped any more. That has to
/// take `least` polls: otherwise the case shows nothing.
fn at_every_poll<F: Future<Output = bool>>(least: usize, case: impl Fn(Sim, usize) -> F) {
    for polls in 0..POLL_LIMIT {
        if Sim::run(|sim| case(sim, polls)) {
            assert!(polls >= least, "it was ready after {polls} polls");
            return;
        }
    }
    panic!("it is not ready after {POLL_LIMIT} polls");
}

/// Opens a connection and takes it at the server.
async fn open(sim: &Sim, server: &Server) -> (Connection, Peer) {
    let peer = Peer::open(sim, server.local_addr());
    let server = server.clone();
    let accepted = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&accepted);
    sim.spawn_task(async move {
        let connection = server.accept().await.unwrap();
        *slot.lock().unwrap() = connection;
    });
    let peer = peer.await;
    let connection = accepted.lock().unwrap().take().expect("it is open");
    (connection, peer)
}

/// Asserts that a server has nothing left: no connection, no task.
async fn assert_nothing_left(sim: &Sim, server: &Server) {
    sim.sleep(seconds(1)).await;
    assert_eq!(server.clients().len(), 0);
    assert_eq!(sim.live_tasks(), 0);
}

/// Closes from the peer's side, and asserts that nothing is left then.
async fn finish(sim: &Sim, server: &Server, connection: Connection, mut peer: Peer) {
    drop(connection);
    peer.link().chop(usize::MAX);
    peer.link().to_near.capacity = usize::MAX;
    peer.ask(close(1000)).await;
    peer.end().await;
    assert_nothing_left(sim, server).await;
}

/// Reads bytes as they come, until `len` have.
async fn read(sim: &Sim, peer: &Peer, len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..10_000 {
        bytes.extend(peer.read());
        if bytes.len() >= len {
            return bytes;
        }
        sim.sleep(Duration::from_micros(1)).await;
    }
    panic!("{} bytes of {len} arrived", bytes.len());
}

fn numbered(number: usize) -> String {
    format!("message {number}")
}

fn texted(message: impl AsRef<[u8]>) -> Frame {
    (0x81, message.as_ref().to_vec())
}

// What receives.

/// Four messages in two fragments each arrive in portions of a byte; receiving is dropped three
/// times, then not any more.
fn assert_receiving_loses_nothing(
    fragments: bool,
    receive: impl AsyncFn(&mut Connection) -> Option<Message> + Copy,
) {
    at_every_poll(2, |sim, polls| async move {
        let builder = Server::builder().receive_fragments(fragments);
        let server = builder.bind(ANY).await.unwrap();
        let (mut connection, mut peer) = open(&sim, &server).await;
        peer.link().chop(1);
        let sent: Vec<_> = (0..4).map(numbered).collect();
        for message in &sent {
            let (first, last) = message.as_bytes().split_at(3);
            let wire = [masked(0x01, first), masked(0x80, last)].concat();
            peer.write(&wire).await;
        }
        let (mut received, mut was_dropped) = (String::new(), false);
        for _ in 0..DROPS {
            match polled(polls, receive(&mut connection)).await {
                Some(message) => received.push_str(message.unwrap().as_text().unwrap()),
                None => was_dropped = true,
            }
        }
        while received.len() < sent.concat().len() {
            let message = sim.within(seconds(1), receive(&mut connection)).await;
            received.push_str(message.unwrap().unwrap().as_text().unwrap());
        }
        assert_eq!(received, sent.concat(), "dropped after {polls} polls");
        finish(&sim, &server, connection, peer).await;
        !was_dropped
    });
}

/// No message is lost, nor the fragments of one that came while somebody waited.
#[test]
fn recv() {
    for fragments in [false, true] {
        assert_receiving_loses_nothing(fragments, Connection::recv);
    }
}

/// No fragment is lost.
#[test]
fn recv_fragment() {
    for fragments in [false, true] {
        assert_receiving_loses_nothing(fragments, async |connection| {
            Some(connection.recv_fragment().await?.content)
        });
    }
}

/// The same of the connection as a stream.
#[test]
fn next_of_a_stream() {
    for fragments in [false, true] {
        assert_receiving_loses_nothing(fragments, async |connection| {
            poll_fn(|cx| Pin::new(&mut *connection).poll_next(cx)).await
        });
    }
}

// What sends.

/// Eight messages are sent to a peer that reads slowly, in a send queue that holds two: a send that
/// was dropped was not queued, so that each is sent again.
fn assert_a_dropped_send_was_not_queued(
    send: impl AsyncFn(&Server, &mut Connection, &str, bool) + Copy,
) {
    at_every_poll(2, |sim, polls| async move {
        let builder = Server::builder().send_queue_limit(Some(20));
        let server = builder.bind(ANY).await.unwrap();
        let (mut connection, peer) = open(&sim, &server).await;
        peer.link().chop(1);
        peer.link().to_near.capacity = 15;
        let (mut bytes, mut was_dropped) = (Vec::new(), false);
        for number in 0..8 {
            let (message, is_last) = (numbered(number), number == 7);
            let mut was_sent = false;
            for _ in 0..DROPS {
                let sending = send(&server, &mut connection, &message, is_last);
                // The peer lets it wait for a while.
                let meanwhile = |poll| {
                    if poll > 2 {
                        bytes.extend(peer.read());
                    }
                };
                was_sent = polled_while(polls, sending, meanwhile).await.is_some();
                if was_sent {
                    break;
                }
                was_dropped = true;
            }
            if !was_sent {
                let mut sending = pin!(send(&server, &mut connection, &message, is_last));
                for _ in 0..100 {
                    bytes.extend(peer.read());
                    let sent = sim.within(Duration::from_millis(1), sending.as_mut());
                    if sent.await.is_some() {
                        break;
                    }
                }
            }
        }
        bytes.extend(read(&sim, &peer, 8 * (2 + numbered(0).len()) - bytes.len()).await);
        let payloads: Vec<_> = frames(&bytes).into_iter().map(|frame| frame.1).collect();
        let expected: Vec<_> = (0..8).map(|number| numbered(number).into_bytes()).collect();
        assert_eq!(payloads, expected, "dropped after {polls} polls");
        finish(&sim, &server, connection, peer).await;
        !was_dropped
    });
}

#[test]
fn send() {
    assert_a_dropped_send_was_not_queued(async |_, connection, message, _| {
        connection.send(message).await.unwrap();
    });
}

#[test]
fn send_fragment() {
    assert_a_dropped_send_was_not_queued(async |_, connection, message, is_last| {
        connection.send_fragment(message, is_last).await.unwrap();
    });
}

#[test]
fn send_prepared() {
    assert_a_dropped_send_was_not_queued(async |_, connection, message, _| {
        let message = PreparedMessage::new(message);
        connection.send_prepared(&message).await.unwrap();
    });
}

#[test]
fn send_prepared_of_a_sender() {
    assert_a_dropped_send_was_not_queued(async |_, connection, message, _| {
        let message = PreparedMessage::new(message);
        let sender = connection.sender();
        sender.send_prepared(&message).await.unwrap();
    });
}

#[test]
fn send_of_a_sender() {
    assert_a_dropped_send_was_not_queued(async |_, connection, message, _| {
        connection.sender().send(message).await.unwrap();
    });
}

#[test]
fn send_wait() {
    assert_a_dropped_send_was_not_queued(async |server, connection, message, _| {
        let clients = server.clients();
        clients.send_wait(connection.id(), message).await.unwrap();
    });
}

/// What adapters of a sink do: wait until it is ready, send, flush.
#[test]
fn send_of_a_sink() {
    assert_a_dropped_send_was_not_queued(async |_, connection, message, _| {
        let mut sink = Pin::new(connection);
        poll_fn(|cx| sink.as_mut().poll_ready(cx)).await.unwrap();
        sink.as_mut().start_send(message.into()).unwrap();
        let flushed = poll_fn(|cx| sink.as_mut().poll_flush(cx));
        // It is ready at once: no poll comes between the send and its end.
        assert_eq!(support::poll_once(flushed), Some(Ok(())));
    });
}

/// A broadcast that waits for a slow peer: who had room has it, and after it was dropped nobody gets
/// anything of it any more.
fn assert_a_dropped_broadcast_is_over(broadcast: impl AsyncFn(&Server, &str) -> usize + Copy) {
    at_every_poll(2, |sim, polls| async move {
        let builder = Server::builder().send_queue_limit(Some(20));
        let server = builder.bind(ANY).await.unwrap();
        let (slow_connection, slow) = open(&sim, &server).await;
        let (fast_connection, fast) = open(&sim, &server).await;
        for connection in [&slow_connection, &fast_connection] {
            connection.join("topic").unwrap();
        }
        slow.link().chop(1);
        slow.link().to_near.capacity = 15;
        let mut filled = 0;
        while slow_connection.try_send("full").is_ok() {
            filled += 1;
        }
        let mut bytes = Vec::new();
        // The slow peer begins to read after a while.
        let meanwhile = |poll| {
            if poll > 2 {
                bytes.extend(slow.read());
            }
        };
        let reached = polled_while(polls, broadcast(&server, "all"), meanwhile).await;
        assert!(reached.is_none_or(|reached| reached == 2), "{reached:?}");
        sim.settle().await;
        let expected = vec![texted("all"); usize::from(polls > 0)];
        assert_eq!(frames(&fast.read()), expected, "who has room has it");
        for _ in 0..100 {
            bytes.extend(slow.read());
            sim.sleep(Duration::from_micros(1)).await;
        }
        slow_connection.try_send("end").unwrap();
        sim.sleep(seconds(1)).await;
        bytes.extend(slow.read());
        let mut received = frames(&bytes);
        assert_eq!(received.pop(), Some(texted("end")));
        assert_eq!(
            received
                .drain(..filled)
                .filter(|frame| *frame != texted("full"))
                .count(),
            0
        );
        assert!(
            received.is_empty() || received == [texted("all")],
            "{received:?}"
        );
        assert!(!received.is_empty() || reached.is_none());
        drop((fast_connection, slow_connection));
        for mut peer in [fast, slow] {
            peer.link().chop(usize::MAX);
            peer.ask(close(1000)).await;
            peer.end().await;
        }
        assert_nothing_left(&sim, &server).await;
        reached.is_some()
    });
}

#[test]
fn broadcast_wait() {
    assert_a_dropped_broadcast_is_over(async |server, message| {
        server.clients().broadcast_wait(message).await
    });
}

#[test]
fn broadcast_wait_of_a_topic() {
    assert_a_dropped_broadcast_is_over(async |server, message| {
        let topic = server.clients().topic("topic");
        topic.broadcast_wait(message).await
    });
}

// What ends.

/// Reads what the server sends up to a close and answers that; returns the frames.
async fn answer_close(sim: &Sim, peer: &mut Peer) -> Vec<Frame> {
    let mut bytes = Vec::new();
    for _ in 0..5000 {
        bytes.extend(peer.read());
        let is_whole = bytes.len() >= 4 && bytes[bytes.len() - 4..][..2] == [0x88, 2];
        if is_whole {
            let code = [bytes[bytes.len() - 2], bytes[bytes.len() - 1]];
            peer.write(&close(u16::from_be_bytes(code))).await;
            peer.end().await;
            break;
        }
        yield_now().await;
    }
    sim.sleep(seconds(1)).await;
    bytes.extend(peer.read());
    frames(&bytes)
}

/// Runs a peer as a task; tells what it returns.
fn spawned<T: Send + 'static>(
    sim: &Sim,
    task: impl Future<Output = T> + Send + 'static,
) -> Arc<Mutex<Option<T>>> {
    let told = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&told);
    sim.spawn_task(async move {
        let output = task.await;
        *slot.lock().unwrap() = Some(output);
    });
    told
}

/// A close that was dropped goes on if it had begun: what was queued comes first, one close frame
/// goes out, and the end is clean.
fn assert_a_dropped_close_goes_on(
    code: u16,
    shut: impl AsyncFn(&mut Connection) -> Option<Closed> + Copy,
) {
    at_every_poll(3, |sim, polls| async move {
        let server = Server::bind(ANY).await.unwrap();
        let (mut connection, mut peer) = open(&sim, &server).await;
        peer.link().chop(1);
        peer.write(&text("arrives too late for anybody")).await;
        connection.send("before").await.unwrap();
        let clock = sim.clone();
        let received = spawned(&sim, async move { answer_close(&clock, &mut peer).await });
        let is_over = polled(polls, shut(&mut connection)).await.is_some();
        let state = connection.state().number();
        assert!(polls > 0 || state == 4, "it has not begun");
        assert!(polls == 0 || state > 4, "it goes on by itself: {state}");
        if polls > 0 {
            sim.sleep(seconds(1)).await;
            assert!(connection.closed().is_some_and(|closed| closed.clean));
        }
        let again = sim.within(seconds(1), shut(&mut connection)).await;
        assert!(again.is_some_and(|end| end.is_none_or(|closed| closed.code == code)));
        sim.sleep(seconds(2)).await;
        let expected = vec![texted("before"), (0x88, code.to_be_bytes().to_vec())];
        assert_eq!(received.lock().unwrap().take(), Some(expected));
        assert_nothing_left(&sim, &server).await;
        is_over
    });
}

#[test]
fn close_of_a_connection() {
    assert_a_dropped_close_goes_on(1000, async |connection| Some(connection.close().await));
}

#[test]
fn close_with() {
    assert_a_dropped_close_goes_on(4000, async |connection| {
        let code = CloseCode::new(4000).unwrap();
        Some(connection.close_with(code, "").await.unwrap())
    });
}

#[test]
fn close_of_a_sink() {
    assert_a_dropped_close_goes_on(1000, async |connection| {
        let mut sink = Pin::new(connection);
        poll_fn(|cx| sink.as_mut().poll_close(cx)).await.unwrap();
        None
    });
}

/// To wait for the end changes nothing: it comes when it comes, and who asks again is told.
#[test]
fn wait_closed() {
    at_every_poll(3, |sim, polls| async move {
        let server = Server::bind(ANY).await.unwrap();
        let (connection, mut peer) = open(&sim, &server).await;
        peer.link().chop(1);
        let sender = connection.sender();
        drop(connection);
        let clock = sim.clone();
        let received = spawned(&sim, async move { answer_close(&clock, &mut peer).await });
        let is_over = polled(polls, sender.wait_closed()).await.is_some();
        let closed = sim.within(seconds(5), sender.wait_closed()).await.unwrap();
        assert_eq!((closed.code, closed.clean), (1000, true));
        sim.sleep(seconds(2)).await;
        assert_eq!(received.lock().unwrap().as_ref().unwrap().len(), 1);
        assert_nothing_left(&sim, &server).await;
        is_over
    });
}

// What opens.

/// A client that gives up leaves nothing behind, on either side; one that does not has a connection.
fn assert_a_dropped_connect_leaves_nothing(
    connect: impl AsyncFn(&str) -> Result<Connection, ws_driver::ConnectError> + Copy,
) {
    at_every_poll(3, |sim, polls| async move {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        sim.chop(7);
        let url = format!("ws://{}/", server.local_addr());
        let connected = polled(polls, connect(&url)).await;
        let is_open = connected.is_some();
        if let Some(connection) = connected {
            let mut connection = connection.unwrap();
            connection.send("hi").await.unwrap();
            let message = sim.within(seconds(1), connection.recv()).await;
            assert_eq!(message.unwrap().unwrap().as_text(), Some("hi"));
            connection.close().await;
        }
        sim.sleep(seconds(1)).await;
        assert_eq!(server.clients().len(), 0, "dropped after {polls} polls");
        assert_eq!(sim.live_tasks(), 1, "the one that serves");
        server.close();
        assert_nothing_left(&sim, &server).await;
        is_open
    });
}

#[test]
fn connect() {
    assert_a_dropped_connect_leaves_nothing(async |url| ws_driver::connect::<Sim>(url).await);
}

#[test]
fn connect_with() {
    for version in Version::ALL {
        assert_a_dropped_connect_leaves_nothing(async |url| {
            let config = ClientConfig::new().version(version);
            ws_driver::connect_with::<Sim>(url, &config).await
        });
    }
}

#[test]
fn connect_over() {
    assert_a_dropped_connect_leaves_nothing(async |url| {
        let port = url.trim_end_matches('/').rsplit(':').next().unwrap();
        let port = port.parse().unwrap();
        let (stream, _) = Sim::default().connect("127.0.0.1", port).await?;
        ws_driver::connect_over::<Sim, _>(stream, url, &ClientConfig::new()).await
    });
}

/// Two streams arrive while somebody begins to accept and gives up again: both connections are handed
/// out later, once, with what came early.
#[test]
fn accept() {
    at_every_poll(3, |sim, polls| async move {
        let server = Server::bind(ANY).await.unwrap();
        let writers = [0, 1].map(|number| {
            let mut peer = Peer::connect(&sim, server.local_addr());
            let wire = [RFC6455.as_bytes(), &text(numbered(number))].concat();
            spawned(&sim, async move {
                for piece in wire.chunks(50) {
                    peer.write(piece).await;
                    yield_now().await;
                }
                peer
            })
        });
        let (mut connections, mut was_dropped) = (Vec::new(), false);
        for _ in 0..DROPS {
            match polled(polls, server.accept()).await {
                Some(connection) => connections.push(connection.unwrap().unwrap()),
                None => was_dropped = true,
            }
            if connections.len() == 2 {
                break;
            }
        }
        while connections.len() < 2 {
            let accepted = sim.within(seconds(1), server.accept()).await;
            connections.push(accepted.unwrap().unwrap().unwrap());
        }
        assert_eq!(support::poll_once(server.accept()).map(|_| ()), None);
        let mut messages = Vec::new();
        for connection in &mut connections {
            let message = sim.within(seconds(1), connection.recv()).await;
            messages.push(message.unwrap().unwrap().as_text().unwrap().to_owned());
        }
        messages.sort();
        assert_eq!(messages, [numbered(0), numbered(1)], "after {polls} polls");
        drop(connections);
        for writer in writers {
            let mut peer = writer.lock().unwrap().take().unwrap();
            peer.ask(close(1000)).await;
            sim.sleep(seconds(1)).await;
            peer.end().await;
        }
        assert_nothing_left(&sim, &server).await;
        !was_dropped
    });
}

/// A `serve` that is dropped accepts no more, what is open goes on, and who waits is served by the
/// next. It ends by itself when the server is closed.
#[test]
fn serve_of_a_server() {
    at_every_poll(2, |sim, polls| async move {
        let server = Server::bind(ANY).await.unwrap();
        sim.chop(50);
        let mut peers: Vec<_> = (0..3)
            .map(|_| Peer::connect(&sim, server.local_addr()))
            .collect();
        for peer in &mut peers {
            peer.write(RFC6455.as_bytes()).await;
        }
        let meanwhile = |poll| {
            if poll == 20 {
                server.close();
            }
        };
        let is_over = polled_while(polls, server.serve(echo), meanwhile).await;
        let is_over = is_over.is_some();
        let served = u64::try_from(server.clients().len()).unwrap();
        assert!(sim.live_tasks() >= served, "what is open goes on");
        if !is_over {
            serve(&sim, &server, echo);
        }
        for peer in &mut peers {
            peer.link().chop(usize::MAX);
            let answer = peer.ask(text("hi")).await;
            let early = [OK_6455.as_bytes(), b"\x81\x02hi"].concat();
            assert_eq!(answer, early, "dropped after {polls} polls");
            peer.ask(close(1000)).await;
            peer.end().await;
        }
        server.close();
        assert_nothing_left(&sim, &server).await;
        is_over
    });
}

/// A stream that is handed in while there is no place waits for one; if it is dropped meanwhile its peer
/// sees the end, and the place is free for another.
#[test]
fn handle_stream() {
    at_every_poll(3, |sim, polls| async move {
        let server = Server::builder().connection_limit(1).build().unwrap();
        let hand_in = || {
            let (near, far) = SimStream::pair();
            (server.handle_stream(near, None, echo), far)
        };
        let (first, first_far) = hand_in();
        assert!(first.await);
        let (second, second_far) = hand_in();
        let mut first_far = Some(first_far);
        let meanwhile = |poll| {
            if poll == 20 {
                drop(first_far.take());
            }
        };
        let taken = polled_while(polls, second, meanwhile).await;
        drop(first_far);
        sim.sleep(seconds(1)).await;
        assert_eq!(second_far.has_ended(), taken.is_none());
        assert_eq!(sim.live_tasks(), u64::from(taken.is_some()));
        drop(second_far);
        sim.sleep(seconds(1)).await;
        let (third, third_far) = hand_in();
        assert!(sim.within(seconds(1), third).await.unwrap(), "it is free");
        drop(third_far);
        assert_nothing_left(&sim, &server).await;
        taken.is_some()
    });
}

/// What is dropped before it answers a request that another server read leaves nothing behind; what
/// is accepted and then not given a stream, neither.
#[cfg(feature = "hyper")]
fn assert_a_dropped_answer_leaves_nothing(
    answer: impl AsyncFn(&Server, &mut http::Request<Stuck>) -> http::StatusCode + Copy,
) {
    at_every_poll(2, |sim, polls| async move {
        let decide = |upgrade: ws_driver::Upgrade| async move {
            yield_now().await;
            upgrade.accept()
        };
        let server = Server::builder().on_upgrade(decide).build().unwrap();
        let mut request = http::Request::new(Stuck(3));
        for (name, value) in [
            ("Host", "a"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Version", "13"),
        ] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        // That of a request which hyper did not read: it fails when it is asked for the stream.
        let on_upgrade = hyper::upgrade::on(http::Request::new(()));
        request.extensions_mut().insert(on_upgrade);
        let status = polled(polls, answer(&server, &mut request)).await;
        if let Some(status) = status {
            assert_eq!(status, http::StatusCode::SWITCHING_PROTOCOLS);
        }
        sim.settle().await;
        assert_eq!(sim.live_tasks(), 0);
        let report = sim.within(seconds(1), server.shutdown(seconds(2))).await;
        assert_report(report.expect("nothing is left"), 0);
        status.is_some()
    });
}

/// A body that takes some polls to say that it is empty.
#[cfg(feature = "hyper")]
struct Stuck(u8);

#[cfg(feature = "hyper")]
impl http_body::Body for Stuck {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, std::convert::Infallible>>> {
        match self.0.checked_sub(1) {
            Some(left) => {
                self.0 = left;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            None => Poll::Ready(None),
        }
    }
}

#[cfg(feature = "hyper")]
#[test]
fn handle_request() {
    assert_a_dropped_answer_leaves_nothing(async |server, request| {
        let handler = |_| async { panic!("it never opens") };
        server.handle_request(request, None, handler).await.status()
    });
}

#[cfg(feature = "hyper")]
#[test]
fn examine_request() {
    assert_a_dropped_answer_leaves_nothing(async |server, request| {
        let upgrade = server.examine_request(request, None).await.unwrap();
        let handler = |_| async { panic!("it never opens") };
        upgrade.accept(handler).status()
    });
}

/// A shutdown that is dropped drops nobody who had time left: if it had begun, who was asked to go
/// still closes properly; called again it waits for the rest.
#[test]
fn shutdown() {
    at_every_poll(3, |sim, polls| async move {
        let server = Server::bind(ANY).await.unwrap();
        sim.chop(30);
        serve(&sim, &server, echo);
        let mut peers = Vec::new();
        for _ in 0..3 {
            peers.push(Peer::open(&sim, server.local_addr()).await);
        }
        let answers: Vec<_> = peers
            .into_iter()
            .map(|mut peer| {
                let clock = sim.clone();
                spawned(&sim, async move { answer_close(&clock, &mut peer).await })
            })
            .collect();
        let report = polled(polls, server.shutdown(seconds(5))).await;
        let is_over = report.is_some();
        if let Some(report) = report {
            assert_report(report, 3);
        } else if polls > 0 {
            sim.sleep(seconds(2)).await;
            let again = sim.within(seconds(1), server.shutdown(seconds(5))).await;
            assert_report(again.expect("nobody is left"), 0);
        } else {
            let report = sim.within(seconds(4), server.shutdown(seconds(5))).await;
            assert_report(report.expect("all go in time"), 3);
        }
        sim.sleep(seconds(2)).await;
        for answer in answers {
            let going_away = vec![(0x88, 1001u16.to_be_bytes().to_vec())];
            assert_eq!(answer.lock().unwrap().take(), Some(going_away));
        }
        assert_nothing_left(&sim, &server).await;
        is_over
    });
}

fn assert_report(report: ShutdownReport, closed: usize) {
    let ShutdownReport {
        closed: in_time,
        lost,
        aborted,
        ..
    } = report;
    assert_eq!((in_time, lost, aborted), (closed, 0, 0));
}

/// To bind that is dropped leaves the address free.
#[test]
fn bind() {
    at_every_poll(1, |_, polls| async move {
        let first = polled(polls, Server::bind("127.0.0.1:4000")).await;
        let builder = Server::builder();
        let second = polled(polls, builder.bind("127.0.0.1:4001")).await;
        for (bound, addr) in [(&first, "127.0.0.1:4000"), (&second, "127.0.0.1:4001")] {
            if let Some(bound) = bound {
                assert_eq!(bound.as_ref().unwrap().local_addr(), addr.parse().unwrap());
            } else {
                Server::bind(addr).await.unwrap();
            }
        }
        first.is_some() && second.is_some()
    });
}

// The test kit.

/// What a peer of the kit sends in a future that is dropped arrives in part: a prefix.
#[test]
fn send_of_a_peer() {
    at_every_poll(2, |sim, polls| async move {
        // More than the pipe and the receive queue hold.
        let message = "x".repeat(300 << 10);
        let (mut connection, mut peer) = ws_driver::test::Kit::<Sim>::scripted(Version::Rfc6455);
        let wire = text(&message);
        let sent = polled(polls, peer.send(&wire)).await.is_some();
        peer.end();
        let received = sim.within(seconds(1), connection.recv()).await.unwrap();
        assert_eq!(received.is_some(), sent, "dropped after {polls} polls");
        assert_eq!(connection.closed().is_some(), !sent);
        drop((connection, peer));
        sim.sleep(seconds(30)).await;
        assert_eq!(sim.live_tasks(), 0);
        sent
    });
}

/// What a peer of the kit had read in a future that is dropped may be lost, and nothing else: the
/// connection is as good as before.
#[test]
fn receive_of_a_peer() {
    at_every_poll(2, |sim, polls| async move {
        let (connection, mut peer) = ws_driver::test::Kit::<Sim>::scripted(Version::Rfc6455);
        let sender = connection.sender();
        sim.spawn_task(async move {
            for _ in 0..3 {
                sender.send("abc").await.unwrap();
                yield_now().await;
            }
        });
        let received = polled(polls, peer.receive(15)).await;
        let is_whole = received.is_some();
        assert!(
            received.is_none_or(|bytes| bytes.unwrap() == *b"\x81\x03abc\x81\x03abc\x81\x03abc")
        );
        sim.settle().await;
        connection.send("end").await.unwrap();
        drop(connection);
        peer.send(&close(1000)).await.unwrap();
        peer.end();
        let rest = sim.within(seconds(1), peer.receive_to_end()).await.unwrap();
        assert!(rest.unwrap().ends_with(b"\x81\x03end\x88\x02\x03\xe8"));
        sim.sleep(seconds(30)).await;
        assert_eq!(sim.live_tasks(), 0);
        is_whole
    });
}

/// The same of one that reads to the end.
#[test]
fn receive_to_end_of_a_peer() {
    at_every_poll(2, |sim, polls| async move {
        let (connection, mut peer) = ws_driver::test::Kit::<Sim>::scripted(Version::Rfc6455);
        let sender = connection.sender();
        connection.send("end").await.unwrap();
        drop(connection);
        peer.send(&close(1000)).await.unwrap();
        peer.end();
        let received = polled(polls, peer.receive_to_end()).await;
        let is_whole = received.is_some();
        let expected = b"\x81\x03end\x88\x02\x03\xe8";
        assert!(received.is_none_or(|bytes| bytes.unwrap() == *expected));
        let closed = sim.within(seconds(1), sender.wait_closed()).await.unwrap();
        assert!(
            closed.clean,
            "the connection does not need its peer to read"
        );
        sim.sleep(seconds(30)).await;
        assert_eq!(sim.live_tasks(), 0);
        is_whole
    });
}

// The list.

/// No public async function is added without its section and its case: the list above names all that
/// the sources have, those that return a future of ours included, and each says what happens if it is
/// dropped.
#[test]
fn every_public_async_function_is_in_the_list() {
    let sources = [
        ("adapter.rs", include_str!("../src/adapter.rs")),
        ("client.rs", include_str!("../src/client.rs")),
        ("clients.rs", include_str!("../src/clients.rs")),
        ("connection.rs", include_str!("../src/connection.rs")),
        ("sender.rs", include_str!("../src/sender.rs")),
        ("server/mod.rs", include_str!("../src/server/mod.rs")),
        ("server/door.rs", include_str!("../src/server/door.rs")),
        (
            "server/builder.rs",
            include_str!("../src/server/builder.rs"),
        ),
        ("test.rs", include_str!("../src/test.rs")),
    ];
    for ((name, source), (listed, functions)) in sources.into_iter().zip(PUBLIC) {
        let (mut found, mut has_section) = (Vec::new(), false);
        for line in source.lines().map(str::trim_start) {
            let returns_future = line.contains("Future<'_> {");
            let plain = line.strip_prefix("pub fn ").filter(|_| returns_future);
            if let Some(function) = line.strip_prefix("pub async fn ").or(plain) {
                let end = function.find(['(', '<']).unwrap();
                found.push(&function[..end]);
                assert!(has_section, "{name}: {} says nothing", &function[..end]);
            }
            has_section &= line.starts_with("///") || line.starts_with("#[");
            has_section |= line == "/// # Cancel safety";
        }
        assert_eq!((name, &*found), (listed, functions));
    }
    assert_eq!(
        include_str!("../src/connection/futures.rs")
            .matches("pub struct ")
            .count(),
        2
    );
    let all = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap();
    for file in all.map(|file| file.unwrap().path()) {
        let is_known = PUBLIC.iter().any(|(name, _)| file.ends_with(name));
        if !is_known && file.extension().is_some_and(|extension| extension == "rs") {
            let source = std::fs::read_to_string(&file).unwrap();
            assert!(!source.contains("    pub async fn "), "{}", file.display());
        }
    }
}
