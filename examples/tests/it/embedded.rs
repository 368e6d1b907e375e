//! The servers without an async runtime, over real sockets: the contract of an embedder, as
//! docs/embedding.md states it. The same list for each program.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use ws_tokio::{ClientConfig, Message, Version, connect_with};

use super::common::{PATIENCE, Program, UPGRADE, request, serve};

macro_rules! on_each_loop {
    ($($test:ident)+) => {
        on_loop! { on_std, env!("CARGO_BIN_EXE_embedded-std"), $($test)+ }
        on_loop! { on_mio, env!("CARGO_BIN_EXE_embedded-mio"), $($test)+ }
    };
}

macro_rules! on_loop {
    ($name:ident, $program:expr, $($test:ident)+) => {
        mod $name {
            $(
                #[test]
                fn $test() {
                    super::$test($program);
                }
            )+
        }
    };
}

on_each_loop! {
    messages_come_back
    frames_behind_the_request_are_answered
    a_plain_request_gets_the_page
    a_full_send_queue_loses_no_message
    a_peer_that_never_reads_is_gone
    a_half_open_handshake_is_gone
    many_are_served_at_a_time
    a_flood_of_one_does_not_hold_up_another
    a_stop_closes_every_connection
    a_stop_waits_for_nobody_for_ever
}

/// Opens a connection by hand, and sends what follows in the same write as the request.
fn open_with(addr: SocketAddr, early: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect_timeout(&addr, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{UPGRADE}Sec-WebSocket-Version: 13\r\n\r\n");
    stream
        .write_all(&[head.as_bytes(), early].concat())
        .unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    stream
}

fn open(addr: SocketAddr) -> TcpStream {
    open_with(addr, b"")
}

/// Makes a client's frame of a final message, with a mask of zeros.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match u8::try_from(payload.len()) {
        Ok(len @ 0..126) => frame.push(0x80 | len),
        Ok(_) | Err(_) => {
            frame.push(0x80 | 126);
            let len = u16::try_from(payload.len()).unwrap();
            frame.extend(len.to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// Reads a server's frame: its first byte and its payload.
fn read_frame(stream: &mut impl Read) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    let mut len = usize::from(head[1]);
    if len == 126 {
        let mut long = [0; 2];
        stream.read_exact(&mut long).unwrap();
        len = usize::from(u16::from_be_bytes(long));
    }
    let mut payload = vec![0; len];
    stream.read_exact(&mut payload).unwrap();
    (head[0], payload)
}

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;

/// Proves that messages come back as they were in every version, the drafts included, and that the
/// closing handshake is done.
fn messages_come_back(program: &str) {
    let (_program, addr) = serve(program, "ws", &[]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let exchanges = async {
        for version in Version::ALL {
            let config = ClientConfig::new().version(version);
            let url = format!("ws://{addr}/");
            let mut connection = connect_with(&url, &config).await.unwrap();
            for text in ["", "h\u{e9}", &"x".repeat(300_000)] {
                connection.send(text).await.unwrap();
                let echoed = connection.recv().await.unwrap();
                assert_eq!(echoed.as_text(), Some(text), "{version}");
            }
            if version == Version::Rfc6455 {
                connection.send([0, 255]).await.unwrap();
                let echoed = connection.recv().await.unwrap();
                assert_eq!(echoed, Message::from(&[0, 255]));
            }
            assert!(connection.close().await.clean || version == Version::Draft75);
        }
    };
    runtime
        .block_on(async { timeout(PATIENCE, exchanges).await })
        .unwrap();
}

/// Proves that what comes in one segment with the request is read although the stream does not
/// become readable again: more messages than one call takes (`READ_FRAME_LIMIT`).
fn frames_behind_the_request_are_answered(program: &str) {
    let (_program, addr) = serve(program, "ws", &[]);
    let mut stream = open_with(addr, &frame(1, b"").repeat(2500));
    for _ in 0..2500 {
        assert_eq!(read_frame(&mut stream), (TEXT, vec![]));
    }
}

/// Proves that a browser gets a page with 200, that HEAD gets its head alone, and that a client
/// which still sends its body while it is answered gets the answer, not a reset.
fn a_plain_request_gets_the_page(program: &str) {
    let (_program, addr) = serve(program, "ws", &[]);
    let body = "x".repeat(300_000);
    let long = format!("Content-Length: 300000\r\n\r\n{body}");
    for (line, headers, has_body) in [
        ("GET /", "", true),
        ("HEAD /", "", false),
        ("POST /", &*long, true),
    ] {
        let (head, body) = request(addr, line, headers);
        assert!(head.starts_with("http/1.1 200 ok\r\n"), "{head}");
        assert!(head.contains("content-type: text/html"), "{head}");
        assert_eq!(body.contains("The WebSocket is at"), has_body, "{line}");
    }
}

/// Proves that a server takes no event while there is no room for its answer: a client that sends
/// far more than all queues hold, and reads late, gets every message, in order.
fn a_full_send_queue_loses_no_message(program: &str) {
    const COUNT: usize = 8000;
    const LEN: usize = 4096;
    let (_program, addr) = serve(program, "ws", &[]);
    let mut reader = open(addr);
    let mut writer = reader.try_clone().unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let progress = Arc::clone(&sent);
    let writing = thread::spawn(move || {
        for number in 0..COUNT {
            let text = format!("{number:0LEN$}");
            writer.write_all(&frame(1, text.as_bytes())).unwrap();
            progress.fetch_add(1, Ordering::Relaxed);
        }
    });
    let before = wait_until_it_stands(&sent);
    assert!(
        before < COUNT,
        "the queues hold all of it, so it proves nothing"
    );
    for number in 0..COUNT {
        let expected = format!("{number:0LEN$}").into_bytes();
        let (first, payload) = read_frame(&mut reader);
        assert!(first == TEXT && payload == expected, "message {number}");
    }
    writing.join().unwrap();
}

/// Waits until a count has not changed for half a second; returns it.
fn wait_until_it_stands(count: &AtomicUsize) -> usize {
    let deadline = Instant::now() + PATIENCE;
    let mut seen = (count.load(Ordering::Relaxed), Instant::now());
    while Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
        let now = count.load(Ordering::Relaxed);
        if now != seen.0 {
            seen = (now, Instant::now());
        } else if seen.1.elapsed() > Duration::from_millis(500) {
            return now;
        }
    }
    panic!("it moves still");
}

/// Proves that the deadline of `poll_timeout` is kept while a write is blocked: a peer that sends
/// and never reads is gone after the `stall_timeout`.
fn a_peer_that_never_reads_is_gone(program: &str) {
    let (program, addr) = serve(program, "ws", &["--stall-timeout", "1"]);
    let mut stream = open(addr);
    stream
        .set_write_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let messages = frame(1, &[b'x'; 4096]).repeat(64);
    let deadline = Instant::now() + PATIENCE;
    // A part of a frame may have gone out, so what is sent after a timeout begins in the midst.
    let mut rest = &messages[..];
    loop {
        assert!(Instant::now() < deadline, "it is still there");
        match stream.write(rest) {
            Ok(count) => rest = &rest[count..],
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
        if rest.is_empty() {
            rest = &messages;
        }
    }
    let line = program.line();
    assert!(line.contains("stall_timeout"), "{line}");
}

/// Proves that a client that never ends its request is answered, and gone, after the
/// `handshake_timeout`, and not before; also one that never sends a byte.
fn a_half_open_handshake_is_gone(program: &str) {
    let (_program, addr) = serve(program, "ws", &["--handshake-timeout", "1"]);
    for beginning in ["", "GET / HTTP/1.1\r\nHost: a"] {
        let begun = Instant::now();
        let answer = super::common::exchange(addr, beginning.as_bytes());
        let waited = begun.elapsed();
        assert!(waited >= Duration::from_millis(900), "{waited:?}");
        assert!(waited < Duration::from_millis(9500), "{waited:?}");
        let answer = String::from_utf8(answer).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 408 ") || answer.is_empty(),
            "{answer}"
        );
    }
}

/// Proves that 200 connections are open at a time, and that each of them is answered, several times;
/// on one thread if that is what the program is for.
fn many_are_served_at_a_time(program: &str) {
    let (server, addr) = serve(program, "ws", &[]);
    let mut streams: Vec<TcpStream> = (0..200).map(|_| open(addr)).collect();
    for round in 0..3 {
        for (number, stream) in streams.iter_mut().enumerate() {
            let text = format!("{round} {number}");
            stream.write_all(&frame(1, text.as_bytes())).unwrap();
        }
        for (number, stream) in streams.iter_mut().enumerate() {
            let text = format!("{round} {number}");
            assert_eq!(read_frame(stream), (TEXT, text.into_bytes()));
        }
    }
    assert_threads(&server, program, streams.len());
}

/// The loop has one thread, and one that reads standard input.
#[cfg(target_os = "linux")]
fn assert_threads(server: &Program, program: &str, streams: usize) {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.id())).unwrap();
    let expected = if program.ends_with("mio") {
        2
    } else {
        // Standard input, which is the main thread, and accepting.
        streams + 2
    };
    assert_eq!(tasks.count(), expected);
}

#[cfg(not(target_os = "linux"))]
fn assert_threads(_server: &Program, _program: &str, _streams: usize) {}

/// Proves that a client that sends without a pause, and reads what comes back, delays another one
/// by a bounded time.
fn a_flood_of_one_does_not_hold_up_another(program: &str) {
    /// On an idle machine it takes less than 20 ms; the bound is for one that is busy.
    const LATENCY: Duration = Duration::from_secs(2);
    let (_program, addr) = serve(program, "ws", &[]);
    let flood = Flood::begin(addr);
    let mut stream = open(addr);
    stream.set_read_timeout(Some(LATENCY)).unwrap();
    let begun = Instant::now();
    let mut longest = Duration::ZERO;
    for number in 0.. {
        if number >= 100 && flood.echoed() > 1_000_000 {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{} is no flood", flood.echoed());
        let text = format!("{number}").into_bytes();
        let asked = Instant::now();
        stream.write_all(&frame(1, &text)).unwrap();
        assert_eq!(read_frame(&mut stream), (TEXT, text));
        longest = longest.max(asked.elapsed());
    }
    assert!(longest < LATENCY, "{longest:?}");
}

/// A client that sends the shortest messages as fast as they are taken until it is dropped, and
/// reads the answers in another thread.
struct Flood {
    stream: TcpStream,
    echoed: Arc<AtomicUsize>,
}

impl Flood {
    fn begin(addr: SocketAddr) -> Self {
        let stream = open(addr);
        let (mut reader, mut writer) = (stream.try_clone().unwrap(), stream.try_clone().unwrap());
        let echoed = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&echoed);
        thread::spawn(move || {
            let mut buf = vec![0; 64 << 10];
            while let Ok(len @ 1..) = reader.read(&mut buf) {
                count.fetch_add(len, Ordering::Relaxed);
            }
        });
        let (sender, begun) = mpsc::channel();
        thread::spawn(move || {
            let messages = frame(1, b"").repeat(10_000);
            let deadline = Instant::now() + 2 * PATIENCE;
            while Instant::now() < deadline && writer.write_all(&messages).is_ok() {
                let _ = sender.send(());
            }
        });
        // The other client comes when the flood is on.
        begun.recv_timeout(PATIENCE).unwrap();
        Self { stream, echoed }
    }

    fn echoed(&self) -> usize {
        self.echoed.load(Ordering::Relaxed)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// Proves that a stop says 1001 to every client, waits for their answers, and lets nobody in.
fn a_stop_closes_every_connection(program: &str) {
    let (mut program, addr) = serve(program, "ws", &[]);
    let mut streams: Vec<TcpStream> = (0..5).map(|_| open(addr)).collect();
    program.write_line("stop");
    for stream in &mut streams {
        let (first, payload) = read_frame(stream);
        assert_eq!(
            (first, &payload[..]),
            (CLOSE, &1001_u16.to_be_bytes()[..]),
            "going away"
        );
    }
    for stream in &mut streams {
        stream
            .write_all(&frame(8, &1001_u16.to_be_bytes()))
            .unwrap();
        // The server is the first to end the stream (RFC 6455 §7.1.1), and nothing follows the close.
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
    drop(streams);
    assert!(program.wait().success());
    for _ in 0..5 {
        let line = program.line();
        assert!(line.starts_with("closed: 1001, closed by us"), "{line}");
    }
    assert!(TcpStream::connect_timeout(&addr, PATIENCE).is_err());
}

/// Proves that a stop ends although a client does not answer the close, another one never ends its
/// request, and a third is in a flood.
fn a_stop_waits_for_nobody_for_ever(program: &str) {
    let (mut program, addr) = serve(program, "ws", &[]);
    let _silent = open(addr);
    let mut half_open = TcpStream::connect_timeout(&addr, PATIENCE).unwrap();
    half_open.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    let mut deaf = open(addr);
    deaf.set_write_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let messages = frame(1, &[b'x'; 4096]).repeat(64);
    let deadline = Instant::now() + PATIENCE;
    while deaf.write_all(&messages).is_ok() {
        assert!(Instant::now() < deadline, "the server takes all there is");
    }
    let begun = Instant::now();
    program.write_line("stop");
    assert!(program.wait().success());
    let waited = begun.elapsed();
    // STOP_TIMEOUT is 5 s, and the close_timeout, which would end it otherwise, 10 s.
    assert!(waited < Duration::from_millis(9500), "{waited:?}");
}
