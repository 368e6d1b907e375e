//! The places of control frames among the bytes that wait. They have a limit of their own, so data that leaves
//! must not make capacity for more of them. Knows lengths, and no bytes.

use std::collections::VecDeque;

/// The most runs that are kept. A peer that pings between messages and does not read makes one run for each
/// ping. Beyond the limit the last run grows over the data in between, and its control frames count until all
/// of it has left. So a count is exact up to this number of runs, and never too low.
const RUN_LIMIT: usize = 256;

/// The control frames among the bytes of a queue.
#[derive(Debug, Default)]
pub(super) struct Controls {
    runs: VecDeque<Run>,
    /// The bytes up to the end of the last run; all bytes behind it are data. Invariant: the sum of the spans.
    covered: usize,
    /// The bytes of control frames. Invariant: the sum of the lengths.
    len: usize,
}

/// Adjacent control frames, with the data in front of them up to the run before.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// The bytes from the end of the run before, or from the front of the queue, to the end of this run.
    span: usize,
    /// How many of these bytes are control frames, at the end of the span. Invariant: `len <= span`.
    len: usize,
}

impl Controls {
    /// Returns the bytes of control frames that wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds control frames of `len` bytes behind the `ahead` bytes that wait.
    pub(super) fn push(&mut self, ahead: usize, len: usize) {
        self.add(ahead, Run { span: len, len });
    }

    /// Records that the first `count` bytes have left.
    pub(super) fn leave(&mut self, count: usize) {
        // Data alone has no runs, so most calls end here.
        if self.len > 0 {
            self.cut(count, |_| {});
        }
    }

    /// Moves the runs among the first `count` bytes behind the `ahead` bytes of another queue.
    pub(super) fn move_front(&mut self, count: usize, to: &mut Self, ahead: usize) {
        if self.len == 0 {
            return;
        }
        let mut moved = 0;
        self.cut(count, |run| {
            to.add(ahead + moved, run);
            moved += run.span;
        });
    }

    pub(super) fn clear(&mut self) {
        self.runs.clear();
        (self.covered, self.len) = (0, 0);
    }

    /// Returns the bytes of memory that it holds.
    pub(super) fn memory_len(&self) -> usize {
        self.runs.capacity() * size_of::<Run>()
    }

    /// Adds a run whose span begins behind `ahead` bytes.
    fn add(&mut self, ahead: usize, run: Run) {
        debug_assert!(self.covered <= ahead, "a run is behind those before it");
        if run.len == 0 {
            return;
        }
        let span = ahead.saturating_sub(self.covered) + run.span;
        self.covered += span;
        self.len += run.len;
        let is_full = self.runs.len() >= RUN_LIMIT;
        match self.runs.back_mut() {
            // `span == run.len`: there is no data in between, so this is still the same run.
            Some(last) if is_full || span == run.len => {
                last.span += span;
                last.len += run.len;
            }
            Some(_) | None => self.runs.push_back(Run { span, ..run }),
        }
    }

    /// Removes the first `count` bytes, and passes the removed part of each run to `take`.
    fn cut(&mut self, mut count: usize, mut take: impl FnMut(Run)) {
        while let Some(first) = self.runs.front_mut().filter(|_| count > 0) {
            let span = count.min(first.span);
            // The control frames are at the end of the span, so data leaves first.
            let len = first.len - first.len.min(first.span - span);
            first.span -= span;
            first.len -= len;
            if first.span == 0 {
                self.runs.pop_front();
            }
            count -= span;
            self.covered -= span;
            self.len -= len;
            take(Run { span, len });
        }
    }
}

/// Bytes that were taken out of a queue to be written, and whose writing is not confirmed yet.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    len: usize,
    /// Boxed, because control frames are rare and an idle connection keeps this struct.
    controls: Option<Box<Controls>>,
}

impl InFlight {
    /// Returns the number of bytes.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns how many of the bytes belong to control frames.
    pub(super) fn control_len(&self) -> usize {
        self.controls.as_ref().map_or(0, |controls| controls.len())
    }

    /// Records that `count` bytes were written, or all if there are fewer. Returns how many.
    pub(crate) fn note_written(&mut self, count: usize) -> usize {
        // A caller can report more than it has taken. That must not underflow.
        let count = count.min(self.len);
        self.len -= count;
        if let Some(controls) = &mut self.controls {
            controls.leave(count);
            // An idle connection keeps no memory for this.
            if controls.len() == 0 {
                self.controls = None;
            }
        }
        count
    }

    /// Adds `count` bytes, and the control frames among the first `count` bytes of another queue.
    pub(super) fn add(&mut self, count: usize, controls: &mut Controls) {
        if controls.len() > 0 {
            let own = self.controls.get_or_insert_default();
            controls.move_front(count, own, self.len);
        }
        self.len += count;
    }

    /// Adds `count` bytes that are control frames.
    pub(super) fn add_controls(&mut self, count: usize) {
        let own = self.controls.get_or_insert_default();
        own.push(self.len, count);
        self.len += count;
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes, `true` in a control frame, and the count of them under test.
    #[derive(Default)]
    struct Queue {
        bytes: VecDeque<bool>,
        controls: Controls,
    }

    impl Queue {
        fn control_len(&self) -> usize {
            self.bytes.iter().filter(|is_control| **is_control).count()
        }

        fn push(&mut self, is_control: bool, len: usize) {
            if is_control {
                self.controls.push(self.bytes.len(), len);
            }
            self.bytes.extend(std::iter::repeat_n(is_control, len));
        }
    }

    /// Control frames count until they have left, and data never counts, whatever is added, moved and written.
    #[test]
    fn control_frames_count_until_they_have_left() {
        for seed in 0..200_usize {
            let (mut queue, mut flight) = (Queue::default(), Queue::default());
            let mut state = seed;
            for _ in 0..500 {
                state = (state * 75 + 74) % 65_537;
                let len = state / 4 % 23 + 1;
                match state % 4 {
                    0 => queue.push(false, len),
                    1 => queue.push(true, len),
                    2 => {
                        let count = len.min(queue.bytes.len());
                        let ahead = flight.bytes.len();
                        queue
                            .controls
                            .move_front(count, &mut flight.controls, ahead);
                        flight.bytes.extend(queue.bytes.drain(..count));
                    }
                    _ => {
                        let count = len.min(flight.bytes.len());
                        flight.controls.leave(count);
                        flight.bytes.drain(..count);
                    }
                }
                for queue in [&queue, &flight] {
                    assert_eq!(queue.controls.len(), queue.control_len(), "seed {seed}");
                }
            }
        }
    }

    /// With more runs than are kept, a count can be too high for a while, but never too low.
    #[test]
    fn the_count_of_many_runs_is_never_too_low() {
        let mut queue = Queue::default();
        for _ in 0..3 * RUN_LIMIT {
            queue.push(true, 2);
            queue.push(false, 3);
        }
        assert_eq!(queue.controls.len(), 6 * RUN_LIMIT);
        assert_eq!(queue.controls.runs.len(), RUN_LIMIT);
        while queue.bytes.pop_front().is_some() {
            queue.controls.leave(1);
            assert!(queue.controls.len() >= queue.control_len());
        }
        assert_eq!((queue.controls.len(), queue.controls.covered), (0, 0));
    }
}
