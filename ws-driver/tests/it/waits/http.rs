//! The waits of plain HTTP on the port of a server.

use std::cell::Cell;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use ws_driver::{RequestBody, ServerBuilder};

use super::caller::{Caller, Layer, nothing};
use ws_testing::sim::peer::DRAFT76;
use ws_testing::sim::{Server, Sim, echo, seconds};

const PLAIN: &str = "GET /page HTTP/1.1\r\nHost: example.com\r\n\r\n";

/// A request whose answer leaves the stream to be closed.
const LAST: &str = "GET /page HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n";

/// A server with a page of so many bytes.
fn page(len: usize) -> ServerBuilder<Sim> {
    Server::builder()
        .on_request(move |_: Request<RequestBody>| async move { Response::new("x".repeat(len)) })
}

/// A stream that is kept alive waits for the next request for the `handshake_timeout`.
#[test]
fn the_wait_for_the_next_request_has_a_deadline() {
    for layer in Layer::all() {
        for rest in ["", &PLAIN[..20]] {
            Sim::run(async |sim| {
                let server = layer.serve(&sim, page(1), echo).await;
                let mut peer = layer.connect(&sim, &server).await;
                assert!(peer.ask(PLAIN).await.starts_with("HTTP/1.1 200 "));
                peer.write(rest.as_bytes()).await;
                let passed = peer.gone_after(60, nothing).await;
                assert_eq!(passed, 10, "{}, {rest:?}", layer.name());
            });
        }
    }
}

/// A client of draft-76 that declares key3 as a body, on a stream that was kept alive, and does not send it,
/// is gone after the `handshake_timeout`, as on a new stream.
#[test]
fn a_declared_key3_that_does_not_come_has_the_handshake_timeout() {
    for layer in Layer::all() {
        for part in ["", "1234567"] {
            Sim::run(async |sim| {
                let server = layer.serve(&sim, page(1), echo).await;
                let mut peer = layer.connect(&sim, &server).await;
                peer.ask(PLAIN).await;
                let request = DRAFT76.replace("Origin", "Content-Length: 8\r\nOrigin");
                peer.write(format!("{request}{part}").as_bytes()).await;
                let passed = peer.gone_after(60, nothing).await;
                assert_eq!(passed, 10, "{}", layer.name());
            });
        }
    }
}

/// X11: a client that takes nothing of an answer is gone after the `handshake_timeout`. It is not waited for
/// again because TLS has something to say at the end.
#[test]
fn a_client_that_takes_no_answer_is_gone_after_the_handshake_timeout() {
    for layer in Layer::all() {
        Sim::run(async |sim| {
            // More than is on its way at once.
            let server = layer.serve(&sim, page(200_000), echo).await;
            let mut peer = layer.connect(&sim, &server).await;
            peer.write(PLAIN.as_bytes()).await;
            let passed = peer.gone_after(120, nothing).await;
            assert_eq!(passed, 10, "{}", layer.name());
        });
    }
}

/// A client that takes a little of an answer now and then is gone when it took less than 16 KiB in 30 s of
/// waiting; one that is faster gets all of it, however long it takes.
#[test]
fn a_client_that_takes_an_answer_too_slowly_is_gone_after_the_body_timeout() {
    for layer in Layer::all() {
        for (each_second, is_fast) in [(400, false), (1000, true)] {
            Sim::run(async |sim| {
                let server = layer.serve(&sim, page(200_000), echo).await;
                let mut peer = layer.connect(&sim, &server).await;
                peer.peer.link().to_near.capacity = each_second;
                peer.write(LAST.as_bytes()).await;
                let received = Cell::new(0);
                let taking = async |peer: &mut Caller| {
                    received.set(received.get() + peer.read().len());
                };
                let passed = peer.gone_after(300, taking).await;
                if is_fast {
                    assert!(passed > 190 && received.get() > 200_000, "{}", layer.name());
                } else {
                    assert_eq!(passed, 30, "{}", layer.name());
                }
            });
        }
    }
}

/// The body of a request has 30 s of waiting for each 16 KiB of it. What reads it then is told which option
/// says so, its answer arrives, and the peer has the `close_timeout` to end its side.
#[test]
fn a_body_that_comes_too_slowly_is_given_up_after_the_body_timeout() {
    let head = "POST / HTTP/1.1\r\nHost: example.com\r\n";
    for layer in Layer::all() {
        for (kind, each) in [
            ("Content-Length: 100000", ""),
            ("Content-Length: 100000", "x"),
            ("Transfer-Encoding: chunked", ""),
            ("Transfer-Encoding: chunked", "1\r\nx\r\n"),
        ] {
            Sim::run(async |sim| {
                let builder = Server::builder()
                    .on_request(read_body)
                    .close_timeout(seconds(7));
                let server = layer.serve(&sim, builder, echo).await;
                let mut peer = layer.connect(&sim, &server).await;
                peer.write(format!("{head}{kind}\r\n\r\n").as_bytes()).await;
                let trickling = async |peer: &mut Caller| {
                    // It may have been closed.
                    if !peer.peer.has_ended() {
                        peer.write(each.as_bytes()).await;
                    }
                };
                let passed = peer.gone_after(120, trickling).await;
                assert_eq!(passed, 37, "{}, {kind}, {each:?}", layer.name());
                let answer = String::from_utf8(peer.read()).unwrap();
                assert!(answer.contains("(option body_timeout)"), "{answer}");
            });
        }
    }
}

/// A body that comes at 1000 bytes a second is read, however long it takes, and so is one that its reader
/// leaves for minutes: only waits for the peer count. Without the option any trickle is read.
#[test]
fn a_body_that_comes_steadily_or_is_read_slowly_is_read() {
    for layer in Layer::all() {
        for (len, each, timeout) in [
            (200_000, 1000, Some(seconds(30))),
            (200, 1, None),
            (100, 100, Some(seconds(30))),
        ] {
            Sim::run(async |sim| {
                let sleeping = sim.clone();
                let builder = Server::builder().body_timeout(timeout);
                let builder = builder.on_request(move |request: Request<RequestBody>| {
                    let sim = sleeping.clone();
                    async move {
                        sim.sleep(seconds(100)).await;
                        read_body(request).await
                    }
                });
                let server = layer.serve(&sim, builder, echo).await;
                let mut peer = layer.connect(&sim, &server).await;
                let head = "POST / HTTP/1.1\r\nHost: example.com\r\n";
                let head = format!("{head}Content-Length: {len}\r\n\r\n");
                peer.write(head.as_bytes()).await;
                for _ in 0..len / each {
                    peer.write(&vec![b'x'; each]).await;
                    sim.sleep(seconds(1)).await;
                }
                sim.sleep(seconds(101)).await;
                let answer = String::from_utf8(peer.read()).unwrap();
                let expected = format!("\r\n\r\n{len} bytes");
                assert!(answer.ends_with(&expected), "{}, {answer}", layer.name());
            });
        }
    }
}

/// Tells how long a body is, or why it is not there.
async fn read_body(request: Request<RequestBody>) -> Response<String> {
    Response::new(match request.into_body().collect().await {
        Ok(body) => format!("{} bytes", body.to_bytes().len()),
        Err(error) => error.to_string(),
    })
}

/// The record in which a server sends its two tickets; it leaves with the first answer.
const TICKETS_LEN: usize = 184;

/// After the last answer the peer has the `close_timeout` to take what is on its way, close_notify of TLS
/// included, and to end its side.
#[test]
fn the_end_of_a_stream_has_the_close_timeout() {
    for layer in Layer::all() {
        for is_taken in [true, false] {
            Sim::run(async |sim| {
                let builder = page(100).close_timeout(seconds(7));
                let server = layer.serve(&sim, builder, echo).await;
                let mut peer = layer.connect(&sim, &server).await;
                if !is_taken {
                    // Room for the answer, inside of TLS behind two tickets, and none for what follows.
                    let room = if layer.name() == "TCP" {
                        230
                    } else {
                        260 + TICKETS_LEN
                    };
                    peer.peer.link().to_near.capacity = room;
                }
                peer.write(LAST.as_bytes()).await;
                sim.settle().await;
                let passed = peer.gone_after(60, nothing).await;
                assert_eq!(passed, 7, "{}, {is_taken}", layer.name());
                assert!(!peer.read().is_empty());
            });
        }
    }
}

/// A shutdown waits for no stream that serves plain HTTP and has nothing to answer.
#[test]
fn a_shutdown_ends_idle_streams_at_once() {
    for layer in Layer::all() {
        Sim::run(async |sim| {
            let server = layer.serve(&sim, page(1), echo).await;
            let mut idle = layer.connect(&sim, &server).await;
            idle.ask(PLAIN).await;
            let mut closing = layer.connect(&sim, &server).await;
            closing.ask(LAST).await;
            server.shutdown(seconds(5)).await;
            assert!(sim.elapsed() < seconds(1), "{}", layer.name());
            assert!(idle.is_gone() && closing.is_gone(), "{}", layer.name());
        });
    }
}
