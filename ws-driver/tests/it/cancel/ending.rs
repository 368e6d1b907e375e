//! What ends: a connection, a server.

use std::future::poll_fn;
use std::pin::Pin;

use futures_sink::Sink;
use ws_driver::ws_proto::{CloseCode, Closed};
use ws_driver::{Connection, ShutdownReport};

use super::polling::{
    answer_close, assert_nothing_left, at_every_poll, open, polled, spawned, texted,
};
use ws_testing::sim::peer::text;
use ws_testing::sim::{ANY, Peer, Server, echo, seconds, serve};

/// A close that was dropped goes on if it had begun: what was queued comes first, one close frame
/// goes out, and the end is clean.
fn assert_a_dropped_close_goes_on(
    code: u16,
    shut: impl AsyncFn(&mut Connection) -> Option<Closed> + Copy,
) {
    at_every_poll(3, |sim, polls| async move {
        let server = Server::bind(ANY).await.unwrap();
        let (mut connection, mut peer) = open(&sim, &server).await;
        peer.link().chop(1);
        peer.write(&text("arrives too late for anybody")).await;
        connection.send("before").await.unwrap();
        let clock = sim.clone();
        let received = spawned(&sim, async move { answer_close(&clock, &mut peer).await });
        let is_over = polled(polls, shut(&mut connection)).await.is_some();
        let state = connection.state().number();
        assert!(polls > 0 || state == 4, "it has not begun");
        assert!(polls == 0 || state > 4, "it goes on by itself: {state}");
        if polls > 0 {
            sim.sleep(seconds(1)).await;
            assert!(connection.closed().is_some_and(|closed| closed.clean));
        }
        let again = sim.within(seconds(1), shut(&mut connection)).await;
        assert!(again.is_some_and(|end| end.is_none_or(|closed| closed.code == code)));
        sim.sleep(seconds(2)).await;
        let expected = vec![texted("before"), (0x88, code.to_be_bytes().to_vec())];
        assert_eq!(received.lock().unwrap().take(), Some(expected));
        assert_nothing_left(&sim, &server).await;
        is_over
    });
}

#[test]
fn close_of_a_connection() {
    assert_a_dropped_close_goes_on(1000, async |connection| Some(connection.close().await));
}

#[test]
fn close_with() {
    assert_a_dropped_close_goes_on(4000, async |connection| {
        let code = CloseCode::new(4000).unwrap();
        Some(connection.close_with(code, "").await.unwrap())
    });
}

#[test]
fn close_of_a_sender() {
    assert_a_dropped_close_goes_on(1000, async |connection| {
        Some(connection.sender().close().await)
    });
}

#[test]
fn close_with_of_a_sender() {
    assert_a_dropped_close_goes_on(4000, async |connection| {
        let code = CloseCode::new(4000).unwrap();
        Some(connection.sender().close_with(code, "").await.unwrap())
    });
}

#[test]
fn close_of_a_sink() {
    assert_a_dropped_close_goes_on(1000, async |connection| {
        let mut sink = Pin::new(connection);
        poll_fn(|cx| sink.as_mut().poll_close(cx)).await.unwrap();
        None
    });
}

/// To wait for the end changes nothing: it comes when it comes, and who asks again is told.
#[test]
fn wait_closed() {
    at_every_poll(3, |sim, polls| async move {
        let server = Server::bind(ANY).await.unwrap();
        let (connection, mut peer) = open(&sim, &server).await;
        peer.link().chop(1);
        let sender = connection.sender();
        drop(connection);
        let clock = sim.clone();
        let received = spawned(&sim, async move { answer_close(&clock, &mut peer).await });
        let is_over = polled(polls, sender.wait_closed()).await.is_some();
        let closed = sim.within(seconds(5), sender.wait_closed()).await.unwrap();
        assert_eq!((closed.code, closed.clean), (1000, true));
        sim.sleep(seconds(2)).await;
        assert_eq!(received.lock().unwrap().as_ref().unwrap().len(), 1);
        assert_nothing_left(&sim, &server).await;
        is_over
    });
}

/// A shutdown that is dropped drops nobody who had time left: if it had begun, who was asked to go
/// still closes properly; called again it waits for the rest.
#[test]
fn shutdown() {
    at_every_poll(3, |sim, polls| async move {
        let server = Server::bind(ANY).await.unwrap();
        sim.chop(30);
        serve(&sim, &server, echo);
        let mut peers = Vec::new();
        for _ in 0..3 {
            peers.push(Peer::open(&sim, server.local_addr()).await);
        }
        let answers: Vec<_> = peers
            .into_iter()
            .map(|mut peer| {
                let clock = sim.clone();
                spawned(&sim, async move { answer_close(&clock, &mut peer).await })
            })
            .collect();
        let report = polled(polls, server.shutdown(seconds(5))).await;
        let is_over = report.is_some();
        if let Some(report) = report {
            assert_report(report, 3);
        } else if polls > 0 {
            sim.sleep(seconds(2)).await;
            let again = sim.within(seconds(1), server.shutdown(seconds(5))).await;
            assert_report(again.expect("nobody is left"), 0);
        } else {
            let report = sim.within(seconds(4), server.shutdown(seconds(5))).await;
            assert_report(report.expect("all go in time"), 3);
        }
        sim.sleep(seconds(2)).await;
        for answer in answers {
            let going_away = vec![(0x88, 1001u16.to_be_bytes().to_vec())];
            assert_eq!(answer.lock().unwrap().take(), Some(going_away));
        }
        assert_nothing_left(&sim, &server).await;
        is_over
    });
}

pub(super) fn assert_report(report: ShutdownReport, closed: usize) {
    let ShutdownReport {
        closed: in_time,
        lost,
        aborted,
        ..
    } = report;
    assert_eq!((in_time, lost, aborted), (closed, 0, 0));
}
