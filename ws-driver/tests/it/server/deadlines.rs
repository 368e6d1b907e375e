//! What ends by itself: a handshake that takes too long, a peer that has vanished.

use std::sync::{Arc, Mutex};

use super::page::PLAIN;
use ws_testing::sim::peer::{DRAFT76, RFC6455, frames, masked, text};
use ws_testing::sim::{ANY, Peer, Server, Sim, echo, seconds, serve};

/// The opening handshake is over after 10 s, whatever is missing: all of it, half a head, key3, the
/// body that declares key3; and also if a byte comes now and then.
#[test]
fn the_opening_handshake_has_a_deadline() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let with_length = DRAFT76.replace("Origin", "Content-Length: 8\r\nOrigin");
        let plain_first = format!("{PLAIN}{with_length}");
        for (name, request) in [
            ("nothing", ""),
            ("half a head", &RFC6455[..50]),
            ("draft-76 without key3", DRAFT76),
            ("draft-76 without its body", &with_length),
            ("draft-76 without its body, later", &plain_first),
        ] {
            let mut peer = Peer::connect(&sim, server.local_addr());
            peer.ask(request).await;
            for _ in 0..9 {
                sim.sleep(seconds(1)).await;
                if name == "half a head" {
                    peer.write(b"a").await;
                }
                assert!(!peer.has_ended(), "{name}");
            }
            sim.sleep(seconds(1)).await;
            peer.read();
            assert!(peer.has_ended(), "{name}");
            drop(peer);
            sim.settle().await;
            assert_eq!(sim.live_tasks(), 1, "{name}");
        }
    });
}

/// A peer that has vanished is gone after 40 s, its stream and its id with it. One that answers stays.
#[test]
fn a_vanished_peer_is_gone_after_40_seconds() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        let ended = Arc::new(Mutex::new(0));
        let (count, start) = (Arc::clone(&ended), sim.now());
        serve(&sim, &server, move |connection| {
            let count = Arc::clone(&count);
            async move {
                echo(connection).await;
                *count.lock().unwrap() += 1;
            }
        });
        let mut here = Peer::open(&sim, server.local_addr()).await;
        let gone = Peer::open(&sim, server.local_addr()).await;
        gone.link().vanish();
        for time in [20, 40, 50] {
            sim.sleep((start + seconds(time)) - sim.now()).await;
            assert_eq!(*ended.lock().unwrap(), i32::from(time >= 40), "at {time} s");
            assert_eq!(server.clients().len(), if time < 40 { 2 } else { 1 });
            here.ask(masked(0x8a, b"")).await;
        }
        assert_eq!(
            frames(&here.ask(text("hi")).await),
            [(0x81, b"hi".to_vec())]
        );
    });
}
