//! The part of a queue that is written first: control frames that overtook data. Knows nothing of that data.

use std::collections::VecDeque;

use super::{Segment, Tail};

/// Control frames that overtook, and the frame that they could not overtake. They are not inserted into the segments,
/// because an insertion would move all segments behind it: here one more control frame costs the same however many
/// there are.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// The rest of the frame that is being written. A control frame can stand between frames only.
    pub(super) frame: VecDeque<Segment>,
    /// The bytes of that rest.
    pub(super) frame_len: usize,
    /// The control frames behind it. Invariant: it is not empty.
    pub(super) controls: Tail,
}

impl Ahead {
    pub(super) fn len(&self) -> usize {
        self.frame_len + self.controls.len()
    }

    /// Drops the first `count` bytes of the frame. Tells whether the next byte is inside a frame.
    pub(super) fn advance_frame(&mut self, mut count: usize, mut mid_frame: bool) -> bool {
        self.frame_len -= count;
        while let Some(segment) = self.frame.front_mut() {
            if count < segment.len() {
                segment.start += count;
                return mid_frame || count > 0;
            }
            count -= segment.len();
            mid_frame = !segment.ends_frame;
            self.frame.pop_front();
        }
        mid_frame
    }

    /// Takes the first segment of the frame.
    pub(super) fn pop_frame(&mut self) -> Option<Segment> {
        let segment = self.frame.pop_front()?;
        self.frame_len -= segment.len();
        Some(segment)
    }

    /// Converts the control frames into a segment.
    pub(super) fn into_controls(mut self) -> Segment {
        Segment::new(self.controls.split(), true)
    }
}
