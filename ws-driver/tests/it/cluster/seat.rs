//! What a node does about a backplane that does not do its part.

use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::time::Duration;

use ws_driver::{
    Backplane, BackplaneError, ClusterConfig, ClusterHealth, Connection, JoinError,
    MemoryBackplane, Seat, SeatRequest, Settled,
};
use ws_testing::sim::{ANY, Rng, Server, Sim, seconds, serve};

use super::engine::Engine;
use super::{Member, node, node_with};

/// A backplane that a closure plays.
struct Played<F>(F);

impl<F, O> Backplane<Sim> for Played<F>
where
    F: FnOnce(Sim, Seat) -> O + Send + Sync + 'static,
    O: Future<Output = ()> + Send + 'static,
{
    async fn run(self, sim: Sim, seat: Seat) {
        (self.0)(sim, seat).await;
    }
}

async fn nothing(_: Sim, seat: Seat) {
    let _seat = seat;
    pending().await
}

/// Without a link, what is published waits up to the limit; then the error says so, members here still get it, and it
/// is counted. When a link comes, what waited goes out.
#[test]
fn the_queue_is_bounded_while_there_is_no_link() {
    Sim::run_seeded(1, async |sim| {
        let engine = Engine::new(Rng::new(1));
        engine.kill();
        let config = ClusterConfig::new().queue_limit(100_000);
        let one = node_with(&sim, engine.clone(), config).await;
        assert!(matches!(
            one.cluster().health(),
            ClusterHealth::Connecting { .. }
        ));
        let text = "x".repeat(1000);
        let room = one.cluster().topic("room");
        let results: Vec<_> = (0..200)
            .map(|_| room.broadcast(text.clone()).remote)
            .collect();
        let queued = results.iter().filter(|it| it.is_ok()).count();
        assert!((80..100).contains(&queued), "{queued}");
        assert!(
            results[queued..]
                .iter()
                .all(|it| *it == Err(BackplaneError::Full { limit: 100_000 }))
        );
        let too_large = room.broadcast("x".repeat(100_000)).remote;
        assert_eq!(
            too_large,
            Err(BackplaneError::TooLarge {
                len: 100_028,
                limit: 100_000
            })
        );
        let counters = one.cluster().counters();
        assert_eq!(counters.dropped, 201 - u64::try_from(queued).unwrap());
        assert!(counters.queued_bytes <= 100_000);
        sim.sleep(seconds(1)).await;
        assert!(matches!(one.cluster().health(), ClusterHealth::Down { .. }));

        let two = node(&sim, engine.clone()).await;
        engine.start();
        let member = Member::open(&sim, &two, "room").await;
        sim.sleep(seconds(10)).await;
        // They were published when nobody had joined, or when the member had: in both cases once at most.
        assert!(member.take().len() <= queued);
        assert_eq!(
            one.cluster().counters().published,
            u64::try_from(queued).unwrap()
        );
        assert_eq!(room.broadcast("again").remote, Ok(()));
        sim.sleep(seconds(1)).await;
        assert_eq!(member.take(), ["again"]);
    });
}

type Ending = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A backplane that ends, panics, or goes with its runtime: the node says so, and waits end.
#[test]
fn the_end_of_a_backplane_is_told() {
    let ends: [fn(Sim, Seat) -> Ending; 2] = [
        |sim, seat| {
            Box::pin(async move {
                sim.sleep(seconds(1)).await;
                drop(seat);
            })
        },
        |sim, seat| {
            Box::pin(async move {
                sim.sleep(seconds(1)).await;
                drop((seat, sim));
                panic!("as the test wants it");
            })
        },
    ];
    for end in ends {
        Sim::run_seeded(1, async |sim| {
            let builder = Server::builder().backplane(Played(end));
            let server = builder.bind(ANY).await.unwrap();
            serve(&sim, &server, async |mut connection: Connection| {
                let joined = connection.join_wait("room").await;
                assert_eq!(joined, Err(JoinError::Backplane(BackplaneError::Ended)));
                connection.send("joined").await.unwrap();
                while connection.recv().await.is_some() {}
            });
            let cluster = server.cluster();
            assert_eq!(cluster.broadcast("hi").remote, Ok(()));
            let begin = sim.now();
            let member = Member::open(&sim, &server, "").await;
            assert!(
                sim.now() - begin < seconds(2),
                "the wait ends with the backplane"
            );
            assert!(matches!(cluster.health(), ClusterHealth::Ended { .. }));
            assert_eq!(cluster.counters().dropped, 1);
            assert_eq!(cluster.topic("room").broadcast("hi").local, 1);
            assert_eq!(cluster.broadcast("hi").remote, Err(BackplaneError::Ended));
            sim.sleep(seconds(1)).await;
            assert_eq!(member.take(), ["hi", "hi"]);
        });
    }
}

/// A subscription that is not confirmed ends the wait after the option, or a tick later, and the connection is a member.
#[test]
fn a_wait_for_a_subscription_has_a_deadline() {
    Sim::run_seeded(1, async |sim| {
        let config = ClusterConfig::new().subscribe_timeout(seconds(3));
        let builder = Server::builder().backplane(Played(nothing)).cluster(config);
        let server = builder.bind(ANY).await.unwrap();
        serve(&sim, &server, async |mut connection: Connection| {
            let waited = seconds(3);
            let joined = connection.join_wait("room").await;
            assert_eq!(
                joined,
                Err(JoinError::Backplane(BackplaneError::Down { waited }))
            );
            connection.send("joined").await.unwrap();
            while connection.recv().await.is_some() {}
        });
        let begin = sim.now();
        let _member = Member::open(&sim, &server, "").await;
        let took = sim.now() - begin;
        assert!(
            took >= seconds(3) && took < Duration::from_millis(3500),
            "{took:?}"
        );
        assert_eq!(server.cluster().topic("room").broadcast("hi").local, 1);
    });
}

/// What an engine refuses for good is dropped and counted, and does not stop what follows.
#[test]
fn what_is_refused_is_dropped() {
    Sim::run_seeded(1, async |sim| {
        let played = Played(|_: Sim, seat: Seat| async move {
            seat.link_up();
            let work = async {
                let change = seat.interest().await;
                seat.subscribed(&change.subscribe);
                let greeting = seat.outgoing().await;
                seat.settled(&greeting, Settled::Published);
                let first = seat.outgoing().await;
                let refused = Settled::Refused {
                    places: (0..first.messages().len()).collect(),
                    error: "no permission".to_owned(),
                };
                seat.settled(&first, refused);
                // An answer that comes twice changes nothing.
                seat.settled(&first, Settled::Published);
                loop {
                    let batch = seat.outgoing().await;
                    seat.settled(&batch, Settled::Published);
                }
            };
            seat.unless_stopped(work).await;
        });
        let server = Server::builder().backplane(played).build().unwrap();
        let cluster = server.cluster();
        cluster.broadcast("refused");
        sim.sleep(seconds(1)).await;
        cluster.broadcast("published");
        sim.sleep(seconds(1)).await;
        let counters = cluster.counters();
        assert_eq!((counters.dropped, counters.published), (1, 1));
    });
}

/// An engine that subscribes and publishes nothing may do so later, when nodes hear it that do not now. Nothing is given to it
/// that somebody would miss.
#[test]
fn nothing_is_given_to_an_engine_that_does_not_publish() {
    Sim::run_seeded(1, async |sim| {
        let played = Played(|sim: Sim, seat: Seat| async move {
            let work = async {
                loop {
                    seat.link_up();
                    let change = seat.interest().await;
                    seat.subscribed(&change.subscribe);
                    let greeting = seat.outgoing().await;
                    let [message] = greeting.messages() else {
                        panic!("{greeting:?}");
                    };
                    assert!(!message.envelope.ends_with(b"waits"));
                    sim.sleep(seconds(1)).await;
                    seat.settled(&greeting, Settled::InDoubt);
                    seat.link_down("it does not publish");
                }
            };
            seat.unless_stopped(work).await;
        });
        let server = Server::builder().backplane(played).build().unwrap();
        let cluster = server.cluster();
        cluster.broadcast("waits");
        for _ in 0..20 {
            sim.sleep(seconds(1)).await;
            assert!(!cluster.health().is_up());
        }
        let counters = cluster.counters();
        assert_eq!((counters.in_doubt, counters.dropped), (0, 0));
        assert!(counters.queued_bytes > 0);
    });
}

/// An engine that takes all and delivers nothing is left after some seconds: its subscription is dead.
#[test]
fn a_link_without_echo_is_broken() {
    Sim::run_seeded(1, async |sim| {
        let played = Played(|_: Sim, seat: Seat| async move {
            let work = async {
                loop {
                    seat.link_up();
                    let change = seat.interest().await;
                    seat.subscribed(&change.subscribe);
                    let publishing = async {
                        loop {
                            let batch = seat.outgoing().await;
                            seat.settled(&batch, Settled::Published);
                        }
                    };
                    let broken =
                        async { while !matches!(seat.request().await, SeatRequest::Reconnect) {} };
                    let (publishing, broken) = (pin!(publishing), pin!(broken));
                    let _: futures_util::future::Either<((), _), ((), _)> =
                        futures_util::future::select(publishing, broken).await;
                    seat.link_down("no echo");
                }
            };
            seat.unless_stopped(work).await;
        });
        let server = Server::builder().backplane(played).build().unwrap();
        sim.sleep(seconds(10)).await;
        let connects = server.cluster().counters().connects;
        assert!((2..=4).contains(&connects), "{connects}");
    });
}

/// The watchdog leaves a link alone that works, and measures it.
#[test]
fn a_link_that_works_stays() {
    Sim::run_seeded(1, async |sim| {
        let server = node(&sim, MemoryBackplane::new()).await;
        sim.sleep(seconds(600)).await;
        let counters = server.cluster().counters();
        assert_eq!(counters.connects, 1);
        assert!(counters.echo_lag.is_some_and(|lag| lag < seconds(1)));
        assert_eq!(
            (counters.published, counters.received),
            (0, 0),
            "questions do not count"
        );
    });
}
