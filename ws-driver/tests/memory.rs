//! P5: an idle connection holds no buffer. Counts what the process allocates, so it is alone.
#![allow(
    clippy::unwrap_used,
    reason = "clippy spares tests, but not their helpers"
)]

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use ws_testing::sim::peer::{frames, text};
use ws_testing::sim::{ANY, Peer, Server, Sim, SimStream, echo, serve};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CONNECTIONS: usize = 200;

/// What an idle connection may cost, the future of its handler and its request included. One read buffer
/// is 64 KiB, and hyper's smallest is 8 KiB.
const BOUND: usize = 1360;

fn live(region: &Region<'_, System>) -> usize {
    let stats = region.change();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// After messages large and small, each idle connection costs less than [`BOUND`]. Breaks if a
/// connection keeps a read buffer, a write buffer or the capacity of a queue.
#[test]
fn p5_an_idle_connection_holds_no_buffer() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        // What belongs to the thread and to the server is there before the count.
        let mut first = Peer::open(&sim, server.local_addr()).await;
        first.ask(text("x".repeat(50_000))).await;
        let mut peers = Vec::with_capacity(CONNECTIONS);

        // What the simulation costs: a stream, and a task that does nothing.
        let region = Region::new(ALLOCATOR);
        let streams: Vec<_> = (0..CONNECTIONS).map(|_| SimStream::pair()).collect();
        (0..CONNECTIONS).for_each(|_| sim.spawn_task(std::future::pending()));
        sim.settle().await;
        let simulated = live(&region) / CONNECTIONS;
        drop(streams);

        let region = Region::new(ALLOCATOR);
        for _ in 0..CONNECTIONS {
            peers.push(Peer::open(&sim, server.local_addr()).await);
        }
        let opened = live(&region) / CONNECTIONS - simulated;
        for peer in &mut peers {
            for len in [50_000, 5000, 1] {
                let echoes = peer.ask(text("x".repeat(len)).repeat(1 + 5000 / len)).await;
                assert_eq!(frames(&echoes).len(), 1 + 5000 / len);
            }
        }
        let idle = live(&region) / CONNECTIONS - simulated;
        println!(
            "live bytes per connection: {opened} when opened, {idle} idle after traffic; \
             {simulated} more are the simulation's"
        );
        assert!(idle < BOUND, "{idle} bytes; {opened} when opened");
    });
}
