//! A fixed rate of messages, whatever the number of connections: what more connections alone cost.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use mio::{Events, Poll};

use crate::Options;
use crate::link::{self, BUFFER_LEN, Link, PATIENCE};
use crate::meter::{Goal, Load, Tally};
use crate::ring::Ring;

/// A load of single messages at a rate, each connection in its turn.
pub(crate) struct Paced {
    poll: Poll,
    links: Vec<Link>,
    ring: Ring,
    per_tick: u64,
    turn: usize,
}

impl Paced {
    pub(crate) fn new(options: &Options, rate: u64) -> io::Result<Self> {
        let poll = Poll::new()?;
        let protocol = options.protocol;
        Ok(Self {
            links: link::open_all(&poll, options)?,
            ring: Ring::new(protocol, options.script, options.size, 1),
            per_tick: rate / TICKS,
            poll,
            turn: 0,
        })
    }

    /// Sends the messages of one tick. A connection that still waits for its last one is left out.
    fn tick(&mut self) -> io::Result<u64> {
        let mut sent = 0;
        for _ in 0..self.per_tick {
            let message = self.ring.after(0, self.turn);
            let index = self.turn % self.links.len();
            self.turn += 1;
            if let Some(link) = self.links.get_mut(index).filter(|link| link.is_idle()) {
                link.begin(&self.ring, message, 1)?;
                sent += 1;
            }
        }
        Ok(sent)
    }
}

/// Ticks a second.
const TICKS: u64 = 500;

impl Load for Paced {
    fn run(&mut self, goal: Goal) -> io::Result<Tally> {
        let mut tally = Tally::default();
        let mut events = Events::with_capacity(1024);
        let mut buf = vec![0; BUFFER_LEN];
        let period = Duration::from_secs(1) / u32::try_from(TICKS).map_err(io::Error::other)?;
        let (mut begun, mut next_tick) = (0, Instant::now());
        let mut last_event = Instant::now();
        loop {
            let now = Instant::now();
            let is_open = goal.is_open(begun, now);
            if is_open && now >= next_tick {
                begun += self.tick()?;
                next_tick += period;
            }
            if !is_open && tally.messages == begun {
                return Ok(tally);
            }
            if now.duration_since(last_event) > PATIENCE {
                return Err(io::Error::new(
                    ErrorKind::TimedOut,
                    "messages are missing, and the server is silent",
                ));
            }
            let timeout = next_tick.saturating_duration_since(Instant::now());
            self.poll.poll(&mut events, Some(timeout.min(period)))?;
            for event in &events {
                last_event = now;
                let Some(link) = self.links.get_mut(event.token().0) else {
                    continue;
                };
                link.flush(&self.ring)?;
                if link.is_idle() {
                    continue;
                }
                if let Some(took) = link.receive(&self.ring, &mut buf)? {
                    tally.add(1, took);
                }
            }
        }
    }
    fn verify_silence(&mut self) -> io::Result<()> {
        self.links.iter_mut().try_for_each(Link::verify_silence)
    }
}
