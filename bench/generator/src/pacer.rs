//! A timetable: what is due when, and how well the generator keeps to it.

use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Poll};

use crate::link::PATIENCE;
use crate::meter::{Goal, LATE, Pace, nanos};

/// Beats at a fixed rate from now until a goal.
pub(crate) struct Pacer {
    goal: Goal,
    begin: Instant,
    rate: u64,
    begun: u64,
    /// How many may still begin before what came back is looked at.
    in_a_row: u32,
    sent_late: u64,
    /// When the last wait ended.
    awake_since: Instant,
    has_worked: bool,
    busy: Duration,
}

impl Pacer {
    /// Begins a timetable of that many beats a second.
    pub(crate) fn new(goal: Goal, rate: u64) -> Self {
        let now = Instant::now();
        Self {
            goal,
            begin: now,
            rate: rate.max(1),
            begun: 0,
            in_a_row: IN_A_ROW,
            sent_late: 0,
            awake_since: now,
            has_worked: false,
            busy: Duration::ZERO,
        }
    }

    /// Returns when the next beat was due, if it was, and takes it as begun.
    pub(crate) fn next_due(&mut self) -> Option<Instant> {
        let due = self.due();
        if !self.goal.is_open(self.begun, due) || self.in_a_row == 0 {
            return None;
        }
        let lateness = Instant::now().checked_duration_since(due)?;
        self.begun += 1;
        self.in_a_row -= 1;
        self.has_worked = true;
        self.sent_late += u64::from(lateness > LATE);
        Some(due)
    }

    /// Returns when the beat after those that have begun is due.
    fn due(&self) -> Instant {
        self.due_of(self.begun)
    }

    /// Returns when a beat is or was due; the first one has the number 0.
    pub(crate) fn due_of(&self, beat: u64) -> Instant {
        let nanos = u128::from(beat) * 1_000_000_000 / u128::from(self.rate);
        self.begin + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    pub(crate) fn begun(&self) -> u64 {
        self.begun
    }

    /// Whether no beat is left.
    pub(crate) fn is_over(&self) -> bool {
        !self.goal.is_open(self.begun, self.due())
    }

    pub(crate) fn pace(&self) -> Pace {
        Pace {
            due: self.begun,
            sent_late: self.sent_late,
            busy_ns: nanos(self.busy),
        }
    }

    /// Waits until the next beat is due or there are events, with an accuracy that costs the core: a wait of
    /// epoll ends up to a millisecond late, so the last two are spent asking.
    pub(crate) fn wait(&mut self, poll: &mut Poll, events: &mut Events) -> io::Result<()> {
        let timeout = match self.is_over() {
            true => PATIENCE,
            false => self.due().saturating_duration_since(Instant::now()),
        };
        self.in_a_row = IN_A_ROW;
        let timeout = timeout.saturating_sub(COARSE);
        let before = Instant::now();
        if self.has_worked {
            self.busy += before.duration_since(self.awake_since);
        }
        match poll.poll(events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => result?,
        }
        // To ask for events that are there is work; to ask when there are none is not.
        self.has_worked = !events.is_empty();
        self.awake_since = match self.has_worked && timeout.is_zero() {
            true => before,
            false => Instant::now(),
        };
        Ok(())
    }
}

/// How long before a beat the generator stops to sleep.
const COARSE: Duration = Duration::from_millis(2);

/// A generator that is behind must not let what came back wait for all that is due.
const IN_A_ROW: u32 = 16;
