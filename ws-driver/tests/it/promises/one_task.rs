//! P1: one task per connection, and the handler is polled inside it.

use std::sync::{Arc, Mutex};

use super::frames::texted;
use ws_testing::sim::peer::{frames, text};
use ws_testing::sim::{ANY, Peer, Server, Sim, echo, serve};

/// A server has one task for each connection and no other. Breaks if the handler, a timer, a reader
/// or a writer gets a task of its own.
#[test]
fn p1_a_server_has_one_task_for_each_connection() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let before = sim.spawned();
        let mut peers = Vec::new();
        for count in 1..=20 {
            let mut peer = Peer::open(&sim, server.local_addr()).await;
            assert_eq!(frames(&peer.ask(text("hi")).await), [texted("hi")]);
            peers.push(peer);
            assert_eq!(sim.spawned() - before, count);
            assert_eq!(sim.live_tasks(), count + 1);
        }
    });
}

/// Bytes reach the handler, and its answer the stream, in one poll of one task. Breaks if there is a
/// channel or a task between the socket and the handler: then two polls are needed.
#[test]
fn p1_a_message_is_received_and_answered_in_one_poll_of_one_task() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        let tasks = Arc::new(Mutex::new(Vec::new()));
        let (seen, clock) = (Arc::clone(&tasks), sim.clone());
        serve(&sim, &server, move |mut connection| {
            let (seen, clock) = (Arc::clone(&seen), clock.clone());
            async move {
                while let Some(message) = connection.recv().await {
                    seen.lock()
                        .unwrap()
                        .push((clock.current_task(), clock.polls()));
                    connection.send(message).await.unwrap();
                }
            }
        });
        let mut peer = Peer::open(&sim, server.local_addr()).await;
        let before = sim.polls();
        assert_eq!(frames(&peer.ask(text("hi")).await), [texted("hi")]);
        assert_eq!(sim.polls() - before, 1);
        peer.ask(text("again")).await;
        let tasks = tasks.lock().unwrap().clone();
        assert_eq!(tasks.len(), 2);
        assert_eq!(tasks[0].0, tasks[1].0);
        assert_eq!(tasks[0].1, before);
    });
}
