//! The server on the simulated runtime: what its observers see, how upgrades are decided and plain HTTP
//! is answered, its deadlines and limits, its registry, and how it stops.
#![allow(
    clippy::unwrap_used,
    reason = "clippy spares tests, but not their helpers"
)]

mod support;

use std::future::{Future, pending};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use support::peer::{
    ACCEPT_76, DRAFT75, DRAFT76, KEY3, OK_6455, RFC6455, close, frames, masked, text,
};
use support::{ANY, Peer, Server, Sim, echo, seconds, serve};
use ws_driver::ws_proto::{ClientConfig, CloseCode, Closed, State, Version};
use ws_driver::{
    ClientError, Connection, ConnectionId, ConnectionInfo, Observer, Rejected, RequestBody,
    ShutdownReport, Upgrade,
};

const PLAIN: &str = "GET /page HTTP/1.1\r\nHost: example.com\r\n\r\n";

/// Answers plain requests with what they asked for.
async fn page(request: Request<RequestBody>) -> Response<String> {
    Response::new(format!("you asked for {}", request.uri()))
}

/// Bytes as text that can be compared and read, less the one line of an answer that changes.
fn shown(bytes: &[u8]) -> String {
    let text = bytes.escape_ascii().to_string();
    match text.split_once("Date: ") {
        Some((before, after)) => {
            let (_, after) = after.split_once(r"\r\n").unwrap();
            format!("{before}{after}")
        }
        None => text,
    }
}

/// Runs a future as a task and returns where its result will be.
fn spawned<T: Send + 'static>(
    sim: &Sim,
    future: impl Future<Output = T> + Send + 'static,
) -> Arc<Mutex<Option<T>>> {
    let slot = Arc::new(Mutex::new(None));
    let result = Arc::clone(&slot);
    sim.spawn_task(async move {
        let output = future.await;
        *result.lock().unwrap() = Some(output);
    });
    slot
}

fn taken<T>(slot: &Mutex<Option<T>>) -> Option<T> {
    slot.lock().unwrap().take()
}

/// Writes down what it is told.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn version(info: &ConnectionInfo) -> &'static str {
    info.version.map_or("?", Version::as_str)
}

impl Observer for Log {
    fn listening(&self, addr: std::net::SocketAddr) {
        self.add(format!("listening {}", addr.ip()));
    }

    fn stream(&self, info: &ConnectionInfo) {
        assert!(info.peer_addr.is_some());
        self.add(format!("stream {}", version(info)));
    }

    fn connection(&self, info: &ConnectionInfo) {
        self.add(format!("connection {}", version(info)));
    }

    fn request(&self, _: &ConnectionInfo, head: &http::request::Parts) {
        self.add(format!("request {} {}", head.method, head.uri));
    }

    fn state_change(&self, _: &ConnectionInfo, state: State, previous: State) {
        self.add(format!("{previous} -> {state}"));
    }

    fn rejected(&self, info: &ConnectionInfo, reason: &Rejected) {
        self.add(format!("rejected {}: {reason}", version(info)));
    }

    fn close(&self, info: &ConnectionInfo, closed: &Closed) {
        self.add(format!("close {}: {closed}", version(info)));
    }

    fn shutdown(&self, error: Option<&io::Error>) {
        self.add(format!("shutdown {error:?}"));
    }
}

// Observers.

/// An observer is told of everything that happens to a connection, in order, in each version.
#[test]
fn an_observer_sees_the_life_of_a_connection() {
    Sim::run(async |sim| {
        let log = Log::default();
        let server = Server::builder().observer(log.clone());
        let server = server.bind(ANY).await.unwrap();
        assert_eq!(log.take(), ["listening 127.0.0.1"]);
        serve(&sim, &server, echo);

        let mut peer = Peer::open(&sim, server.local_addr()).await;
        assert_eq!(
            log.take(),
            [
                "stream ?",
                "unknown -> opening",
                "opening -> handshaking",
                "handshaking -> connected",
                "connection rfc6455",
            ]
        );
        peer.ask(text("hi")).await;
        assert_eq!(log.take(), [""; 0]);
        peer.ask(close(4000)).await;
        peer.end().await;
        sim.settle().await;
        assert_eq!(
            log.take(),
            [
                "connected -> closing",
                "closing -> closed",
                "close rfc6455: 4000, closed by the peer",
            ]
        );

        let mut peer = Peer::connect(&sim, server.local_addr());
        peer.ask(DRAFT76).await;
        assert_eq!(
            log.take(),
            [
                "stream ?",
                "unknown -> opening",
                "opening -> handshaking",
                "handshaking -> waiting"
            ]
        );
        assert_eq!(peer.ask(KEY3).await, ACCEPT_76);
        assert_eq!(log.take(), ["waiting -> connected", "connection draft76"]);
        peer.link().reset();
        sim.settle().await;
        assert_eq!(
            log.take(),
            [
                "connected -> closed",
                "close draft76: 1006, the stream ended without a close",
            ]
        );

        let peer = Peer::open_75(&sim, server.local_addr()).await;
        drop(peer);
        sim.settle().await;
        let lines = log.take();
        assert_eq!(lines[4], "connection draft75");
        assert_eq!(
            lines.last().unwrap(),
            "close draft75: 1005, closed by the peer"
        );
    });
}

/// A refused upgrade is told once, with its reason, and then as closed; it never was a connection.
#[test]
fn an_observer_sees_a_rejection_and_then_a_close() {
    Sim::run(async |sim| {
        let log = Log::default();
        let server = Server::builder()
            .observer(log.clone())
            .on_upgrade(|upgrade: Upgrade| async move { upgrade.reject(401) });
        let server = server.bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        log.take();
        for (request, reason) in [
            (
                RFC6455.to_owned(),
                "rejected rfc6455: on_upgrade answered 401 Unauthorized",
            ),
            (
                RFC6455.replace("Version: 13", "Version: 12"),
                "rejected ?: ",
            ),
        ] {
            let mut peer = Peer::connect(&sim, server.local_addr());
            peer.ask(request).await;
            assert!(peer.has_ended());
            drop(peer);
            sim.settle().await;
            let lines = log.take();
            assert_eq!(lines[0], "stream ?");
            let told = lines.iter().filter(|line| line.starts_with("rejected "));
            assert_eq!(told.count(), 1);
            assert!(
                lines.iter().any(|line| line.starts_with(reason)),
                "{lines:?}"
            );
            let [.., state, close] = &lines[..] else {
                panic!("{lines:?}")
            };
            assert!(state.ends_with(" -> closed"), "{lines:?}");
            assert!(
                close.starts_with("close ") && close.contains("rejected"),
                "{lines:?}"
            );
        }
    });
}

// Upgrades.

/// What `on_upgrade` finds out reaches the handler, and its headers and subprotocol reach the peer.
#[test]
fn on_upgrade_accepts_with_headers_a_subprotocol_and_an_extension() {
    #[derive(Clone)]
    struct User(String);

    Sim::run(async |sim| {
        let clock = sim.clone();
        let server = Server::builder()
            .subprotocols(["first", "second"])
            .on_upgrade(move |upgrade: Upgrade| {
                let clock = clock.clone();
                async move {
                    clock.sleep(seconds(1)).await;
                    assert_eq!(upgrade.path(), "/chat");
                    assert_eq!(upgrade.subprotocol(), Some("first"));
                    let user = upgrade.header("cookie").unwrap().to_owned();
                    let answer = upgrade.accept().header("Set-Cookie", "seen=1");
                    answer.subprotocol("second").extension(User(user))
                }
            });
        let server = server.bind(ANY).await.unwrap();
        serve(&sim, &server, |connection| async move {
            let User(user) = connection.extensions().get().unwrap();
            let subprotocol = connection.subprotocol().unwrap();
            let path = connection.request().unwrap().path();
            let greeting = format!("{user} {subprotocol} {path}");
            connection.send(greeting).await.unwrap();
            pending().await
        });
        let request = RFC6455.replace(
            "Origin",
            "Cookie: ann\r\nSec-WebSocket-Protocol: second, first\r\nOrigin",
        );
        let mut peer = Peer::connect(&sim, server.local_addr());
        assert_eq!(peer.ask(request).await, b"");
        sim.sleep(seconds(1)).await;
        let answer = String::from_utf8_lossy(&peer.read()).into_owned();
        assert!(answer.contains("\r\nSec-WebSocket-Protocol: second\r\n"));
        assert!(answer.contains("\r\nSet-Cookie: seen=1\r\n"), "{answer}");
        assert!(
            answer.ends_with("\r\n\r\n\u{fffd}\u{10}ann second /chat"),
            "{answer:?}"
        );
    });
}

/// A rejection has the status, headers and body that `on_upgrade` gave it; no handler is called. An
/// answer that cannot be sent makes it a 500.
#[test]
fn on_upgrade_rejects_with_status_headers_and_body() {
    Sim::run(async |sim| {
        let server = Server::builder().on_upgrade(|upgrade: Upgrade| async move {
            match upgrade.path() {
                "/moved" => upgrade.reject(302).header("Location", "/there"),
                "/odd" => upgrade.accept().header("Connection", "close"),
                "/unoffered" => upgrade.accept().subprotocol("unoffered"),
                _ => upgrade.reject(403).body("no entry\n"),
            }
        });
        let server = server.bind(ANY).await.unwrap();
        serve(&sim, &server, |_| async { panic!("a handler was called") });
        for (path, starts, contains) in [
            ("/", "HTTP/1.1 403 Forbidden\r\n", "\r\n\r\nno entry\n"),
            (
                "/moved",
                "HTTP/1.1 302 Found\r\n",
                "\r\nLocation: /there\r\n",
            ),
            ("/odd", "HTTP/1.1 500 Internal Server Error\r\n", ""),
            ("/unoffered", "HTTP/1.1 500 Internal Server Error\r\n", ""),
        ] {
            let mut peer = Peer::connect(&sim, server.local_addr());
            let answer = peer.ask(RFC6455.replace("/chat?room=1", path)).await;
            let answer = String::from_utf8(answer).unwrap();
            assert!(answer.starts_with(starts), "{answer}");
            assert!(answer.contains(contains), "{answer}");
            assert!(peer.has_ended());
        }
        assert_eq!(server.clients().len(), 0);
    });
}

/// The handshake deadline holds for `on_upgrade`, too: the peer gets an answer, and the future is
/// dropped.
#[test]
fn an_on_upgrade_that_takes_too_long_ends_with_the_handshake_deadline() {
    Sim::run(async |sim| {
        let held = Arc::new(());
        let hold = Arc::clone(&held);
        let server = Server::builder().on_upgrade(move |upgrade: Upgrade| {
            let hold = Arc::clone(&hold);
            async move {
                pending::<()>().await;
                drop(hold);
                upgrade.accept()
            }
        });
        let server = server.bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        for before in [None, Some(PLAIN)] {
            let mut peer = Peer::connect(&sim, server.local_addr());
            if let Some(before) = before {
                peer.ask(before).await;
            }
            assert_eq!(peer.ask(RFC6455).await, b"");
            assert_eq!(Arc::strong_count(&held), 3);
            sim.sleep(Duration::from_millis(9999)).await;
            assert_eq!(peer.read(), b"");
            sim.sleep(Duration::from_millis(1)).await;
            let answer = peer.read();
            assert!(
                answer.starts_with(b"HTTP/1.1 503 Service Unavailable\r\n"),
                "{} after {before:?}",
                answer.escape_ascii()
            );
            assert_eq!(Arc::strong_count(&held), 2);
            assert!(peer.has_ended());
        }
    });
}

/// A peer that goes while `on_upgrade` decides ends the wait: the future is dropped.
#[test]
fn a_peer_that_goes_while_on_upgrade_decides_is_let_go() {
    Sim::run(async |sim| {
        let server =
            Server::builder()
                .handshake_timeout(None)
                .on_upgrade(|upgrade: Upgrade| async move {
                    pending::<()>().await;
                    upgrade.accept()
                });
        let server = server.bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let mut peer = Peer::connect(&sim, server.local_addr());
        peer.ask(RFC6455).await;
        assert_eq!(sim.live_tasks(), 2);
        drop(peer);
        sim.settle().await;
        assert_eq!(sim.live_tasks(), 1);
    });
}

/// The opening handshake is over after 10 s, whatever is missing: all of it, half a head, key3, the
/// body that declares key3; and also if a byte comes now and then.
#[test]
fn the_opening_handshake_has_a_deadline() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let with_length = DRAFT76.replace("Origin", "Content-Length: 8\r\nOrigin");
        let plain_first = format!("{PLAIN}{with_length}");
        for (name, request) in [
            ("nothing", ""),
            ("half a head", &RFC6455[..50]),
            ("draft-76 without key3", DRAFT76),
            ("draft-76 without its body", &with_length),
            ("draft-76 without its body, later", &plain_first),
        ] {
            let mut peer = Peer::connect(&sim, server.local_addr());
            peer.ask(request).await;
            for _ in 0..9 {
                sim.sleep(seconds(1)).await;
                if name == "half a head" {
                    peer.write(b"a").await;
                }
                assert!(!peer.has_ended(), "{name}");
            }
            sim.sleep(seconds(1)).await;
            peer.read();
            assert!(peer.has_ended(), "{name}");
            drop(peer);
            sim.settle().await;
            assert_eq!(sim.live_tasks(), 1, "{name}");
        }
    });
}

// Keepalive.

/// A peer that has vanished is gone after 40 s, its stream and its id with it. One that answers stays.
#[test]
fn a_vanished_peer_is_gone_after_40_seconds() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        let ended = Arc::new(Mutex::new(0));
        let (count, start) = (Arc::clone(&ended), sim.now());
        serve(&sim, &server, move |connection| {
            let count = Arc::clone(&count);
            async move {
                echo(connection).await;
                *count.lock().unwrap() += 1;
            }
        });
        let mut here = Peer::open(&sim, server.local_addr()).await;
        let gone = Peer::open(&sim, server.local_addr()).await;
        gone.link().vanish();
        for time in [20, 40, 50] {
            sim.sleep((start + seconds(time)) - sim.now()).await;
            assert_eq!(*ended.lock().unwrap(), i32::from(time >= 40), "at {time} s");
            assert_eq!(server.clients().len(), if time < 40 { 2 } else { 1 });
            here.ask(masked(0x8a, b"")).await;
        }
        assert_eq!(
            frames(&here.ask(text("hi")).await),
            [(0x81, b"hi".to_vec())]
        );
    });
}

// Plain HTTP.

/// Plain requests are answered by `on_request`, many on one stream, and the observer is told; none of
/// them is a client.
#[test]
fn plain_requests_are_answered_one_after_another() {
    Sim::run(async |sim| {
        let log = Log::default();
        let server = Server::builder().on_request(page).observer(log.clone());
        let server = server.bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let mut peer = Peer::connect(&sim, server.local_addr());
        for i in 0..3 {
            let answer = peer.ask(PLAIN.replace("page", &i.to_string())).await;
            assert_eq!(
                shown(&answer),
                format!(r"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\nyou asked for /{i}")
            );
        }
        let requests = log
            .take()
            .into_iter()
            .filter(|line| line.starts_with("request"));
        assert_eq!(
            requests.collect::<Vec<_>>(),
            ["request GET /0", "request GET /1", "request GET /2"]
        );
        assert_eq!(server.clients().len(), 0);
        sim.sleep(seconds(10)).await;
        assert!(peer.has_ended(), "an idle stream is not kept for ever");
    });
}

/// Without `on_request` the answer is 426 with a body for people, and the stream stays of use.
#[test]
fn plain_requests_get_a_426_if_nobody_answers_them() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let mut peer = Peer::connect(&sim, server.local_addr());
        for _ in 0..2 {
            let answer = shown(&peer.ask(PLAIN).await);
            assert!(answer.starts_with(
                r"HTTP/1.1 426 Upgrade Required\r\nContent-Type: text/plain; charset=utf-8\r\nUpgrade: websocket\r\n"
            ));
            assert!(answer.contains(r"\r\n\r\n426 Upgrade Required\n\nThis is a WebSocket server"));
        }
        let answer = peer.ask(RFC6455).await;
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", shown(&answer));
    });
}

/// A request for an upgrade that comes later on a stream that was kept alive is answered as if it came
/// first, in each version; only the case of some names differs, and a date is added, neither of which a
/// client looks at. Draft-75 demands the first 85 bytes as they are.
#[test]
fn an_upgrade_later_on_a_kept_alive_stream_works_in_every_version() {
    Sim::run(async |sim| {
        let server = Server::builder().on_request(page);
        let server = server.bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let answer_76 = r"HTTP/1.1 101 WebSocket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-Websocket-Origin: http://example.com\r\nSec-Websocket-Location: ws://example.com/demo\r\n\r\n";
        let accepted = format!("{answer_76}{}", ACCEPT_76.escape_ascii());
        let whole_76 = [DRAFT76.as_bytes(), KEY3].concat();
        let with_length = DRAFT76.replace("Origin", "Content-Length: 8\r\nOrigin");
        let with_length = [with_length.as_bytes(), KEY3].concat();
        let answer_75 = r"HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nWebsocket-Origin: http://example.com\r\nWebsocket-Location: ws://example.com/demo\r\n\r\n";
        let answer_6455 = OK_6455.replace("WebSocket", "Websocket");
        let answer_6455 = answer_6455.as_bytes().escape_ascii().to_string();
        let cases: [(&str, &[u8], &[u8], String); 6] = [
            ("RFC 6455", RFC6455.as_bytes(), b"", answer_6455),
            ("draft-75", DRAFT75.as_bytes(), b"", answer_75.to_owned()),
            ("draft-76, key3 at once", &whole_76, b"", accepted.clone()),
            (
                "draft-76, key3 later",
                DRAFT76.as_bytes(),
                KEY3,
                accepted.clone(),
            ),
            (
                "draft-76, key3 declared",
                &with_length,
                b"",
                accepted.clone(),
            ),
            (
                "draft-76, key3 a second later",
                DRAFT76.as_bytes(),
                KEY3,
                accepted,
            ),
        ];
        for (name, request, then, expected) in cases {
            for is_pipelined in [false, true] {
                let mut peer = Peer::connect(&sim, server.local_addr());
                let mut answer = match is_pipelined {
                    false => {
                        peer.ask(PLAIN).await;
                        peer.ask(request).await
                    }
                    true => {
                        let both = peer.ask([PLAIN.as_bytes(), request].concat()).await;
                        let start = both.windows(13).position(|part| part == b"HTTP/1.1 101 ");
                        both[start.unwrap()..].to_vec()
                    }
                };
                if name.ends_with("a second later") {
                    sim.sleep(seconds(1)).await;
                }
                answer.extend(peer.ask(then).await);
                assert_eq!(shown(&answer), expected, "{name}");
                let (message, echo): (_, &[u8]) = match name {
                    "RFC 6455" => (text("hi"), b"\x81\x02hi"),
                    _ => (b"\0hi\xff".to_vec(), b"\0hi\xff"),
                };
                assert_eq!(peer.ask(message).await, echo, "{name}");
            }
        }
        let mut peer = Peer::connect(&sim, server.local_addr());
        peer.ask(PLAIN).await;
        let answer = peer.ask(DRAFT75).await;
        assert_eq!(
            answer[..85].escape_ascii().to_string(),
            r"HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
        );
    });
}

/// An upgrade that is refused later on a kept-alive stream gets the same answer as a first one, and the
/// stream ends.
#[test]
fn an_upgrade_that_is_refused_later_ends_the_stream() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let request = RFC6455.replace("Version: 13", "Version: 12");
        let mut first = Peer::connect(&sim, server.local_addr());
        let expected = shown(&first.ask(&request).await).replace("Sec-WebSocket", "Sec-Websocket");
        let mut peer = Peer::connect(&sim, server.local_addr());
        peer.ask(PLAIN).await;
        assert_eq!(shown(&peer.ask(&request).await), expected);
        assert!(expected.starts_with("HTTP/1.1 426 "));
        assert!(peer.has_ended());
    });
}

// Stopping.

/// `shutdown` tells every version in its way, counts who closed in time, drops who did not with its
/// handler, ends plain HTTP, and `serve` returns; no task is left.
#[test]
fn shutdown_closes_every_connection_and_reports() {
    Sim::run(async |sim| {
        let log = Log::default();
        let server = Server::builder().on_request(page).observer(log.clone());
        let server = server.bind(ANY).await.unwrap();
        let held = Arc::new(());
        let hold = Arc::clone(&held);
        let served = spawned(&sim, {
            let server = server.clone();
            async move {
                let handler = move |connection: Connection| {
                    let hold = Arc::clone(&hold);
                    async move {
                        echo(connection).await;
                        drop(hold);
                    }
                };
                server.serve(handler).await
            }
        });
        let addr = server.local_addr();
        let mut peer = Peer::open(&sim, addr).await;
        let mut peer_76 = Peer::open_76(&sim, addr).await;
        let mut peer_75 = Peer::open_75(&sim, addr).await;
        let vanished = Peer::open(&sim, addr).await;
        vanished.link().vanish();
        let mut plain = Peer::connect(&sim, addr);
        plain.ask(PLAIN).await;
        let mut opening = Peer::connect(&sim, addr);
        opening.ask(&RFC6455[..50]).await;

        let report = spawned(&sim, {
            let server = server.clone();
            async move { server.shutdown(seconds(5)).await }
        });
        sim.settle().await;
        assert!(taken(&served).unwrap().is_ok());
        assert_eq!(
            frames(&peer.read()),
            [(0x88, 1001u16.to_be_bytes().to_vec())]
        );
        assert_eq!(peer_76.read(), b"\xff\0");
        assert_eq!(peer_75.read(), b"");
        assert!(peer_75.has_ended() && plain.has_ended() && opening.has_ended());
        assert!(!peer.has_ended() && !peer_76.has_ended());
        peer.write(&close(1001)).await;
        peer_76.write(b"\xff\0").await;
        for peer in [&mut peer, &mut peer_76, &mut peer_75] {
            peer.end().await;
        }
        sim.sleep(Duration::from_millis(4999)).await;
        assert_eq!(taken(&report), None);
        assert_eq!(server.clients().len(), 1);
        sim.sleep(Duration::from_millis(1)).await;
        let ShutdownReport {
            closed, aborted, ..
        } = taken(&report).unwrap();
        assert_eq!((closed, aborted), (3, 1));
        assert_eq!(server.clients().len(), 0);
        assert_eq!(sim.live_tasks(), 0);
        // The server is dropped without the handlers: this one and that of `serve` are left.
        assert_eq!(Arc::strong_count(&held), 1);
        let lines = log.take();
        let told = |start: &str| lines.iter().filter(|line| line.starts_with(start)).count();
        assert_eq!((told("shutdown None"), told("close ")), (1, 4), "{lines:?}");
    });
}

/// `shutdown` returns at once if all have gone, and its end is the end of everything: of an answer to a
/// plain request and of an `on_upgrade` that take for ever, too.
#[test]
fn shutdown_ends_what_takes_for_ever() {
    Sim::run(async |sim| {
        let server = Server::builder()
            .on_request(|_| async {
                pending::<()>().await;
                Response::new(String::new())
            })
            .on_upgrade(|upgrade: Upgrade| async move {
                pending::<()>().await;
                upgrade.accept()
            });
        let server = server.handshake_timeout(None).bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let mut plain = Peer::connect(&sim, server.local_addr());
        plain.ask(PLAIN).await;
        let mut opening = Peer::connect(&sim, server.local_addr());
        opening.ask(RFC6455).await;
        let start = sim.now();
        server.shutdown(seconds(5)).await;
        sim.settle().await;
        assert_eq!(sim.now() - start, seconds(5));
        assert!(plain.has_ended() && opening.has_ended());
        assert_eq!(sim.live_tasks(), 0);

        let report = server.shutdown(seconds(5)).await;
        assert_eq!(report, ShutdownReport::default());
        assert_eq!(sim.now() - start, seconds(5));
    });
}

/// `close` stops accepting, and what is open goes on; the last to go leaves no task behind.
#[test]
fn close_stops_accepting_and_open_connections_go_on() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let mut peer = Peer::open(&sim, server.local_addr()).await;
        server.close();
        sim.settle().await;
        assert_eq!(sim.live_tasks(), 1, "that of the connection");
        let mut late = Peer::connect(&sim, server.local_addr());
        assert_eq!(late.ask(RFC6455).await, b"");
        assert_eq!(
            frames(&peer.ask(text("hi")).await),
            [(0x81, b"hi".to_vec())]
        );
        assert_eq!(server.broadcast("all"), 1);
        drop((server, late));
        sim.settle().await;
        assert_eq!(frames(&peer.read()), [(0x81, b"all".to_vec())]);
        drop(peer);
        sim.settle().await;
        assert_eq!(sim.live_tasks(), 0);
    });
}

/// A handshake that is under way when `accept` says that there are no more ends in a connection that is
/// closed with 1001: nobody would ever take it. Breaks if it waits in the queue for ever.
#[test]
fn a_connection_that_opens_after_the_last_accept_is_closed() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        let acceptor = server.clone();
        let accepted = spawned(
            &sim,
            async move { acceptor.accept().await.unwrap().is_some() },
        );
        let mut peer = Peer::connect(&sim, server.local_addr());
        let (first, last) = RFC6455.as_bytes().split_at(50);
        peer.ask(first).await;
        server.close();
        sim.settle().await;
        assert_eq!(taken(&accepted), Some(false));
        let answer = peer.ask(last).await;
        let going_away = [OK_6455.as_bytes(), b"\x88\x02\x03\xe9"].concat();
        assert_eq!(answer, going_away);
        peer.ask(close(1001)).await;
        peer.end().await;
        sim.settle().await;
        assert_eq!((server.clients().len(), sim.live_tasks()), (0, 0));
    });
}

/// A `serve` that is dropped loses no stream: what arrived meanwhile is there for the next.
#[test]
fn serve_can_be_dropped_and_called_again() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        let mut old = Peer::connect(&sim, server.local_addr());
        let serving = sim.within(seconds(1), server.serve(echo)).await;
        assert!(serving.is_none());
        let answer = old.ask(RFC6455).await;
        assert_eq!(answer, OK_6455.as_bytes());
        let mut new = Peer::connect(&sim, server.local_addr());
        assert_eq!(new.ask(RFC6455).await, b"", "nobody accepts");
        serve(&sim, &server, echo);
        sim.settle().await;
        assert_eq!(new.read(), OK_6455.as_bytes());
        assert_eq!(frames(&old.ask(text("hi")).await), [(0x81, b"hi".to_vec())]);
    });
}

/// Errors of one stream and lack of file descriptors do not end `serve`; an error of the listener does,
/// and the observer is told.
#[test]
fn serve_outlives_what_passes() {
    Sim::run(async |sim| {
        let log = Log::default();
        let server = Server::builder().observer(log.clone());
        let server = server.bind(ANY).await.unwrap();
        let addr = server.local_addr();
        let served = spawned(&sim, {
            let server = server.clone();
            async move { server.serve(echo).await }
        });
        sim.fail_accept(addr, io::ErrorKind::ConnectionAborted.into());
        Peer::open(&sim, addr).await;
        sim.fail_accept(addr, io::Error::from_raw_os_error(24));
        let mut peer = Peer::connect(&sim, addr);
        assert_eq!(peer.ask(RFC6455).await, b"", "there is a pause");
        sim.sleep(Duration::from_millis(100)).await;
        assert_eq!(peer.read(), OK_6455.as_bytes());
        assert!(taken(&served).is_none());
        log.take();
        sim.fail_accept(addr, io::ErrorKind::InvalidInput.into());
        sim.settle().await;
        let error = taken(&served).unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(log.take(), ["shutdown Some(Kind(InvalidInput))"]);
    });
}

// Limits and the registry.

/// At the connection limit no stream is accepted until one has gone.
#[test]
fn at_the_connection_limit_streams_wait() {
    Sim::run(async |sim| {
        let server = Server::builder().connection_limit(2);
        let server = server.bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let addr = server.local_addr();
        let first = Peer::open(&sim, addr).await;
        let opening = Peer::connect(&sim, addr);
        sim.settle().await;
        let mut third = Peer::connect(&sim, addr);
        assert_eq!(third.ask(RFC6455).await, b"");
        assert_eq!(server.clients().len(), 1);
        drop(first);
        sim.settle().await;
        assert_eq!(third.read(), OK_6455.as_bytes());
        let mut fourth = Peer::connect(&sim, addr);
        assert_eq!(fourth.ask(RFC6455).await, b"");
        drop(opening);
        sim.settle().await;
        assert_eq!(fourth.read(), OK_6455.as_bytes());
        assert_eq!(server.clients().len(), 2);
    });
}

/// An id names one connection for ever: what has gone is not reached, though its place is taken.
#[test]
fn an_id_is_never_used_again() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let mut seen: Vec<ConnectionId> = Vec::new();
        for _ in 0..20 {
            let peer = Peer::open(&sim, server.local_addr()).await;
            let id = server.clients().iter().next().unwrap().id();
            assert!(!seen.contains(&id));
            assert_eq!(id.to_string().parse(), Ok(id));
            for old in &seen {
                let error = server.send(*old, "lost").unwrap_err();
                assert_eq!(error, ClientError::NoSuchClient { id: *old });
            }
            server.send(id, "found").unwrap();
            sim.settle().await;
            assert_eq!(frames(&peer.read()), [(0x81, b"found".to_vec())]);
            seen.push(id);
            drop(peer);
            sim.settle().await;
        }
    });
}

/// The registry knows who is open, reaches one, all, or all but one, in each version, and counts right.
#[test]
fn the_registry_reaches_one_all_and_all_but_one() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let clients = server.clients();
        assert!(clients.is_empty());
        let addr = server.local_addr();
        let peer = Peer::open(&sim, addr).await;
        let peer_76 = Peer::open_76(&sim, addr).await;
        let peer_75 = Peer::open_75(&sim, addr).await;
        let _opening = Peer::connect(&sim, addr);
        sim.settle().await;
        assert_eq!(clients.len(), 3);
        let versions: Vec<_> = clients.iter().map(|sender| sender.version()).collect();
        assert_eq!(
            versions,
            [Version::Rfc6455, Version::Draft76, Version::Draft75]
        );
        let ids: Vec<_> = clients.iter().map(|sender| sender.id()).collect();
        assert_eq!(clients.get(ids[1]).unwrap().version(), Version::Draft76);

        let read = async || {
            sim.settle().await;
            [&peer, &peer_76, &peer_75].map(|peer| peer.read().escape_ascii().to_string())
        };
        clients.send(ids[2], "one").unwrap();
        assert_eq!(read().await, ["", "", r"\x00one\xff"]);
        assert_eq!(clients.broadcast("all"), 3);
        assert_eq!(
            read().await,
            [r"\x81\x03all", r"\x00all\xff", r"\x00all\xff"]
        );
        assert_eq!(clients.broadcast_except(ids[0], "some"), 2);
        assert_eq!(read().await, ["", r"\x00some\xff", r"\x00some\xff"]);
        assert_eq!(clients.broadcast(b"binary"), 1, "the drafts have none");
        assert_eq!(read().await, [r"\x82\x06binary", "", ""]);

        drop(peer_76);
        sim.settle().await;
        assert_eq!(clients.len(), 2);
        assert!(clients.get(ids[1]).is_none());
        let closing = clients.get(ids[0]).unwrap();
        closing.close(CloseCode::NORMAL, "").unwrap();
        assert_eq!(clients.broadcast("late"), 1, "one is closing");
    });
}

/// Server, peers and handles dropped in any order leave no task behind.
#[test]
fn nothing_leaks_a_task() {
    Sim::run(async |sim| {
        for order in 0..3 {
            let server = Server::builder().on_request(page);
            let server = server.bind(ANY).await.unwrap();
            serve(&sim, &server, echo);
            let addr = server.local_addr();
            let mut plain = Peer::connect(&sim, addr);
            plain.ask(PLAIN).await;
            let peers = [
                Peer::open(&sim, addr).await,
                Peer::open_76(&sim, addr).await,
                Peer::open_75(&sim, addr).await,
                plain,
            ];
            let senders: Vec<_> = server.clients().iter().collect();
            assert_eq!(sim.live_tasks(), 5);
            match order {
                0 => {
                    drop(peers);
                    sim.settle().await;
                    server.close();
                    drop(server);
                }
                1 => {
                    server.close();
                    drop(server);
                    sim.settle().await;
                    drop(peers);
                }
                _ => {
                    for peer in &peers {
                        peer.link().reset();
                    }
                    server.shutdown(Duration::ZERO).await;
                }
            }
            sim.settle().await;
            assert_eq!(sim.live_tasks(), 0, "in order {order}");
            assert!(senders.iter().all(|sender| sender.closed().is_some()));
        }
    });
}

/// A client on the same runtime: it opens a connection in each version, and its driver is one task.
#[test]
fn a_client_speaks_every_version() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        for version in Version::ALL {
            let url = format!("ws://{}/demo", server.local_addr());
            let config = ClientConfig::new().version(version);
            let before = sim.spawned();
            let mut connection = ws_driver::connect_with::<Sim>(&url, &config).await.unwrap();
            connection.send("hi").await.unwrap();
            let message = sim.within(seconds(1), connection.recv()).await.unwrap();
            assert_eq!(message.unwrap().as_text(), Some("hi"));
            assert_eq!(sim.spawned() - before, 2, "one on each side");
            let closed = sim.within(seconds(1), connection.close()).await.unwrap();
            assert_eq!(closed.clean, version != Version::Draft75);
            sim.settle().await;
            assert_eq!(server.clients().len(), 0);
            assert_eq!(sim.live_tasks(), 1);
        }
    });
}

/// Without the feature `rustls` a client does not go to a URL `wss` at all, and says so; a stream that it is
/// given for one is taken for one that is secured already.
#[cfg(not(feature = "rustls"))]
#[test]
fn a_client_without_tls_says_so() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let (host, port) = ("127.0.0.1", server.local_addr().port());
        let url = format!("wss://{host}:{port}/demo");
        let error = ws_driver::connect::<Sim>(&url).await.unwrap_err();
        assert!(
            matches!(error, ws_driver::ConnectError::TlsUnsupported),
            "{error:?}"
        );
        assert!(error.to_string().contains("TLS, which is not built in"));
        sim.settle().await;
        assert_eq!(server.counters().opening, 0);
        let (stream, _) = ws_driver::Runtime::connect(&sim, host, port).await.unwrap();
        let config = ClientConfig::new();
        let opened = ws_driver::connect_over::<Sim, _>(stream, &url, &config).await;
        assert!(opened.unwrap().tls().is_none());
    });
}
