//! The queue of bytes that wait to be written: small payloads are copied together, large ones are
//! kept by reference, so that one gather write can take them all. Knows where frames end, nothing
//! else about them.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

use crate::mask::Mask;

/// Payloads shorter than this are copied behind each other; longer ones are kept by reference.
///
/// Below a few KiB a copy costs less than one more slice in a gather write.
const COPY_LIMIT: usize = 4096;

/// Bytes that are copied together before a new segment begins: bounds the cost of a frame that
/// goes ahead of others.
const TAIL_LIMIT: usize = 64 << 10;

/// With so many bytes waiting, a control frame goes ahead of them, to the next frame boundary.
/// With fewer it keeps its place, so that a peer sees answers in the order of what it sent.
const OVERTAKE_LEN: usize = 64 << 10;

/// Room for segments that a queue at rest keeps, so that a large message now and then costs no
/// allocation for the list.
const SEGMENTS_KEPT: usize = 4;

/// Bytes to be written to the peer, in order, as a [`Buf`].
///
/// Write from [`chunk`](Buf::chunk) or [`chunks_vectored`](Buf::chunks_vectored), then
/// [`advance`](Buf::advance) by what the transport took.
#[derive(Debug, Default)]
pub struct Outgoing {
    segments: VecDeque<Segment>,
    /// What comes behind the segments and still grows.
    tail: Tail,
    /// All that waits, in bytes: segments and tail.
    len: usize,
    /// Bytes of control frames that came in, less all bytes that left since; at least zero.
    control_len: usize,
    /// Bytes that are known to have left for good.
    left: u64,
    /// Whether the first byte that waits is inside a frame.
    mid_frame: bool,
}

#[derive(Debug)]
struct Segment {
    bytes: Bytes,
    /// Whether a frame ends with the last byte.
    ends_frame: bool,
    /// Whether it went ahead of others.
    overtook: bool,
}

impl Outgoing {
    /// Bytes of control frames that are taken beyond what leaves: 16 KiB. When a peer sends pings and
    /// does not read, the pongs over it are dropped: only the latest ping needs an answer, and one will
    /// follow (RFC 6455 §5.5.3, X18).
    pub(crate) const CONTROL_LIMIT: usize = 16 << 10;

    /// Makes an empty queue; it holds no memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lends a buffer to a queue that has none, so that what is queued next needs no allocation; its
    /// owner, a thread say, [takes it back](Self::reclaim) before long. Its content is discarded. If
    /// the queue has one, nothing is taken.
    pub fn lend(&mut self, buffer: &mut Vec<u8>) {
        if self.tail.bytes.capacity() == 0 {
            self.tail.bytes = std::mem::take(buffer);
            self.tail.bytes.clear();
            self.tail.is_lent = true;
        }
    }

    /// Gives a buffer that was [lent](Self::lend) back. Bytes that still wait in it are moved to memory
    /// of their own.
    pub fn reclaim(&mut self) -> Option<Vec<u8>> {
        if !self.tail.is_lent {
            return None;
        }
        let waiting = self.tail.as_slice().to_vec();
        let tail = Tail {
            bytes: waiting,
            ..Tail::default()
        };
        Some(std::mem::replace(&mut self.tail, tail).bytes)
    }

    /// Appends bytes that stand for themselves, such as the head of an answer.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.tail.bytes.extend_from_slice(bytes);
        self.len += bytes.len();
        if self.tail.len() >= TAIL_LIMIT {
            self.end_segment(true);
        }
    }

    /// As [`push`](Self::push); takes the memory over if the queue has none.
    pub(crate) fn push_owned(&mut self, bytes: Vec<u8>) {
        if self.tail.bytes.capacity() > 0 || bytes.len() >= TAIL_LIMIT {
            return self.push(&bytes);
        }
        self.len += bytes.len();
        self.tail.bytes = bytes;
    }

    /// Appends a frame: header, payload, trailer.
    #[inline]
    pub(crate) fn push_frame(&mut self, header: &[u8], payload: FramePayload<'_>, trailer: &[u8]) {
        let frame_len = header.len() + payload.len() + trailer.len();
        self.len += frame_len;
        let tail = &mut self.tail.bytes;
        match payload {
            FramePayload::Shared(bytes) if bytes.len() >= COPY_LIMIT => {
                tail.extend_from_slice(header);
                self.end_segment(false);
                let ends_frame = trailer.is_empty();
                self.segments.push_back(Segment {
                    bytes,
                    ends_frame,
                    overtook: false,
                });
                self.tail.bytes.extend_from_slice(trailer);
            }
            FramePayload::Shared(_) | FramePayload::Copied(_) => {
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
    pub(crate) fn push_block<const HEADER: usize, const BLOCK: usize>(
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
    pub(crate) fn push_masked_frame(
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
    /// control frames that are there already.
    pub(crate) fn push_control(&mut self, frame: &[u8]) {
        self.control_len += frame.len();
        if self.len < OVERTAKE_LEN {
            return self.push(frame);
        }
        self.end_segment(true);
        let boundary = match self.mid_frame {
            false => Some(0),
            true => self
                .segments
                .iter()
                .position(|segment| segment.ends_frame)
                .map(|end| end + 1),
        };
        let Some(boundary) = boundary else {
            return self.push(frame);
        };
        let overtaken = self
            .segments
            .iter()
            .skip(boundary)
            .position(|segment| !segment.overtook);
        let index = overtaken.map_or(self.segments.len(), |behind| boundary + behind);
        let bytes = Bytes::copy_from_slice(frame);
        self.segments.insert(
            index,
            Segment {
                bytes,
                ends_frame: true,
                overtook: true,
            },
        );
        self.len += frame.len();
    }

    /// Tells whether an answer to a control frame may still be added.
    pub(crate) fn has_control_capacity(&self) -> bool {
        self.control_len < Self::CONTROL_LIMIT
    }

    /// Takes the news that bytes that were moved out have left.
    pub(crate) fn note_left(&mut self, count: usize) {
        self.left = self.left.wrapping_add(u64::try_from(count).unwrap_or(0));
    }

    /// Returns how many bytes have left; those that were moved out when that was noted.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// Moves whole segments out, until at least `limit` bytes are moved or nothing is left, so
    /// that they can be written while this queue is used by others.
    pub(crate) fn move_front(&mut self, limit: usize, taken: &mut Self) {
        debug_assert!(taken.is_empty(), "what was taken before is written first");
        if self.len <= limit {
            // Each goes on with the other's list, which costs no allocation.
            std::mem::swap(self, taken);
            std::mem::swap(&mut self.left, &mut taken.left);
            self.control_len = taken.control_len.saturating_sub(taken.len);
            self.mid_frame = false;
            return;
        }
        taken.mid_frame = self.mid_frame;
        while taken.len < limit {
            let Some(segment) = self.segments.pop_front() else {
                break;
            };
            taken.len += segment.bytes.len();
            self.mid_frame = !segment.ends_frame;
            taken.segments.push_back(segment);
        }
        if taken.len < limit && self.segments.is_empty() && !self.tail.is_empty() {
            taken.len += self.tail.len();
            taken.tail = std::mem::take(&mut self.tail);
            self.mid_frame = false;
        }
        if self.segments.is_empty() {
            self.segments.shrink_to(SEGMENTS_KEPT);
        }
        self.len -= taken.len;
        self.control_len = self.control_len.saturating_sub(taken.len);
    }

    /// Returns how many bytes wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Tells whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn end_segment(&mut self, ends_frame: bool) {
        if !self.tail.is_empty() {
            let bytes = self.tail.split();
            self.segments.push_back(Segment {
                bytes,
                ends_frame,
                overtook: false,
            });
        }
    }
}

impl Buf for Outgoing {
    fn remaining(&self) -> usize {
        self.len
    }

    fn chunk(&self) -> &[u8] {
        self.segments
            .front()
            .map_or(self.tail.as_slice(), |segment| &segment.bytes)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let segments = self.segments.iter().map(|segment| &*segment.bytes);
        let tail = Some(self.tail.as_slice()).filter(|tail| !tail.is_empty());
        let mut count = 0;
        for (slice, bytes) in slices.iter_mut().zip(segments.chain(tail)) {
            *slice = IoSlice::new(bytes);
            count += 1;
        }
        count
    }

    /// Drops the first `count` bytes.
    ///
    /// # Panics
    ///
    /// Panics if fewer wait.
    fn advance(&mut self, mut count: usize) {
        assert!(
            count <= self.len,
            "advanced by {count}, but only {} bytes wait",
            self.len
        );
        self.len -= count;
        self.note_left(count);
        self.control_len = self.control_len.saturating_sub(count);
        while let Some(segment) = self.segments.front_mut() {
            if count < segment.bytes.len() {
                segment.bytes.advance(count);
                self.mid_frame |= count > 0;
                return;
            }
            count -= segment.bytes.len();
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

    /// Hands the bytes over. What is lent is copied, as it is to come back.
    fn split(&mut self) -> Bytes {
        match self.is_lent {
            true => {
                let bytes = Bytes::copy_from_slice(self.as_slice());
                self.clear();
                bytes
            }
            false => {
                let Self { bytes, start, .. } = std::mem::take(self);
                let mut bytes = Bytes::from(bytes);
                bytes.advance(start);
                bytes
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(outgoing: &mut Outgoing, step: usize) -> Vec<u8> {
        let mut written = Vec::new();
        while outgoing.has_remaining() {
            let chunk = outgoing.chunk();
            let count = chunk.len().min(step);
            written.extend_from_slice(&chunk[..count]);
            outgoing.advance(count);
        }
        written
    }

    #[test]
    fn bytes_come_out_in_order_whatever_the_step() {
        let large = Bytes::from(vec![7; COPY_LIMIT]);
        for step in [1, 3, 1000, usize::MAX] {
            let mut outgoing = Outgoing::new();
            outgoing.push_frame(b"<", FramePayload::Copied(b"small"), b">");
            outgoing.push_frame(b"<", FramePayload::Shared(large.clone()), b">");
            outgoing.push_frame(b"<", FramePayload::Copied(b""), b">");
            let expected = [b"<small><", &*large, b"><>"].concat();
            assert_eq!(outgoing.len(), expected.len());
            assert_eq!(drain(&mut outgoing, step), expected);
        }
    }

    #[test]
    fn a_control_frame_overtakes_much_data_only_at_a_frame_boundary() {
        let large = Bytes::from(vec![b'.'; OVERTAKE_LEN]);
        let mut outgoing = Outgoing::new();
        for _ in 0..2 {
            outgoing.push_frame(b"<", FramePayload::Shared(large.clone()), b">");
        }
        outgoing.advance(1);
        outgoing.push_control(b"1");
        outgoing.push_control(b"2");
        let dots = ".".repeat(OVERTAKE_LEN);
        let written = String::from_utf8(drain(&mut outgoing, 4096)).unwrap();
        // The trailer of the first frame shares its segment with the header of the second, so the
        // boundary in between cannot be used; the next one can.
        assert_eq!(written, format!("{dots}><{dots}>12"));
    }

    #[test]
    fn a_control_frame_keeps_its_place_while_little_waits() {
        let mut outgoing = Outgoing::new();
        outgoing.push_frame(b"<", FramePayload::Copied(b"a"), b">");
        outgoing.push_control(b"!");
        assert_eq!(drain(&mut outgoing, 1), b"<a>!");
    }

    #[test]
    fn taking_moves_whole_segments_and_keeps_the_order() {
        let large = Bytes::from(vec![b'.'; COPY_LIMIT]);
        let mut outgoing = Outgoing::new();
        outgoing.push_frame(b"<", FramePayload::Shared(large.clone()), b"");
        outgoing.push(b"rest");
        let mut taken = Outgoing::new();
        outgoing.move_front(1, &mut taken);
        assert_eq!(
            drain(&mut taken, 1),
            b"<",
            "the header alone reaches the limit"
        );
        assert!(outgoing.mid_frame);
        let mut taken = Outgoing::new();
        outgoing.move_front(usize::MAX, &mut taken);
        assert_eq!(drain(&mut taken, 4096), [&*large, b"rest"].concat());
        assert!(outgoing.is_empty() && !outgoing.mid_frame);
    }

    #[test]
    fn an_empty_queue_holds_no_memory() {
        let mut outgoing = Outgoing::new();
        outgoing.push(&[0; 1000]);
        outgoing.advance(1000);
        assert_eq!(outgoing.tail.bytes.capacity(), 0);
    }

    /// Bytes that leave a queue that is never empty do not stay in memory.
    #[test]
    fn what_has_left_is_not_kept() {
        let mut outgoing = Outgoing::new();
        outgoing.push(&[0; 1000]);
        for _ in 0..1000 {
            outgoing.push(&[0; 1000]);
            outgoing.advance(1000);
        }
        assert!(outgoing.tail.bytes.capacity() <= 4 * COPY_LIMIT);
    }

    /// What is lent comes back, also by way of what was taken; what still waits then stays.
    #[test]
    fn a_lent_buffer_comes_back() {
        let mut outgoing = Outgoing::new();
        let mut buffer = Vec::with_capacity(1000);
        outgoing.lend(&mut buffer);
        outgoing.lend(&mut vec![0; 1]);
        outgoing.push(b"small");
        let mut taken = Outgoing::new();
        outgoing.move_front(usize::MAX, &mut taken);
        assert!(outgoing.reclaim().is_none(), "it went with what was taken");
        assert_eq!(drain(&mut taken, 1), b"small");
        let mut buffer = taken.reclaim().unwrap();
        assert_eq!(buffer.capacity(), 1000);

        outgoing.lend(&mut buffer);
        outgoing.push(b"12345");
        outgoing.advance(2);
        assert_eq!(
            outgoing.reclaim().map(|buffer| buffer.capacity()),
            Some(1000)
        );
        assert_eq!(outgoing.tail.bytes.capacity(), 3);
        outgoing.push(b"6");
        assert_eq!(drain(&mut outgoing, 1), b"3456");
        assert!(outgoing.reclaim().is_none());
    }

    /// Segments that are cut off a lent buffer leave it to its owner.
    #[test]
    fn large_payloads_do_not_take_a_lent_buffer_along() {
        let large = Bytes::from(vec![7; COPY_LIMIT]);
        let mut outgoing = Outgoing::new();
        outgoing.lend(&mut Vec::with_capacity(1000));
        outgoing.push_frame(b"<", FramePayload::Shared(large.clone()), b">");
        outgoing.push_frame(b"<", FramePayload::Shared(large.clone()), b"");
        assert_eq!(
            drain(&mut outgoing, 1000),
            [b"<", &*large, b"><", &*large].concat()
        );
        assert_eq!(
            outgoing.reclaim().map(|buffer| buffer.capacity()),
            Some(1000)
        );
    }
}
