//! A client of one node publishes at a fixed rate, and the members of the topic get it on every node: what a message costs
//! a cluster, and how long it takes to another node.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use clap::Args;
use mio::{Events, Poll};
use serde::Serialize;

use crate::Options;
use crate::deflate::Compressing;
use crate::end::{self, Delivery, End};
use crate::link::{self, PATIENCE};
use crate::meter::{Goal, Load, Tally};
use crate::pacer::Pacer;
use crate::protocol::Protocol;
use crate::ring::Random;

#[derive(Args, Clone)]
pub(crate) struct Members {
    /// The other nodes.
    #[arg(long = "node", value_name = "ADDR")]
    others: Vec<SocketAddr>,
    /// How many messages a second.
    #[arg(long)]
    rate: u64,
    /// Each message goes to a random one of so many topics, which have one member each, all on the last node. Without it
    /// all connections, on every node as many, are members of one topic.
    #[arg(long)]
    topics: Option<usize>,
}

/// How long a message took to members on the node of the client that published it.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Here {
    here_p50_ns: u64,
    here_p99_ns: u64,
}

pub(crate) struct Cluster {
    poll: Poll,
    protocol: Protocol,
    /// The first one publishes.
    ends: Vec<End<Sent>>,
    audience: Audience,
    rate: u64,
    size: usize,
    random: Random,
    sequence: u64,
    /// The number of the message that was last delivered to each member of each topic.
    last: Vec<u64>,
}

/// Who gets a message.
#[derive(Clone, Copy)]
enum Audience {
    /// All connections, of which so many are on each node.
    All { on_each: usize },
    /// The member of its topic. Topics take turns on these many connections, which follow the one that publishes.
    Topics { count: usize, members: usize },
}

/// A message on its way to a member.
struct Sent {
    frame: Rc<[u8]>,
    sequence: u64,
    topic: usize,
    due: Instant,
}

impl Delivery for Sent {
    fn frame(&self) -> &[u8] {
        &self.frame
    }
}

impl Cluster {
    /// Opens all connections, and joins. With `--marks`, marks before and after the joining.
    pub(crate) fn new(options: &Options, members: &Members) -> io::Result<Self> {
        let poll = Poll::new()?;
        let protocol = options.protocol;
        let nodes: Vec<_> = [&[options.connect], &*members.others].concat();
        let audience = match members.topics {
            Some(count) => Audience::Topics {
                count,
                members: options.connections.min(count),
            },
            None => Audience::All {
                on_each: options.connections,
            },
        };
        let open = |index| {
            let node = nodes.get(audience.node_of(index, nodes.len()));
            let stream = link::open_to(
                link::socket(index)?,
                options,
                *node.unwrap_or(&options.connect),
            );
            link::rest_if_raw(protocol, index, audience.connections(nodes.len()));
            stream
        };
        let streams: io::Result<Vec<_>> =
            (0..audience.connections(nodes.len())).map(open).collect();
        let mut streams = streams?;
        options.phases.mark()?;
        for (index, stream) in streams.iter_mut().enumerate() {
            end::begin_registration(stream, protocol, &audience.joins(index))?;
        }
        for (index, stream) in streams.iter_mut().enumerate() {
            end::end_registration(stream, protocol, &audience.joins(index))?;
        }
        options.phases.mark()?;
        let streams = streams.into_iter().enumerate();
        let ends: io::Result<_> = streams
            .map(|(index, stream)| End::new(&poll, stream, index))
            .collect();
        Ok(Self {
            ends: ends?,
            poll,
            protocol,
            audience,
            rate: members.rate,
            size: options.size,
            random: Random::default(),
            sequence: 0,
            last: vec![0; audience.memberships(nodes.len())],
        })
    }

    /// Publishes a message. Returns to how many members it goes.
    fn publish(&mut self, due: Instant) -> io::Result<usize> {
        self.sequence += 1;
        let topic = match self.audience {
            Audience::All { .. } => 0,
            Audience::Topics { count, .. } => self.random.below(count),
        };
        let text = text(topic, self.sequence, self.size);
        let key = self.random.masking_key();
        let (mut sent, mut returned) = (Vec::new(), Vec::new());
        let mut compressing = Compressing::default();
        self.protocol
            .encode_sent(text.as_bytes(), key, &mut compressing, &mut sent);
        self.protocol
            .encode_returned(text.as_bytes(), key, &mut returned);
        let frame: Rc<[u8]> = returned.into();
        let members = match self.audience {
            Audience::All { .. } => 0..self.ends.len(),
            Audience::Topics { .. } => {
                let member = self.audience.member_of(topic);
                member..member + 1
            }
        };
        let count = members.len();
        for end in self.ends.get_mut(members).unwrap_or_default() {
            end.expect(Sent {
                frame: Rc::clone(&frame),
                sequence: self.sequence,
                topic,
                due,
            });
        }
        if let Some(publisher) = self.ends.first_mut() {
            publisher.send(&sent)?;
        }
        Ok(count)
    }

    /// Notes that a message has arrived.
    ///
    /// # Errors
    ///
    /// Fails if a later message of the topic was there before it.
    fn note(&mut self, index: usize, sent: &Sent) -> io::Result<()> {
        let last = match self.audience {
            Audience::All { .. } => self.last.get_mut(index),
            Audience::Topics { .. } => self.last.get_mut(sent.topic),
        };
        match last {
            Some(last) if *last < sent.sequence => *last = sent.sequence,
            _ => return Err(io::Error::other("messages of a topic changed their order")),
        }
        Ok(())
    }
}

impl Audience {
    fn connections(self, nodes: usize) -> usize {
        match self {
            Self::All { on_each } => nodes * on_each,
            Self::Topics { members, .. } => 1 + members,
        }
    }

    fn memberships(self, nodes: usize) -> usize {
        match self {
            Self::All { on_each } => nodes * on_each,
            Self::Topics { count, .. } => count,
        }
    }

    /// Returns the node that a connection is with.
    fn node_of(self, index: usize, nodes: usize) -> usize {
        match self {
            Self::All { on_each } => index / on_each.max(1),
            Self::Topics { .. } => match index {
                0 => 0,
                _ => nodes - 1,
            },
        }
    }

    /// Returns the connection that is the member of a topic.
    fn member_of(self, topic: usize) -> usize {
        match self {
            Self::All { .. } => 0,
            Self::Topics { members, .. } => 1 + topic % members.max(1),
        }
    }

    /// Returns what a connection says first: the topics that it joins.
    fn joins(self, index: usize) -> Vec<String> {
        let join = |topic| format!("j{topic:08}");
        match self {
            Self::All { .. } => vec![join(0)],
            Self::Topics { count, members } => match index.checked_sub(1) {
                Some(first) => (first..count).step_by(members.max(1)).map(join).collect(),
                None => Vec::new(),
            },
        }
    }
}

/// Letters that JSON has no need to escape, behind the topic and the number.
fn text(topic: usize, sequence: u64, size: usize) -> String {
    let mut text = format!("p{topic:08}{sequence:09x}");
    let letters = (b'a'..=b'z').map(char::from).cycle();
    let skipped = usize::try_from(sequence % 26).unwrap_or_default();
    let missing = size.saturating_sub(text.len());
    text.extend(letters.skip(skipped).take(missing));
    text
}

impl Load for Cluster {
    fn run(&mut self, goal: Goal) -> io::Result<Tally> {
        let (mut here, mut elsewhere) = (Tally::default(), Tally::default());
        let mut events = Events::with_capacity(1024);
        let mut pacer = Pacer::new(goal, self.rate);
        let mut missing = 0;
        let mut last_event = Instant::now();
        loop {
            while let Some(due) = pacer.next_due() {
                if missing == 0 {
                    last_event = Instant::now();
                }
                missing += self.publish(due)?;
            }
            if missing == 0 && pacer.is_over() {
                break;
            }
            if missing > 0 && last_event.elapsed() > PATIENCE {
                return Err(io::Error::new(
                    ErrorKind::TimedOut,
                    "messages are missing, and the server is silent",
                ));
            }
            pacer.wait(&mut self.poll, &mut events)?;
            for event in &events {
                let index = event.token().0;
                let Some(end) = self.ends.get_mut(index) else {
                    continue;
                };
                last_event = Instant::now();
                for sent in end.receive()? {
                    let took = last_event.duration_since(sent.due);
                    self.note(index, &sent)?;
                    missing -= 1;
                    match self.is_here(index) {
                        true => here.add(0, took),
                        false => elsewhere.add(0, took),
                    }
                }
            }
            self.ends.first_mut().map_or(Ok(()), End::flush)?;
        }
        Ok(merge(here, elsewhere, &pacer))
    }

    fn verify_silence(&mut self) -> io::Result<()> {
        // Nothing is missing, so this accepts pings and nothing else.
        self.ends
            .iter_mut()
            .try_for_each(|end| end.receive().map(drop))
    }
}

impl Cluster {
    /// Whether a connection is with the node of the one that publishes.
    fn is_here(&self, index: usize) -> bool {
        match self.audience {
            Audience::All { on_each } => index < on_each,
            Audience::Topics { .. } => index == 0,
        }
    }
}

/// Returns the times to other nodes, or those to this one if there is no other, and counts what was published.
fn merge(here: Tally, elsewhere: Tally, pacer: &Pacer) -> Tally {
    let of_here = Here {
        here_p50_ns: here.quantile(0.5),
        here_p99_ns: here.quantile(0.99),
    };
    let mut tally = match elsewhere.quantile(1.0) {
        0 => here,
        _ => elsewhere,
    };
    tally.messages = pacer.begun();
    tally.pace = Some(pacer.pace());
    tally.here = Some(of_here);
    tally
}
