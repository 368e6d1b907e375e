//! The waits of a session of HTTP/2 (RFC 9113), whose frames are written here byte by byte.

use http_body_util::{BodyExt, Full};
use ws_driver::ServerBuilder;

use super::caller::{Caller, Layer};
use ws_testing::sim::peer::text;
use ws_testing::sim::{Server, Sim, echo, seconds};

/// Types of frames (RFC 9113 §6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

/// Flags of frames.
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `SETTINGS_INITIAL_WINDOW_SIZE` of zero, and of one byte.
const NO_WINDOW: [u8; 6] = [0, 4, 0, 0, 0, 0];
const SMALL_WINDOW: [u8; 6] = [0, 4, 0, 0, 0, 1];

/// A session whose client is played by a test.
struct Session {
    caller: Caller,
    /// What was received and is no whole frame yet.
    rest: Vec<u8>,
    /// Type, flags and stream of each frame that was received.
    received: Vec<(u8, u8, u32)>,
}

/// Whether a client answers what the protocol demands an answer to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answers {
    All,
    Nothing,
}

impl Session {
    async fn open(layer: &Layer, sim: &Sim, server: &Server, settings: &[u8]) -> Self {
        let mut caller = layer.connect(sim, server).await;
        caller.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        caller.write(&frame(SETTINGS, 0, 0, settings)).await;
        sim.settle().await;
        let mut session = Self {
            caller,
            rest: Vec::new(),
            received: Vec::new(),
        };
        session.turn(Answers::All).await;
        sim.settle().await;
        session
    }

    /// Reads, and answers SETTINGS and PING.
    async fn turn(&mut self, answers: Answers) {
        self.rest.extend(self.caller.read());
        while let Some((header, behind)) = self.rest.split_first_chunk::<9>() {
            let len = usize::from(header[1]) << 8 | usize::from(header[2]);
            let Some(payload) = behind.get(..len) else {
                break;
            };
            let (kind, flags) = (header[3], header[4]);
            let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
            let is_asked = matches!(kind, SETTINGS | PING) && flags & ACK == 0;
            let answer = match kind {
                PING => frame(PING, ACK, 0, payload),
                _ => frame(SETTINGS, ACK, 0, &[]),
            };
            self.rest.drain(..9 + len);
            self.received.push((kind, flags, stream));
            if is_asked && answers == Answers::All {
                self.caller.write(&answer).await;
            }
        }
    }

    /// Asks for a WebSocket in stream 1.
    async fn open_socket(&mut self, sim: &Sim) {
        let fields = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/"),
            ("sec-websocket-version", "13"),
        ];
        let head = frame(HEADERS, END_HEADERS, 1, &header_block(&fields));
        self.caller.write(&head).await;
        sim.settle().await;
        self.turn(Answers::All).await;
        assert!(self.received.contains(&(HEADERS, END_HEADERS, 1)));
    }

    /// Asks for a page in a stream, and returns after how many seconds the server resets it.
    async fn reset_after(&mut self, sim: &Sim, stream: u32) -> u64 {
        let fields = [
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/"),
        ];
        let flags = END_STREAM | END_HEADERS;
        let head = frame(HEADERS, flags, stream, &header_block(&fields));
        self.caller.write(&head).await;
        for passed in 0..120 {
            if self.received.contains(&(RST_STREAM, 0, stream)) {
                return passed;
            }
            sim.sleep(seconds(1)).await;
            sim.settle().await;
            self.turn(Answers::All).await;
        }
        panic!("not reset, having received {:?}", self.received);
    }

    fn has_received(&self, kind: u8) -> bool {
        self.received.iter().any(|received| received.0 == kind)
    }

    /// Returns after how many seconds the server drops its end.
    async fn gone_after(&mut self, sim: &Sim, answers: Answers) -> u64 {
        for passed in 0..120 {
            if self.caller.is_gone() {
                return passed;
            }
            self.turn(answers).await;
            sim.sleep(seconds(1)).await;
            sim.settle().await;
        }
        panic!("still here, having received {:?}", self.received);
    }
}

/// Makes a frame (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap();
    let mut frame = len.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Makes a field block of literal fields without an index (RFC 7541 §6.2.2).
fn header_block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for part in [name, value] {
            // Below 127, so the length is one byte.
            block.push(u8::try_from(part.len()).unwrap());
            block.extend(part.as_bytes());
        }
    }
    block
}

fn builder() -> ServerBuilder<Sim> {
    Server::builder().http2(true)
}

/// A session without a stream has the `handshake_timeout` for the next request. Then it is told (GOAWAY), and gone after
/// `GOAWAY_WAIT`, however lively it is.
#[test]
fn a_session_without_a_stream_is_gone_after_the_handshake_timeout() {
    for layer in Layer::all() {
        Sim::run(async |sim| {
            let server = layer.serve(&sim, builder(), echo).await;
            let mut session = Session::open(&layer, &sim, &server, &[]).await;
            let passed = session.gone_after(&sim, Answers::All).await;
            assert_eq!(passed, 11, "{}", layer.name());
            assert!(session.has_received(GOAWAY), "{}", layer.name());
        });
    }
}

/// A session whose client is silent loses its sockets after the `keepalive_interval` and the `pong_timeout`, and is then one
/// without a stream.
#[test]
fn a_silent_session_is_gone_after_its_sockets() {
    for layer in Layer::all() {
        Sim::run(async |sim| {
            let server = layer.serve(&sim, builder(), echo).await;
            let mut session = Session::open(&layer, &sim, &server, &[]).await;
            session.open_socket(&sim).await;
            let passed = session.gone_after(&sim, Answers::Nothing).await;
            assert_eq!(passed, 40 + 11, "{}", layer.name());
        });
    }
}

/// A session whose client takes no byte is gone after the `stall_timeout`, or half as much more.
#[test]
fn a_session_that_takes_nothing_is_gone_after_the_stall_timeout() {
    for layer in Layer::all() {
        Sim::run(async |sim| {
            let builder = builder().keepalive_interval(None);
            let server = layer.serve(&sim, builder, echo).await;
            let mut session = Session::open(&layer, &sim, &server, &[]).await;
            session.open_socket(&sim).await;
            session.caller.peer.link().to_near.capacity = 0;
            let message = frame(DATA, 0, 1, &text("hi"));
            session.caller.write(&message).await;
            let passed = session.gone_after(&sim, Answers::Nothing).await;
            let is_in_time = (60..=91).contains(&passed);
            assert!(is_in_time, "{}: {passed} s", layer.name());
        });
    }
}

/// A client that gives no window for the answer to a plain request has the `body_timeout`; then the request is reset, and
/// the session lives.
#[test]
fn an_answer_without_a_window_is_reset_after_the_body_timeout() {
    for layer in Layer::all() {
        Sim::run(async |sim| {
            let server = layer.serve(&sim, builder(), echo).await;
            let mut session = Session::open(&layer, &sim, &server, &NO_WINDOW).await;
            let passed = session.reset_after(&sim, 1).await;
            assert!((30..=61).contains(&passed), "{}: {passed} s", layer.name());
            assert!(!session.caller.is_gone(), "{}", layer.name());
        });
    }
}

/// A window of one byte lets hyper give an answer away, whose rest then waits in the session. The `body_timeout` holds for it, too,
/// while a socket keeps the session, and also if the end of the body is not known before it is there.
#[test]
fn the_last_piece_of_an_answer_is_reset_after_the_body_timeout() {
    for layer in Layer::all() {
        Sim::run(async |sim| {
            let builder = builder().keepalive_interval(None).stall_timeout(None);
            let builder = builder.on_request(|_| async {
                let body = Full::new(bytes::Bytes::from_static(b"an answer"));
                http::Response::new(body.with_trailers(async { None }))
            });
            let known = self::builder().keepalive_interval(None).stall_timeout(None);
            for builder in [known, builder] {
                let server = layer.serve(&sim, builder, echo).await;
                let mut session = Session::open(&layer, &sim, &server, &SMALL_WINDOW).await;
                session.open_socket(&sim).await;
                let passed = session.reset_after(&sim, 3).await;
                assert!((30..=61).contains(&passed), "{}: {passed} s", layer.name());
                assert!(!session.caller.is_gone(), "{}", layer.name());
            }
        });
    }
}
