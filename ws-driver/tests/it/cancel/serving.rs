//! What opens connections of a server.

use super::polling::{
    DROPS, assert_nothing_left, at_every_poll, numbered, polled, polled_while, spawned,
};
use ws_testing::sim::peer::{OK_6455, RFC6455, close, text};
use ws_testing::sim::{self, ANY, Peer, Server, SimStream, echo, seconds, serve, yield_now};

/// Two streams arrive while somebody begins to accept and gives up again: both connections are handed
/// out later, once, with what came early.
#[test]
fn accept() {
    at_every_poll(3, |sim, polls| async move {
        let server = Server::bind(ANY).await.unwrap();
        let writers = [0, 1].map(|number| {
            let mut peer = Peer::connect(&sim, server.local_addr());
            let wire = [RFC6455.as_bytes(), &text(numbered(number))].concat();
            spawned(&sim, async move {
                for piece in wire.chunks(50) {
                    peer.write(piece).await;
                    yield_now().await;
                }
                peer
            })
        });
        let (mut connections, mut was_dropped) = (Vec::new(), false);
        for _ in 0..DROPS {
            match polled(polls, server.accept()).await {
                Some(connection) => connections.push(connection.unwrap().unwrap()),
                None => was_dropped = true,
            }
            if connections.len() == 2 {
                break;
            }
        }
        while connections.len() < 2 {
            let accepted = sim.within(seconds(1), server.accept()).await;
            connections.push(accepted.unwrap().unwrap().unwrap());
        }
        assert_eq!(sim::poll_once(server.accept()).map(|_| ()), None);
        let mut messages = Vec::new();
        for connection in &mut connections {
            let message = sim.within(seconds(1), connection.recv()).await;
            messages.push(message.unwrap().unwrap().as_text().unwrap().to_owned());
        }
        messages.sort();
        assert_eq!(messages, [numbered(0), numbered(1)], "after {polls} polls");
        drop(connections);
        for writer in writers {
            let mut peer = writer.lock().unwrap().take().unwrap();
            peer.ask(close(1000)).await;
            sim.sleep(seconds(1)).await;
            peer.end().await;
        }
        assert_nothing_left(&sim, &server).await;
        !was_dropped
    });
}

/// A `serve` that is dropped accepts no more, what is open goes on, and who waits is served by the
/// next. It ends by itself when the server is closed.
#[test]
fn serve_of_a_server() {
    at_every_poll(2, |sim, polls| async move {
        let server = Server::bind(ANY).await.unwrap();
        sim.chop(50);
        let mut peers: Vec<_> = (0..3)
            .map(|_| Peer::connect(&sim, server.local_addr()))
            .collect();
        for peer in &mut peers {
            peer.write(RFC6455.as_bytes()).await;
        }
        let meanwhile = |poll| {
            if poll == 20 {
                server.close();
            }
        };
        let is_over = polled_while(polls, server.serve(echo), meanwhile).await;
        let is_over = is_over.is_some();
        let served = u64::try_from(server.clients().len()).unwrap();
        assert!(sim.live_tasks() >= served, "what is open goes on");
        if !is_over {
            serve(&sim, &server, echo);
        }
        for peer in &mut peers {
            peer.link().chop(usize::MAX);
            let answer = peer.ask(text("hi")).await;
            let early = [OK_6455.as_bytes(), b"\x81\x02hi"].concat();
            assert_eq!(answer, early, "dropped after {polls} polls");
            peer.ask(close(1000)).await;
            peer.end().await;
        }
        server.close();
        assert_nothing_left(&sim, &server).await;
        is_over
    });
}

/// A stream that is handed in while there is no place waits for one; if it is dropped meanwhile its peer
/// sees the end, and the place is free for another.
#[test]
fn handle_stream() {
    at_every_poll(3, |sim, polls| async move {
        let server = Server::builder().connection_limit(1).build().unwrap();
        let hand_in = || {
            let (near, far) = SimStream::pair();
            (server.handle_stream(near, None, echo), far)
        };
        let (first, first_far) = hand_in();
        assert!(first.await);
        let (second, second_far) = hand_in();
        let mut first_far = Some(first_far);
        let meanwhile = |poll| {
            if poll == 20 {
                drop(first_far.take());
            }
        };
        let taken = polled_while(polls, second, meanwhile).await;
        drop(first_far);
        sim.sleep(seconds(1)).await;
        assert_eq!(second_far.has_ended(), taken.is_none());
        assert_eq!(sim.live_tasks(), u64::from(taken.is_some()));
        drop(second_far);
        sim.sleep(seconds(1)).await;
        let (third, third_far) = hand_in();
        assert!(sim.within(seconds(1), third).await.unwrap(), "it is free");
        drop(third_far);
        assert_nothing_left(&sim, &server).await;
        taken.is_some()
    });
}

/// To bind that is dropped leaves the address free.
#[test]
fn bind() {
    at_every_poll(1, |_, polls| async move {
        let first = polled(polls, Server::bind("127.0.0.1:4000")).await;
        let builder = Server::builder();
        let second = polled(polls, builder.bind("127.0.0.1:4001")).await;
        for (bound, addr) in [(&first, "127.0.0.1:4000"), (&second, "127.0.0.1:4001")] {
            if let Some(bound) = bound {
                assert_eq!(bound.as_ref().unwrap().local_addr(), addr.parse().unwrap());
            } else {
                Server::bind(addr).await.unwrap();
            }
        }
        first.is_some() && second.is_some()
    });
}
