//! Three nodes that publish under load, and the sums that must agree at the end whatever was done to them.

use std::time::{Duration, Instant};

use ws_driver::{ClusterConfig, Server};
use ws_redis::Redis;

use crate::host::Host;
use crate::nodes::{Member, Publisher, node_with, settle};

/// Three nodes, a member on each, and a publisher on each.
pub(crate) struct Trial<R: Host> {
    pub(crate) nodes: Vec<Server<R>>,
    members: Vec<Member>,
    publishers: Vec<Publisher>,
    /// The longest time that 20 ms of publishing took.
    longest_turn: Duration,
}

/// What a publisher does in one turn of [`Trial::run`].
const TURN: Duration = Duration::from_millis(20);
/// A machine that does nothing for so long breaks links by itself, each at another time.
const STALL: Duration = Duration::from_millis(500);

impl<R: Host> Trial<R> {
    pub(crate) async fn new(urls: [&str; 3]) -> Self {
        let mut nodes = Vec::new();
        for url in urls {
            let config = ClusterConfig::new().queue_limit(16 << 20);
            nodes.push(node_with(Redis::new(url).unwrap(), config).await);
        }
        let mut members = Vec::new();
        for node in &nodes {
            members.push(Member::open(node, "room").await);
        }
        let publishers = (1..=3).zip(&nodes);
        let publishers =
            publishers.map(|(number, node)| Publisher::new(node.cluster(), "room", number));
        let mut trial = Self {
            publishers: publishers.collect(),
            nodes,
            members,
            longest_turn: Duration::ZERO,
        };
        settle(&trial.nodes).await;
        // Losses before the first message cannot be seen by anybody.
        trial.publishers.iter_mut().for_each(Publisher::publish);
        settle(&trial.nodes).await;
        trial
    }

    /// Publishes on all nodes at a rate, for a time.
    pub(crate) async fn run(&mut self, rate: u32, time: Duration) {
        let begin = Instant::now();
        while begin.elapsed() < time {
            for publisher in &mut self.publishers {
                let turn = Instant::now();
                publisher.run::<R>(rate, TURN).await;
                self.longest_turn = self.longest_turn.max(turn.elapsed());
            }
        }
    }

    /// Tells whether the machine has stood still, so that it may have broken links by itself.
    pub(crate) fn has_stalled(&self) -> bool {
        self.longest_turn > STALL
    }

    /// Checks that each node got all that the others published, but what it counts as missed, in order and once. Returns
    /// how many were missed.
    pub(crate) async fn check(&mut self) -> u64 {
        settle(&self.nodes).await;
        // A loss at the end shows with the next message.
        self.publishers.iter_mut().for_each(Publisher::publish);
        settle(&self.nodes).await;
        let mut missed = 0;
        for (place, (node, member)) in self.nodes.iter().zip(&self.members).enumerate() {
            let counters = node.cluster().counters();
            let mut got = 0;
            for (number, publisher) in (1..=3).zip(&self.publishers) {
                let numbers = member.numbers(number);
                assert!(
                    numbers.is_sorted_by(|a, b| a < b),
                    "B1: {number} at {place}"
                );
                if number == u64::try_from(place).unwrap() + 1 {
                    assert_eq!(u64::try_from(numbers.len()).unwrap(), publisher.queued);
                } else {
                    got += u64::try_from(numbers.len()).unwrap();
                }
            }
            let others = self
                .publishers
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != place);
            let sent: u64 = others.map(|(_, publisher)| publisher.queued).sum();
            assert_eq!(
                got, counters.received,
                "its member got what the node received"
            );
            assert_eq!(
                sent,
                counters.received + counters.missed,
                "B2 at {place}: {counters:?}"
            );
            assert_eq!(member.closed(), None, "B4");
            missed += counters.missed;
        }
        missed
    }
}
