//! Shutdown, and the end of accepting.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::Response;
use ws_driver::{Connection, ShutdownReport, Upgrade};

use super::log::Log;
use super::page::{PLAIN, page};
use super::spawned::{spawned, taken};
use ws_testing::sim::peer::{OK_6455, RFC6455, close, frames, text};
use ws_testing::sim::{ANY, Peer, Server, Sim, echo, seconds, serve};

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
        // Each of the six streams has its end, that of plain HTTP and that of the half request, too.
        assert_eq!((told("shutdown None"), told("close ")), (1, 6), "{lines:?}");
    });
}

/// Each connection is in one column of the report: those that answer the close, whether they close the stream
/// or keep it, those that reset it, those that do nothing. When the shutdown has returned nothing of them is
/// left, in the registry, in the counters or untold.
#[test]
fn a_shutdown_reports_each_connection_once_and_leaves_nothing() {
    Sim::run(async |sim| {
        let log = Log::default();
        let builder = Server::builder().observer(log.clone());
        let server = builder.bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let addr = server.local_addr();
        let mut groups = Vec::new();
        for _ in 0..4 {
            let mut group = Vec::new();
            for _ in 0..10 {
                group.push(Peer::open(&sim, addr).await);
            }
            groups.push(group);
        }
        let stopper = server.clone();
        let log_then = log.clone();
        let stopping = spawned(&sim, async move {
            let report = stopper.shutdown(seconds(5)).await;
            let counters = stopper.counters();
            let lines = log_then.take();
            let told = lines.iter().filter(|line| line.starts_with("close "));
            (report, counters, told.count())
        });
        sim.settle().await;
        let [polite, keeping, resetting, _silent] = &mut groups[..] else {
            unreachable!("there are four")
        };
        for peer in polite.iter_mut().chain(keeping) {
            peer.write(&close(1001)).await;
        }
        for peer in polite {
            peer.end().await;
        }
        for peer in resetting {
            peer.link().reset();
        }
        sim.sleep(seconds(5)).await;
        let (report, counters, told) = taken(&stopping).unwrap();
        let ShutdownReport {
            closed,
            lost,
            aborted,
            ..
        } = report;
        assert_eq!((closed, lost, aborted), (20, 10, 10));
        assert_eq!((counters.open.total(), counters.opening), (0, 0));
        assert_eq!((counters.closes.total(), told), (40, 40));
    });
}

/// The grace begins when `shutdown` is called: with many peers that read nothing, the time that it takes to
/// ask them to close is a part of it. Breaks if the timer is set after that.
#[test]
fn the_grace_of_a_shutdown_is_kept_with_many_peers() {
    const PEERS: u32 = 1000;
    const GRACE: Duration = Duration::from_millis(100);
    const POLL_COST: Duration = Duration::from_micros(200);
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        let dropped = Arc::new(Mutex::new(Vec::new()));
        let (clock, note) = (sim.clone(), Arc::clone(&dropped));
        serve(&sim, &server, move |connection| {
            let at_end = AtEnd(clock.clone(), Arc::clone(&note));
            async move {
                pending::<()>().await;
                drop((connection, at_end));
            }
        });
        let mut peers = Vec::new();
        for _ in 0..PEERS {
            peers.push(Peer::open(&sim, server.local_addr()).await);
        }
        sim.charge(POLL_COST);
        let begun = sim.now();
        let report = server.shutdown(GRACE).await;
        let took = sim.now() - begun;
        assert_eq!(report.aborted, 1000);
        assert_eq!(server.clients().len(), 0);
        let dropped = dropped.lock().unwrap();
        assert_eq!(dropped.len(), 1000);
        let first = dropped[0] - begun;
        // A batch of connections has its turn before the clock is asked again.
        let batch = 256 * POLL_COST;
        assert!(
            first >= GRACE && first < GRACE + batch + POLL_COST,
            "{first:?}"
        );
        // Then each is dropped in one poll, and those that were asked last have another one.
        assert!(took < GRACE + batch + (PEERS + 256) * POLL_COST, "{took:?}");
    });
}

/// Notes when it is dropped.
struct AtEnd(Sim, Arc<Mutex<Vec<Instant>>>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        self.1.lock().unwrap().push(self.0.now());
    }
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
