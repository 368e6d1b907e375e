//! The bytes that wait to be written: small payloads are copied together, large ones are kept by
//! reference, so that one gather write can take them all. Knows where frames end, nothing else about
//! them.
//!
//! Imports: `mask`, `message`, `outgoing::controls`.

mod ahead;

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

use self::ahead::Ahead;
use super::controls::{Controls, InFlight};
use crate::mask::Mask;
use crate::message::Payload;
use crate::message::inline::INLINE_LIMIT;

/// Payloads shorter than this are copied behind each other; longer ones are kept by reference.
///
/// Below a few KiB a copy costs less than one more slice in a gather write.
pub(super) const COPY_LIMIT: usize = 4096;

/// Room that is made at first where none is lent, as with a broadcast: more small frames may follow.
const TAIL_START: usize = 256;

/// Bytes that are copied together before a new segment begins: bounds the cost of a frame that
/// goes ahead of others.
const TAIL_LIMIT: usize = 64 << 10;

/// With so many bytes waiting, a control frame goes ahead of them, to the next frame boundary.
/// With fewer it keeps its place, so that a peer sees answers in the order of what it sent.
pub(super) const OVERTAKE_LEN: usize = 64 << 10;

/// Room for segments that a queue keeps when it is empty: as many as go into one gather write.
const SEGMENTS_KEPT: usize = 64;

/// Bytes in order.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// What goes ahead of the segments, while there is something.
    ahead: Option<Box<Ahead>>,
    segments: VecDeque<Segment>,
    /// What comes behind the segments and still grows.
    tail: Tail,
    /// All that waits, in bytes.
    len: usize,
    /// The control frames that did not overtake, among all bytes but those that did.
    controls: Controls,
    /// Whether the first byte that waits is inside a frame.
    mid_frame: bool,
}

#[derive(Debug)]
struct Segment {
    /// The head of a large frame is short, and lies in the segment itself.
    bytes: Payload,
    /// Where those begin that wait; those before have left. Invariant: `start <= bytes.len()`.
    start: usize,
    /// Whether a frame ends with the last byte.
    ends_frame: bool,
}

impl Segment {
    fn new(bytes: Payload, ends_frame: bool) -> Self {
        Self {
            bytes,
            start: 0,
            ends_frame,
        }
    }

    fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

impl Queue {
    /// Notes that its memory is lent: it is kept, and what is cut off it is copied.
    pub(super) fn lend(&mut self) {
        self.tail.is_lent = true;
    }

    pub(super) fn is_lent(&self) -> bool {
        self.tail.is_lent
    }

    /// Moves what waits to a queue of its own length.
    pub(super) fn split(&mut self) -> Self {
        let segments: Vec<_> = self.segments.drain(..).collect();
        let own = Self {
            ahead: self.ahead.take(),
            segments: segments.into(),
            tail: Tail {
                bytes: self.tail.as_slice().to_vec(),
                ..Tail::default()
            },
            len: self.len,
            controls: std::mem::take(&mut self.controls),
            mid_frame: self.mid_frame,
        };
        self.clear();
        own
    }

    /// Drops what waits.
    pub(super) fn clear(&mut self) {
        self.ahead = None;
        self.segments.clear();
        self.tail.clear();
        self.controls.clear();
        (self.len, self.mid_frame) = (0, false);
    }

    /// Returns the bytes of memory that it holds besides payloads.
    pub(super) fn room(&self) -> usize {
        let segments = self.segments.capacity() * size_of::<Segment>();
        let ahead = self.ahead.as_ref().map_or(0, |ahead| {
            let frame = ahead.frame.capacity() * size_of::<Segment>();
            size_of::<Ahead>() + frame + ahead.controls.bytes.capacity()
        });
        let own = size_of::<Self>() + self.controls.room();
        own + segments + ahead + self.tail.bytes.capacity()
    }

    /// Tells whether it holds memory that is not lent for nothing.
    pub(super) fn is_spent(&self) -> bool {
        self.len == 0 && !self.tail.is_lent
    }

    /// Appends bytes that stand for themselves, such as the head of an answer.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.tail.bytes.extend_from_slice(bytes);
        self.len += bytes.len();
        if self.tail.len() >= TAIL_LIMIT {
            self.end_segment(true);
        }
    }

    /// As [`push`](Self::push); takes the memory over if the queue has none.
    pub(super) fn push_owned(&mut self, bytes: Vec<u8>) {
        if self.tail.bytes.capacity() > 0 || bytes.len() >= TAIL_LIMIT {
            return self.push(&bytes);
        }
        self.len += bytes.len();
        self.tail.bytes = bytes;
    }

    /// Appends a frame: header, payload, trailer.
    #[inline]
    pub(super) fn push_frame(&mut self, header: &[u8], payload: FramePayload<'_>, trailer: &[u8]) {
        let frame_len = header.len() + payload.len() + trailer.len();
        self.len += frame_len;
        let tail = &mut self.tail.bytes;
        match payload {
            FramePayload::Shared(bytes) if bytes.len() >= COPY_LIMIT => {
                tail.extend_from_slice(header);
                self.end_segment(false);
                let ends_frame = trailer.is_empty();
                self.segments
                    .push_back(Segment::new(bytes.into(), ends_frame));
                self.tail.bytes.extend_from_slice(trailer);
            }
            FramePayload::Shared(_) | FramePayload::Copied(_) => {
                if tail.capacity() == 0 {
                    tail.reserve(TAIL_START);
                }
                tail.reserve(frame_len);
                tail.extend_from_slice(header);
                tail.extend_from_slice(payload.as_slice());
                if !trailer.is_empty() {
                    tail.extend_from_slice(trailer);
                }
            }
        }
        if self.tail.len() >= TAIL_LIMIT {
            self.end_segment(true);
        }
    }

    /// Appends a frame: a header and the first `len` bytes of a block. Both are copied as they are, whatever
    /// `len` is, which takes a few instructions; to copy so many bytes takes a call.
    #[inline(always)]
    pub(super) fn push_block<const HEADER: usize, const BLOCK: usize>(
        &mut self,
        header: [u8; HEADER],
        block: &[u8; BLOCK],
        len: usize,
    ) {
        let tail = &mut self.tail.bytes;
        let end = tail.len() + HEADER + len;
        tail.reserve(HEADER + BLOCK);
        tail.extend_from_slice(&header);
        tail.extend_from_slice(block);
        tail.truncate(end);
        self.len += HEADER + len;
        if self.tail.len() >= TAIL_LIMIT {
            self.end_segment(true);
        }
    }

    /// Appends a client's frame, whose payload is masked: a large one in memory of its own.
    pub(super) fn push_masked_frame(
        &mut self,
        header: &[u8],
        payload: FramePayload<'_>,
        mask: Mask,
    ) {
        let payload = payload.as_slice();
        if payload.len() >= COPY_LIMIT {
            let mut masked = Vec::with_capacity(payload.len());
            mask.append(payload, &mut masked);
            return self.push_frame(header, FramePayload::Shared(masked.into()), b"");
        }
        self.len += header.len() + payload.len();
        self.tail.bytes.reserve(header.len() + payload.len());
        self.tail.bytes.extend_from_slice(header);
        mask.append(payload, &mut self.tail.bytes);
        if self.tail.len() >= TAIL_LIMIT {
            self.end_segment(true);
        }
    }

    /// Adds a control frame. If much is waiting it goes to the next frame boundary, behind the
    /// control frames that are there already. Returns how many bytes wait up to its end.
    pub(super) fn push_control(&mut self, frame: &[u8]) -> usize {
        if self.len < OVERTAKE_LEN {
            let ahead = self.len - self.overtaking_len();
            self.controls.push(ahead, frame.len());
            self.push(frame);
            return self.len;
        }
        if self.ahead.is_none() {
            let ahead = self.part_frame();
            self.ahead = Some(Box::new(ahead));
        }
        let ahead = self.ahead.get_or_insert_default();
        ahead.controls.bytes.extend_from_slice(frame);
        self.len += frame.len();
        ahead.len()
    }

    /// Parts the rest of the frame that is being written, a header and a payload, from what comes behind it.
    fn part_frame(&mut self) -> Ahead {
        let mut ahead = Ahead::default();
        if self.mid_frame {
            let ends = |segment: &Segment| segment.ends_frame;
            if !self.segments.iter().any(ends) {
                self.end_segment(true);
            }
            let end = self.segments.iter().position(ends);
            let rest = self.segments.drain(..end.map_or(0, |end| end + 1));
            ahead.frame.extend(rest);
            ahead.frame_len = ahead.frame.iter().map(Segment::len).sum();
        }
        ahead
    }

    /// Returns the bytes of control frames that wait.
    pub(super) fn control_len(&self) -> usize {
        self.controls.len() + self.overtaking_len()
    }

    fn overtaking_len(&self) -> usize {
        let ahead = self.ahead.as_ref();
        ahead.map_or(0, |ahead| ahead.controls.len())
    }

    /// Tells whether [`move_front`](Self::move_front) would move all there is.
    pub(super) fn moves_whole(&self, limit: usize) -> bool {
        let last = match (self.tail.len(), self.segments.back()) {
            (0, Some(segment)) => segment.len(),
            (0, None) => self.overtaking_len(),
            (len, _) => len,
        };
        self.len.saturating_sub(last) < limit
    }

    /// Moves whole segments out, until at least `limit` bytes are moved, so that they can be written while
    /// this queue is used by others. Something is left: see [`moves_whole`](Self::moves_whole).
    pub(super) fn move_front(&mut self, limit: usize, taken: &mut Self, in_flight: &mut InFlight) {
        debug_assert!(!self.moves_whole(limit), "the whole queue would be moved");
        taken.mid_frame = self.mid_frame;
        while taken.len < limit {
            let Some(segment) = self.pop_segment(in_flight) else {
                break;
            };
            taken.len += segment.len();
            self.mid_frame = !segment.ends_frame;
            taken.segments.push_back(segment);
        }
        self.len -= taken.len;
    }

    fn pop_segment(&mut self, in_flight: &mut InFlight) -> Option<Segment> {
        if let Some(ahead) = self.ahead.take_if(|ahead| ahead.frame.is_empty()) {
            in_flight.add_controls(ahead.controls.len());
            return Some(ahead.into_controls());
        }
        let segment = match &mut self.ahead {
            Some(ahead) => ahead.pop_frame(),
            None => self.segments.pop_front(),
        }?;
        in_flight.add(segment.len(), &mut self.controls);
        Some(segment)
    }

    /// Takes the news that all of it is moved out.
    pub(super) fn note_moved(&mut self, in_flight: &mut InFlight) {
        let mut behind = self.len;
        if let Some(ahead) = &self.ahead {
            in_flight.add(ahead.frame_len, &mut self.controls);
            in_flight.add_controls(ahead.controls.len());
            behind -= ahead.len();
        }
        in_flight.add(behind, &mut self.controls);
    }

    /// Moves all of another one behind what waits here.
    pub(super) fn append(&mut self, other: &mut Self) {
        self.end_segment(true);
        if let Some(mut ahead) = other.ahead.take() {
            self.segments.append(&mut ahead.frame);
            self.segments.push_back(ahead.into_controls());
        }
        other.end_segment(true);
        self.segments.append(&mut other.segments);
        self.len += other.len;
        other.clear();
    }

    /// Returns how many bytes wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Tells whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn chunk(&self) -> &[u8] {
        if let Some(ahead) = &self.ahead {
            let first = ahead.frame.front();
            return first.map_or(ahead.controls.as_slice(), Segment::as_slice);
        }
        self.segments
            .front()
            .map_or(self.tail.as_slice(), Segment::as_slice)
    }

    pub(super) fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let ahead = self.ahead.iter().flat_map(|ahead| {
            let frame = ahead.frame.iter().map(Segment::as_slice);
            frame.chain([ahead.controls.as_slice()])
        });
        let segments = self.segments.iter().map(Segment::as_slice);
        let tail = Some(self.tail.as_slice()).filter(|tail| !tail.is_empty());
        let all = ahead.chain(segments).chain(tail);
        let mut count = 0;
        for (slice, bytes) in slices.iter_mut().zip(all) {
            *slice = IoSlice::new(bytes);
            count += 1;
        }
        count
    }

    /// Drops the first `count` bytes; panics if fewer wait.
    pub(super) fn advance(&mut self, mut count: usize) {
        assert!(
            count <= self.len,
            "advanced by {count}, but only {} bytes wait",
            self.len
        );
        self.len -= count;
        if let Some(ahead) = &mut self.ahead {
            let before = count.min(ahead.frame_len);
            self.controls.leave(before);
            count -= before;
            self.mid_frame = ahead.advance_frame(before, self.mid_frame);
            if count < ahead.controls.len() {
                ahead.controls.advance(count);
                return;
            }
            count -= ahead.controls.len();
            self.ahead = None;
        }
        self.controls.leave(count);
        while let Some(segment) = self.segments.front_mut() {
            if count < segment.len() {
                segment.start += count;
                self.mid_frame |= count > 0;
                return;
            }
            count -= segment.len();
            self.mid_frame = !segment.ends_frame;
            self.segments.pop_front();
        }
        if count == self.tail.len() {
            self.tail.clear();
            self.segments.shrink_to(SEGMENTS_KEPT);
            self.mid_frame = false;
        } else if count > 0 {
            self.tail.advance(count);
            self.mid_frame = true;
        }
    }

    /// Tells whether the first byte that waits is inside a frame.
    #[cfg(test)]
    pub(super) fn is_mid_frame(&self) -> bool {
        self.mid_frame
    }

    fn end_segment(&mut self, ends_frame: bool) {
        if !self.tail.is_empty() {
            let bytes = self.tail.split();
            self.segments.push_back(Segment::new(bytes, ends_frame));
        }
    }
}

/// Bytes that are copied behind each other.
#[derive(Debug, Default)]
struct Tail {
    bytes: Vec<u8>,
    /// Where those begin that wait; those before have left. Invariant: `start <= bytes.len()`.
    start: usize,
    /// Whether the memory belongs to somebody who will want it back.
    is_lent: bool,
}

impl Tail {
    fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    fn advance(&mut self, count: usize) {
        self.start += count;
        // Moving what is left costs no more than writing it did, so the front cannot grow for ever.
        if self.start >= self.len() && self.start >= COPY_LIMIT {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
    }

    /// All has left. Memory that is not lent is given back: a queue at rest holds none.
    fn clear(&mut self) {
        match self.is_lent {
            true => {
                self.bytes.clear();
                self.start = 0;
            }
            false => *self = Self::default(),
        }
    }

    /// Hands the bytes over. What is lent is copied, as it is to come back, and so are a few bytes.
    fn split(&mut self) -> Payload {
        if self.is_lent || self.len() <= INLINE_LIMIT {
            let bytes = Payload::from(self.as_slice());
            self.clear();
            return bytes;
        }
        let Self { bytes, start, .. } = std::mem::take(self);
        let mut bytes = Bytes::from(bytes);
        bytes.advance(start);
        bytes.into()
    }
}

/// The payload of a frame to be queued.
pub(crate) enum FramePayload<'a> {
    /// Is copied.
    Copied(&'a [u8]),
    /// Can be kept by reference.
    Shared(Bytes),
}

impl FramePayload<'_> {
    pub(crate) fn len(&self) -> usize {
        self.as_slice().len()
    }

    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Copied(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}
