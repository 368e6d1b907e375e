//! Pings and their pongs: how long a round trip takes, for those who wait for it and for `latency` (RFC 6455 §5.5.3).

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ws_driver::ws_proto::{ConnectionConfig, Event, SendError, Version};
use ws_driver::{ClientConfig, ConnectConfig, Connection, RoundTripError, Sender};

use super::open;
use ws_testing::sim::peer::{close, frames, masked, text};
use ws_testing::sim::{ANY, Peer, Server, Sim, echo, poll_once, seconds, serve};

type Results = Arc<Mutex<Vec<Result<Duration, RoundTripError>>>>;

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Waits for a round trip in a task of its own.
fn spawn_round_trip(sim: &Sim, sender: &Sender, results: &Results) {
    let (sender, results) = (sender.clone(), Arc::clone(results));
    sim.spawn_task(async move {
        let result = sender.round_trip().await;
        results.lock().unwrap().push(result);
    });
}

/// Takes the payloads of the pings that have arrived, which must be all that has.
fn take_pings(peer: &Peer) -> Vec<Vec<u8>> {
    let frames = frames(&peer.read()).into_iter();
    let pings = frames.map(|(first_byte, payload)| {
        assert_eq!(first_byte, 0x89);
        payload
    });
    pings.collect()
}

async fn answer(peer: &mut Peer, payload: &[u8]) {
    assert_eq!(peer.ask(masked(0x8a, payload)).await, b"");
}

const CLOSED: RoundTripError = RoundTripError::Send(SendError::Closed);

/// The keepalive measures by itself: its ping, and the pong that answers it. There is no latency before.
#[test]
fn the_keepalive_measures_the_latency() {
    Sim::run(async |sim| {
        let server = Server::builder().keepalive_interval(seconds(2));
        let server = server.bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let mut peer = Peer::open(&sim, server.local_addr()).await;
        let sender = server.clients().iter().next().unwrap();
        for (number, wait) in [(1_u32, 30), (2, 7)] {
            sim.sleep(seconds(2)).await;
            let [payload] = &take_pings(&peer)[..] else {
                panic!("one ping in two seconds");
            };
            assert_eq!(**payload, number.to_be_bytes());
            sim.sleep(ms(wait)).await;
            // Unsolicited, as some clients send them to show that they live.
            answer(&mut peer, b"").await;
            let before = sender.latency();
            answer(&mut peer, payload).await;
            assert_ne!(sender.latency(), before);
            // The ping can have been due up to a quarter of the interval ago.
            let latency = sender.latency().unwrap();
            assert!(latency >= ms(wait) && latency <= ms(wait + 500));
            assert_eq!(peer.ask(text("x")).await, b"\x81\x01x");
        }
    });
}

/// A sender measures while the handler waits for messages, or for nothing at all; several do at a time, each for its own
/// ping; and what arrives in between is received.
#[test]
fn several_round_trips_wait_at_a_time() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let mut peer = Peer::open(&sim, server.local_addr()).await;
        let sender = server.clients().iter().next().unwrap();
        assert_eq!(sender.latency(), None);
        let results = Results::default();
        spawn_round_trip(&sim, &sender, &results);
        sim.sleep(ms(10)).await;
        spawn_round_trip(&sim, &sender, &results);
        sim.sleep(ms(10)).await;
        spawn_round_trip(&sim, &sender, &results);
        sim.settle().await;
        let [first, second, third] = &take_pings(&peer)[..] else {
            panic!("three pings");
        };
        assert!(first != second && second != third && first != third);
        sim.sleep(ms(10)).await;
        // It may answer only the latest of several, and answers those before with it.
        answer(&mut peer, second).await;
        assert_eq!(*results.lock().unwrap(), [Ok(ms(30)), Ok(ms(20))]);
        assert_eq!(sender.latency(), Some(ms(20)));
        assert_eq!(peer.ask(text("hello")).await, b"\x81\x05hello");
        answer(&mut peer, first).await;
        sim.sleep(ms(5)).await;
        answer(&mut peer, third).await;
        assert_eq!(results.lock().unwrap()[2..], [Ok(ms(15))]);
        assert_eq!(sender.latency(), Some(ms(15)));
    });
}

/// A handler measures in its own task, without a `recv`; the messages that arrive meanwhile wait for it.
#[test]
fn a_handler_measures_in_its_own_task() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, |mut connection| async move {
            while connection.recv().await.is_some() {
                let took = connection.round_trip().await.unwrap();
                let received = connection.recv().await.unwrap();
                let answer = format!("{} after {took:?}", received.as_text().unwrap());
                connection.send(answer).await.unwrap();
            }
        });
        let mut peer = Peer::open(&sim, server.local_addr()).await;
        for name in ["one", "two"] {
            let ping = peer.ask(text("go")).await;
            assert_eq!(ping[0], 0x89);
            assert_eq!(peer.ask(text(name)).await, b"");
            sim.sleep(ms(25)).await;
            let answer = peer.ask(masked(0x8a, &ping[2..])).await;
            let expected = format!("{name} after 25ms");
            assert_eq!(frames(&answer)[0].1, expected.as_bytes());
        }
    });
}

/// Both ends of one connection measure at a time, each for itself.
#[test]
fn a_client_and_a_server_measure_at_a_time() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let url = format!("ws://{}/", server.local_addr());
        let client = ws_driver::connect_with::<Sim>(&url, ConnectConfig::new());
        let client = client.await.unwrap();
        let results = Results::default();
        let sender = server.clients().iter().next().unwrap();
        for _ in 0..10 {
            spawn_round_trip(&sim, &sender, &results);
            spawn_round_trip(&sim, &client.sender(), &results);
        }
        assert!(client.round_trip().await.is_ok());
        sim.settle().await;
        assert_eq!(results.lock().unwrap().len(), 20);
        assert!(results.lock().unwrap().iter().all(Result::is_ok));
        assert!(client.latency().is_some() && sender.latency().is_some());
    });
}

/// Without a pong the wait ends after the `pong_timeout`, and the connection goes on, because something else arrives. A
/// late pong changes nothing.
#[test]
fn a_round_trip_without_a_pong_times_out() {
    Sim::run(async |sim| {
        let builder = Server::builder().pong_timeout(seconds(3));
        let server = builder.bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let mut peer = Peer::open(&sim, server.local_addr()).await;
        let sender = server.clients().iter().next().unwrap();
        let results = Results::default();
        spawn_round_trip(&sim, &sender, &results);
        sim.sleep(seconds(1)).await;
        spawn_round_trip(&sim, &sender, &results);
        sim.sleep(ms(1999)).await;
        let pings = take_pings(&peer);
        assert_eq!(peer.ask(text("x")).await, b"\x81\x01x");
        assert_eq!(*results.lock().unwrap(), []);
        sim.sleep(ms(2)).await;
        sim.settle().await;
        let timed_out = || Err(RoundTripError::TimedOut { waited: seconds(3) });
        assert_eq!(*results.lock().unwrap(), [timed_out()]);
        answer(&mut peer, &pings[0]).await;
        sim.sleep(seconds(2)).await;
        assert_eq!(*results.lock().unwrap(), [timed_out(), timed_out()]);
        assert_eq!(sender.latency(), None);
        assert_eq!(peer.ask(text("y")).await, b"\x81\x01y");
        spawn_round_trip(&sim, &sender, &results);
        sim.sleep(ms(8)).await;
        let pings = take_pings(&peer);
        answer(&mut peer, &pings[0]).await;
        assert_eq!(results.lock().unwrap()[2..], [Ok(ms(8))]);
    });
}

/// Whoever waits is told when the connection begins to close: by us, by the peer, also behind a message that the handler
/// has not taken, and by the end of the runtime. Breaks if one has to wait for the `pong_timeout`.
#[test]
fn a_round_trip_ends_with_the_connection() {
    for end in 0..5 {
        Sim::run(async |sim| {
            let server = Server::bind(ANY).await.unwrap();
            let (connection, mut peer) = open(&sim, &server).await;
            let (sender, results) = (connection.sender(), Results::default());
            spawn_round_trip(&sim, &sender, &results);
            sim.settle().await;
            let begun = sim.elapsed();
            let mut kept = Some(connection);
            match end {
                0 => peer.write(&close(1000)).await,
                1 => peer.write(&[text("untaken"), close(1000)].concat()).await,
                2 => sender.begin_close(1000.try_into().unwrap(), "").unwrap(),
                3 => drop(kept.take()),
                _ => sim.end_runtime(),
            }
            sim.settle().await;
            assert_eq!(*results.lock().unwrap(), [Err(CLOSED)], "end {end}");
            assert_eq!(sim.elapsed(), begun);
            let again = poll_once(sender.round_trip());
            assert_eq!(again, Some(Err(CLOSED)), "end {end}");
        });
    }
}

/// The drafts have no ping: the wait does not begin, and there is no latency.
#[test]
fn the_drafts_have_no_round_trip() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let url = format!("ws://{}/", server.local_addr());
        for version in [Version::Draft75, Version::Draft76] {
            let config = ClientConfig::new().version(version);
            let connected = ws_driver::connect_with::<Sim>(&url, &config).await;
            let connection = connected.unwrap();
            let what = "ping or pong";
            let refused = RoundTripError::Send(SendError::Unsupported { version, what });
            assert_eq!(poll_once(connection.round_trip()), Some(Err(refused)));
            assert_eq!(connection.latency(), None);
        }
    });
}

/// The pongs are events where they were asked for, with the pings that nobody waits for, and unsolicited ones; a ping
/// whose payload is chosen by hand is measured and collides with none of ours.
#[test]
fn pongs_are_events_all_the_same() {
    Sim::run(async |sim| {
        let builder = Server::builder().control_events(true);
        let server = builder.bind(ANY).await.unwrap();
        let (mut connection, mut peer) = open(&sim, &server).await;
        let (sender, results) = (connection.sender(), Results::default());
        connection.ping(&[0, 0, 0, 2]).unwrap();
        spawn_round_trip(&sim, &sender, &results);
        sim.sleep(ms(4)).await;
        let pings = take_pings(&peer);
        assert_eq!(pings, [[0, 0, 0, 2], [0, 0, 0, 3]]);
        answer(&mut peer, b"unsolicited").await;
        assert_eq!(connection.latency(), None);
        answer(&mut peer, &pings[0]).await;
        assert_eq!(connection.latency(), Some(ms(4)));
        assert_eq!(*results.lock().unwrap(), []);
        answer(&mut peer, &pings[1]).await;
        assert_eq!(*results.lock().unwrap(), [Ok(ms(4))]);
        for payload in [&b"unsolicited"[..], &pings[0], &pings[1]] {
            let event = poll_once(connection.recv_event()).flatten();
            assert_eq!(event, Some(Event::Pong(payload.into())));
        }
    });
}

/// Waits that were dropped count no more: any number of them leaves room for others, and no deadline.
#[test]
fn dropped_waits_leave_nothing() {
    Sim::run(async |sim| {
        let config = ConnectionConfig::new().keepalive_interval(None);
        let (connection, mut client) = pair(&sim, &config);
        for _ in 0..1000 {
            let mut wait = pin!(connection.round_trip());
            assert_eq!(poll_once(wait.as_mut()), None);
            // Its ping leaves, and is answered by the other end, or not before it is dropped.
            sim.settle().await;
        }
        assert!(connection.round_trip().await.is_ok());
        // At 64 that still wait, the next one is refused.
        let mut waits: Vec<_> = (0..64).map(|_| Box::pin(connection.round_trip())).collect();
        for wait in &mut waits {
            assert_eq!(poll_once(wait.as_mut()), None);
        }
        let limit = 64;
        let refused = RoundTripError::Send(SendError::TooManyPings { limit });
        assert_eq!(poll_once(connection.round_trip()), Some(Err(refused)));
        drop(waits.pop());
        assert!(connection.round_trip().await.is_ok());
        assert_eq!(poll_once(client.recv()), None);
    });
}

/// The two ends of a connection in memory.
fn pair(_: &Sim, config: &ConnectionConfig) -> (Connection, Connection) {
    ws_driver::test::Kit::<Sim>::pair_with(Version::Rfc6455, config)
}
