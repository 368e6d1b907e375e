//! What is measured of a server: its time on a CPU, its memory, and how long answers took.

use std::time::{Duration, Instant};
use std::{fs, io};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::{cluster, slow, storm};

/// A load that can be put on a server again and again.
pub(crate) trait Load {
    /// Runs until the goal is reached and every answer is there.
    fn run(&mut self, goal: Goal) -> io::Result<Tally>;

    /// Fails if anything came after the last answer.
    fn verify_silence(&mut self) -> io::Result<()>;
}

/// When to begin nothing more.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    At(Instant),
    Messages(u64),
}

impl Goal {
    pub(crate) fn for_millis(millis: u64) -> Self {
        Self::At(Instant::now() + Duration::from_millis(millis))
    }

    /// Whether to begin more, when that many messages were begun.
    pub(crate) fn is_open(self, begun: u64, now: Instant) -> bool {
        match self {
            Self::At(end) => now < end,
            Self::Messages(count) => begun < count,
        }
    }
}

/// What was done.
pub(crate) struct Tally {
    pub(crate) messages: u64,
    latencies: Histogram<u64>,
    /// Of a load that has a timetable.
    pub(crate) pace: Option<Pace>,
    /// Of a load on a cluster.
    pub(crate) here: Option<cluster::Here>,
}

/// How well a generator kept to its timetable, so that a latency is not blamed on the server.
#[derive(Clone, Copy, Default, Serialize)]
pub(crate) struct Pace {
    /// How often it was time to send.
    pub(crate) due: u64,
    /// How often the generator sent later than [`LATE`] after that.
    pub(crate) sent_late: u64,
    /// The time in which the generator found something to do.
    pub(crate) busy_ns: u64,
}

/// Later than this is late: a tenth of the shortest latency that matters to a person.
pub(crate) const LATE: Duration = Duration::from_millis(1);

/// The result of a run.
#[derive(Default, Serialize)]
pub(crate) struct Measured {
    pub(crate) messages: u64,
    pub(crate) cpu_ns: u64,
    pub(crate) wall_ns: u64,
    pub(crate) p50_ns: u64,
    pub(crate) p99_ns: u64,
    pub(crate) p999_ns: u64,
    pub(crate) max_ns: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rss_bytes: Option<u64>,
    /// The most memory that was resident at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) peak_bytes: Option<u64>,
    #[serde(flatten)]
    pub(crate) pace: Option<Pace>,
    #[serde(flatten)]
    pub(crate) here: Option<cluster::Here>,
    #[serde(flatten)]
    pub(crate) storm: Option<storm::Outcome>,
    #[serde(flatten)]
    pub(crate) slow: Option<slow::Outcome>,
}

impl Default for Tally {
    fn default() -> Self {
        let latencies = Histogram::new_with_bounds(1, LONGEST_NANOS, DIGITS);
        Self {
            messages: 0,
            latencies: latencies.expect("the bounds are constants that it takes"),
            pace: None,
            here: None,
        }
    }
}

/// A minute: no run waits as long. A histogram up to there with these digits takes a quarter of a MiB.
const LONGEST_NANOS: u64 = 60_000_000_000;

/// An error of a thousandth.
const DIGITS: u8 = 3;

impl Tally {
    /// Counts messages that were answered, and how long that took.
    pub(crate) fn add(&mut self, messages: u64, latency: Duration) {
        self.messages += messages;
        self.latencies.saturating_record(nanos(latency));
    }

    pub(crate) fn quantile(&self, quantile: f64) -> u64 {
        self.latencies.value_at_quantile(quantile)
    }

    pub(crate) fn measured(self, cpu_ns: u64, wall: Duration) -> Measured {
        let at = |quantile| self.quantile(quantile);
        Measured {
            messages: self.messages,
            cpu_ns,
            wall_ns: nanos(wall),
            p50_ns: at(0.5),
            p99_ns: at(0.99),
            p999_ns: at(0.999),
            max_ns: self.latencies.max(),
            pace: self.pace,
            here: self.here,
            ..Measured::default()
        }
    }
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Looks at a process from outside.
pub(crate) struct Meter {
    pid: u32,
}

impl Meter {
    pub(crate) fn new(pid: u32) -> Self {
        Self { pid }
    }

    /// Returns for how many nanoseconds its threads were on a CPU: those that it has now. One that ends
    /// while they are read takes its time along, so they are read again.
    pub(crate) fn cpu(&self) -> io::Result<u64> {
        for _ in 0..READ_LIMIT {
            match self.read_cpu() {
                Err(error) if has_ended(&error) => {}
                cpu => return cpu,
            }
        }
        Err(io::Error::other("the server's threads come and go"))
    }

    fn read_cpu(&self) -> io::Result<u64> {
        let mut sum = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            let schedstat = fs::read_to_string(task?.path().join("schedstat"))?;
            sum += number(schedstat.split_whitespace().next())?;
        }
        Ok(sum)
    }

    /// Returns how much of its memory is resident.
    pub(crate) fn rss(&self) -> io::Result<u64> {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid))?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"));
        Ok(number(line.and_then(|rest| rest.split_whitespace().next()))? * 1024)
    }

    /// Lets the kernel begin anew with [`peak`](Self::peak).
    pub(crate) fn forget_peak(&self) -> io::Result<()> {
        fs::write(format!("/proc/{}/clear_refs", self.pid), "5")
    }

    /// Returns the most memory that was resident at a time since the last [`forget_peak`](Self::forget_peak).
    pub(crate) fn peak(&self) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        Ok(number(line.and_then(|rest| rest.split_whitespace().next()))? * 1024)
    }
}

/// How often the threads are read until none has ended meanwhile.
const READ_LIMIT: usize = 20;

/// A thread ended between being listed and opened, or between being opened and read (ESRCH).
fn has_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(3)
}

fn number(text: Option<&str>) -> io::Result<u64> {
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| io::Error::other("what /proc says is not understood"))
}
