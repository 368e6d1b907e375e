//! The bytes to be written next: a handle to a queue, or to no queue, because an idle connection has none.
//! Knows whether the memory of a workspace is attached, and counts the bytes that have left.
//!
//! Imports: `mask`, `message`.

mod controls;
mod outgoing_mut;
mod queue;
mod spares;

use std::io::IoSlice;

use bytes::Buf;

use self::queue::Queue;
use crate::mask::Mask;

pub(crate) use self::controls::InFlight;
pub use self::outgoing_mut::OutgoingMut;
pub(crate) use self::queue::{FramePayload, SHARED_COPY_LIMIT};
pub(crate) use self::spares::Spares;

/// Bytes to be written to the peer, in order, as a [`Buf`].
///
/// Write from [`chunk`](Buf::chunk) or [`chunks_vectored`](Buf::chunks_vectored), then
/// [`advance`](Buf::advance) by what the transport took.
#[derive(Debug, Default)]
pub struct Outgoing {
    // A pointer, and null while nothing waits: most connections of a server are idle, and a queue is large.
    queue: Option<Box<Queue>>,
    /// How many bytes have left in all, as far as the owner has reported it.
    left: u64,
}

impl Outgoing {
    /// The most bytes of control frames that may wait: 16 KiB. Bytes that were taken out to be written count, too.
    /// When a peer sends pings and does not read, the pongs over the limit are dropped, because only the latest
    /// ping needs an answer (RFC 6455 §5.5.3) and another ping will follow (X18).
    pub(crate) const CONTROL_LIMIT: usize = 16 << 10;

    /// Makes an empty queue; it holds no memory.
    pub const fn new() -> Self {
        Self {
            queue: None,
            left: 0,
        }
    }

    /// Attaches the memory of a workspace, so that the next bytes need no allocation. It is `memory`, in which nothing
    /// waits, or new memory if that has none. [`detach`](Self::detach) gives it back. Does nothing if this queue has
    /// memory of its own.
    pub(crate) fn attach(&mut self, memory: &mut Self) {
        if self.queue.is_none() && memory.is_empty() {
            let mut queue = memory.queue.take().unwrap_or_default();
            queue.mark_attached();
            self.queue = Some(queue);
        }
    }

    /// Returns the [attached](Self::attach) memory. Bytes that still wait in it move to memory of their own.
    pub(crate) fn detach(&mut self) -> Option<Self> {
        let queue = self.queue.as_mut().filter(|queue| queue.is_attached())?;
        // The copy has the length of what waits, so a slow peer does not keep the large memory of a thread.
        let own = if queue.is_empty() {
            None
        } else {
            Some(Box::new(queue.split()))
        };
        let queue = std::mem::replace(&mut self.queue, own);
        Some(Self { queue, left: 0 })
    }

    /// Drops all bytes that wait. Attached memory stays.
    pub(crate) fn clear(&mut self) {
        if let Some(queue) = &mut self.queue {
            queue.clear();
            if queue.is_unused() {
                self.queue = None;
            }
        }
    }

    /// Tells whether the queue holds memory, attached or its own.
    #[inline]
    pub(crate) fn has_memory(&self) -> bool {
        self.queue.is_some()
    }

    /// Returns the bytes of memory that the queue holds, without the payloads that it shares.
    pub(crate) fn memory_len(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.memory_len())
    }

    /// Appends bytes that are a unit of their own, such as the head of an answer.
    #[inline]
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.queue().push(bytes);
    }

    /// Does the same as [`push`](Self::push), but takes over the memory of `bytes` if the queue has none.
    pub(crate) fn push_owned(&mut self, bytes: Vec<u8>) {
        self.queue().push_owned(bytes);
    }

    /// Appends a frame: header, payload, trailer.
    #[inline]
    pub(crate) fn push_frame(&mut self, header: &[u8], payload: FramePayload<'_>, trailer: &[u8]) {
        self.queue().push_frame(header, payload, trailer);
    }

    /// Appends a frame: a header and the first `len` bytes of a block. The whole block is copied, whatever `len` is,
    /// because a copy of fixed length takes a few instructions and a copy of `len` bytes a call.
    #[inline(always)]
    pub(crate) fn push_block<const HEADER: usize, const BLOCK: usize>(
        &mut self,
        header: [u8; HEADER],
        block: &[u8; BLOCK],
        len: usize,
    ) {
        self.queue().push_block(header, block, len);
    }

    /// Appends a client's frame, and masks its payload. A large payload gets memory of its own.
    pub(crate) fn push_masked_frame(
        &mut self,
        header: &[u8],
        payload: FramePayload<'_>,
        mask: Mask,
    ) {
        self.queue().push_masked_frame(header, payload, mask);
    }

    /// Adds a control frame. If many bytes wait, it goes to the next frame boundary, behind the control frames that
    /// are there already. Returns how many bytes wait up to the end of the frame.
    pub(crate) fn push_control(&mut self, frame: &[u8]) -> usize {
        self.queue().push_control(frame)
    }

    /// Returns the bytes of control frames that wait.
    pub(crate) fn control_len(&self, in_flight: &InFlight) -> usize {
        let queue = self.queue.as_ref();
        queue.map_or(0, |queue| queue.control_len()) + in_flight.control_len()
    }

    /// Records that `count` bytes which were moved out have left.
    pub(crate) fn note_left(&mut self, count: usize) {
        // 64 bits do not overflow in practice. Should they, a wrong count is better than a panic.
        self.left = self.left.wrapping_add(u64::try_from(count).unwrap_or(0));
    }

    /// Returns how many bytes have left. Bytes that were moved out count when their owner reports them.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// Moves whole segments behind the bytes in `taken`, until at least `limit` bytes are moved or nothing is left.
    /// The caller writes them while others use this queue.
    pub(crate) fn move_front(&mut self, limit: usize, taken: &mut Self, in_flight: &mut InFlight) {
        if !taken.is_empty() {
            return self.append_front(limit, taken, in_flight);
        }
        let Some(queue) = &mut self.queue else {
            // The attached memory went with the bytes that were taken last. They were written, so the next bytes can
            // use it again.
            if taken
                .queue
                .as_ref()
                .is_some_and(|queue| queue.is_attached())
            {
                self.queue = taken.queue.take();
            }
            return;
        };
        if queue.is_empty() {
            return;
        }
        if queue.moves_whole(limit) {
            queue.note_moved(in_flight);
            // Each continues with the memory of the other, which costs no allocation.
            std::mem::swap(&mut self.queue, &mut taken.queue);
        } else {
            queue.move_front(limit, taken.queue.get_or_insert_default(), in_flight);
        }
    }

    /// Does the work of [`move_front`](Self::move_front) if bytes wait in `taken`.
    // Cold: a driver usually takes more bytes only after it has written all that it took before.
    #[cold]
    fn append_front(&mut self, limit: usize, taken: &mut Self, in_flight: &mut InFlight) {
        let mut more = Self::new();
        self.move_front(limit, &mut more, in_flight);
        if let Some(queue) = &mut more.queue {
            taken.queue().append(queue);
            // Attached memory stays here, because the bytes were copied out of it.
            if self.queue.is_none() && queue.is_attached() {
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
    /// Panics if fewer bytes wait.
    fn advance(&mut self, count: usize) {
        assert!(
            count <= self.len(),
            "advanced by {count}, but only {} bytes wait",
            self.len()
        );
        self.note_left(count);
        if let Some(queue) = &mut self.queue {
            queue.advance(count);
            // A connection at rest holds no memory of its own.
            if queue.is_unused() {
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

    /// Control frames that overtook go out whole, once, and at the first boundary, whether they are written in place
    /// or part by part elsewhere. They count until they have left.
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

    /// Bytes go behind those that wait in `taken` already. Attached memory stays in its queue.
    #[test]
    fn what_is_taken_goes_behind_what_was_taken() {
        let large = Bytes::from(vec![b'.'; COPY_LIMIT]);
        let mut outgoing = Outgoing::new();
        let mut in_flight = InFlight::default();
        let mut taken = Outgoing::new();
        let mut expected = Vec::new();
        for _ in 0..3 {
            outgoing.attach(&mut used());
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
        let memory = [outgoing.detach(), taken.detach()];
        assert!(
            memory.iter().any(Option::is_some),
            "attached memory is there"
        );
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
        assert_eq!(outgoing.memory_len(), 0);
    }

    /// A queue that is never empty does not keep the bytes that have left.
    #[test]
    fn what_has_left_is_not_kept() {
        let mut outgoing = Outgoing::new();
        outgoing.push(&[0; 1000]);
        for _ in 0..1000 {
            outgoing.push(&[0; 1000]);
            outgoing.advance(1000);
        }
        assert!(outgoing.memory_len() <= 5 * COPY_LIMIT);
    }

    /// Returns memory that was used before.
    fn used() -> Outgoing {
        let mut memory = Outgoing::new();
        let mut outgoing = Outgoing::new();
        outgoing.attach(&mut memory);
        outgoing.push(&[0; 1000]);
        outgoing.advance(1000);
        outgoing.detach().unwrap()
    }

    /// Attached memory comes back, also with the bytes that were taken. Bytes that still wait stay.
    #[test]
    fn attached_memory_comes_back() {
        let mut outgoing = Outgoing::new();
        let mut memory = used();
        let held = memory.memory_len();
        assert!(held >= 1000);
        outgoing.attach(&mut memory);
        assert_eq!((outgoing.memory_len(), memory.memory_len()), (held, 0));
        outgoing.attach(&mut used());
        outgoing.push(b"small");
        let mut taken = Outgoing::new();
        outgoing.move_front(usize::MAX, &mut taken, &mut InFlight::default());
        assert!(outgoing.detach().is_none(), "it went with what was taken");
        assert_eq!(drain(&mut taken, 1), b"small");
        let mut memory = taken.detach().unwrap();
        assert_eq!((memory.memory_len(), taken.memory_len()), (held, 0));

        outgoing.attach(&mut memory);
        outgoing.push(b"12345");
        outgoing.advance(2);
        assert_eq!(
            outgoing.detach().map(|memory| memory.memory_len()),
            Some(held)
        );
        assert!(outgoing.memory_len() < 200);
        outgoing.push(b"6");
        assert_eq!(drain(&mut outgoing, 1), b"3456");
        assert!(outgoing.detach().is_none());
    }

    /// Segments that are cut off an attached buffer do not take the buffer with them.
    #[test]
    fn large_payloads_do_not_take_an_attached_buffer_along() {
        let large = Bytes::from(vec![7; COPY_LIMIT]);
        let mut outgoing = Outgoing::new();
        let mut memory = used();
        let held = memory.memory_len();
        outgoing.attach(&mut memory);
        outgoing.push_frame(b"<", FramePayload::Shared(large.clone()), b">");
        outgoing.push_frame(b"<", FramePayload::Shared(large.clone()), b"");
        assert_eq!(
            drain(&mut outgoing, 1000),
            [b"<", &*large, b"><", &*large].concat()
        );
        assert!(outgoing.detach().unwrap().memory_len() >= held);
        assert_eq!(outgoing.memory_len(), 0);
    }
}
