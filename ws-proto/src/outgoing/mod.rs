//! What is to be written next: a handle to a queue of bytes, or to none, as a connection at rest has
//! none. Knows what is lent to it, and counts what has left.
//!
//! Imports: `mask`, `message`.

mod controls;
mod outgoing_mut;
mod queue;

use std::io::IoSlice;

use bytes::Buf;

use self::queue::Queue;
use crate::mask::Mask;

pub(crate) use self::controls::InFlight;
pub use self::outgoing_mut::OutgoingMut;
pub(crate) use self::queue::FramePayload;

/// Bytes to be written to the peer, in order, as a [`Buf`].
///
/// Write from [`chunk`](Buf::chunk) or [`chunks_vectored`](Buf::chunks_vectored), then
/// [`advance`](Buf::advance) by what the transport took.
#[derive(Debug, Default)]
pub struct Outgoing {
    queue: Option<Box<Queue>>,
    /// Bytes that are known to have left for good.
    left: u64,
}

impl Outgoing {
    /// Bytes of control frames beyond which no more are taken: 16 KiB, those that were taken to be written
    /// included. When a peer sends pings and does not read, the pongs over it are dropped: only the latest
    /// ping needs an answer, and one will follow (RFC 6455 §5.5.3, X18).
    pub(crate) const CONTROL_LIMIT: usize = 16 << 10;

    /// Makes an empty queue; it holds no memory.
    pub const fn new() -> Self {
        Self {
            queue: None,
            left: 0,
        }
    }

    /// Gives memory to a queue that has none, so that what is queued next needs no allocation: that of `spare`, in which
    /// nothing waits, or memory that is made for it. It is [taken back](Self::reclaim) before long.
    pub(crate) fn lend(&mut self, spare: &mut Self) {
        if self.queue.is_none() && spare.is_empty() {
            let mut queue = spare.queue.take().unwrap_or_default();
            queue.lend();
            self.queue = Some(queue);
        }
    }

    /// Gives memory that was [lent](Self::lend) back. Bytes that still wait in it are moved to memory of
    /// their own.
    pub(crate) fn reclaim(&mut self) -> Option<Self> {
        let queue = self.queue.as_mut().filter(|queue| queue.is_lent())?;
        let own = if queue.is_empty() {
            None
        } else {
            Some(Box::new(queue.split()))
        };
        let queue = std::mem::replace(&mut self.queue, own);
        Some(Self { queue, left: 0 })
    }

    /// Drops what waits; memory that is lent stays.
    pub(crate) fn clear(&mut self) {
        if let Some(queue) = &mut self.queue {
            queue.clear();
            if queue.is_spent() {
                self.queue = None;
            }
        }
    }

    /// Returns the bytes of memory that it holds besides the payloads that it shares.
    pub(crate) fn room(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.room())
    }

    /// Appends bytes that stand for themselves, such as the head of an answer.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.queue().push(bytes);
    }

    /// As [`push`](Self::push); takes the memory over if the queue has none.
    pub(crate) fn push_owned(&mut self, bytes: Vec<u8>) {
        self.queue().push_owned(bytes);
    }

    /// Appends a frame: header, payload, trailer.
    #[inline]
    pub(crate) fn push_frame(&mut self, header: &[u8], payload: FramePayload<'_>, trailer: &[u8]) {
        self.queue().push_frame(header, payload, trailer);
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
        self.queue().push_block(header, block, len);
    }

    /// Appends a client's frame, whose payload is masked: a large one in memory of its own.
    pub(crate) fn push_masked_frame(
        &mut self,
        header: &[u8],
        payload: FramePayload<'_>,
        mask: Mask,
    ) {
        self.queue().push_masked_frame(header, payload, mask);
    }

    /// Adds a control frame. If much is waiting it goes to the next frame boundary, behind the
    /// control frames that are there already. Returns how many bytes wait up to its end.
    pub(crate) fn push_control(&mut self, frame: &[u8]) -> usize {
        self.queue().push_control(frame)
    }

    /// Returns the bytes of control frames that wait.
    pub(crate) fn control_len(&self, in_flight: &InFlight) -> usize {
        let queue = self.queue.as_ref();
        queue.map_or(0, |queue| queue.control_len()) + in_flight.control_len()
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
    /// that they can be written while this queue is used by others: behind what is in `taken`.
    pub(crate) fn move_front(&mut self, limit: usize, taken: &mut Self, in_flight: &mut InFlight) {
        if !taken.is_empty() {
            return self.append_front(limit, taken, in_flight);
        }
        let Some(queue) = &mut self.queue else {
            // What is queued next goes into the memory that went along with what was taken last.
            if taken.queue.as_ref().is_some_and(|queue| queue.is_lent()) {
                self.queue = taken.queue.take();
            }
            return;
        };
        if queue.is_empty() {
            return;
        }
        if queue.moves_whole(limit) {
            queue.note_moved(in_flight);
            // Each goes on with the other's memory, which costs no allocation.
            std::mem::swap(&mut self.queue, &mut taken.queue);
        } else {
            queue.move_front(limit, taken.queue.get_or_insert_default(), in_flight);
        }
    }

    /// What [`move_front`](Self::move_front) does if something waits in `taken`.
    #[cold]
    fn append_front(&mut self, limit: usize, taken: &mut Self, in_flight: &mut InFlight) {
        let mut more = Self::new();
        self.move_front(limit, &mut more, in_flight);
        if let Some(queue) = &mut more.queue {
            taken.queue().append(queue);
            // Memory that is lent does not go with bytes that were copied out of it.
            if self.queue.is_none() && queue.is_lent() {
                self.queue = more.queue;
            }
        }
    }

    /// Returns how many bytes wait.
    #[inline]
    pub fn len(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.len())
    }

    /// Tells whether nothing waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    fn queue(&mut self) -> &mut Queue {
        self.queue.get_or_insert_default()
    }
}

impl Buf for Outgoing {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn chunk(&self) -> &[u8] {
        self.queue.as_ref().map_or(&[], |queue| queue.chunk())
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let queue = self.queue.as_ref();
        queue.map_or(0, |queue| queue.chunks_vectored(slices))
    }

    /// Drops the first `count` bytes.
    ///
    /// # Panics
    ///
    /// Panics if fewer wait.
    fn advance(&mut self, count: usize) {
        assert!(
            count <= self.len(),
            "advanced by {count}, but only {} bytes wait",
            self.len()
        );
        self.note_left(count);
        if let Some(queue) = &mut self.queue {
            queue.advance(count);
            if queue.is_spent() {
                self.queue = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::outgoing::queue::{COPY_LIMIT, OVERTAKE_LEN};

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

    /// However it is written, in place or part by part elsewhere, what overtook goes out whole, once, and at
    /// the first boundary; and it counts until it has left.
    #[test]
    fn what_overtakes_keeps_its_place_however_it_is_taken() {
        let large = Bytes::from(vec![b'.'; OVERTAKE_LEN]);
        let dots = ".".repeat(OVERTAKE_LEN);
        for limit in [1, 10, OVERTAKE_LEN, usize::MAX] {
            let mut outgoing = Outgoing::new();
            let mut in_flight = InFlight::default();
            outgoing.push_frame(b"(", FramePayload::Shared(large.clone()), b"");
            outgoing.push_frame(b"[", FramePayload::Shared(large.clone()), b"");
            outgoing.advance(3);
            let (mut expected, mut seen) = (dots[2..].to_owned(), String::new());
            for byte in b'a'..=b'z' {
                let end = outgoing.push_control(&[byte]);
                assert_eq!(end, OVERTAKE_LEN - 2 + usize::from(byte - b'a') + 1);
                expected.push(char::from(byte));
            }
            expected += &format!("[{dots}");
            assert_eq!(outgoing.control_len(&in_flight), 26);
            while !outgoing.is_empty() {
                let mut taken = Outgoing::new();
                outgoing.move_front(limit, &mut taken, &mut in_flight);
                let bytes = drain(&mut taken, 4096);
                assert!(!outgoing.chunk().is_empty() || outgoing.is_empty());
                seen += &String::from_utf8(bytes).unwrap();
            }
            assert_eq!(seen, expected);
            assert_eq!(outgoing.control_len(&in_flight), 26);
            in_flight.note_written(OVERTAKE_LEN - 2 + 20);
            assert_eq!(outgoing.control_len(&in_flight), 6);
            in_flight.note_written(usize::MAX);
            assert_eq!((outgoing.control_len(&in_flight), in_flight.len()), (0, 0));
        }
    }

    /// A queue in which something waits is gone on with; what is lent stays with who had it.
    #[test]
    fn what_is_taken_goes_behind_what_was_taken() {
        let large = Bytes::from(vec![b'.'; COPY_LIMIT]);
        let mut outgoing = Outgoing::new();
        let mut in_flight = InFlight::default();
        let mut taken = Outgoing::new();
        let mut expected = Vec::new();
        for _ in 0..3 {
            outgoing.lend(&mut used());
            for name in [b"a", b"b"] {
                outgoing.push_frame(name, FramePayload::Shared(large.clone()), b"");
                expected.extend([name, &*large].concat());
            }
            outgoing.push_control(b"!");
            expected.push(b'!');
            outgoing.move_front(1, &mut taken, &mut in_flight);
            outgoing.move_front(usize::MAX, &mut taken, &mut in_flight);
            assert_eq!(taken.len(), expected.len());
            assert_eq!(in_flight.len(), expected.len());
            assert!(outgoing.is_empty());
        }
        assert_eq!(drain(&mut taken, 1000), expected);
        let spare = [outgoing.reclaim(), taken.reclaim()];
        assert!(spare.iter().any(Option::is_some), "what was lent is there");
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
        outgoing.move_front(1, &mut taken, &mut InFlight::default());
        assert_eq!(
            drain(&mut taken, 1),
            b"<",
            "the header alone reaches the limit"
        );
        assert!(outgoing.queue.as_ref().unwrap().is_mid_frame());
        let mut taken = Outgoing::new();
        outgoing.move_front(usize::MAX, &mut taken, &mut InFlight::default());
        assert_eq!(drain(&mut taken, 4096), [&*large, b"rest"].concat());
        assert!(outgoing.is_empty());
    }

    #[test]
    fn an_empty_queue_holds_no_memory() {
        let mut outgoing = Outgoing::new();
        outgoing.push(&[0; 1000]);
        outgoing.advance(1000);
        assert_eq!(outgoing.room(), 0);
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
        assert!(outgoing.room() <= 5 * COPY_LIMIT);
    }

    /// Memory that something went through.
    fn used() -> Outgoing {
        let mut spare = Outgoing::new();
        let mut outgoing = Outgoing::new();
        outgoing.lend(&mut spare);
        outgoing.push(&[0; 1000]);
        outgoing.advance(1000);
        outgoing.reclaim().unwrap()
    }

    /// What is lent comes back, also by way of what was taken; what still waits then stays.
    #[test]
    fn what_is_lent_comes_back() {
        let mut outgoing = Outgoing::new();
        let mut spare = used();
        let room = spare.room();
        assert!(room >= 1000);
        outgoing.lend(&mut spare);
        assert_eq!((outgoing.room(), spare.room()), (room, 0));
        outgoing.lend(&mut used());
        outgoing.push(b"small");
        let mut taken = Outgoing::new();
        outgoing.move_front(usize::MAX, &mut taken, &mut InFlight::default());
        assert!(outgoing.reclaim().is_none(), "it went with what was taken");
        assert_eq!(drain(&mut taken, 1), b"small");
        let mut spare = taken.reclaim().unwrap();
        assert_eq!((spare.room(), taken.room()), (room, 0));

        outgoing.lend(&mut spare);
        outgoing.push(b"12345");
        outgoing.advance(2);
        assert_eq!(outgoing.reclaim().map(|spare| spare.room()), Some(room));
        assert!(outgoing.room() < 200);
        outgoing.push(b"6");
        assert_eq!(drain(&mut outgoing, 1), b"3456");
        assert!(outgoing.reclaim().is_none());
    }

    /// Segments that are cut off a lent buffer leave it to its owner.
    #[test]
    fn large_payloads_do_not_take_a_lent_buffer_along() {
        let large = Bytes::from(vec![7; COPY_LIMIT]);
        let mut outgoing = Outgoing::new();
        let mut spare = used();
        let room = spare.room();
        outgoing.lend(&mut spare);
        outgoing.push_frame(b"<", FramePayload::Shared(large.clone()), b">");
        outgoing.push_frame(b"<", FramePayload::Shared(large.clone()), b"");
        assert_eq!(
            drain(&mut outgoing, 1000),
            [b"<", &*large, b"><", &*large].concat()
        );
        assert!(outgoing.reclaim().unwrap().room() >= room);
        assert_eq!(outgoing.room(), 0);
    }
}
