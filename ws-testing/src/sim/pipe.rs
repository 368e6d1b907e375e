//! One direction of a stream in memory. It has a capacity, can move only a few bytes in one call, and can
//! discard everything.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::executor::Sim;
use super::weather::Weather;

/// What a pipe holds unless a test says otherwise.
const CAPACITY: usize = 64 << 10;

/// One direction of a stream.
pub struct Pipe {
    /// What is on its way.
    pub bytes: VecDeque<u8>,
    /// The most that can be on its way.
    pub capacity: usize,
    /// The most that one call of read moves.
    pub read_limit: usize,
    /// The most that one call of write moves.
    pub write_limit: usize,
    /// Whether reading and writing never get anywhere.
    pub is_black_hole: bool,
    /// Whether nothing arrives; the writer can fill it.
    pub is_held: bool,
    /// Whether the writer has ended it.
    pub is_ended: bool,
    /// Whether the reader is gone.
    pub is_unread: bool,
    /// What else happens on the way.
    pub(super) weather: Option<Box<Weather>>,
    /// Bytes in each call of write that got somewhere, if they are recorded.
    pub writes: Option<Vec<usize>>,
    /// All bytes that were ever read.
    pub read_len: usize,
    pub(super) reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Default for Pipe {
    fn default() -> Self {
        Self {
            bytes: VecDeque::new(),
            capacity: CAPACITY,
            read_limit: usize::MAX,
            write_limit: usize::MAX,
            is_black_hole: false,
            is_held: false,
            is_ended: false,
            is_unread: false,
            weather: None,
            writes: None,
            read_len: 0,
            reader: None,
            writer: None,
        }
    }
}

impl Pipe {
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<usize> {
        let arrived = self.arrived_len();
        if arrived == 0 && !self.has_end_arrived() || self.is_black_hole || self.is_held {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let mut len = buffer.len().min(self.read_limit).min(arrived);
        if let Some(weather) = &mut self.weather {
            if weather.hesitates() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            len = weather.chop(len);
        }
        let (front, back) = self.bytes.as_slices();
        let split = len.min(front.len());
        buffer[..split].copy_from_slice(&front[..split]);
        buffer[split..len].copy_from_slice(&back[..len - split]);
        self.bytes.drain(..len);
        self.note_read(len);
        Poll::Ready(len)
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<usize> {
        let room = self.capacity.saturating_sub(self.bytes.len());
        let mut room = room.min(self.write_limit);
        if self.is_black_hole || room == 0 {
            self.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if let Some(weather) = &mut self.weather {
            if weather.hesitates() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            room = weather.chop(room);
        }
        let mut written = 0;
        for slice in slices {
            let len = slice.len().min(room);
            self.bytes.extend(&slice[..len]);
            room -= len;
            written += len;
        }
        if let Some(writes) = &mut self.writes {
            writes.push(written);
        }
        if self.weather.is_none() {
            wake(&mut self.reader);
        }
        Poll::Ready(written)
    }

    /// Returns how many bytes the reader could have by now.
    pub fn arrived_len(&mut self) -> usize {
        let on_the_way = match &mut self.weather {
            Some(weather) => weather.on_the_way(Sim::default().now()),
            None => 0,
        };
        self.bytes.len() - on_the_way
    }

    /// Tells whether the reader could see the end by now.
    pub fn has_end_arrived(&self) -> bool {
        self.is_ended
            && self.bytes.is_empty()
            && self
                .weather
                .as_ref()
                .is_none_or(|weather| weather.end_is_here(Sim::default().now()))
    }

    /// Notes that bytes were written, or the end if there are none; returns when the reader is to be
    /// woken, if not now.
    pub(super) fn note_sent(&mut self, len: usize) -> Option<Instant> {
        let weather = self.weather.as_mut()?;
        // What is left when the simulation ends is dropped outside of it.
        let now = Sim::current()?.now();
        let at = weather.send(now, len);
        if at > now {
            return Some(at);
        }
        wake(&mut self.reader);
        None
    }

    pub(super) fn note_read(&mut self, len: usize) {
        self.read_len += len;
        if self.bytes.is_empty() {
            // Costs nothing while it is idle, so that memory can be measured.
            self.bytes = VecDeque::new();
        }
        wake(&mut self.writer);
    }

    pub fn wake_all(&mut self) {
        wake(&mut self.reader);
        wake(&mut self.writer);
    }
}

pub(super) fn wake(slot: &mut Option<Waker>) {
    if let Some(waker) = slot.take() {
        waker.wake();
    }
}
