//! The accept loop: what it outlives, its limit, and that nothing is left of it.

use std::io;
use std::time::Duration;

use crate::log::Log;
use crate::page::{PLAIN, page};
use crate::spawned::{spawned, taken};
use crate::support::peer::{OK_6455, RFC6455, frames, text};
use crate::support::{ANY, Peer, Server, Sim, echo, seconds, serve};

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
