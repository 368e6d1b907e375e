//! What a backplane costs a broadcast to the connections of its own node: to `clients()` nothing, and to the cluster one
//! envelope. Counts what the process allocates, so it is alone, in one test.
#![allow(
    clippy::unwrap_used,
    reason = "clippy spares tests, but not their helpers"
)]

use std::alloc::System;
use std::time::Duration;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use ws_driver::MemoryBackplane;
use ws_testing::sim::{ANY, Peer, Server, Sim, echo, serve};

type ServerBuilder = ws_driver::ServerBuilder<Sim>;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const PEERS: usize = 10;
const BROADCASTS: usize = 32;

/// The allocation of an envelope.
const OF_ENVELOPE: usize = 1;

/// What broadcasts cost.
#[derive(Debug, PartialEq, Eq)]
struct Cost {
    /// Allocations of all calls.
    allocations: usize,
    /// What has left to the connections.
    bytes_sent: u64,
}

#[test]
fn a_backplane_costs_a_local_broadcast_an_envelope_at_most() {
    let with_backplane = || Server::builder().backplane(MemoryBackplane::new());
    let to_clients = |server: &Server| server.clients().broadcast(TEXT);
    let to_cluster = |server: &Server| server.cluster().broadcast(TEXT).local;

    let alone = cost(Server::builder(), to_clients);
    assert_eq!(cost(with_backplane(), to_clients), alone, "to clients");

    let alone = cost(Server::builder(), to_cluster);
    let envelopes = BROADCASTS * OF_ENVELOPE;
    let allowed = Cost {
        allocations: alone.allocations + envelopes,
        ..alone
    };
    assert_eq!(
        cost(with_backplane(), to_cluster),
        allowed,
        "to the cluster"
    );
}

const TEXT: &str = "a small message of forty bytes, as most";

/// Counts broadcasts on a server whose queues have the memory that they need.
fn cost(builder: ServerBuilder, broadcast: impl Fn(&Server) -> usize) -> Cost {
    Sim::run(async |sim| {
        let server = builder.bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let mut peers = Vec::new();
        for _ in 0..PEERS {
            peers.push(Peer::open(&sim, server.local_addr()).await);
        }
        // The link of the backplane is up by then.
        sim.sleep(Duration::from_secs(1)).await;
        let mut cost = None;
        for _round in 0..3 {
            let before = server.counters().bytes_sent;
            let mut allocations = 0;
            for _ in 0..BROADCASTS {
                let region = Region::new(ALLOCATOR);
                assert_eq!(broadcast(&server), PEERS);
                let change = region.change();
                allocations += change.allocations + change.reallocations;
            }
            sim.settle().await;
            for peer in &peers {
                peer.read();
            }
            let bytes_sent = server.counters().bytes_sent - before;
            cost = Some(Cost {
                allocations,
                bytes_sent,
            });
        }
        cost.unwrap()
    })
}
