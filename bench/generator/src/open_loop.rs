//! Messages on a timetable that the answers do not change: an open loop.
//!
//! The time of a message counts from the moment when it was due. A load that waits for an answer before it
//! sends again asks less of a server that stands still, and so hides that it did (coordinated omission).

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::time::Instant;

use mio::{Events, Poll};

use crate::Options;
use crate::flow::{Flow, WINDOW};
use crate::link::{self, BUFFER_LEN, Link, PATIENCE};
use crate::meter::{Goal, Load, Tally};
use crate::pacer::Pacer;
use crate::ring::Ring;

/// A load of single messages at a fixed rate, each connection in its turn.
pub(crate) struct OpenLoop {
    poll: Poll,
    lanes: Vec<Lane>,
    ring: Ring,
    rate: u64,
    turn: usize,
}

/// A connection, and when its messages were due that are not back.
struct Lane {
    flow: Flow,
    due: VecDeque<Instant>,
}

impl OpenLoop {
    pub(crate) fn new(options: &Options, rate: u64) -> io::Result<Self> {
        let poll = Poll::new()?;
        let ring = Ring::new(options.protocol, options.script, options.size, WINDOW);
        let links = link::open_all(&poll, options)?;
        // Neighbours send different messages, so that one cannot be taken for that of the other.
        let lane = |(index, link): (usize, Link)| Lane {
            flow: Flow::new(link.into_stream(), &ring, ring.after(0, index * 7)),
            due: VecDeque::new(),
        };
        Ok(Self {
            lanes: links.into_iter().enumerate().map(lane).collect(),
            poll,
            ring,
            rate,
            turn: 0,
        })
    }

    /// Sends a message that was due then.
    fn send(&mut self, due: Instant) -> io::Result<()> {
        let index = self.turn % self.lanes.len();
        self.turn += 1;
        let Some(lane) = self.lanes.get_mut(index) else {
            return Ok(());
        };
        lane.due.push_back(due);
        lane.flow.send(&self.ring, 1)
    }

    /// Takes what came back on a connection.
    fn receive(&mut self, index: usize, buf: &mut [u8], tally: &mut Tally) -> io::Result<()> {
        let Some(lane) = self.lanes.get_mut(index) else {
            return Ok(());
        };
        lane.flow.flush(&self.ring)?;
        let complete = lane.flow.receive(&self.ring, lane.due.len(), buf)?;
        let now = Instant::now();
        for due in lane.due.drain(..complete) {
            tally.add(1, now.duration_since(due));
        }
        Ok(())
    }
}

/// More than this under way, a message for each connection apart, means that the server cannot keep up:
/// some seconds of any rate here, and less than 64 MiB.
const UNDER_WAY_LIMIT: u64 = 1 << 20;

impl Load for OpenLoop {
    fn run(&mut self, goal: Goal) -> io::Result<Tally> {
        let mut tally = Tally::default();
        let mut events = Events::with_capacity(1024);
        let mut buf = vec![0; BUFFER_LEN];
        let mut pacer = Pacer::new(goal, self.rate);
        let mut last_event = Instant::now();
        loop {
            while let Some(due) = pacer.next_due() {
                self.send(due)?;
            }
            let under_way = pacer.begun() - tally.messages;
            if pacer.is_over() && under_way == 0 {
                tally.pace = Some(pacer.pace());
                return Ok(tally);
            }
            if under_way > UNDER_WAY_LIMIT {
                return Err(io::Error::other(format!(
                    "the server does not keep up: {under_way} messages are under way, and \
                     {UNDER_WAY_LIMIT} may be"
                )));
            }
            if under_way > 0 && last_event.elapsed() > PATIENCE {
                return Err(io::Error::new(
                    ErrorKind::TimedOut,
                    "messages are missing, and the server is silent",
                ));
            }
            pacer.wait(&mut self.poll, &mut events)?;
            if !events.is_empty() || under_way == 0 {
                last_event = Instant::now();
            }
            for event in &events {
                self.receive(event.token().0, &mut buf, &mut tally)?;
            }
        }
    }

    fn verify_silence(&mut self) -> io::Result<()> {
        let mut lanes = self.lanes.iter_mut();
        lanes.try_for_each(|lane| lane.flow.verify_silence())
    }
}
