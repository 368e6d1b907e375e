//! The waits of plain HTTP on the port of a server.

use http::{Request, Response};
use ws_driver::{RequestBody, ServerBuilder};

use crate::caller::{Layer, nothing};
use crate::support::{Server, Sim, echo, seconds};

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
                    // Room for the answer, and none for what follows.
                    let room = if layer.name() == "TCP" { 230 } else { 260 };
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
