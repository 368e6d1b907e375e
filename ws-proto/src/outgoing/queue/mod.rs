//! The bytes that wait to be written. Small payloads are copied together, large ones are kept by reference, so
//! that one gather write can take them all. Knows where frames end, and nothing else about them.
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
pub(crate) const COPY_LIMIT: usize = 4096;

/// The same for payloads that many connections share. A copy for each of them would cost more memory than time: a
/// message of 3000 bytes to 5000 slow receivers.
pub(crate) const SHARED_COPY_LIMIT: usize = 512;

/// The first capacity of a tail without attached memory, as with a broadcast: more small frames may follow.
const TAIL_CAPACITY: usize = 256;

/// The most bytes that are copied together before a new segment begins. A control frame that overtakes can pass
/// whole segments only, so this bounds how long it waits. So much below the memory of a segment that the last frame with its
/// header still fits there.
const TAIL_LIMIT: usize = SEGMENT_MEMORY - COPY_LIMIT - 64;

/// The most memory that a tail of small frames takes.
const SEGMENT_MEMORY: usize = 64 << 10;

/// The least number of waiting bytes that a control frame overtakes, to the next frame boundary. With fewer bytes it
/// keeps its place, so that a peer sees answers in the order of its messages. With more, a ping is answered in
/// time while a large message is written.
pub(super) const OVERTAKE_LEN: usize = 64 << 10;

/// The capacity for segments that an empty queue keeps: the segments of one gather write.
const SEGMENTS_CAPACITY: usize = 64;

/// Bytes in order.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// The bytes in front of the segments, while a control frame overtakes. Boxed, because that is rare.
    ahead: Option<Box<Ahead>>,
    segments: VecDeque<Segment>,
    /// The bytes behind the segments. Only they still grow.
    tail: Tail,
    /// All bytes that wait.
    len: usize,
    /// The control frames that did not overtake. Their places count all bytes but those that did overtake.
    controls: Controls,
    /// Whether the first byte that waits is inside a frame.
    mid_frame: bool,
}

#[derive(Debug)]
struct Segment {
    /// A `Payload` and not `Bytes`, because the header of a large frame is short and needs no allocation so.
    bytes: Payload,
    /// The place of the first byte that has not left. Invariant: `start <= bytes.len()`.
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
    /// Marks the memory as that of a workspace. It is then kept when the queue is empty, and segments that are cut off
    /// it are copied.
    pub(super) fn mark_attached(&mut self) {
        self.tail.is_attached = true;
    }

    pub(super) fn is_attached(&self) -> bool {
        self.tail.is_attached
    }

    /// Moves all bytes that wait to a new queue, which holds no more memory than they need.
    pub(super) fn split(&mut self) -> Self {
        // By way of a `Vec`, which has the exact capacity.
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

    /// Drops all bytes that wait.
    pub(super) fn clear(&mut self) {
        self.ahead = None;
        self.segments.clear();
        self.tail.clear();
        self.controls.clear();
        (self.len, self.mid_frame) = (0, false);
    }

    /// Returns the bytes of memory that the queue holds, without payloads.
    pub(super) fn memory_len(&self) -> usize {
        let segments = self.segments.capacity() * size_of::<Segment>();
        let ahead = self.ahead.as_ref().map_or(0, |ahead| {
            let frame = ahead.frame.capacity() * size_of::<Segment>();
            size_of::<Ahead>() + frame + ahead.controls.bytes.capacity()
        });
        let own = size_of::<Self>() + self.controls.memory_len();
        own + segments + ahead + self.tail.bytes.capacity()
    }

    /// Tells whether the queue is empty and its memory is its own, so that it can be dropped.
    pub(super) fn is_unused(&self) -> bool {
        self.len == 0 && !self.tail.is_attached
    }

    /// Appends bytes that are a unit of their own, such as the head of an answer.
    #[inline]
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.tail.reserve(bytes.len());
        self.tail.bytes.extend_from_slice(bytes);
        self.len += bytes.len();
        if self.tail.len() >= TAIL_LIMIT {
            self.end_segment(true);
        }
    }

    /// Does the same as [`push`](Self::push), but takes over the memory of `bytes` if the queue has none.
    pub(super) fn push_owned(&mut self, bytes: Vec<u8>) {
        // `push` cuts a segment off a tail that is too long.
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
        match payload.kept() {
            Ok(bytes) => {
                // The header shares a segment with the small frames in front of it, so it costs no slice of its own.
                self.tail.bytes.extend_from_slice(header);
                self.end_segment(false);
                let ends_frame = trailer.is_empty();
                self.segments
                    .push_back(Segment::new(bytes.into(), ends_frame));
                self.tail.bytes.extend_from_slice(trailer);
            }
            Err(payload) => {
                // Once for all three parts, so that the tail does not grow for each of them.
                self.tail.reserve(frame_len);
                let tail = &mut self.tail.bytes;
                tail.extend_from_slice(header);
                tail.extend_from_slice(payload.as_slice());
                // RFC 6455 has no trailer, and a copy of no bytes is still a call.
                if !trailer.is_empty() {
                    tail.extend_from_slice(trailer);
                }
            }
        }
        if self.tail.len() >= TAIL_LIMIT {
            self.end_segment(true);
        }
    }

    /// Appends a frame: a header and the first `len` bytes of a block.
    // `inline(always)`, because the lengths of header and block must be constants where this is compiled.
    #[inline(always)]
    pub(super) fn push_block<const HEADER: usize, const BLOCK: usize>(
        &mut self,
        header: [u8; HEADER],
        block: &[u8; BLOCK],
        len: usize,
    ) {
        let end = self.tail.bytes.len() + HEADER + len;
        // The whole block is copied, whatever `len` is: a copy of fixed length takes a few instructions, and a copy of
        // `len` bytes a call. Then the bytes behind the content are cut off again.
        self.tail.reserve(HEADER + BLOCK);
        let tail = &mut self.tail.bytes;
        tail.extend_from_slice(&header);
        tail.extend_from_slice(block);
        tail.truncate(end);
        self.len += HEADER + len;
        if self.tail.len() >= TAIL_LIMIT {
            self.end_segment(true);
        }
    }

    /// Appends a client's frame, and masks its payload. A large payload gets memory of its own.
    pub(super) fn push_masked_frame(
        &mut self,
        header: &[u8],
        payload: FramePayload<'_>,
        mask: Mask,
    ) {
        let payload = payload.as_slice();
        // A masked payload has to be copied anyway. A large one is not put into the tail, which would be copied again
        // when it grows.
        if payload.len() >= COPY_LIMIT {
            let mut masked = Vec::with_capacity(payload.len());
            mask.append(payload, &mut masked);
            return self.push_frame(header, FramePayload::Shared(masked.into()), b"");
        }
        self.len += header.len() + payload.len();
        self.tail.reserve(header.len() + payload.len());
        self.tail.bytes.extend_from_slice(header);
        mask.append(payload, &mut self.tail.bytes);
        if self.tail.len() >= TAIL_LIMIT {
            self.end_segment(true);
        }
    }

    /// Adds a control frame. If many bytes wait, it goes to the next frame boundary, behind the control frames that
    /// are there already. Returns how many bytes wait up to the end of the frame.
    pub(super) fn push_control(&mut self, frame: &[u8]) -> usize {
        if self.len < OVERTAKE_LEN {
            // Without the bytes that overtook, because these are not in `controls`.
            let ahead = self.len - self.overtaking_len();
            self.controls.push(ahead, frame.len());
            self.push(frame);
            return self.len;
        }
        if self.ahead.is_none() {
            let ahead = self.split_frame();
            self.ahead = Some(Box::new(ahead));
        }
        let ahead = self.ahead.get_or_insert_default();
        ahead.controls.bytes.extend_from_slice(frame);
        self.len += frame.len();
        ahead.len()
    }

    /// Splits the rest of the frame that is being written, a header and a payload, off the segments.
    fn split_frame(&mut self) -> Ahead {
        let mut ahead = Ahead::default();
        // Between two frames there is no rest, and the control frame goes to the front.
        if self.mid_frame {
            let ends = |segment: &Segment| segment.ends_frame;
            // The frame may end in the tail only. Boundaries within the tail are not recorded, so all of it goes ahead:
            // at most `TAIL_LIMIT` bytes.
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

    /// Tells whether [`move_front`](Self::move_front) would move all bytes.
    pub(super) fn moves_whole(&self, limit: usize) -> bool {
        // Segments are moved until `limit` is reached, so the last one goes too if those before it do not reach it.
        let last = match (self.tail.len(), self.segments.back()) {
            (0, Some(segment)) => segment.len(),
            (0, None) => self.overtaking_len(),
            (len, _) => len,
        };
        self.len.saturating_sub(last) < limit
    }

    /// Moves whole segments out, until at least `limit` bytes are moved. The caller has made sure that some bytes are
    /// left: see [`moves_whole`](Self::moves_whole).
    pub(super) fn move_front(&mut self, limit: usize, taken: &mut Self, in_flight: &mut InFlight) {
        debug_assert!(!self.moves_whole(limit), "the whole queue would be moved");
        // A control frame that overtakes later must know where the next boundary is, in both queues.
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
        // The rest of the frame goes first, then the control frames as one segment, then the segments behind.
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

    /// Records that all bytes are moved out.
    pub(super) fn note_moved(&mut self, in_flight: &mut InFlight) {
        // In the order in which they are written: the rest of a frame, the control frames that overtook, all else.
        let mut behind = self.len;
        if let Some(ahead) = &self.ahead {
            in_flight.add(ahead.frame_len, &mut self.controls);
            in_flight.add_controls(ahead.controls.len());
            behind -= ahead.len();
        }
        in_flight.add(behind, &mut self.controls);
    }

    /// Moves all bytes of another queue behind those of this one.
    pub(super) fn append(&mut self, other: &mut Self) {
        // The tail of each becomes a segment, because `segments` comes before `tail`.
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

    /// Drops the first `count` bytes. Panics if fewer bytes wait.
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
            // Control frames that overtook are not in `controls`, so nothing leaves there.
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
            // A burst of large messages leaves a long list behind.
            self.segments.shrink_to(SEGMENTS_CAPACITY);
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
    /// The place of the first byte that has not left. Invariant: `start <= bytes.len()`.
    start: usize,
    /// Whether the memory belongs to a workspace, which takes it back.
    is_attached: bool,
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

    /// Makes room for more bytes.
    #[inline]
    fn reserve(&mut self, more: usize) {
        if self.bytes.capacity() - self.bytes.len() < more {
            self.grow(more);
        }
    }

    /// Doubles the memory, to a power of two whatever the frames are, so that a segment fills it: what a segment does not use
    /// nobody gets back before it has left.
    #[cold]
    fn grow(&mut self, more: usize) {
        let needed = self.bytes.len() + more;
        let capacity = match more {
            0..SEGMENT_MEMORY => needed.next_power_of_two().max(TAIL_CAPACITY),
            // Nothing will be added to so long a one.
            SEGMENT_MEMORY.. => needed,
        };
        self.bytes.reserve_exact(capacity - self.bytes.len());
    }

    fn advance(&mut self, count: usize) {
        self.start += count;
        // Bytes that have left are removed when they are at least half of the buffer. So each byte is moved once on
        // average, and the front cannot grow without bound. Below `COPY_LIMIT` it is too small to matter.
        if self.start >= self.len() && self.start >= COPY_LIMIT {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
    }

    /// Drops all bytes.
    fn clear(&mut self) {
        if self.is_attached {
            self.bytes.clear();
            self.start = 0;
        } else {
            // Frees the memory: a queue at rest holds none of its own.
            *self = Self::default();
        }
    }

    /// Takes all bytes out, without a copy if possible.
    fn split(&mut self) -> Payload {
        // Attached memory goes back to the workspace, so its bytes are copied. A few bytes are copied, too, because
        // they need no memory beside the payload itself.
        if self.is_attached || self.len() <= INLINE_LIMIT {
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
    /// Bytes to copy.
    Copied(&'a [u8]),
    /// Bytes that the queue can keep by reference.
    Shared(Bytes),
    /// The same, and many connections have them.
    SharedByMany(Bytes),
}

impl FramePayload<'_> {
    pub(crate) fn len(&self) -> usize {
        self.as_slice().len()
    }

    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Copied(bytes) => bytes,
            Self::Shared(bytes) | Self::SharedByMany(bytes) => bytes,
        }
    }

    /// Returns the bytes if they are to be kept by reference, and not copied.
    fn kept(self) -> Result<Bytes, Self> {
        match self {
            Self::Shared(bytes) if bytes.len() >= COPY_LIMIT => Ok(bytes),
            Self::SharedByMany(bytes) if bytes.len() >= SHARED_COPY_LIMIT => Ok(bytes),
            copied @ (Self::Copied(_) | Self::Shared(_) | Self::SharedByMany(_)) => Err(copied),
        }
    }
}
