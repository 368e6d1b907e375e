//! What waits for a handler that does not receive is bounded by the `receive_queue_limit`, whatever
//! one read brings. Counts what the simulation allocates.
#![allow(
    clippy::print_stdout,
    reason = "clippy spares tests, but not their helpers"
)]

use std::sync::{Arc, Mutex};

use allocation_counter::measure;
use ws_driver::Connection;
use ws_testing::sim::peer::{DRAFT75, OK_6455, RFC6455, close, masked, ping, text};
use ws_testing::sim::{ANY, Peer, Server, Sim, seconds};

/// Bytes in one read of the driver, and in a pipe of the simulation.
const READ_LEN: usize = 64 << 10;

/// What a queue may cost besides its limit: a list of events that doubles, what was read and not
/// taken, the thread's buffer, the pipe, and what the test holds.
const BESIDES: usize = 6 * READ_LEN;

/// A server whose handler waits for a minute and then receives all; how many messages it got.
async fn lazy_server(sim: &Sim, limit: usize) -> (Server, Arc<Mutex<usize>>) {
    let server = Server::builder().receive_queue_limit(limit);
    let server = server.bind(ANY).await.unwrap();
    let (received, lazy) = (Arc::new(Mutex::new(0)), sim.clone());
    let counted = Arc::clone(&received);
    ws_testing::sim::serve(sim, &server, move |mut connection: Connection| {
        let (lazy, counted) = (lazy.clone(), Arc::clone(&counted));
        async move {
            lazy.sleep(seconds(15)).await;
            while let Some(message) = connection.recv().await {
                assert!(message.is_empty());
                *counted.lock().unwrap() += 1;
            }
        }
    });
    (server, received)
}

/// A read full of empty messages is taken as far as the limit goes; the rest waits as the bytes that
/// it came in, also if it came with the opening handshake. All of it is received in the end. Breaks if
/// the machine makes an event of 72 bytes of each two that one read brings.
#[test]
fn a_read_of_empty_messages_costs_no_more_than_the_limit() {
    for limit in [1000, 256 << 10] {
        for (head, message) in [(DRAFT75, b"\0\xff".to_vec()), (RFC6455, masked(0x82, b""))] {
            for early in [false, true] {
                let info = measure(|| {
                    Sim::run(async |sim| {
                        let (server, received) = lazy_server(&sim, limit).await;
                        let mut peer = Peer::connect(&sim, server.local_addr());
                        if !early {
                            peer.ask(head).await;
                        }
                        let head = if early { head } else { "" };
                        let count = (READ_LEN - head.len()) / message.len();
                        let wire = [head.as_bytes(), &message.repeat(count)].concat();
                        peer.ask(wire).await;
                        assert_eq!(*received.lock().unwrap(), 0);
                        sim.sleep(seconds(16)).await;
                        assert_eq!(*received.lock().unwrap(), count);
                    });
                });
                let peak = usize::try_from(info.bytes_max).unwrap();
                println!(
                    "limit {limit}, {} bytes each, early {early}: {peak}",
                    message.len()
                );
                assert!(peak <= 3 * limit + BESIDES, "{peak}");
            }
        }
    }
}

/// What waits as bytes keeps its order: messages, a ping and a close among them are told, answered and
/// heeded one after the other, once the handler has made room.
#[test]
fn what_waits_as_bytes_is_handled_in_order() {
    Sim::run(async |sim| {
        let (server, received) = lazy_server(&sim, 1000).await;
        let mut peer = Peer::connect(&sim, server.local_addr());
        assert_eq!(peer.ask(RFC6455).await, OK_6455.as_bytes());
        let messages = text("").repeat(100);
        let wire = [&messages[..], &ping(b"1"), &messages, &close(1000), b"junk"].concat();
        assert_eq!(peer.ask(wire).await, b"", "the ping is behind what waits");
        sim.sleep(seconds(16)).await;
        assert_eq!(peer.read(), b"\x8a\x011\x88\x02\x03\xe8");
        assert_eq!(*received.lock().unwrap(), 200);
        peer.end().await;
        sim.settle().await;
        assert_eq!(server.clients().len(), 0);
    });
}

/// The end of the stream comes behind what waits as bytes, and so does a handler that gives up: what
/// nobody can take is discarded, and the connection ends.
#[test]
fn an_end_behind_what_waits_is_heeded() {
    Sim::run(async |sim| {
        let (server, received) = lazy_server(&sim, 1000).await;
        let mut peer = Peer::open(&sim, server.local_addr()).await;
        peer.ask(text("").repeat(5000)).await;
        peer.end().await;
        sim.sleep(seconds(16)).await;
        assert_eq!(*received.lock().unwrap(), 5000);
        assert_eq!(server.clients().len(), 0);

        let server = Server::builder().receive_queue_limit(1000);
        let server = server.bind(ANY).await.unwrap();
        let lazy = sim.clone();
        ws_testing::sim::serve(&sim, &server, move |connection| {
            let lazy = lazy.clone();
            async move {
                lazy.sleep(seconds(1)).await;
                drop(connection);
            }
        });
        let mut peer = Peer::open(&sim, server.local_addr()).await;
        let wire = [text("").repeat(5000), close(1000)].concat();
        assert_eq!(peer.ask(wire).await, b"");
        sim.sleep(seconds(2)).await;
        assert_eq!(peer.read(), b"\x88\x02\x03\xe8");
        peer.end().await;
        sim.settle().await;
        assert_eq!(server.clients().len(), 0);
    });
}
