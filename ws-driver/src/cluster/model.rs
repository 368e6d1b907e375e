//! The rules between nodes, explored exhaustively: two publishers and two receivers, an engine that crashes anywhere, links
//! that break before a batch arrives and before its answer does. The rules are those of this folder, not a copy of them.
//!
//! The engine is a Redis: it answers to a batch once it has put it into the output of each subscriber, and loses what is
//! in there when it crashes.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use stateright::{Checker, Model, Property};

use super::channel::Channel;
use super::link::Link;
use super::outbox::{Batch, Outbox, OutgoingMessage};
use super::sequence::{Number, Seen, Verdict};
use crate::id::cluster::NodeId;

const PUBLISHERS: usize = 2;
const RECEIVERS: usize = 2;

struct Cluster {
    now: Instant,
    /// Messages of each publisher.
    messages: [u8; PUBLISHERS],
    crashes: u8,
    cuts: u8,
    /// Whether a publisher may stop to wait for the others.
    gives_up: bool,
}

const HOLD: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    publishers: [Publisher; PUBLISHERS],
    receivers: [Receiver; RECEIVERS],
    crashes: u8,
    cuts: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Publisher {
    outbox: Outbox,
    link: Link,
    published: u8,
    /// On the way to the engine.
    travelling: Option<Batch>,
    /// The engine has it, and its answer is on the way.
    answered: Option<Batch>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Receiver {
    is_subscribed: bool,
    /// What the engine has for it: publisher and number.
    unread: VecDeque<(u8, u8)>,
    seen: Seen,
    /// By publisher: the first number, how many arrived, how many were missed, the last number.
    counts: [Counts; PUBLISHERS],
    /// What an engine that had it crashed with.
    lost: BTreeSet<(u8, u8)>,
    got: BTreeSet<(u8, u8)>,
    is_in_order: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Counts {
    first: u8,
    received: u8,
    missed: u8,
    last: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Publish(usize),
    /// The backplane takes a batch.
    Take(usize),
    /// It reaches the engine.
    Arrive(usize),
    /// Its answer reaches the publisher.
    Answer(usize),
    /// The link of a publisher breaks, wherever its batch is.
    Cut(usize),
    /// The engine loses all that it has, and starts anew. All links break.
    Crash,
    /// A publisher has a link again.
    Connect(usize),
    /// A publisher hears how many nodes there are.
    Count(usize),
    /// A publisher waits no longer for the others.
    GiveUp(usize),
    /// A receiver has a link again.
    Subscribe(usize),
    Deliver(usize),
}

impl Cluster {
    fn audience(state: &State) -> usize {
        state
            .receivers
            .iter()
            .filter(|receiver| receiver.is_subscribed)
            .count()
    }

    fn connect(&self, state: &mut State, place: usize) {
        let publisher = &mut state.publishers[place];
        publisher.link.note_up(self.now);
        // Its own subscriptions are not the subject here, nor is an engine that publishes late.
        publisher.link.note_subscribed();
        publisher.link.note_greeted();
    }

    fn cut(&self, publisher: &mut Publisher) {
        (publisher.travelling, publisher.answered) = (None, None);
        publisher.outbox.doubt();
        publisher.link.note_down("cut".into(), self.now);
    }
}

impl Model for Cluster {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let publisher = Publisher {
            outbox: Outbox::new(1 << 20),
            link: Link::new(self.now, HOLD),
            published: 0,
            travelling: None,
            answered: None,
        };
        let receiver = Receiver {
            is_subscribed: true,
            unread: VecDeque::new(),
            seen: Seen::default(),
            counts: [Counts::default(); PUBLISHERS],
            lost: BTreeSet::new(),
            got: BTreeSet::new(),
            is_in_order: true,
        };
        let mut state = State {
            publishers: [publisher.clone(), publisher],
            receivers: [receiver.clone(), receiver],
            crashes: 0,
            cuts: 0,
        };
        for place in 0..PUBLISHERS {
            self.connect(&mut state, place);
            let publisher = &mut state.publishers[place];
            assert!(publisher.link.may_publish(self.now));
            publisher.link.note_audience(RECEIVERS);
        }
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (place, publisher) in state.publishers.iter().enumerate() {
            if publisher.published < self.messages[place] {
                actions.push(Action::Publish(place));
            }
            if publisher.travelling.is_some() {
                actions.push(Action::Arrive(place));
            }
            if publisher.answered.is_some() {
                actions.push(Action::Answer(place));
            }
            if publisher.link.is_up() {
                actions.push(Action::Take(place));
                if state.cuts < self.cuts {
                    actions.push(Action::Cut(place));
                }
                if publisher.link.wants_count(self.now + HOLD) {
                    actions.push(Action::Count(place));
                    if self.gives_up {
                        actions.push(Action::GiveUp(place));
                    }
                }
            } else {
                actions.push(Action::Connect(place));
            }
        }
        for (place, receiver) in state.receivers.iter().enumerate() {
            if !receiver.is_subscribed {
                actions.push(Action::Subscribe(place));
            }
            if !receiver.unread.is_empty() {
                actions.push(Action::Deliver(place));
            }
        }
        if state.crashes < self.crashes {
            actions.push(Action::Crash);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Publish(place) => {
                let publisher = &mut state.publishers[place];
                publisher.published += 1;
                let envelope = Bytes::from(vec![publisher.published]);
                publisher
                    .outbox
                    .push(OutgoingMessage::new(Channel::All, envelope));
            }
            Action::Take(place) => {
                let publisher = &mut state.publishers[place];
                if !publisher.link.may_publish(self.now) {
                    return None;
                }
                publisher.travelling = Some(publisher.outbox.take()?);
            }
            Action::Arrive(place) => {
                let batch = state.publishers[place].travelling.take()?;
                for message in batch.messages() {
                    let message = (u8::try_from(place).unwrap(), message.envelope[0]);
                    for receiver in state.receivers.iter_mut().filter(|it| it.is_subscribed) {
                        receiver.unread.push_back(message);
                    }
                }
                state.publishers[place].answered = Some(batch);
            }
            Action::Answer(place) => {
                let publisher = &mut state.publishers[place];
                let batch = publisher.answered.take()?;
                let (taken, _) = publisher.outbox.settle(&batch, &[]);
                assert_eq!(taken, batch.messages().len());
            }
            Action::Cut(place) => {
                state.cuts += 1;
                self.cut(&mut state.publishers[place]);
            }
            Action::Crash => {
                state.crashes += 1;
                for publisher in &mut state.publishers {
                    self.cut(publisher);
                }
                for receiver in &mut state.receivers {
                    receiver.is_subscribed = false;
                    receiver.lost.extend(std::mem::take(&mut receiver.unread));
                }
            }
            Action::Connect(place) => self.connect(&mut state, place),
            Action::Count(place) => {
                let audience = Self::audience(&state);
                state.publishers[place].link.note_audience(audience);
                state.publishers[place].link.may_publish(self.now);
            }
            Action::GiveUp(place) => {
                state.publishers[place].link.may_publish(self.now + HOLD);
            }
            Action::Subscribe(place) => state.receivers[place].is_subscribed = true,
            Action::Deliver(place) => state.receivers[place].take()?,
        }
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties =
            vec![
                Property::always("B1: in order, never twice", |_, state: &State| {
                    state.receivers.iter().all(|receiver| receiver.is_in_order)
                }),
                Property::always(
                    "B2: received and missed is what was sent",
                    |_, state: &State| {
                        let counts = state.receivers.iter().flat_map(|receiver| &receiver.counts);
                        let mut heard = counts.filter(|counts| counts.received > 0);
                        heard.all(|it| it.received + it.missed == it.last - it.first + 1)
                    },
                ),
                Property::always(
                    "B3: only a crash loses, and what the engine had",
                    |model: &Self, state: &State| {
                        if model.gives_up || !state.is_at_rest() {
                            return true;
                        }
                        state.receivers.iter().all(|receiver| {
                            let all = state.publishers.iter().enumerate().flat_map(
                                |(place, publisher)| {
                                    let place = u8::try_from(place).unwrap();
                                    (1..=publisher.published).map(move |number| (place, number))
                                },
                            );
                            let mut all = all.collect::<Vec<_>>().into_iter();
                            all.all(|it| receiver.got.contains(&it) || receiver.lost.contains(&it))
                        })
                    },
                ),
                // The checks above would hold if nothing ever arrived, or nothing was ever lost.
                Property::sometimes(
                    "all is delivered in spite of a crash",
                    |model: &Self, state: &State| {
                        let is_all = |receiver: &Receiver| {
                            receiver.got.len() == usize::from(model.messages.iter().sum::<u8>())
                        };
                        state.crashes > 0 && state.receivers.iter().all(is_all)
                    },
                ),
            ];
        // It shows between two that arrive.
        if self.messages.iter().any(|messages| *messages > 2) {
            let counts = Property::sometimes(
                "a crash loses something, and it is counted",
                |_, state: &State| {
                    let mut counts = state.receivers.iter().flat_map(|receiver| &receiver.counts);
                    counts.any(|counts| counts.missed > 0)
                },
            );
            properties.push(counts);
        }
        properties
    }
}

impl State {
    /// Tells whether all that was published is settled and read.
    fn is_at_rest(&self) -> bool {
        let mut publishers = self.publishers.iter();
        publishers.all(|publisher| publisher.outbox.messages_len() == 0)
            && self
                .receivers
                .iter()
                .all(|receiver| receiver.unread.is_empty())
    }
}

impl Receiver {
    fn take(&mut self) -> Option<()> {
        let (publisher, number) = self.unread.pop_front()?;
        let node = NodeId(u64::from(publisher) + 1);
        let number_of = Number {
            sequence: number.into(),
            begin: 1,
        };
        let Verdict::New { missed } = self.seen.note(node, number_of) else {
            return Some(());
        };
        let counts = &mut self.counts[usize::from(publisher)];
        self.is_in_order &= number > counts.last;
        if counts.received == 0 {
            counts.first = number;
        }
        counts.received += 1;
        counts.missed += u8::try_from(missed).unwrap();
        counts.last = number;
        self.is_in_order &= self.got.insert((publisher, number));
        Some(())
    }
}

/// Explores a model; returns how many states there are.
fn explore(messages: [u8; PUBLISHERS], cuts: u8, gives_up: bool) -> usize {
    let model = Cluster {
        now: Instant::now(),
        messages,
        crashes: 1,
        cuts,
        gives_up,
    };
    let checker = model.checker().threads(2).spawn_dfs().join();
    checker.assert_properties();
    checker.unique_state_count()
}

/// Every order of steps, with a crash of the engine and a broken link at any place.
#[test]
fn every_order_of_steps_keeps_the_promises() {
    assert!(explore([1, 1], 1, false) > 10_000);
    assert!(explore([3, 0], 1, false) > 10_000);
    assert!(explore([2, 0], 1, true) > 10_000);
}
