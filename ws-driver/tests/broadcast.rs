//! A broadcast encodes once and shares what it encoded. Counts what the process allocates, so it is
//! alone.
#![allow(
    clippy::unwrap_used,
    reason = "clippy spares tests, but not their helpers"
)]

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use ws_driver::SlowPeer;
use ws_testing::sim::{ANY, Peer, Server, Sim, echo, serve};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const PEERS: usize = 100;

/// One message.
const LEN: usize = 100 << 10;

/// What a broadcast may allocate for each peer besides the message: places in queues.
const BOUND: usize = 1 << 10;

/// A broadcast to many peers that do not read allocates its frame once, in the send queues and in the
/// backlogs. Breaks if the frame is built, or copied, for each connection.
#[test]
fn a_broadcast_allocates_its_frame_once_however_many_get_it() {
    Sim::run(async |sim| {
        let server = Server::builder()
            .slow_peer(SlowPeer::DropOldest)
            .send_queue_limit(2 * LEN);
        let server = server.bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let mut peers = Vec::new();
        for index in 0..PEERS {
            let addr = server.local_addr();
            // The drafts share the payload, and build their frames around it.
            let peer = match index % 3 {
                0 => Peer::open(&sim, addr).await,
                1 => Peer::open_76(&sim, addr).await,
                _ => Peer::open_75(&sim, addr).await,
            };
            peer.link().vanish();
            peers.push(peer);
        }
        for round in 0..4 {
            let message = "x".repeat(LEN);
            let region = Region::new(ALLOCATOR);
            assert_eq!(server.broadcast(message), PEERS);
            sim.settle().await;
            let allocated = region.change().bytes_allocated;
            println!("round {round}: {allocated} bytes allocated");
            assert!((LEN..2 * LEN + PEERS * BOUND).contains(&allocated));
        }
        assert!(server.counters().buffered_amount > 3 * PEERS * LEN);
    });
}
