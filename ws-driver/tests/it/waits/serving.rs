//! The waits of an open connection on a server, to the end of its stream.

use ws_driver::{Connection, Rate, RateLimit, RoundTripError};

use super::caller::{Caller, Layer, nothing};
use ws_testing::sim::peer::{RFC6455, close, masked, text};
use ws_testing::sim::{Server, Sim, echo, seconds};

/// Opens a connection.
async fn open(layer: &Layer, sim: &Sim, server: &Server) -> Caller {
    let mut peer = layer.connect(sim, server).await;
    let answer = peer.ask(RFC6455).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    peer
}

/// A peer that takes nothing of what waits is gone after the `stall_timeout`, or half as much more: be it
/// the 101 or a message.
#[test]
fn a_peer_that_takes_nothing_is_gone_after_the_stall_timeout() {
    for layer in Layer::all() {
        for is_open in [true, false] {
            Sim::run(async |sim| {
                let builder = Server::builder().keepalive_interval(None);
                let server = layer.serve(&sim, builder, echo).await;
                let mut peer = layer.connect(&sim, &server).await;
                if is_open {
                    peer.ask(RFC6455).await;
                }
                peer.peer.link().to_near.capacity = 0;
                if is_open {
                    peer.write(&text("hi")).await;
                } else {
                    peer.write(RFC6455.as_bytes()).await;
                }
                let passed = peer.gone_after(120, nothing).await;
                let is_in_time = (60..=91).contains(&passed);
                assert!(is_in_time, "{}, {is_open}: {passed} s", layer.name());
            });
        }
    }
}

/// A peer that answers no ping is gone after the `keepalive_interval` and the `pong_timeout`.
#[test]
fn a_silent_peer_is_gone_after_the_pong_timeout() {
    for layer in Layer::all() {
        Sim::run(async |sim| {
            let server = layer.serve(&sim, Server::builder(), echo).await;
            let mut peer = open(&layer, &sim, &server).await;
            let passed = peer.gone_after(120, nothing).await;
            assert_eq!(passed, 40, "{}", layer.name());
        });
    }
}

/// A peer that answers no ping but sends other things makes nobody wait for its pong longer than the `pong_timeout`. It is
/// not gone.
#[test]
fn a_pong_is_awaited_for_the_pong_timeout() {
    for layer in Layer::all() {
        Sim::run(async |sim| {
            let server = layer.serve(&sim, Server::builder(), echo).await;
            let mut peer = open(&layer, &sim, &server).await;
            let sender = server.clients().iter().next().unwrap();
            let mut waiting = std::pin::pin!(sender.round_trip());
            let mut waited = None;
            for passed in 0..30 {
                assert!(peer.ask(text("alive")).await.ends_with("alive"));
                let ended = sim.within(seconds(1), waiting.as_mut()).await;
                if let Some(ended) = ended {
                    let error = RoundTripError::TimedOut {
                        waited: seconds(20),
                    };
                    assert_eq!(ended, Err(error), "{}", layer.name());
                    waited = Some(passed);
                    break;
                }
            }
            assert!(
                waited.is_some_and(|passed| (19..=21).contains(&passed)),
                "{}: {waited:?}",
                layer.name()
            );
            assert!(!peer.is_gone(), "{}", layer.name());
        });
    }
}

/// A peer that sent too much is read again when the limit of the rate says so, and not before; in between nothing of the
/// server runs but its timer. A peer that is gone by then is found by the keepalive, which did not count the wait.
#[test]
fn a_peer_that_sends_too_much_waits_for_its_rate() {
    for layer in Layer::all() {
        Sim::run(async |sim| {
            let limit = RateLimit::new().bytes(Rate::per_second(10).burst(10));
            let builder = Server::builder().receive_rate_limit(limit);
            let server = layer.serve(&sim, builder, echo).await;
            let mut peer = open(&layer, &sim, &server).await;
            // 990 bytes beyond the burst are 99 s, and the token for the next message a tenth more.
            assert!(peer.ask(text("x".repeat(1000))).await.len() > 1000);
            peer.write(&text("again")).await;
            let polls = sim.polls();
            for _ in 0..99 {
                assert!(!peer.ask(b"").await.contains("again"), "{}", layer.name());
                sim.sleep(seconds(1)).await;
            }
            // A ping after 15 to 20 s, the `pong_timeout` after it and again, the `keepalive_interval` once more: each
            // runs the task a few times.
            let polls = sim.polls() - polls;
            assert!(polls < 60, "{}: {polls} polls", layer.name());
            sim.sleep(seconds(1)).await;
            assert!(peer.ask(b"").await.ends_with("again"), "{}", layer.name());
            let passed = peer.gone_after(60, nothing).await;
            assert!((30..=41).contains(&passed), "{}: {passed} s", layer.name());
        });
    }
}

/// A peer that begins a message, and then sends only pongs, is gone after the `message_timeout` and the
/// `close_timeout`, as it does not answer the close.
#[test]
fn a_message_that_is_not_ended_has_the_message_timeout() {
    for layer in Layer::all() {
        Sim::run(async |sim| {
            let server = layer.serve(&sim, Server::builder(), echo).await;
            let mut peer = open(&layer, &sim, &server).await;
            peer.write(&masked(0x01, b"begun")).await;
            let ponging = async |peer: &mut Caller| {
                if !peer.peer.has_ended() {
                    peer.write(&masked(0x8a, b"")).await;
                }
            };
            let passed = peer.gone_after(200, ponging).await;
            assert!((60..=71).contains(&passed), "{}: {passed} s", layer.name());
        });
    }
}

/// Each wait of the closing handshake has the `close_timeout`: for the peer's close, for the peer to take
/// ours and what TLS says at the end, and for the end of the stream.
#[test]
fn each_wait_of_the_closing_handshake_has_the_close_timeout() {
    for layer in Layer::all() {
        for (closes, answers, takes, expected) in [
            (true, false, true, 10),
            (true, false, false, 10),
            (true, true, true, 10),
            (false, true, true, 10),
            (false, true, false, 10),
        ] {
            Sim::run(async |sim| {
                let server = layer
                    .serve(&sim, Server::builder(), move |connection| async move {
                        if closes {
                            drop(connection);
                        } else {
                            echo(connection).await;
                        }
                    })
                    .await;
                let mut peer = layer.connect(&sim, &server).await;
                if takes || !closes {
                    peer.ask(RFC6455).await;
                }
                if !takes {
                    peer.peer.link().to_near.capacity = 0;
                }
                if !takes && closes {
                    peer.write(RFC6455.as_bytes()).await;
                }
                if answers {
                    peer.write(&close(1000)).await;
                }
                let passed = peer.gone_after(60, nothing).await;
                let case = (closes, answers, takes);
                assert_eq!(passed, expected, "{}, {case:?}", layer.name());
            });
        }
    }
}

/// A handler that takes nothing does not keep a peer that has closed for longer than the `close_timeout`
/// twice: until our answer, and until the end.
#[test]
fn a_close_behind_messages_that_nobody_takes_has_the_close_timeout() {
    for layer in Layer::all() {
        Sim::run(async |sim| {
            let deaf = async |_connection: Connection| std::future::pending().await;
            let server = layer.serve(&sim, Server::builder(), deaf).await;
            let mut peer = open(&layer, &sim, &server).await;
            peer.write(&[text("hi"), close(1000)].concat()).await;
            let passed = peer.gone_after(60, nothing).await;
            assert_eq!(passed, 20, "{}", layer.name());
        });
    }
}

/// A shutdown waits for no peer beyond its grace, whatever that one has left undone: TLS, its request, the
/// body of a plain one, an answer that it does not take, its close.
#[test]
fn a_shutdown_waits_for_nobody_beyond_its_grace() {
    for layer in Layer::all() {
        Sim::run(async |sim| {
            let builder = Server::builder().on_request(async |request: http::Request<_>| {
                let body: ws_driver::RequestBody = request.into_body();
                let read = http_body_util::BodyExt::collect(body).await;
                http::Response::new("x".repeat(100_000 + read.iter().count()))
            });
            let server = layer.serve(&sim, builder, echo).await;
            let half = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n";
            let plain = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
            let mut peers = Vec::new();
            for begin in ["", &RFC6455[..40], RFC6455, half, plain] {
                let mut peer = layer.connect(&sim, &server).await;
                peer.write(begin.as_bytes()).await;
                peers.push(peer);
            }
            sim.settle().await;
            let begin = sim.now();
            server.shutdown(seconds(3)).await;
            sim.settle().await;
            assert!(sim.now() - begin <= seconds(3), "{}", layer.name());
            for (i, peer) in peers.iter().enumerate() {
                assert!(peer.is_gone(), "{}, peer {i}", layer.name());
            }
        });
    }
}
