//! P7: recv, send and close can be dropped at any time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ws_driver::ws_proto::CloseCode;

use super::frames::{closing, texted};
use ws_testing::sim::peer::{OK_6455, RFC6455, close, frames, text};
use ws_testing::sim::{ANY, Peer, Server, Sim, poll_once, seconds, serve, yield_now};

/// Every `recv` is dropped at its first poll, every `send` that has to wait, too, while bytes come and
/// go in portions of one to seven; all messages come back once and in order. Breaks if a message is
/// taken out of the machine before the future is ready, or queued before it is.
#[test]
fn p7_receiving_and_sending_in_futures_that_are_dropped_loses_nothing() {
    for portion in 1..=7 {
        Sim::run(async |sim| {
            let server = Server::builder().send_queue_limit(Some(20));
            let server = server.bind(ANY).await.unwrap();
            let dropped = Arc::new(AtomicUsize::new(0));
            let (drops, clock) = (Arc::clone(&dropped), sim.clone());
            serve(&sim, &server, move |mut connection| {
                let (drops, clock) = (Arc::clone(&drops), clock.clone());
                async move {
                    let mut waiting = Vec::new();
                    loop {
                        match poll_once(connection.recv()) {
                            Some(Some(message)) => waiting.push(message),
                            Some(None) => break,
                            None => drop(drops.fetch_add(1, Ordering::SeqCst)),
                        }
                        if let Some(message) = waiting.first() {
                            match poll_once(connection.send(message.clone())) {
                                Some(sent) => drop((sent.unwrap(), waiting.remove(0))),
                                None => drop(drops.fetch_add(1, Ordering::SeqCst)),
                            }
                        }
                        clock.sleep(Duration::from_micros(1)).await;
                    }
                }
            });
            let mut peer = Peer::open(&sim, server.local_addr()).await;
            peer.link().chop(portion);
            peer.link().to_near.capacity = 50;
            let messages: Vec<_> = (0..50).map(|i| format!("message number {i}")).collect();
            let mut bytes = Vec::new();
            for message in &messages {
                for piece in text(message).chunks(5) {
                    peer.write(piece).await;
                    sim.sleep(Duration::from_micros(1)).await;
                    bytes.extend(peer.read());
                }
            }
            let count = messages.iter().map(|message| message.len() + 2).sum();
            for _ in 0..10_000 {
                bytes.extend(peer.read());
                if bytes.len() >= count {
                    break;
                }
                sim.sleep(Duration::from_micros(1)).await;
            }
            let expected: Vec<_> = messages.iter().map(texted).collect();
            assert_eq!(frames(&bytes), expected, "in portions of {portion}");
            peer.write(&close(1000)).await;
            sim.sleep(seconds(1)).await;
            assert!(dropped.load(Ordering::SeqCst) > 100, "{dropped:?} dropped");
        });
    }
}

/// A `close_with` that is dropped goes on closing, and asking again sends no second close. Breaks if the
/// close is queued by the end of the future, or by each.
#[test]
fn p7_a_close_that_is_dropped_goes_on_and_is_sent_once() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        let ends = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&ends);
        serve(&sim, &server, move |mut connection| {
            let told = Arc::clone(&told);
            async move {
                for i in 0..20 {
                    let code = CloseCode::new(4000 + i).unwrap();
                    assert!(poll_once(connection.close_with(code, "")).is_none());
                    yield_now().await;
                }
                let end = connection.close().await;
                told.lock().unwrap().push(end);
            }
        });
        let mut peer = Peer::connect(&sim, server.local_addr());
        let answer = peer.ask(RFC6455).await;
        assert_eq!(frames(&answer[OK_6455.len()..]), [closing(4000)]);
        assert_eq!(peer.ask(close(4000)).await, b"");
        assert!(ends.lock().unwrap().is_empty(), "the stream is still open");
        peer.end().await;
        sim.sleep(seconds(1)).await;
        let end = ends.lock().unwrap().pop().unwrap();
        assert_eq!((end.code, end.clean), (4000, true));
    });
}
