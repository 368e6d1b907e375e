//! P4: while the handler is busy elsewhere.

use std::sync::{Arc, Mutex};

use ws_driver::ws_proto::{CloseCause, CloseCode, Closed, ProtocolError};

use super::HOUR;
use super::frames::{closing, texted};
use super::limited::{LIMIT, flood, limited_server};
use ws_testing::sim::peer::{close, frames, masked, ping, text};
use ws_testing::sim::{ANY, Peer, Server, Sim, echo, seconds, serve};

/// A server whose handler sleeps for an hour; what `serve` returned of each connection is told.
async fn busy_server(sim: &Sim) -> (Server, Arc<Mutex<Vec<Closed>>>) {
    let server = Server::bind(ANY).await.unwrap();
    let closed = Arc::new(Mutex::new(Vec::new()));
    let (told, clock) = (Arc::clone(&closed), sim.clone());
    serve(sim, &server, move |mut connection| {
        let (told, clock) = (Arc::clone(&told), clock.clone());
        async move {
            clock.sleep(HOUR).await;
            while connection.recv().await.is_some() {}
            told.lock().unwrap().push(connection.closed().unwrap());
        }
    });
    (server, closed)
}

/// Pings are answered at once. Breaks if the stream is only read when the handler receives.
#[test]
fn p4_pings_are_answered_while_the_handler_is_busy() {
    Sim::run(async |sim| {
        let (server, _) = busy_server(&sim).await;
        let mut peer = Peer::open(&sim, server.local_addr()).await;
        for i in 0..10u8 {
            let answer = peer.ask([text("unread"), ping(&[i])].concat()).await;
            assert_eq!(frames(&answer), [(0x8a, vec![i])]);
        }
    });
}

/// A close is answered at once, or, behind messages that nobody took, after the close timeout; the
/// stream ends and the registry forgets it, all before the handler looks. Breaks if only the handler
/// takes notice.
#[test]
fn p4_a_close_is_answered_while_the_handler_is_busy() {
    Sim::run(async |sim| {
        let (server, told) = busy_server(&sim).await;
        let mut peer = Peer::open(&sim, server.local_addr()).await;
        let answer = peer.ask(close(4001)).await;
        assert_eq!(frames(&answer), [closing(4001)]);
        assert!(peer.has_ended());
        peer.end().await;
        sim.settle().await;
        assert_eq!(server.clients().len(), 0);

        let mut peer = Peer::open(&sim, server.local_addr()).await;
        let answer = peer.ask([text("unread"), close(4002)].concat()).await;
        assert_eq!(frames(&answer), []);
        sim.sleep(seconds(10)).await;
        assert_eq!(frames(&peer.read()), [closing(4002)]);
        peer.end().await;
        sim.settle().await;
        assert_eq!(server.clients().len(), 0);

        assert_eq!(told.lock().unwrap().len(), 0);
        sim.sleep(HOUR).await;
        let codes: Vec<_> = told.lock().unwrap().iter().map(|end| end.code).collect();
        assert_eq!(codes, [4001, 4002]);
    });
}

/// The keepalive ping goes out after 20 s, again and again for a peer that answers; one that has
/// vanished is found out 20 s after it. Breaks if timers wait for the handler.
#[test]
fn p4_keepalive_runs_while_the_handler_is_busy() {
    Sim::run(async |sim| {
        let (server, told) = busy_server(&sim).await;
        let mut peer = Peer::open(&sim, server.local_addr()).await;
        for number in 1..=5_u32 {
            sim.sleep(seconds(20)).await;
            let payload = number.to_be_bytes();
            assert_eq!(frames(&peer.read()), [(0x89, payload.to_vec())]);
            assert_eq!(peer.ask(masked(0x8a, &payload)).await, b"");
        }
        peer.link().vanish();
        let sender = server.clients().iter().next().unwrap();
        sim.sleep(seconds(39)).await;
        assert_eq!(sender.closed(), None);
        sim.sleep(seconds(1)).await;
        let waited = seconds(20);
        let cause = CloseCause::Failed(ProtocolError::PongTimeout { waited });
        assert_eq!(sender.closed().unwrap().cause, cause);
        sim.sleep(seconds(10)).await;
        assert_eq!(server.clients().len(), 0, "the stream is given up");
        sim.sleep(HOUR).await;
        assert_eq!(told.lock().unwrap()[0].cause, cause);
    });
}

/// A peer that has vanished is found out although the handler does not receive, as it waits for the peer
/// to read. Breaks if not reading excuses a transport that takes nothing.
#[test]
fn p4_a_vanished_peer_is_found_out_while_the_handler_waits_to_send() {
    Sim::run(async |sim| {
        let server = limited_server().await;
        serve(&sim, &server, echo);
        let mut peer = Peer::open(&sim, server.local_addr()).await;
        flood(&sim, &mut peer, text("x".repeat(1000))).await;
        let sender = server.clients().iter().next().unwrap();
        assert!(sender.buffered_amount() >= LIMIT, "the echo waits for room");
        peer.link().vanish();
        sim.sleep(seconds(60)).await;
        let waited = seconds(20);
        let cause = CloseCause::Failed(ProtocolError::PongTimeout { waited });
        assert_eq!(sender.closed().map(|closed| closed.cause), Some(cause));
        sim.sleep(seconds(10)).await;
        assert_eq!(server.clients().len(), 0);
    });
}

/// What other tasks send goes out at once: through a sender, by id, by broadcast. Breaks if their
/// sends do not wake the driver.
#[test]
fn p4_what_other_tasks_send_goes_out_while_the_handler_is_busy() {
    Sim::run(async |sim| {
        let (server, _) = busy_server(&sim).await;
        let peer = Peer::open(&sim, server.local_addr()).await;
        let sender = server.clients().iter().next().unwrap();
        let start = sim.now();
        sender.send("sender").await.unwrap();
        sim.settle().await;
        assert_eq!(frames(&peer.read()), [texted("sender")]);
        server.send(sender.id(), "id").unwrap();
        sim.settle().await;
        assert_eq!(frames(&peer.read()), [texted("id")]);
        assert_eq!(server.broadcast("broadcast"), 1);
        sim.settle().await;
        assert_eq!(frames(&peer.read()), [texted("broadcast")]);
        sender.ping(b"!").unwrap();
        sender
            .begin_close(CloseCode::new(4000).unwrap(), "bye")
            .unwrap();
        sim.settle().await;
        let end = (0x88, [&4000u16.to_be_bytes()[..], b"bye"].concat());
        assert_eq!(frames(&peer.read()), [(0x89, b"!".to_vec()), end]);
        assert_eq!(sim.now(), start);
    });
}
