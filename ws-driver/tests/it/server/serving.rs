//! The accept loop: what it outlives, its limit, and that nothing is left of it.

use std::fmt::{self, Write};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::log::Log;
use super::page::{PLAIN, page};
use super::spawned::{spawned, taken};
use ws_testing::sim::peer::{OK_6455, RFC6455, frames, text};
use ws_testing::sim::{ANY, Peer, Server, Sim, echo, seconds, serve};
use ws_testing::subscriber::with_subscriber;

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

/// Whatever the system says when a stream is to be accepted, a client that comes then is served, unless it
/// says that the listener is none: that ends `serve`, and the observer is told. These are all errors of Linux.
#[cfg(target_os = "linux")]
#[test]
fn serve_outlives_every_errno_that_may_pass() {
    for code in 1..=133 {
        Sim::run(async |sim| {
            let log = Log::default();
            let server = Server::builder().observer(log.clone());
            let server = server.bind(ANY).await.unwrap();
            let served = spawned(&sim, {
                let server = server.clone();
                async move { server.serve(echo).await }
            });
            sim.fail_accept(server.local_addr(), io::Error::from_raw_os_error(code));
            let mut peer = Peer::connect(&sim, server.local_addr());
            peer.write(RFC6455.as_bytes()).await;
            sim.sleep(Duration::from_millis(10)).await;
            let error = taken(&served).map(|served| served.unwrap_err().raw_os_error());
            // EBADF, EFAULT, EINVAL, ENOSYS, ENOTSOCK
            if let 9 | 14 | 22 | 38 | 88 = code {
                assert_eq!(error, Some(Some(code)));
                let lines = log.take();
                assert!(
                    lines.last().unwrap().starts_with("shutdown Some("),
                    "{lines:?}"
                );
            } else {
                assert_eq!(error, None, "{code}");
                assert_eq!(peer.read(), OK_6455.as_bytes(), "{code}");
            }
        });
    }
}

/// A stream that cannot be prepared, as `TCP_NODELAY` is refused on one that was reset, is dropped, and only
/// that one.
#[test]
fn a_stream_that_cannot_be_prepared_is_dropped() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let addr = server.local_addr();
        let mut good = Peer::open(&sim, addr).await;
        // EINVAL, which of a listener would end the server.
        sim.network().fail_calls(|errnos| errnos.prepare = Some(22));
        let mut bad = Peer::connect(&sim, addr);
        assert_eq!(bad.ask(RFC6455).await, b"");
        assert!(bad.has_ended());
        assert_eq!(
            frames(&good.ask(text("hi")).await),
            [(0x81, b"hi".to_vec())]
        );
        Peer::open(&sim, addr).await;
        assert_eq!(server.counters().opening, 0);
    });
}

/// While accepting fails the waits grow, the log says so once a second and how many errors it left out, and
/// a server that is told to stop does.
#[test]
fn errors_that_last_are_waited_for_and_told_once_a_second() {
    let lines = Warnings::default();
    with_subscriber(lines.clone(), || {
        Sim::run(async |sim| {
            let server = Server::bind(ANY).await.unwrap();
            let served = spawned(&sim, {
                let server = server.clone();
                async move { server.serve(echo).await }
            });
            // EMFILE; the ninth is the first with the longest wait behind it.
            for _ in 0..12 {
                sim.fail_accept(server.local_addr(), io::Error::from_raw_os_error(24));
            }
            let mut peer = Peer::connect(&sim, server.local_addr());
            peer.write(RFC6455.as_bytes()).await;
            // 10 + 20 + … + 640 ms, then four of a second.
            sim.sleep(Duration::from_millis(1270 + 4 * 1000 + 999))
                .await;
            assert_eq!(peer.read(), b"");
            server.close();
            sim.settle().await;
            assert!(taken(&served).unwrap().is_ok());
        });
    });
    let lines = std::mem::take(&mut *lines.0.lock().unwrap());
    let expected = [
        (10, 0),
        (1000, 6),
        (1000, 0),
        (1000, 0),
        (1000, 0),
        (1000, 0),
    ];
    let expected = expected.map(|(wait, left_out)| {
        let wait = Duration::from_millis(wait);
        format!(
            "the next try is in {wait:?}, and {left_out} errors since the last line are not shown"
        )
    });
    assert_eq!(lines.len(), expected.len(), "{lines:?}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(
            line.contains("cannot accept: ") && line.contains(&expected),
            "{line}"
        );
    }
}

/// Keeps the warnings.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN && metadata.is_event()
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, _: &Field, value: &dyn fmt::Debug) {
        write!(self.0, "{value:?}").unwrap();
    }
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
