//! A broadcast encodes once and shares what it encoded, and its small messages use the memory of the thread. Counts what
//! the process allocates, so it is alone, in one test.
#![allow(
    clippy::unwrap_used,
    reason = "clippy spares tests, but not their helpers"
)]

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use ws_driver::{CloseCode, SlowPeer};
use ws_testing::sim::{ANY, Peer, Server, Sim, echo, serve};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const PEERS: usize = 100;

/// One message.
const LEN: usize = 100 << 10;

/// What a broadcast may allocate for each peer besides the message: places in queues.
const BOUND: usize = 1 << 10;

/// The allocations of a small message: its payload and its frame.
const OF_MESSAGE: usize = 3;

#[test]
fn a_broadcast_allocates_for_its_message_and_not_for_each_receiver() {
    a_large_frame_is_allocated_once_however_many_get_it();
    small_messages_use_the_memory_of_the_thread();
}

/// After the first one, a broadcast of a small message allocates nothing for each receiver. When it has left, no
/// receiver keeps memory: also not one that could not take it, because it was closing.
fn small_messages_use_the_memory_of_the_thread() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let mut peers = Vec::new();
        for _ in 0..PEERS {
            peers.push(Peer::open(&sim, server.local_addr()).await);
        }
        server
            .clients()
            .iter()
            .next()
            .unwrap()
            .begin_close(CloseCode::NORMAL, "")
            .unwrap();
        let mut live = Vec::new();
        for round in 0..4 {
            let region = Region::new(ALLOCATOR);
            for _ in 0..3 {
                assert_eq!(
                    server.broadcast("a small message of forty bytes, as most"),
                    PEERS - 1
                );
            }
            let allocations = region.change().allocations;
            assert!(
                round == 0 || allocations <= 3 * OF_MESSAGE,
                "round {round}: {allocations} allocations"
            );
            sim.settle().await;
            for peer in &peers {
                peer.read();
            }
            live.push(ALLOCATOR.stats());
        }
        let held = |index: usize| live[index].bytes_allocated - live[index].bytes_deallocated;
        assert_eq!(held(3), held(1), "a round leaves memory behind");
    });
}

/// A broadcast to many peers that do not read allocates its frame once, in the send queues and in the
/// backlogs. Breaks if the frame is built, or copied, for each connection.
fn a_large_frame_is_allocated_once_however_many_get_it() {
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
            let bound = LEN..2 * LEN + PEERS * BOUND;
            assert!(
                bound.contains(&allocated),
                "round {round}: {allocated} bytes"
            );
        }
        assert!(server.counters().buffered_amount > 3 * PEERS * LEN);
    });
}
