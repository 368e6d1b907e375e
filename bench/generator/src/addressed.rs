//! Messages to the connection that has registered under a number, or to those that have joined a topic.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Instant;

use mio::{Events, Poll};

use crate::Options;
use crate::deflate::Compressing;
use crate::end::{self, End};
use crate::link;
use crate::meter::{Goal, Load, Tally};
use crate::protocol::Protocol;
use crate::ring::Random;

/// A load of messages that name to whom the server sends them.
pub(crate) struct Addressed {
    poll: Poll,
    protocol: Protocol,
    action: Action,
    ends: Vec<End<Delivery>>,
    random: Random,
    size: usize,
    sequence: u64,
    frame: Vec<u8>,
    compressing: Compressing,
}

/// What the messages ask the server to do.
#[derive(Clone, Copy)]
enum Action {
    /// To send to a connection.
    SendTo,
    /// To publish in a topic, which has so many members.
    PublishIn(usize),
}

#[derive(Clone)]
struct Delivery {
    message: Rc<Published>,
    since: Instant,
}

impl end::Delivery for Delivery {
    fn frame(&self) -> &[u8] {
        &self.message.frame
    }
}

/// A message under way to one connection or more.
struct Published {
    frame: Vec<u8>,
    sender: usize,
    /// How many have not got it.
    missing: Cell<usize>,
}

impl Addressed {
    pub(crate) fn by_id(options: &Options) -> io::Result<Self> {
        Self::new(options, Action::SendTo)
    }

    pub(crate) fn by_topic(options: &Options, members: usize) -> io::Result<Self> {
        let members = members.clamp(1, options.connections);
        Self::new(options, Action::PublishIn(members))
    }

    fn new(options: &Options, action: Action) -> io::Result<Self> {
        let poll = Poll::new()?;
        let protocol = options.protocol;
        let open_one = |index| {
            let mut stream = link::open(options, index)?;
            // All at once, because a server pings and closes those that have waited too long for the others to open.
            let words = action.registrations(index, options.connections);
            end::begin_registration(&mut stream, protocol, &words)?;
            end::end_registration(&mut stream, protocol, &words)?;
            End::new(&poll, stream, index)
        };
        let ends: io::Result<_> = (0..options.connections).map(open_one).collect();
        Ok(Self {
            ends: ends?,
            poll,
            protocol,
            action,
            random: Random::default(),
            size: options.size,
            sequence: 0,
            frame: Vec::new(),
            compressing: Compressing::default(),
        })
    }

    fn send(&mut self, sender: usize) -> io::Result<()> {
        let number = self.random.below(self.ends.len());
        let count = self.action.receivers();
        let letter = match self.action {
            Action::SendTo => 's',
            Action::PublishIn(_) => 'p',
        };
        let mut message = format!("{letter}{number:08}{:08x}", self.sequence);
        self.sequence += 1;
        while message.len() < self.size {
            message.push('.');
        }
        let mut frame = Vec::new();
        let key = self.random.masking_key();
        self.protocol
            .encode_returned(message.as_bytes(), key, &mut frame);
        let delivery = Delivery {
            message: Rc::new(Published {
                frame,
                sender,
                missing: Cell::new(count),
            }),
            since: Instant::now(),
        };
        let all = self.ends.len();
        for member in number..number + count {
            if let Some(end) = self.ends.get_mut(member % all) {
                end.expect(delivery.clone());
            }
        }
        self.frame.clear();
        self.protocol.encode_sent(
            message.as_bytes(),
            key,
            &mut self.compressing,
            &mut self.frame,
        );
        let Some(end) = self.ends.get_mut(sender) else {
            return Ok(());
        };
        // One short message is always taken at once: its sender has none under way.
        end.send(&self.frame)
    }
}

impl Action {
    /// To how many connections a message goes.
    fn receivers(self) -> usize {
        match self {
            Self::SendTo => 1,
            Self::PublishIn(members) => members,
        }
    }

    /// What a connection says first, so that messages find it: its number, or the topics that it joins.
    /// A topic's members are the connection of its number and those after it.
    fn registrations(self, index: usize, count: usize) -> Vec<String> {
        match self {
            Self::SendTo => vec![format!("r{index:08}")],
            Self::PublishIn(members) => (0..members)
                .map(|back| format!("j{:08}", (index + count - back) % count))
                .collect(),
        }
    }
}

/// Senders, each with one message under way.
const SENDERS: usize = 64;

impl Load for Addressed {
    fn run(&mut self, goal: Goal) -> io::Result<Tally> {
        let mut tally = Tally::default();
        let mut events = Events::with_capacity(1024);
        let cost = u64::try_from(self.action.receivers()).map_err(io::Error::other)?;
        let mut begun = 0;
        let mut open = SENDERS.min(self.ends.len());
        for sender in 0..open {
            self.send(sender)?;
            begun += cost;
        }
        while open > 0 {
            link::wait(&mut self.poll, &mut events)?;
            for event in &events {
                let Some(end) = self.ends.get_mut(event.token().0) else {
                    continue;
                };
                for delivery in end.receive()? {
                    tally.add(1, delivery.since.elapsed());
                    let message = &delivery.message;
                    message.missing.set(message.missing.get() - 1);
                    if message.missing.get() > 0 {
                        continue;
                    }
                    if goal.is_open(begun, Instant::now()) {
                        self.send(message.sender)?;
                        begun += cost;
                    } else {
                        open -= 1;
                    }
                }
            }
        }
        Ok(tally)
    }
    fn verify_silence(&mut self) -> io::Result<()> {
        // Nothing is missing, so this accepts pings and nothing else.
        self.ends
            .iter_mut()
            .try_for_each(|end| end.receive().map(drop))
    }
}
