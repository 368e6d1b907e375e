//! What sends to many.

use std::time::Duration;

use super::polling::{assert_nothing_left, at_every_poll, open, polled_while, texted};
use ws_testing::sim::peer::{close, frames};
use ws_testing::sim::{ANY, Server, seconds};

/// A broadcast that waits for a slow peer: who had room has it, and after it was dropped nobody gets
/// anything of it any more.
fn assert_a_dropped_broadcast_is_over(broadcast: impl AsyncFn(&Server, &str) -> usize + Copy) {
    at_every_poll(2, |sim, polls| async move {
        let builder = Server::builder().send_queue_limit(Some(20));
        let server = builder.bind(ANY).await.unwrap();
        let (slow_connection, slow) = open(&sim, &server).await;
        let (fast_connection, fast) = open(&sim, &server).await;
        for connection in [&slow_connection, &fast_connection] {
            connection.join("topic").unwrap();
        }
        slow.link().chop(1);
        slow.link().to_near.capacity = 15;
        let mut filled = 0;
        while slow_connection.try_send("full").is_ok() {
            filled += 1;
        }
        let mut bytes = Vec::new();
        // The slow peer begins to read after a while.
        let meanwhile = |poll| {
            if poll > 2 {
                bytes.extend(slow.read());
            }
        };
        let reached = polled_while(polls, broadcast(&server, "all"), meanwhile).await;
        assert!(reached.is_none_or(|reached| reached == 2), "{reached:?}");
        sim.settle().await;
        let expected = vec![texted("all"); usize::from(polls > 0)];
        assert_eq!(frames(&fast.read()), expected, "who has room has it");
        for _ in 0..100 {
            bytes.extend(slow.read());
            sim.sleep(Duration::from_micros(1)).await;
        }
        slow_connection.try_send("end").unwrap();
        sim.sleep(seconds(1)).await;
        bytes.extend(slow.read());
        let mut received = frames(&bytes);
        assert_eq!(received.pop(), Some(texted("end")));
        assert_eq!(
            received
                .drain(..filled)
                .filter(|frame| *frame != texted("full"))
                .count(),
            0
        );
        assert!(
            received.is_empty() || received == [texted("all")],
            "{received:?}"
        );
        assert!(!received.is_empty() || reached.is_none());
        drop((fast_connection, slow_connection));
        for mut peer in [fast, slow] {
            peer.link().chop(usize::MAX);
            peer.ask(close(1000)).await;
            peer.end().await;
        }
        assert_nothing_left(&sim, &server).await;
        reached.is_some()
    });
}

#[test]
fn broadcast_wait() {
    assert_a_dropped_broadcast_is_over(async |server, message| {
        server.clients().broadcast_wait(message).await
    });
}

#[test]
fn broadcast_wait_of_a_topic() {
    assert_a_dropped_broadcast_is_over(async |server, message| {
        let topic = server.clients().topic("topic");
        topic.broadcast_wait(message).await
    });
}
