//! The waits of the opening handshake on a server.

use ws_driver::Upgrade;

use super::caller::{Layer, nothing};
use ws_testing::sim::peer::{DRAFT76, RFC6455};
use ws_testing::sim::{Peer, Server, Sim, echo, seconds};

/// A stream on which the peer says too little holds its place for the `handshake_timeout` in all, whatever
/// is missing, and though it ends its side never: it has a 408 to read, but nobody waits for that.
#[test]
fn a_stream_that_says_too_little_is_gone_after_the_handshake_timeout() {
    for layer in Layer::all() {
        for request in ["", &RFC6455[..50], DRAFT76] {
            Sim::run(async |sim| {
                let server = layer.serve(&sim, Server::builder(), echo).await;
                let mut peer = layer.connect(&sim, &server).await;
                peer.write(request.as_bytes()).await;
                let passed = peer.gone_after(60, nothing).await;
                assert_eq!(passed, 10, "{}, {request:?}", layer.name());
                let answer = String::from_utf8(peer.read()).unwrap();
                let is_answered = answer.contains("HTTP/1.1 408 ");
                assert_eq!(is_answered, request != DRAFT76, "{answer}");
            });
        }
    }
}

/// With places for 20 streams and 20 that are silent the next client is served after 10 s.
#[test]
fn silent_streams_give_their_places_back_in_time() {
    for layer in Layer::all() {
        Sim::run(async |sim| {
            let builder = Server::builder().connection_limit(20usize);
            let server = layer.serve(&sim, builder, echo).await;
            let mut silent = Vec::new();
            for _ in 0..20 {
                silent.push(layer.connect(&sim, &server).await);
            }
            sim.sleep(seconds(10)).await;
            sim.settle().await;
            let mut peer = layer.connect(&sim, &server).await;
            let answer = peer.ask(RFC6455).await;
            assert!(answer.starts_with("HTTP/1.1 101 "), "{}", layer.name());
        });
    }
}

/// A silent stream on a port with TLS is gone after the `handshake_timeout`, and so is one that speaks HTTP
/// without TLS, whether it takes its answer or not.
#[test]
fn half_a_handshake_of_tls_is_gone_after_the_handshake_timeout() {
    let [_, layer] = Layer::all();
    for (request, has_room) in [("", true), (RFC6455, true), (RFC6455, false)] {
        Sim::run(async |sim| {
            if !has_room {
                sim.narrow(1);
            }
            let server = layer.serve(&sim, Server::builder(), echo).await;
            let mut peer = Peer::connect(&sim, server.local_addr());
            if has_room {
                peer.write(request.as_bytes()).await;
            } else {
                // As much as has to be seen to know that it is not TLS; the rest has no room.
                peer.write(b"G").await;
            }
            sim.sleep(seconds(9)).await;
            assert!(!peer.link().to_far.is_unread, "{request:?}");
            sim.sleep(seconds(1)).await;
            sim.settle().await;
            assert!(peer.link().to_far.is_unread, "{request:?}");
        });
    }
}

/// `on_upgrade` has the `handshake_timeout`, and the client that it kept waiting then the `close_timeout` to
/// take the refusal and to end its side. So any refused stream is gone after the two together, even if it
/// takes nothing.
#[test]
fn a_refused_stream_is_gone_after_the_close_timeout() {
    for layer in Layer::all() {
        for (status, is_taken) in [(503, true), (503, false), (403, true), (403, false)] {
            Sim::run(async |sim| {
                let builder = Server::builder().close_timeout(seconds(7));
                let builder = builder.on_upgrade(move |upgrade: Upgrade| async move {
                    if status == 503 {
                        std::future::pending::<()>().await;
                    }
                    upgrade.reject(403)
                });
                let server = layer.serve(&sim, builder, echo).await;
                let mut peer = layer.connect(&sim, &server).await;
                if !is_taken {
                    peer.peer.link().to_near.capacity = 0;
                }
                peer.write(RFC6455.as_bytes()).await;
                let expected = if status == 503 { 10 + 7 } else { 7 };
                let passed = peer.gone_after(60, nothing).await;
                assert_eq!(passed, expected, "{}, {status}", layer.name());
            });
        }
    }
}
