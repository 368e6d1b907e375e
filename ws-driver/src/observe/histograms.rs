//! Histograms of what counters cannot tell: how long connections and opening handshakes last, how large messages are, how long
//! they wait to be written. The bounds are fixed, so an exporter gets the same series from every server.
//!
//! Knows nothing of connections; those note values in it.

use std::fmt;
use std::time::Duration;

use crate::util::sync::Arc;
use crate::util::sync::atomic::{AtomicU64, Ordering};

/// Histograms of servers and clients, for [`ServerBuilder::histograms`](crate::ServerBuilder::histograms) and
/// [`ConnectConfig::histograms`](crate::ConnectConfig::histograms).
///
/// A clone counts into the same histograms, so several servers and clients can share one. All of its memory, about 10 KiB, is
/// allocated at once. A connection that counts has one small allocation more than others.
///
/// ```
/// use ws_driver::Histograms;
///
/// let histograms = Histograms::new();
/// let sizes = histograms.values().received_size;
/// assert_eq!((sizes.count(), sizes.sum()), (0, 0.0));
/// ```
#[derive(Clone)]
pub struct Histograms(Arc<[Shard; SHARDS]>);

impl Histograms {
    /// Makes empty histograms.
    pub fn new() -> Self {
        Self(Arc::new(std::array::from_fn(|_| Shard::default())))
    }

    /// Returns the values of now. What other threads note meanwhile may be in one of them and not in another.
    pub fn values(&self) -> HistogramValues {
        HistogramValues {
            connection_duration: self.sum(Measure::Connection),
            handshake_duration: self.sum(Measure::Handshake),
            send_queue_duration: self.sum(Measure::SendQueue),
            received_size: self.sum(Measure::Received),
            sent_size: self.sum(Measure::Sent),
        }
    }

    pub(crate) fn note_duration(&self, measure: Measure, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.note(measure, micros);
    }

    /// Notes a value, in the unit of the measure's bounds. `Relaxed`, because no other memory depends on the counts.
    pub(crate) fn note(&self, measure: Measure, value: u64) {
        let cells = self.0[shard()].of(measure);
        let bounds = measure.bounds();
        let bucket = bounds.iter().position(|bound| value <= *bound);
        cells.counts[bucket.unwrap_or(bounds.len())].fetch_add(1, Ordering::Relaxed);
        cells.sum.fetch_add(value, Ordering::Relaxed);
    }

    fn sum(&self, measure: Measure) -> Histogram {
        let mut counts = [0_u64; BUCKETS];
        let mut sum = 0_u64;
        for shard in &*self.0 {
            let cells = shard.of(measure);
            for (count, cell) in counts.iter_mut().zip(&cells.counts) {
                *count += cell.load(Ordering::Relaxed);
            }
            sum = sum.wrapping_add(cells.sum.load(Ordering::Relaxed));
        }
        Histogram {
            measure,
            counts,
            sum,
        }
    }
}

impl Default for Histograms {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Histograms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Histograms")
    }
}

/// The values of [`Histograms`] at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HistogramValues {
    /// Seconds from the open connection to the end of its stream.
    pub connection_duration: Histogram,
    /// Seconds of opening handshakes that succeeded: on a server from the arrival of the stream, and on a client from the open
    /// stream. With TLS, and the tunnel of a proxy, if there is one. Of a request that follows plain HTTP on its stream, only the
    /// answer counts.
    pub handshake_duration: Histogram,
    /// Seconds that messages were in a send queue: from the call that queued them until the operating system had taken
    /// their last byte. A sample: the first message, and then always the next one that is queued after the one before has left.
    /// The time that a sender waits for capacity is not included, nor is a message that was kept back.
    pub send_queue_duration: Histogram,
    /// Bytes of payload of the messages that the application received.
    pub received_size: Histogram,
    /// Bytes of payload of the messages that were queued or kept back. A broadcast counts once for each connection that took it.
    pub sent_size: Histogram,
}

impl HistogramValues {
    /// Iterates over the histograms and their names, which end with the unit, as those of Prometheus do:
    /// `connection_duration_seconds`, `received_message_size_bytes`. There are only these.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Histogram)> + use<> {
        let Self {
            connection_duration,
            handshake_duration,
            send_queue_duration,
            received_size,
            sent_size,
        } = *self;
        [
            ("connection_duration_seconds", connection_duration),
            ("handshake_duration_seconds", handshake_duration),
            ("send_queue_duration_seconds", send_queue_duration),
            ("received_message_size_bytes", received_size),
            ("sent_message_size_bytes", sent_size),
        ]
        .into_iter()
    }
}

/// The values of one histogram, in seconds or in bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Histogram {
    measure: Measure,
    counts: [u64; BUCKETS],
    sum: u64,
}

impl Histogram {
    /// Iterates over the buckets: the upper bound of each, which belongs to it, and how many values are in it and in no
    /// bucket before. The bounds rise, and the last one is infinite.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> + use<> {
        let measure = self.measure;
        let bounds = measure.bounds().iter();
        let bounds = bounds.map(move |bound| measure.in_unit(*bound));
        bounds.chain([f64::INFINITY]).zip(self.counts)
    }

    /// Iterates over the buckets as Prometheus counts: each number includes those of the buckets before.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> + use<> {
        self.buckets().scan(0, |total, (bound, count)| {
            *total += count;
            Some((bound, *total))
        })
    }

    /// Returns the number of values.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the sum of all values. Durations are rounded down to microseconds.
    pub fn sum(&self) -> f64 {
        self.measure.in_unit(self.sum)
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.buckets()).finish()
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    Connection,
    Handshake,
    SendQueue,
    Received,
    Sent,
}

impl Measure {
    /// Returns the upper bounds of the buckets but the last, in microseconds or bytes.
    const fn bounds(self) -> &'static [u64] {
        match self {
            Self::Connection => &CONNECTION_MICROS,
            Self::Handshake => &HANDSHAKE_MICROS,
            Self::SendQueue => &SEND_QUEUE_MICROS,
            Self::Received | Self::Sent => &SIZES,
        }
    }

    /// Converts a value to seconds or bytes.
    fn in_unit(self, value: u64) -> f64 {
        match self {
            Self::Connection | Self::Handshake | Self::SendQueue => {
                Duration::from_micros(value).as_secs_f64()
            }
            // The standard library has this conversion for seconds only, and this crate uses no `as`.
            Self::Received | Self::Sent => Duration::from_secs(value).as_secs_f64(),
        }
    }
}

/// The buckets of each histogram, at most.
const BUCKETS: usize = 16;

const MILLI: u64 = 1_000;
const SECOND: u64 = 1_000 * MILLI;
const HOUR: u64 = 3_600 * SECOND;

/// From a client that goes at once to one that stays for days.
const CONNECTION_MICROS: [u64; 14] = [
    100 * MILLI,
    SECOND,
    5 * SECOND,
    10 * SECOND,
    30 * SECOND,
    60 * SECOND,
    120 * SECOND,
    300 * SECOND,
    900 * SECOND,
    HOUR,
    3 * HOUR,
    8 * HOUR,
    24 * HOUR,
    72 * HOUR,
];

/// The bounds that OpenTelemetry advises for `http.server.request.duration`.
const HANDSHAKE_MICROS: [u64; 14] = [
    5 * MILLI,
    10 * MILLI,
    25 * MILLI,
    50 * MILLI,
    75 * MILLI,
    100 * MILLI,
    250 * MILLI,
    500 * MILLI,
    750 * MILLI,
    SECOND,
    2_500 * MILLI,
    5 * SECOND,
    7_500 * MILLI,
    10 * SECOND,
];

/// From the next turn of the task to the `stall_timeout`.
const SEND_QUEUE_MICROS: [u64; 14] = [
    50,
    100,
    500,
    MILLI,
    5 * MILLI,
    10 * MILLI,
    50 * MILLI,
    100 * MILLI,
    500 * MILLI,
    SECOND,
    5 * SECOND,
    10 * SECOND,
    30 * SECOND,
    60 * SECOND,
];

/// Powers of four, from the shortest messages to far above the default `message_limit`.
const SIZES: [u64; 12] = [
    16,
    64,
    256,
    1 << 10,
    4 << 10,
    16 << 10,
    64 << 10,
    256 << 10,
    1 << 20,
    4 << 20,
    16 << 20,
    64 << 20,
];

/// The counts are kept several times, so that threads seldom write to the same line of a cache.
const SHARDS: usize = 8;

/// The counts of the threads that share them.
#[derive(Default)]
#[repr(align(128))]
struct Shard {
    connection: Cells,
    handshake: Cells,
    send_queue: Cells,
    received: Cells,
    sent: Cells,
}

#[derive(Default)]
struct Cells {
    counts: [AtomicU64; BUCKETS],
    sum: AtomicU64,
}

impl Shard {
    const fn of(&self, measure: Measure) -> &Cells {
        match measure {
            Measure::Connection => &self.connection,
            Measure::Handshake => &self.handshake,
            Measure::SendQueue => &self.send_queue,
            Measure::Received => &self.received,
            Measure::Sent => &self.sent,
        }
    }
}

/// Returns the shard of this thread. Threads take them in turn.
fn shard() -> usize {
    use std::sync::atomic::AtomicUsize;

    // Of the standard library, because the order in which threads come here decides nothing that can be seen.
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SHARD: usize = THREADS.fetch_add(1, Ordering::Relaxed) % SHARDS;
    }
    // A thread that ends has dropped its values, and its connections may still count.
    SHARD.try_with(|shard| *shard).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A value is in the first bucket whose bound is not below it, and in no other; the bounds rise, and the last bucket takes
    /// whatever is above.
    #[test]
    fn a_value_is_in_one_bucket() {
        let histograms = Histograms::new();
        for measure in [
            Measure::Connection,
            Measure::Handshake,
            Measure::SendQueue,
            Measure::Received,
            Measure::Sent,
        ] {
            let bounds = measure.bounds();
            assert!(bounds.len() < BUCKETS && bounds.is_sorted(), "{measure:?}");
            for bound in bounds {
                histograms.note(measure, *bound);
                histograms.note(measure, bound + 1);
            }
            let histogram = histograms.sum(measure);
            let counts: Vec<_> = histogram.buckets().map(|(_, count)| count).collect();
            assert_eq!(counts.len(), bounds.len() + 1);
            assert_eq!((counts[0], counts[bounds.len()]), (1, 1), "{measure:?}");
            assert!(counts[1..bounds.len()].iter().all(|count| *count == 2));
            let total = u64::try_from(2 * bounds.len()).unwrap();
            assert_eq!(histogram.count(), total);
            assert_eq!(histogram.cumulative().last(), Some((f64::INFINITY, total)));
        }
    }

    /// Durations are in seconds and sizes in bytes, in bounds and sums, and threads add up.
    #[test]
    fn values_are_in_their_units() {
        let histograms = Histograms::new();
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    histograms.note_duration(Measure::Connection, Duration::from_millis(2_500));
                    histograms.note(Measure::Sent, 1_000);
                });
            }
        });
        let values = histograms.values();
        assert_eq!(values.connection_duration.sum(), 50.0);
        assert_eq!(values.sent_size.sum(), 20_000.0);
        let is_filled = |(_, count): &(f64, u64)| *count > 0;
        let mut buckets = values.connection_duration.buckets().filter(is_filled);
        assert_eq!(buckets.next(), Some((5.0, 20)));
        let mut buckets = values.sent_size.buckets().filter(is_filled);
        assert_eq!(buckets.next(), Some((1024.0, 20)));
        assert_eq!(values.iter().filter(|(_, it)| it.count() > 0).count(), 2);
    }
}
