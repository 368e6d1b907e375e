//! The echo server with each of its options, on each runtime, and the client that talks to it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;
use tokio::time::timeout;
use ws_tokio::{
    ClientConfig, CloseCode, Closed, ConnectError, Connection, Deflate, HandshakeError, Message,
    Server, Version, connect_with,
};

use super::common::{PATIENCE, Program, UPGRADE, exchange, request, serve};

const VERSIONS: [Version; 3] = [Version::Draft75, Version::Draft76, Version::Rfc6455];

/// The echo server that the tests of the client talk to.
const ON_TOKIO: &str = env!("CARGO_BIN_EXE_echo");

/// Makes of each function that takes the program of an echo server one test for each runtime.
macro_rules! on_each_runtime {
    ($($test:ident)+) => {
        on_runtime! { on_tokio, super::ON_TOKIO, $($test)+ }
        on_runtime! { on_smol, env!("CARGO_BIN_EXE_echo-smol"), $($test)+ }
        on_runtime! { on_async_std, env!("CARGO_BIN_EXE_echo-async-std"), $($test)+ }
    };
}

macro_rules! on_runtime {
    ($runtime:ident, $program:expr, $($test:ident)+) => {
        mod $runtime {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test($program).await;
                }
            )+
        }
    };
}

on_each_runtime! {
    messages_come_back
    versions_that_are_off_are_refused
    other_origins_are_refused
    a_subprotocol_is_chosen
    a_longer_message_is_refused
    more_fragments_and_longer_frames_are_refused
    a_broadcast_reaches_all
    what_happens_is_said_if_asked
    how_long_is_waited_is_an_option
    messages_are_compressed_if_asked
}

fn echo(program: &str, options: &[&str]) -> (Program, SocketAddr) {
    serve(program, "ws", options)
}

fn client(addr: SocketAddr, options: &[&str]) -> Program {
    let url = format!("ws://{addr}/");
    let options = [&[url.as_str()], options].concat();
    Program::start(env!("CARGO_BIN_EXE_client"), &options)
}

async fn connect(addr: SocketAddr, config: ClientConfig) -> Result<Connection, ConnectError> {
    connect_with(&format!("ws://{addr}/"), &config).await
}

async fn connect_in(addr: SocketAddr, version: Version) -> Connection {
    let config = ClientConfig::new().version(version);
    connect(addr, config).await.unwrap()
}

async fn recv(connection: &mut Connection) -> Option<Message> {
    timeout(PATIENCE, connection.recv()).await.unwrap()
}

/// The status with which a connection was refused.
async fn refusal(addr: SocketAddr, config: ClientConfig) -> u16 {
    match connect(addr, config).await.unwrap_err() {
        ConnectError::Handshake(HandshakeError::Status { status, .. }) => status.as_u16(),
        error => panic!("{error}"),
    }
}

/// Proves that messages come back as they were, in every version, on any number of threads. (What is
/// not tokio has two: see `Program`.)
async fn messages_come_back(program: &str) {
    for options in [&[][..], &["--threads", "1"], &["--threads", "2"]] {
        let (_echo, addr) = echo(program, options);
        for version in VERSIONS {
            let mut connection = connect_in(addr, version).await;
            for text in ["", "h\u{e9}", &"x".repeat(100_000)] {
                connection.send(text).await.unwrap();
                let echoed = recv(&mut connection).await.unwrap();
                assert_eq!(echoed.as_text(), Some(text), "{version}");
            }
            assert!(connection.close().await.clean || version == Version::Draft75);
        }
        let mut connection = connect_in(addr, Version::Rfc6455).await;
        connection.send([0, 255]).await.unwrap();
        let echoed = recv(&mut connection).await.unwrap();
        assert_eq!(echoed, Message::from(&[0, 255]));
    }
}

/// Proves that with --deflate messages come back compressed, as the options say; without it they do not;
/// and that options out of range are refused.
async fn messages_are_compressed_if_asked(program: &str) {
    let text = "compressible ".repeat(1000);
    let kept = Deflate::new().server_no_context_takeover(false);
    for (options, answer) in [
        (&[][..], None),
        (&["--deflate"], Some("permessage-deflate")),
        (
            &["--deflate", "--server-context-takeover"],
            Some("permessage-deflate"),
        ),
        (
            &[
                "--deflate",
                "--client-no-context-takeover",
                "--server-max-window-bits",
                "10",
                "--client-max-window-bits",
                "11",
                "--deflate-threshold",
                "1",
                "--deflate-level",
                "9",
            ],
            Some(
                "permessage-deflate; client_no_context_takeover; \
                 server_max_window_bits=10; client_max_window_bits=11",
            ),
        ),
    ] {
        let (_echo, addr) = echo(program, options);
        let config = ClientConfig::new().deflate(kept.clone());
        let mut connection = connect(addr, config).await.unwrap();
        let response = connection.response().unwrap();
        assert_eq!(response.header("Sec-WebSocket-Extensions"), answer);
        for text in [&*text, "", "short"] {
            connection.send(text).await.unwrap();
            let echoed = recv(&mut connection).await.unwrap();
            assert_eq!(echoed.as_text(), Some(text), "{options:?}");
        }
    }
    let options = [
        "--listen",
        "127.0.0.1:0",
        "--deflate",
        "--server-max-window-bits",
        "8",
    ];
    let output = std::process::Command::new(program).args(options).output();
    let output = output.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && said.contains("most: 15"),
        "{said}"
    );
}

/// Proves that with --versions the others are refused, and told what is spoken.
async fn versions_that_are_off_are_refused(program: &str) {
    let (_echo, addr) = echo(program, &["--versions", "rfc6455"]);
    for version in [Version::Draft75, Version::Draft76] {
        let status = refusal(addr, ClientConfig::new().version(version)).await;
        assert!([400, 426].contains(&status), "{version}: {status}");
    }
    for number in ["0", "6", "99"] {
        let headers = format!("{UPGRADE}Sec-WebSocket-Version: {number}\r\n");
        let (head, _) = request(addr, "GET /", &headers);
        assert!(head.starts_with("http/1.1 426 "), "{head}");
        assert!(
            head.contains("\r\nsec-websocket-version: 13, 8, 7"),
            "{head}"
        );
    }

    let (_echo, addr) = echo(program, &["--versions", "draft75,draft76"]);
    assert_eq!(refusal(addr, ClientConfig::new()).await, 426);
    connect_in(addr, Version::Draft75).await;
    connect_in(addr, Version::Draft76).await;
}

/// Proves that with --origin pages from elsewhere are refused, in every version.
async fn other_origins_are_refused(program: &str) {
    let (_echo, addr) = echo(
        program,
        &["--origin", "http://good.example", "--origin", "null"],
    );
    for version in VERSIONS {
        let from = |origin: &str| {
            let origin = origin.parse().ok();
            ClientConfig::new().version(version).origin(origin)
        };
        assert_eq!(refusal(addr, from("http://bad.example")).await, 403);
        connect(addr, from("http://good.example")).await.unwrap();
        connect(addr, from("null")).await.unwrap();
    }
}

/// Proves that of the subprotocols that are offered the server takes the one it likes best.
async fn a_subprotocol_is_chosen(program: &str) {
    let (_echo, addr) = echo(program, &["--subprotocol", "best", "--subprotocol", "good"]);
    let offers = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| name.parse().unwrap()).collect();
        ClientConfig::new().subprotocols(names)
    };
    for (offered, chosen) in [
        (&["good", "best"][..], Some("best")),
        (&["other", "good"], Some("good")),
        (&["other"], None),
    ] {
        let connection = connect(addr, offers(offered)).await.unwrap();
        assert_eq!(connection.subprotocol(), chosen);
    }
    let draft = offers(&["good"]).version(Version::Draft76);
    assert_eq!(
        connect(addr, draft).await.unwrap().subprotocol(),
        Some("good")
    );
}

/// Proves that --max-message is the longest message, whose excess closes with 1009.
async fn a_longer_message_is_refused(program: &str) {
    let (_echo, addr) = echo(program, &["--max-message", "10"]);
    for version in VERSIONS {
        let mut connection = connect_in(addr, version).await;
        connection.send("0123456789").await.unwrap();
        assert_eq!(recv(&mut connection).await.unwrap().len(), 10);
        connection.send("0123456789a").await.unwrap();
        assert_eq!(recv(&mut connection).await, None);
        let closed = connection.closed().unwrap();
        assert!(
            closed.code == 1009 || version != Version::Rfc6455,
            "{closed}"
        );
    }
}

/// Proves that --max-fragments and --max-frame are limits, whose excess closes with 1009.
async fn more_fragments_and_longer_frames_are_refused(program: &str) {
    let masked = |first: u8, payload: &[u8]| {
        let len = u8::try_from(payload.len()).unwrap();
        [&[first, 0x80 | len, 0, 0, 0, 0], payload].concat()
    };
    let (first, next, last) = (masked(0x01, b"a"), masked(0x00, b"b"), masked(0x80, b"c"));
    let close = masked(0x88, &1000_u16.to_be_bytes());
    let whole = masked(0x81, b"12345");
    let cases = [
        (
            [&*first, &next, &last, &close].concat(),
            &b"\x81\x03abc\x88\x02\x03\xe8"[..],
        ),
        ([&*first, &next, &next, &last].concat(), b"\x88\x02\x03\xf1"),
        ([&*whole, &close].concat(), b"\x81\x0512345\x88\x02\x03\xe8"),
        (masked(0x81, b"123456"), b"\x88\x02\x03\xf1"),
    ];
    let (_echo, addr) = echo(program, &["--max-fragments", "3", "--max-frame", "5"]);
    for (sent, expected) in cases {
        let head =
            format!("GET / HTTP/1.1\r\nHost: h\r\n{UPGRADE}Sec-WebSocket-Version: 13\r\n\r\n");
        let answer = exchange(addr, &[head.as_bytes(), &sent].concat());
        let head_len = answer.windows(4).position(|it| it == b"\r\n\r\n").unwrap() + 4;
        let frames = &answer[head_len..];
        assert_eq!(frames, expected, "{}", frames.escape_ascii());
    }
}

/// Proves that with --broadcast everybody hears everything, whatever their versions.
async fn a_broadcast_reaches_all(program: &str) {
    let (_echo, addr) = echo(program, &["--broadcast"]);
    let mut all = Vec::new();
    for version in VERSIONS {
        let mut connection = connect_in(addr, version).await;
        // A client is open before the server has it in its list: its own echo says that it has.
        connection.send("here").await.unwrap();
        recv(&mut connection).await.unwrap();
        all.push(connection);
    }
    all[1].send("to all").await.unwrap();
    for connection in &mut all {
        let mut heard = recv(connection).await.unwrap();
        for _ in 0..2 {
            if heard.as_text() == Some("here") {
                heard = recv(connection).await.unwrap();
            }
        }
        assert_eq!(heard.as_text(), Some("to all"));
    }
}

/// Proves that with --debug the server says what happens, and tells who is refused why.
async fn what_happens_is_said_if_asked(program: &str) {
    let (echo, addr) = echo(program, &["--debug", "--origin", "http://good.example"]);
    let line = echo.error_line();
    assert!(line.contains(&addr.to_string()), "{line}");
    let headers = format!("{UPGRADE}Sec-WebSocket-Version: 13\r\nOrigin: http://bad.example\r\n");
    let (_, body) = request(addr, "GET /", &headers);
    assert!(body.contains("bad.example"), "{body}");
}

/// Proves that --handshake-timeout, --keepalive-interval, --pong-timeout and --close-timeout are the
/// waits that they are named after: each is short where the defaults are 10 s and more (X11, X20).
async fn how_long_is_waited_is_an_option(program: &str) {
    const WAIT: Duration = Duration::from_millis(500);
    // What a busy machine may add; the next longer wait is 10 s.
    let is_it = |took: Duration| took >= WAIT / 2 && took < 10 * WAIT;
    let head = format!("GET / HTTP/1.1\r\nHost: h\r\n{UPGRADE}Sec-WebSocket-Version: 13\r\n\r\n");

    let (_echo, addr) = echo(program, &["--handshake-timeout", "0.5"]);
    let begin = Instant::now();
    let answer = exchange(addr, &head.as_bytes()[..20]);
    assert!(
        answer.starts_with(b"HTTP/1.1 408 "),
        "{}",
        answer.escape_ascii()
    );
    assert!(is_it(begin.elapsed()), "{:?}", begin.elapsed());

    // Nobody answers the ping. The two waits are told apart, as they could be exchanged.
    let (_echo, addr) = echo(
        program,
        &["--keepalive-interval", "0.05", "--pong-timeout", "0.5"],
    );
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n\x89\x04\0\0\0\x01") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
    let begin = Instant::now();
    seen.clear();
    stream.read_to_end(&mut seen).unwrap();
    assert!(seen.starts_with(b"\x88"), "{}", seen.escape_ascii());
    assert!(is_it(begin.elapsed()), "{:?}", begin.elapsed());

    // A frame that is not masked fails the connection. What comes behind it is drained, until the
    // server no longer waits for the end (R-X5).
    let (_echo, addr) = echo(program, &["--close-timeout", "0.5"]);
    let mut stream = TcpStream::connect(addr).unwrap();
    stream
        .write_all(&[head.as_bytes(), &[0x81, 0]].concat())
        .unwrap();
    let begin = Instant::now();
    while stream.write_all(&[0]).is_ok() {
        assert!(begin.elapsed() < PATIENCE, "the stream is still open");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(is_it(begin.elapsed()), "{:?}", begin.elapsed());
}

/// Proves that where threads are a matter of the environment, asking for them says so, and that no
/// threads at all are refused.
#[test]
fn threads_are_had_or_explained() {
    for (program, variable) in [
        (env!("CARGO_BIN_EXE_echo-smol"), "SMOL_THREADS=3"),
        (
            env!("CARGO_BIN_EXE_echo-async-std"),
            "ASYNC_STD_THREAD_COUNT=3",
        ),
    ] {
        let (echo, _) = echo(program, &["--threads", "3"]);
        let note = echo.error_line();
        assert!(note.starts_with("note: ") && note.ends_with(variable));
        let mut help = Program::start(program, &["--help"]);
        let (name, _) = variable.split_once('=').unwrap();
        while !help.line().contains(name) {}
        assert!(help.wait().success());
    }
    let mut none = Program::start(ON_TOKIO, &["--threads", "0"]);
    assert!(none.error_line().contains("--threads"));
    assert!(!none.wait().success());
}

/// Proves a session of the client: lines go out, come back, and it ends cleanly with its input.
#[test]
fn the_client_sends_lines_and_prints_messages() {
    let (_echo, addr) = echo(ON_TOKIO, &["--subprotocol", "lines"]);
    for (version, end) in [
        ("draft75", "ended: 1005, closed by us"),
        ("draft76", "ended: 1005, closed by us"),
        ("rfc6455", "ended: 1000, closed by us"),
    ] {
        let options = [
            "--version",
            version,
            "--subprotocol",
            "lines",
            "--header",
            "Cookie: a=b",
        ];
        let mut client = client(addr, &options);
        assert_eq!(
            client.error_line(),
            format!("connected: {version}, subprotocol lines")
        );
        client.write_line("h\u{e9}llo");
        assert_eq!(client.line(), "h\u{e9}llo");
        // What comes back after the close began is printed, too.
        client.write_line("");
        client.write_line("the last");
        client.end_input();
        assert_eq!(client.line(), "");
        assert_eq!(client.line(), "the last");
        assert_eq!(client.error_line(), end, "{version}");
        assert!(client.wait().success());
    }
}

/// Proves that the client sends much more than any queue holds, and gets it all back.
#[test]
fn the_client_sends_much() {
    let (_echo, addr) = echo(ON_TOKIO, &[]);
    for version in ["draft75", "draft76", "rfc6455"] {
        let mut client = client(addr, &["--version", version]);
        let line = "x".repeat(10_000);
        for _ in 0..1000 {
            client.write_line(&line);
        }
        client.end_input();
        for _ in 0..1000 {
            assert_eq!(client.line(), line);
        }
        assert!(client.wait().success(), "{version}");
    }
}

/// Proves that the client prints bytes in hexadecimal, and says how the server closed.
#[tokio::test]
async fn the_client_says_how_the_server_closed() {
    let (addr, _seen) = brief_server().await;
    let session = spawn_blocking(move || {
        let mut client = client(addr, &[]);
        assert_eq!(client.error_line(), "connected: rfc6455, no subprotocol");
        assert_eq!(client.line(), "binary 01ff");
        let end = "ended: 4000 \"enough\", closed by the peer";
        assert_eq!(client.error_line(), end);
        // Its input is still open.
        assert_eq!(client.wait().code(), Some(5));
    });
    session.await.unwrap();
}

/// Proves that the client does not end before its answer to the server's close is out.
#[tokio::test]
async fn the_client_answers_the_close_of_the_server() {
    let (addr, seen) = brief_server().await;
    let session = spawn_blocking(move || {
        let _client = client(addr, &[]);
        seen.recv_timeout(PATIENCE).unwrap()
    });
    let closed = session.await.unwrap();
    assert!(closed.clean, "{closed}");
}

/// A server that sends two bytes, closes, and tells here how its connections ended.
async fn brief_server() -> (SocketAddr, Receiver<Closed>) {
    let (tell, seen) = channel();
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let addr = server.local_addr();
    let handler = move |mut connection: Connection| {
        let tell = tell.clone();
        async move {
            connection.send([0x01, 0xff]).await.unwrap();
            let code = CloseCode::new(4000).unwrap();
            let closed = connection.close_with(code, "enough").await.unwrap();
            // The test may be over.
            let _ = tell.send(closed);
        }
    };
    tokio::spawn(async move { server.serve(handler).await });
    (addr, seen)
}

/// Proves that the client notices that the server died, says so, and fails.
#[test]
fn the_client_fails_when_the_server_dies() {
    let (echo, addr) = echo(ON_TOKIO, &[]);
    let mut client = client(addr, &[]);
    client.error_line();
    drop(echo);
    let end = "ended: 1006, the stream ended without a close";
    assert_eq!(client.error_line(), end);
    assert!(!client.wait().success());
}

/// Proves that a client that cannot connect says why, in one line, and fails.
#[test]
fn the_client_says_why_it_cannot_connect() {
    let (_echo, addr) = echo(ON_TOKIO, &["--origin", "http://good.example"]);
    let mut refused = client(addr, &["--origin", "http://bad.example"]);
    let line = refused.error_line();
    assert!(
        line.contains(&addr.to_string()) && line.contains("403"),
        "{line}"
    );
    assert!(!refused.wait().success());

    let mut unheard_of = client(addr, &["--header", "Upgrade: mine"]);
    let line = unheard_of.error_line();
    assert!(
        line.starts_with("error: ") && line.contains("Upgrade"),
        "{line}"
    );
    assert!(!unheard_of.wait().success());
}
