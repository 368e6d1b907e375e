//! P4: timers run whatever the handler does, and not all at once.

use ws_testing::sim::peer::{RFC6455, masked};
use ws_testing::sim::{ANY, Peer, Server, Sim, echo, seconds, serve};

/// The keepalive pings of connections that one broadcast aligned are spread, by what the runtime draws. Breaks if every
/// connection waits for the whole interval.
#[test]
fn p4_pings_that_a_broadcast_aligned_are_spread() {
    const COUNT: usize = 100;
    Sim::run_seeded(1, async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let mut peers = Vec::new();
        for _ in 0..COUNT {
            let mut peer = Peer::connect(&sim, server.local_addr());
            peer.write(RFC6455.as_bytes()).await;
            peers.push(peer);
        }
        sim.sleep(seconds(5)).await;
        assert_eq!(server.clients().len(), COUNT);
        server.clients().broadcast("to all");
        for peer in &mut peers {
            peer.write(&masked(0x81, b"heard")).await;
        }
        let mut pinged = Vec::new();
        for _ in 0..25 {
            sim.sleep(seconds(1)).await;
            let clients = server.clients();
            let pings = clients.iter().map(|client| client.counters().pings_sent);
            pinged.push(usize::try_from(pings.sum::<u64>()).unwrap());
        }
        assert_eq!(pinged.last(), Some(&COUNT), "each once: {pinged:?}");
        let most = pinged.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert!(most.unwrap() < COUNT / 2, "{pinged:?}");
    });
}
