//! A process that stood still: deadlines have passed, and what came in time waits in the sockets, which the
//! runtime has not looked at when it runs its timers. Nothing that came in time is taken for late.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures_io::AsyncWrite;
use ws_driver::ws_proto::{CloseCode, Origin, Version};
use ws_driver::{
    ClientConfig, ConnectConfig, ConnectError, ConnectStage, Connection, Runtime, connect_with,
};

use super::caller::Layer;
use ws_testing::sim::peer::{RFC6455, frames, masked, text};
use ws_testing::sim::{ANY, Route, Server, Sim, echo, poll_once, seconds};

/// Longer than each deadline of these tests.
const STOP: u64 = 60;

/// A pong that came while the process stood still counts. Breaks if the driver believes at once that the
/// `pong_timeout` has passed.
#[test]
fn a_peer_that_answered_meanwhile_is_kept() {
    for layer in Layer::all() {
        Sim::run(async |sim| {
            let builder = Server::builder()
                .keepalive_interval(seconds(1))
                .pong_timeout(seconds(2));
            let server = layer.serve(&sim, builder, echo).await;
            let mut peer = layer.connect(&sim, &server).await;
            peer.ask(RFC6455).await;
            sim.sleep(seconds(1)).await;
            let [(0x89, payload)] = &frames(&peer.read())[..] else {
                panic!("no ping");
            };
            sim.stop_runtime();
            peer.write(&masked(0x8a, payload)).await;
            sim.sleep(seconds(STOP)).await;
            sim.resume_runtime();
            sim.sleep(seconds(1)).await;
            assert!(!peer.is_gone(), "{}", layer.name());
            assert_eq!(server.clients().len(), 1, "{}", layer.name());
            let answer = peer.ask(text("still here")).await;
            assert!(answer.ends_with("still here"), "{}", layer.name());
        });
    }
}

/// A peer that answered our close meanwhile has closed cleanly. Breaks if the driver believes at once that
/// the `close_timeout` has passed.
#[test]
fn a_close_that_was_answered_meanwhile_is_clean() {
    for layer in Layer::all() {
        Sim::run(async |sim| {
            let server = layer.serve(&sim, Server::builder(), echo).await;
            let mut peer = layer.connect(&sim, &server).await;
            peer.ask(RFC6455).await;
            let sender = server.clients().iter().next().unwrap();
            sender.begin_close(CloseCode::NORMAL, "").unwrap();
            sim.settle().await;
            sim.stop_runtime();
            peer.write(&masked(0x88, &[0x03, 0xe8])).await;
            sim.sleep(seconds(STOP)).await;
            sim.resume_runtime();
            sim.sleep(seconds(1)).await;
            let closed = sender.closed().expect("it is closed");
            assert!(closed.clean, "{}: {closed}", layer.name());
        });
    }
}

/// The rest of a request that came meanwhile is answered. Breaks if the opening handshake believes at once
/// that the `handshake_timeout` has passed: then it is a 408.
#[test]
fn a_request_that_came_meanwhile_is_answered() {
    for layer in Layer::all() {
        for at in [0, 50] {
            Sim::run(async |sim| {
                let server = layer.serve(&sim, Server::builder(), echo).await;
                let mut peer = layer.connect(&sim, &server).await;
                peer.ask(&RFC6455[..at]).await;
                sim.stop_runtime();
                peer.write(&RFC6455.as_bytes()[at..]).await;
                sim.sleep(seconds(STOP)).await;
                sim.resume_runtime();
                sim.sleep(seconds(1)).await;
                let answer = String::from_utf8(peer.read()).unwrap();
                assert!(
                    answer.starts_with("HTTP/1.1 101 "),
                    "{}: {answer}",
                    layer.name()
                );
            });
        }
    }
}

/// The same when the process stands still again before it has looked at its sockets. Breaks if a second timer
/// that runs out is taken for a look.
#[test]
fn a_process_that_stands_still_again_believes_nothing_either() {
    for layer in Layer::all() {
        Sim::run(async |sim| {
            let server = layer.serve(&sim, Server::builder(), echo).await;
            let mut peer = layer.connect(&sim, &server).await;
            sim.stop_runtime();
            sim.sleep(seconds(STOP)).await;
            sim.resume_runtime();
            sim.settle().await;
            sim.stop_runtime();
            peer.write(RFC6455.as_bytes()).await;
            sim.sleep(seconds(STOP)).await;
            sim.resume_runtime();
            sim.sleep(seconds(1)).await;
            let answer = String::from_utf8(peer.read()).unwrap();
            assert!(
                answer.starts_with("HTTP/1.1 101 "),
                "{}: {answer}",
                layer.name()
            );
        });
    }
}

/// The end of a handshake of TLS, and the request behind it, that came meanwhile are taken. Breaks if TLS
/// believes at once that the `handshake_timeout` has passed.
#[test]
fn a_handshake_of_tls_that_was_ended_meanwhile_is_taken() {
    let [_, layer] = Layer::all();
    Sim::run(async |sim| {
        let server = layer.serve(&sim, Server::builder(), echo).await;
        let mut peer = layer.call(&sim, &server);
        peer.ask("").await;
        assert_eq!(server.counters().opening, 1);
        sim.stop_runtime();
        peer.write(RFC6455.as_bytes()).await;
        sim.sleep(seconds(STOP)).await;
        sim.resume_runtime();
        sim.sleep(seconds(1)).await;
        let answer = peer.ask("").await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    });
}

type Connected = Arc<Mutex<Option<Result<Connection, ConnectError>>>>;

/// Connects in a task of the runtime.
fn connect(sim: &Sim, url: String, options: ConnectConfig) -> Connected {
    let connected = Connected::default();
    let slot = Arc::clone(&connected);
    Runtime::spawn(sim, async move {
        let result = connect_with::<Sim>(&url, options).await;
        *slot.lock().unwrap() = Some(result);
    });
    connected
}

/// An answer that came to a client meanwhile is taken. Breaks if the client believes at once that its
/// `connect_timeout` or its `handshake_timeout` has passed.
#[test]
fn an_answer_that_came_meanwhile_is_taken() {
    for (handshake, whole) in [(None, Some(seconds(20))), (Some(seconds(10)), None)] {
        Sim::run(async |sim| {
            let listener = sim.network().bind(ANY.parse().unwrap()).unwrap();
            let config = ClientConfig::new()
                .version(Version::Draft75)
                .origin("http://example.com".parse::<Origin>().unwrap())
                .handshake_timeout(handshake);
            let options = ConnectConfig::from(config).connect_timeout(whole);
            let addr = listener.addr;
            let connected = connect(&sim, format!("ws://{addr}/"), options);
            sim.settle().await;
            let accepted = poll_once(poll_fn(|cx| listener.poll_accept(cx)));
            let (mut stream, _) = accepted.unwrap().unwrap();
            assert!(!stream.take_arrived().is_empty());
            sim.stop_runtime();
            let answer = format!(
                "HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\n\
                 Connection: Upgrade\r\nWebSocket-Origin: http://example.com\r\n\
                 WebSocket-Location: ws://{addr}/\r\n\r\n"
            );
            let written = poll_fn(|cx| Pin::new(&mut stream).poll_write(cx, answer.as_bytes()));
            assert_eq!(poll_once(written).unwrap().unwrap(), answer.len());
            sim.sleep(seconds(STOP)).await;
            sim.resume_runtime();
            sim.sleep(seconds(1)).await;
            let connected = connected.lock().unwrap().take().expect("it is over");
            assert!(connected.is_ok(), "{handshake:?}: {connected:?}");
        });
    }
}

/// A host that took the stream meanwhile is reached, though nothing may be left of the `connect_timeout` for
/// what follows. Breaks if the client believes at once that the time of an address, or its own, has passed.
#[test]
fn a_host_that_answered_meanwhile_is_reached() {
    for whole in [Some(seconds(20)), None] {
        Sim::run(async |sim| {
            let layer = Layer::Tcp;
            let server = layer.serve(&sim, Server::builder(), echo).await;
            sim.set_route("127.0.0.1", Route::Slow(seconds(1)));
            let options = ConnectConfig::new().connect_timeout(whole);
            let url = format!("ws://{}/", server.local_addr());
            let connected = connect(&sim, url, options);
            sim.settle().await;
            sim.stop_runtime();
            sim.sleep(seconds(STOP)).await;
            sim.resume_runtime();
            sim.sleep(seconds(1)).await;
            let connected = connected.lock().unwrap().take().expect("it is over");
            match (whole, connected) {
                (None, Ok(_)) => {}
                (Some(_), Err(ConnectError::Timeout { stage, .. })) => {
                    assert_eq!(stage, ConnectStage::Handshake);
                }
                (_, connected) => panic!("{whole:?}: {connected:?}"),
            }
        });
    }
}
