//! What waits for a pong.

use ws_driver::{Connection, RoundTripError};

use std::time::Duration;

use super::polling::{assert_nothing_left, at_every_poll, open, polled, spawned};
use ws_testing::sim::peer::{close, masked};
use ws_testing::sim::{ANY, Peer, Server, Sim, seconds, yield_now};

/// Answers each ping, and the close at the end. Returns the payloads of the pings.
async fn answer_pings(sim: &Sim, peer: &mut Peer) -> Vec<Vec<u8>> {
    let (mut bytes, mut pings) = (Vec::new(), Vec::new());
    for _ in 0..5000 {
        bytes.extend(peer.read());
        let frame_len = bytes.get(1).map_or(usize::MAX, |len| 2 + usize::from(*len));
        if bytes.len() < frame_len {
            yield_now().await;
            continue;
        }
        let frame: Vec<_> = bytes.drain(..frame_len).collect();
        if frame[0] == 0x88 {
            peer.write(&close(1000)).await;
            peer.end().await;
            return pings;
        }
        assert_eq!(frame[0], 0x89);
        peer.write(&masked(0x8a, &frame[2..])).await;
        pings.push(frame[2..].to_vec());
    }
    sim.sleep(seconds(1)).await;
    pings
}

/// A round trip that was dropped has sent one ping if it was polled, and leaves nothing behind: the next one is measured
/// as ever.
fn assert_a_dropped_round_trip_leaves_nothing(
    round_trip: impl AsyncFn(&Connection) -> Result<Duration, RoundTripError> + Copy,
) {
    at_every_poll(2, |sim, polls| async move {
        let server = Server::bind(ANY).await.unwrap();
        let (connection, mut peer) = open(&sim, &server).await;
        peer.link().chop(1);
        let clock = sim.clone();
        let pings = spawned(&sim, async move { answer_pings(&clock, &mut peer).await });
        let first = polled(polls, round_trip(&connection)).await;
        let is_over = first.is_some();
        assert!(first.is_none_or(|first| first.is_ok()));
        let again = sim.within(seconds(1), round_trip(&connection)).await;
        let again = again.unwrap().unwrap();
        assert_eq!(connection.latency(), Some(again));
        drop(connection);
        sim.sleep(seconds(2)).await;
        let pings = pings.lock().unwrap().take().unwrap();
        assert_eq!(pings.len(), usize::from(polls > 0) + 1);
        assert_nothing_left(&sim, &server).await;
        is_over
    });
}

#[test]
fn round_trip() {
    assert_a_dropped_round_trip_leaves_nothing(async |connection| connection.round_trip().await);
}

#[test]
fn round_trip_of_a_sender() {
    assert_a_dropped_round_trip_leaves_nothing(async |connection| {
        connection.sender().round_trip().await
    });
}
