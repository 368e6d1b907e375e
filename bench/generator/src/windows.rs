//! Windows of messages: each connection its own (echo), or one for all of them (broadcast).

use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Poll};

use crate::Options;
use crate::link::{self, BUFFER_LEN, Link};
use crate::meter::{Goal, Load, Tally};
use crate::ring::Ring;

/// A load of windows of messages. The next one begins when the last is back as a whole: so the work of a
/// server does not depend on how its timing and ours happen to meet.
pub(crate) struct Windows {
    poll: Poll,
    links: Vec<Link>,
    /// The next message of each link.
    next: Vec<usize>,
    ring: Ring,
    window: usize,
    is_broadcast: bool,
}

impl Windows {
    pub(crate) fn echo(options: &Options, in_flight: usize) -> io::Result<Self> {
        Self::new(options, in_flight, false)
    }

    pub(crate) fn broadcast(options: &Options, in_flight: usize) -> io::Result<Self> {
        Self::new(options, in_flight, true)
    }

    fn new(options: &Options, window: usize, is_broadcast: bool) -> io::Result<Self> {
        let poll = Poll::new()?;
        let count = options.connections;
        let ring = Ring::new(options.protocol, options.script, options.size, window);
        let first = |index| match is_broadcast {
            true => 0,
            false => ring.first_of(index),
        };
        Ok(Self {
            links: link::open_all(&poll, options)?,
            next: (0..count).map(first).collect(),
            poll,
            ring,
            window,
            is_broadcast,
        })
    }

    /// Begins the next window of a link, or of all of them.
    fn begin(&mut self, index: usize) -> io::Result<()> {
        let (ring, window) = (&self.ring, self.window);
        let Some(next) = self.next.get_mut(index) else {
            return Ok(());
        };
        let first = std::mem::replace(next, ring.after(*next, window));
        if self.is_broadcast {
            for link in &mut self.links {
                link.expect(ring, first, window);
            }
        }
        match self.links.get_mut(index) {
            Some(publisher) if self.is_broadcast => publisher.send(ring, first, window),
            Some(link) => link.begin(ring, first, window),
            None => Ok(()),
        }
    }
}

impl Load for Windows {
    fn run(&mut self, goal: Goal) -> io::Result<Tally> {
        let mut tally = Tally::default();
        let mut events = Events::with_capacity(1024);
        let mut buf = vec![0; BUFFER_LEN];
        let width = match self.is_broadcast {
            true => self.links.len(),
            false => 1,
        };
        let cost = u64::try_from(self.window * width).map_err(io::Error::other)?;
        let mut begun = 0;
        let mut open = self.links.len() / width;
        for index in 0..open {
            self.begin(index)?;
            begun += cost;
        }
        let mut missing = width;
        let mut slowest = Duration::ZERO;
        while open > 0 {
            link::wait(&mut self.poll, &mut events)?;
            for event in &events {
                let index = event.token().0;
                let Some(link) = self.links.get_mut(index) else {
                    continue;
                };
                link.flush(&self.ring)?;
                if link.is_idle() {
                    continue;
                }
                let Some(took) = link.receive(&self.ring, &mut buf)? else {
                    continue;
                };
                slowest = slowest.max(took);
                missing -= 1;
                if missing > 0 {
                    continue;
                }
                tally.add(cost, slowest);
                (missing, slowest) = (width, Duration::ZERO);
                if goal.is_open(begun, Instant::now()) {
                    self.begin(if self.is_broadcast { 0 } else { index })?;
                    begun += cost;
                } else {
                    open -= 1;
                }
            }
        }
        Ok(tally)
    }
    fn verify_silence(&mut self) -> io::Result<()> {
        self.links.iter_mut().try_for_each(Link::verify_silence)
    }
}
