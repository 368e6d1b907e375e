//! What a seed decides of a run before it begins: the options of the server, the peers, how long it
//! takes and how it ends.

use std::time::Duration;

use http_body_util::BodyExt as _;
use ws_driver::ws_proto::{Version, Versions};
use ws_driver::{Answer, Rate, RateLimit, ServerBuilder, SlowPeer, Upgrade};

use super::compression::{self, Wish};
use super::handlers::Manners;
use super::ledger::Ledger;
use super::peers::Habits;
use ws_testing::sim::{Rng, Sim, seconds};

/// A scenario.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) versions: Vec<Version>,
    pub(crate) slow_peer: SlowPeer,
    pub(crate) send_queue_limit: Option<usize>,
    pub(crate) receive_queue_limit: Option<usize>,
    pub(crate) message_limit: Option<usize>,
    pub(crate) receive_fragments: bool,
    pub(crate) keepalive: Option<(Duration, Duration)>,
    pub(crate) stall_timeout: Option<Duration>,
    pub(crate) close_timeout: Duration,
    pub(crate) handshake_timeout: Duration,
    pub(crate) body_timeout: Duration,
    pub(crate) connection_limit: Option<usize>,
    /// Whether `on_upgrade` decides, takes its time and rejects some.
    pub(crate) decides: bool,
    /// Whether plain requests have a service.
    pub(crate) answers: bool,
    /// Whether connections are taken by `accept` and not by `serve`.
    pub(crate) accepts: bool,
    /// When each peer comes, and what it is like; `None` is a client of ours.
    pub(crate) peers: Vec<(Duration, Option<Habits>)>,
    /// The largest message that is sent.
    pub(crate) largest: usize,
    /// How long peers are busy, and what comes then.
    pub(crate) busy: Duration,
    pub(crate) idle: Duration,
    pub(crate) grace: Duration,
    /// Whether streams are reset, held up and lost.
    pub(crate) has_faults: bool,
    /// Whether broadcasts come in bursts, to peers that read slowly, through small queues that drop
    /// their oldest messages.
    pub(crate) has_bursts: bool,
    /// Whether the process stands still now and then.
    pub(crate) has_stops: bool,
    /// When the runtime ends, if it does before the server is shut down.
    pub(crate) runtime_ends: Option<Duration>,
    /// Whether the server is closed before it is shut down.
    pub(crate) closes_first: bool,
    /// How the server compresses, if it does.
    pub(crate) deflate: Option<Wish>,
    /// How fast peers may send, if they may not as fast as they like. They wait, and lose nothing.
    pub(crate) rate_limit: Option<RateLimit>,
}

impl Plan {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let some = rng.pick(&Version::ALL);
        let versions = match rng.below(5) {
            0 => vec![some],
            1 => Version::ALL
                .into_iter()
                .filter(|version| *version != some)
                .collect(),
            _ => Version::ALL.to_vec(),
        };
        let busy = rng.millis(20_000..=200_000);
        let most_busy = u64::try_from(busy.as_millis()).expect("minutes");
        let coming = most_busy / 2;
        let count = rng.len(3..=MOST_PEERS);
        let has_bursts = rng.once_in(8);
        let peers = (0..count).map(|_| {
            let at = rng.millis(0..=coming);
            let habits = (!rng.once_in(8)).then(|| Habits::draw(rng));
            let listens = has_bursts && rng.once_in(2);
            (
                at,
                habits.map(|habits| {
                    if listens {
                        habits.listening_slowly(rng)
                    } else {
                        habits
                    }
                }),
            )
        });
        let peers = peers.collect();
        let keepalive = rng.pick(&[
            None,
            Some((20, 20)),
            Some((20, 20)),
            Some((5, 2)),
            Some((600, 60)),
        ]);
        let keepalive = keepalive.map(|(idle, wait)| (seconds(idle), seconds(wait)));
        // A ping costs work, silence none: the more of the one the less of the other.
        let most_idle = keepalive.map_or(30 * 86_400, |(idle, _)| idle.as_secs() * 360);
        Self {
            versions,
            slow_peer: match has_bursts {
                true => SlowPeer::DropOldest,
                false => rng.pick(&[
                    SlowPeer::Wait,
                    SlowPeer::DropNewest,
                    SlowPeer::DropOldest,
                    SlowPeer::Close,
                ]),
            },
            send_queue_limit: match has_bursts {
                true => rng.pick(&[Some(4000), Some(2000), Some(100)]),
                false => rng.pick(&[None, Some(256 << 10), Some(16 << 10), Some(2000), Some(100)]),
            },
            receive_queue_limit: rng.pick(&[None, Some(256 << 10), Some(4000), Some(100)]),
            message_limit: rng.pick(&[None, Some(1 << 20), Some(8 << 10)]),
            receive_fragments: rng.once_in(4),
            keepalive,
            // Longer than a jam.
            stall_timeout: rng
                .pick(&[None, Some(60), Some(60), Some(15), Some(400)])
                .map(seconds),
            close_timeout: rng.pick(&[seconds(10), seconds(10), seconds(1), seconds(60)]),
            handshake_timeout: rng.pick(&[seconds(10), seconds(10), seconds(3), seconds(90)]),
            body_timeout: rng.pick(&[seconds(30), seconds(30), seconds(5)]),
            connection_limit: rng.pick(&[None, None, None, Some(5), Some(15)]),
            decides: rng.once_in(3),
            answers: rng.once_in(2),
            accepts: rng.once_in(4),
            peers,
            largest: rng.pick(&[400, 4000, 8000, 8000]),
            busy,
            idle: Duration::from_secs(rng.within(0..=most_idle)),
            grace: rng.pick(&[Duration::ZERO, seconds(1), seconds(15), seconds(200)]),
            has_faults: !rng.once_in(4),
            has_bursts,
            has_stops: rng.once_in(3),
            runtime_ends: rng.once_in(8).then(|| rng.millis(0..=most_busy)),
            closes_first: rng.once_in(3),
            deflate: rng.once_in(2).then(|| Wish::draw(rng)),
            rate_limit: rng.once_in(5).then(|| rate_limit(rng)),
        }
    }

    /// Makes a server of the options.
    pub(crate) fn builder(&self, ledger: &Ledger, rng: &mut Rng) -> ServerBuilder<Sim> {
        let mut builder = ws_testing::sim::Server::builder()
            .versions(self.versions.iter().copied().collect::<Versions>())
            .slow_peer(self.slow_peer)
            .send_queue_limit(self.send_queue_limit)
            .receive_queue_limit(self.receive_queue_limit)
            .receive_rate_limit(self.rate_limit)
            .message_limit(self.message_limit)
            .receive_fragments(self.receive_fragments)
            .keepalive_interval(self.keepalive.map(|(idle, _)| idle))
            .pong_timeout(self.keepalive.map(|(_, wait)| wait))
            .stall_timeout(self.stall_timeout)
            .close_timeout(self.close_timeout)
            .handshake_timeout(self.handshake_timeout)
            .body_timeout(self.body_timeout)
            .connection_limit(self.connection_limit);
        if let Some(wish) = self.deflate {
            builder = compression::wish_of_server(builder, wish);
        }
        if self.answers {
            let (ledger, rng) = (ledger.clone(), rng.fork());
            builder = builder.on_request(move |request: http::Request<_>| {
                let (sim, mut rng) = (ledger.sim().clone(), rng.clone());
                async move {
                    sim.sleep(rng.millis(0..=2000)).await;
                    let body: ws_driver::RequestBody = request.into_body();
                    if rng.once_in(2) {
                        // One that comes too slowly is an error, and answered all the same.
                        let _ = body.collect().await;
                    }
                    http::Response::new("x".repeat(rng.len(0..=9000)))
                }
            });
        }
        if self.decides {
            let (ledger, seed) = (ledger.clone(), rng.next());
            builder = builder.on_upgrade(move |upgrade: Upgrade| {
                let ledger = ledger.clone();
                async move { decide(&ledger, seed, &upgrade).await }
            });
        }
        builder
    }

    pub(crate) fn manners(&self, seed: u64) -> Manners {
        let largest = self.largest;
        Manners { seed, largest }
    }
}

/// Draws a limit that most peers reach, and that lets the longest message pass in some seconds.
fn rate_limit(rng: &mut Rng) -> RateLimit {
    let messages = Rate::per_second(rng.pick(&[2, 10, 50])).burst(rng.pick(&[1, 5, 20]));
    let bytes = Rate::per_second(rng.pick(&[2000, 20_000])).burst(rng.pick(&[1, 1000]));
    match rng.below(3) {
        0 => RateLimit::new().messages(messages),
        1 => RateLimit::new().bytes(bytes),
        _ => RateLimit::new().messages(messages).bytes(bytes),
    }
}

/// Lets most in, at once or later; the path alone says which.
async fn decide(ledger: &Ledger, seed: u64, upgrade: &Upgrade) -> Answer {
    let path = upgrade
        .path()
        .bytes()
        .fold(seed, |sum, byte| sum.wrapping_mul(31) + u64::from(byte));
    let mut rng = Rng::new(path);
    if rng.once_in(2) {
        ledger.sim().sleep(rng.millis(0..=15_000)).await;
    }
    match rng.below(6) {
        0 => upgrade.reject(403).body("not you"),
        1 => upgrade.accept().header("Set-Cookie", "seen=1"),
        _ => upgrade.accept(),
    }
}

/// Peers in one run, at most.
const MOST_PEERS: usize = 40;
