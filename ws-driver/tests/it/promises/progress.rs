//! P3: a send is never stuck.

use std::future::pending;

use super::HOUR;
use super::frames::{read_exactly, texted};
use ws_testing::sim::peer::{OK_6455, RFC6455, frames, text};
use ws_testing::sim::{ANY, Peer, Server, Sim, serve, yield_now};

/// What was sent is written although the handler then waits for a timer, for nothing at all, or for
/// another task. Breaks if only `recv` or the next `send` flushes.
#[test]
fn p3_what_was_sent_is_written_whatever_the_handler_waits_for() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        let clock = sim.clone();
        serve(&sim, &server, move |mut connection| {
            let clock = clock.clone();
            async move {
                let what = connection.recv().await.unwrap();
                connection.send("one").await.unwrap();
                yield_now().await;
                connection.send("two").await.unwrap();
                match what.as_text() {
                    Some("timer") => clock.sleep(HOUR).await,
                    Some("nothing") => pending().await,
                    _ => {
                        connection.sender().wait_closed().await;
                    }
                }
                drop(connection);
            }
        });
        for what in ["timer", "nothing", "another task"] {
            let start = sim.now();
            let mut peer = Peer::open(&sim, server.local_addr()).await;
            let answer = peer.ask(text(what)).await;
            assert_eq!(frames(&answer), [texted("one"), texted("two")], "{what}");
            assert_eq!(sim.now(), start, "no time has passed: {what}");
        }
    });
}

/// More than a pipe holds is written to the end while the handler waits for ever. Breaks if a write
/// that got stuck is only taken up again by the handler.
#[test]
fn p3_a_write_that_got_stuck_goes_on_without_the_handler() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, |connection| async move {
            for _ in 0..20 {
                connection.send("x".repeat(10_000)).await.unwrap();
            }
            pending().await
        });
        let mut peer = Peer::connect(&sim, server.local_addr());
        peer.link().to_near.capacity = 1000;
        peer.write(RFC6455.as_bytes()).await;
        let count = OK_6455.len() + 20 * (4 + 10_000);
        let bytes = read_exactly(&sim, &peer, count).await;
        assert_eq!(frames(&bytes[OK_6455.len()..]).len(), 20);
    });
}
