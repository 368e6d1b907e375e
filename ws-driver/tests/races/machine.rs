//! One connection: senders in many tasks, a driver that waits and is woken, a receiver in a task of its
//! own; and an end at any time.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use event_listener::Event;
use ws_driver::ws_proto::{CloseCode, SendError};
use ws_driver::{Connection, RoundTripError, Sender};

use crate::world::{Client, Server, World, assert_in_order, check, numbered};
use ws_testing::sim::ANY;
use ws_testing::sim::peer::{close, masked, text};

/// Bytes at which a sender has to wait: two or three messages.
const LIMIT: usize = 8;

/// What a peer's pipe holds: not even two messages, so that writing stops and is taken up again.
const PIPE_LEN: usize = 6;

const SENDERS: [&str; 3] = ["a", "b", "c"];

async fn limited_server() -> Server {
    let limit = Some(LIMIT);
    let builder = Server::builder().send_queue_limit(limit);
    builder.receive_queue_limit(limit).bind(ANY).await.unwrap()
}

/// Sends messages until one is refused; returns how many were taken.
async fn send_all(sender: Sender, name: &str, count: usize) -> usize {
    for number in 0..count {
        match sender.send(numbered(name, number)).await {
            Ok(()) => {}
            Err(SendError::Closed) => return number,
            Err(error) => panic!("{error}"),
        }
    }
    count
}

/// How many messages of each sender were taken.
type Taken = Arc<Mutex<Vec<(&'static str, usize)>>>;

/// Sends three messages from each of three tasks.
fn spawn_senders(world: &World, sender: &Sender, taken: &Taken) {
    for name in SENDERS {
        let (sender, taken) = (sender.clone(), Arc::clone(taken));
        world.spawn_task(async move {
            let count = send_all(sender.clone(), name, 3).await;
            taken.lock().unwrap().push((name, count));
            // Whoever waits for the end hears of it.
            sender.wait_closed().await;
        });
    }
}

/// Several senders wait for room again and again while the driver comes and goes, and a task that
/// waits for something else is woken for it: all messages go out, once, each sender's in order.
async fn many_senders(world: World) {
    let server = limited_server().await;
    let (taken, bell) = (Taken::default(), Arc::new(Event::new()));
    let (count, spawner, rung) = (Arc::clone(&taken), world.clone(), Arc::clone(&bell));
    world.serve(&server, move |mut connection| {
        let (count, spawner, bell) = (Arc::clone(&count), spawner.clone(), Arc::clone(&rung));
        async move {
            let listener = bell.listen();
            spawn_senders(&spawner, &connection.sender(), &count);
            spawner.spawn_task(async move {
                bell.notify(1);
            });
            listener.await;
            for number in 0..2 {
                connection.send(numbered("h", number)).await.unwrap();
            }
            while connection.recv().await.is_some() {}
        }
    });
    let mut client = Client::connect(&world, server.local_addr());
    client.narrow(PIPE_LEN);
    assert!(client.shake_hands().await);
    let texts = client.read_texts(11).await;
    for (sender, count) in [("a", 3), ("b", 3), ("c", 3), ("h", 2)] {
        assert_in_order(&texts, sender, count);
    }
    client.close(1000).await;
    server.close();
}

#[test]
fn messages_of_many_senders_arrive_once_and_in_order() {
    check(many_senders);
}

/// The same where the driver has a task of its own: each sender writes, and takes the driver from its task
/// and from the others. What was flushed has left, and the end of the handle comes behind all of it.
async fn many_writers(world: World) {
    let server = limited_server().await;
    let (taken, spawner) = (Taken::default(), world.clone());
    let (accepting, count) = (server.clone(), Arc::clone(&taken));
    world.spawn_task(async move {
        let mut connection = accepting.accept().await.unwrap().unwrap();
        spawn_senders(&spawner, &connection.sender(), &count);
        for number in 0..2 {
            connection.send(numbered("h", number)).await.unwrap();
        }
        connection.flush().await.unwrap();
        while connection.recv().await.is_some() {}
    });
    let mut client = Client::connect(&world, server.local_addr());
    client.narrow(PIPE_LEN);
    assert!(client.shake_hands().await);
    let texts = client.read_texts(11).await;
    for (sender, count) in [("a", 3), ("b", 3), ("c", 3), ("h", 2)] {
        assert_in_order(&texts, sender, count);
    }
    client.close(1000).await;
    server.close();
}

#[test]
fn messages_of_many_writers_arrive_once_and_in_order() {
    check(many_writers);
}

/// Messages arrive while other tasks send: the driver is woken for one, begins with the read, and finds the other.
/// Whichever comes last, nothing is left behind.
async fn both_ways(world: World) {
    let server = limited_server().await;
    let (taken, spawner) = (Taken::default(), world.clone());
    world.serve(&server, move |mut connection| {
        spawn_senders(&spawner, &connection.sender(), &taken);
        async move {
            while let Some(message) = connection.recv().await {
                connection.send(message).await.unwrap();
            }
        }
    });
    let mut client = Client::open(&world, server.local_addr()).await;
    for number in 0..3 {
        assert!(client.write(text(numbered("m", number))).await);
    }
    let texts = client.read_texts(12).await;
    for sender in ["a", "b", "c", "m"] {
        assert_in_order(&texts, sender, 3);
    }
    client.close(1000).await;
    server.close();
}

#[test]
fn what_arrives_and_what_is_sent_do_not_hide_each_other() {
    check(both_ways);
}

/// Runs a server whose handler waits for a pong, and two other tasks, too; returns the client.
async fn with_round_trips(
    world: &World,
    server: &Server,
    check: fn(Result<Duration, RoundTripError>),
) -> Client {
    let spawner = world.clone();
    world.serve(server, move |mut connection| {
        for _ in 0..2 {
            let sender = connection.sender();
            spawner.spawn_task(async move { check(sender.round_trip().await) });
        }
        async move {
            check(connection.round_trip().await);
            while connection.recv().await.is_some() {}
        }
    });
    let mut client = Client::connect(world, server.local_addr());
    assert!(client.shake_hands().await);
    client
}

/// Everybody who waits for a pong gets it, whenever it comes. Breaks if one can come between the look at the machine and
/// the wait.
async fn answered_pings(world: World) {
    let server = limited_server().await;
    let is_answered = |result: Result<_, _>| assert!(result.is_ok());
    let mut client = with_round_trips(&world, &server, is_answered).await;
    for _ in 0..3 {
        let (first_byte, payload) = client.frame().await.unwrap();
        assert_eq!(first_byte, 0x89);
        assert!(client.write(masked(0x8a, &payload)).await);
    }
    client.close(1000).await;
    server.close();
    world.wait_for_tasks().await;
}

#[test]
fn a_pong_at_any_time_reaches_who_waits() {
    check(answered_pings);
}

/// A close instead of the pong, at any time, ends each wait.
async fn unanswered_pings(world: World) {
    let server = limited_server().await;
    let is_over = |result: Result<_, _>| {
        assert_eq!(result, Err(RoundTripError::Send(SendError::Closed)));
    };
    let client = with_round_trips(&world, &server, is_over).await;
    client.close(1000).await;
    server.close();
    world.wait_for_tasks().await;
}

#[test]
fn a_close_at_any_time_ends_the_wait_for_a_pong() {
    check(unanswered_pings);
}

/// What was taken before an end goes out ahead of it; nothing comes after it, and everybody who waits
/// hears of it. `end` is what ends the connection.
async fn ended_by<F>(world: World, code: u16, end: fn(World, Connection) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let server = limited_server().await;
    let taken = Taken::default();
    let (count, spawner) = (Arc::clone(&taken), world.clone());
    world.serve(&server, move |connection| {
        spawn_senders(&spawner, &connection.sender(), &count);
        end(spawner.clone(), connection)
    });
    let mut client = Client::connect(&world, server.local_addr());
    client.narrow(PIPE_LEN);
    assert!(client.shake_hands().await);
    let (texts, received) = client.texts().await;
    assert_eq!(received, Some(code));
    client.close(code).await;
    server.close();
    world.wait_for_tasks().await;
    assert_eq!(taken.lock().unwrap().len(), SENDERS.len());
    for (sender, count) in taken.lock().unwrap().drain(..) {
        assert_in_order(&texts, sender, count);
    }
}

async fn ended_by_a_sender(world: World) {
    ended_by(world, 4000, |world, mut connection| async move {
        let closer = connection.sender();
        let code = CloseCode::new(4000).unwrap();
        world.spawn_task(async move { closer.begin_close(code, "").unwrap() });
        while connection.recv().await.is_some() {}
    })
    .await;
}

#[test]
fn a_close_at_any_time_comes_behind_what_was_taken() {
    check(ended_by_a_sender);
}

async fn ended_by_a_drop(world: World) {
    ended_by(world, 1000, |_, connection| async move { drop(connection) }).await;
}

#[test]
fn a_connection_is_dropped_while_others_send() {
    check(ended_by_a_drop);
}

async fn ended_by_a_panic(world: World) {
    ended_by(world, 1011, |_, connection| async move {
        connection.send(numbered("h", 0)).await.unwrap();
        // A panic that no hook prints.
        std::panic::resume_unwind(Box::new("a handler panics, as this test wants"));
    })
    .await;
}

#[test]
fn a_handler_panics_while_others_send() {
    check(ended_by_a_panic);
}

/// A reset while senders wait and the driver writes: everybody hears of it, and what had arrived is
/// what was sent first.
async fn reset(world: World) {
    let server = limited_server().await;
    let taken = Taken::default();
    let (count, spawner) = (Arc::clone(&taken), world.clone());
    world.serve(&server, move |mut connection| {
        spawn_senders(&spawner, &connection.sender(), &count);
        async move { while connection.recv().await.is_some() {} }
    });
    let mut client = Client::connect(&world, server.local_addr());
    client.narrow(PIPE_LEN);
    assert!(client.shake_hands().await);
    let texts = client.read_texts(2).await;
    client.link().reset();
    server.close();
    for name in SENDERS {
        let count = texts.iter().filter(|text| text.starts_with(name)).count();
        assert_in_order(&texts, name, count);
    }
}

#[test]
fn a_reset_ends_everybodys_wait() {
    check(reset);
}

/// The receiver is in another task than the driver: each finds the other asleep or awake, the receive
/// queue is full again and again, and no message gets lost between them. Only the last echo can come
/// too late, if the close arrives while it is being made.
async fn receive_elsewhere(world: World) {
    let server = limited_server().await;
    let acceptor = server.clone();
    let echoing = world.spawned(async move {
        let mut connection = acceptor.accept().await.unwrap().unwrap();
        acceptor.close();
        let (mut received, mut sent) = (Vec::new(), 0);
        while let Some(message) = connection.recv().await {
            received.push(message.as_text().unwrap().to_owned());
            match connection.send(message).await {
                Ok(()) => sent += 1,
                Err(error) => assert_eq!((error, received.len()), (SendError::Closed, 6)),
            }
        }
        assert!(connection.closed().is_some_and(|closed| closed.clean));
        connection.sender().wait_closed().await;
        (received, sent)
    });
    let mut client = Client::open(&world, server.local_addr()).await;
    client.link().to_far.capacity = 20;
    // The first two alone: nothing that comes behind them wakes who missed them.
    let mut texts = Vec::new();
    for number in 0..6 {
        assert!(client.write(text(numbered("m", number))).await);
        if number < 2 {
            texts.extend(client.read_texts(1).await);
        }
    }
    assert!(client.write(close(1000)).await);
    let (rest, code) = client.texts().await;
    texts.extend(rest);
    assert_eq!(code, Some(1000));
    client.close(1000).await;
    let (received, sent) = echoing.await;
    assert_in_order(&received, "m", 6);
    assert_in_order(&texts, "m", sent);
}

#[test]
fn a_receiver_in_another_task_misses_nothing() {
    check(receive_elsewhere);
}

/// The receive queue is full again and again, and its receiver does nothing but take: that makes the
/// driver read on.
async fn receive_only(world: World) {
    let builder = Server::builder().receive_queue_limit(Some(1));
    let server = builder.bind(ANY).await.unwrap();
    let acceptor = server.clone();
    let receiving = world.spawned(async move {
        let mut connection = acceptor.accept().await.unwrap().unwrap();
        acceptor.close();
        let mut received = Vec::new();
        while let Some(message) = connection.recv().await {
            received.push(message.as_text().unwrap().to_owned());
        }
        received
    });
    let mut client = Client::open(&world, server.local_addr()).await;
    client.link().to_far.capacity = 9;
    for number in 0..6 {
        assert!(client.write(text(numbered("m", number))).await);
    }
    client.close(1000).await;
    assert_in_order(&receiving.await, "m", 6);
}

#[test]
fn a_full_receive_queue_is_read_again() {
    check(receive_only);
}

/// While a message is sent in fragments senders wait, and go on when it is whole: no frame gets between
/// its parts (RFC 6455 §5.4), no sender sleeps on.
async fn fragments(world: World) {
    let server = limited_server().await;
    let taken = Taken::default();
    let (count, spawner) = (Arc::clone(&taken), world.clone());
    world.serve(&server, move |mut connection| {
        spawn_senders(&spawner, &connection.sender(), &count);
        async move {
            for _ in 0..2 {
                connection.send_fragment("x", false).await.unwrap();
                connection.send_fragment("y", false).await.unwrap();
                connection.send_fragment("z", true).await.unwrap();
            }
            while connection.recv().await.is_some() {}
        }
    });
    let mut client = Client::connect(&world, server.local_addr());
    client.narrow(PIPE_LEN);
    assert!(client.shake_hands().await);
    let (mut texts, mut wholes) = (Vec::new(), 0);
    while texts.len() < 9 || wholes < 2 {
        match client.frame().await.unwrap() {
            (0x81, payload) => texts.push(String::from_utf8(payload).unwrap()),
            (0x01, payload) => {
                assert_eq!(payload, b"x");
                assert_eq!(client.frame().await, Some((0x00, b"y".to_vec())));
                assert_eq!(client.frame().await, Some((0x80, b"z".to_vec())));
                wholes += 1;
            }
            frame => panic!("{frame:?}"),
        }
    }
    for sender in SENDERS {
        assert_in_order(&texts, sender, 3);
    }
    client.close(1000).await;
    server.close();
}

#[test]
fn senders_wait_for_the_end_of_a_message_in_fragments() {
    check(fragments);
}
