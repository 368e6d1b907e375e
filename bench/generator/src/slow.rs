//! A broadcast of which every tenth receiver reads nothing: what the others feel of it, what it costs the
//! server in memory, and what becomes of the slow ones.

use std::io::{self, ErrorKind, Read};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde::Serialize;

use crate::flow::{Flow, WINDOW};
use crate::link::{self, BUFFER_LEN};
use crate::meter::{Goal, Measured, Meter, Tally};
use crate::pacer::Pacer;
use crate::protocol::Protocol;
use crate::ring::Ring;
use crate::tls::Stream;
use crate::{Options, settle};

/// What became of the slow receivers, once they read again.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Outcome {
    /// What was resident when all were open and nothing was published.
    pub(crate) before_bytes: u64,
    pub(crate) slow: usize,
    /// Slow receivers whose connection the server has closed.
    pub(crate) slow_closed: usize,
    /// Messages that never arrived, of all slow receivers.
    pub(crate) slow_missed: u64,
    /// Messages that were published to each of them.
    pub(crate) published: u64,
}

/// Publishes at a rate, and measures the deliveries to those who read.
pub(crate) fn measure(
    options: &Options,
    meter: &Meter,
    rate: u64,
    burst: usize,
) -> io::Result<Measured> {
    let mut crowd = Crowd::open(options, burst)?;
    std::thread::sleep(REST);
    let before_bytes = meter.rss()?;
    meter.forget_peak()?;
    crowd.fill(options)?;
    crowd.publish(options.phases.warm_up(), rate)?;
    settle();
    let (cpu, begin) = (meter.cpu()?, Instant::now());
    let tally = crowd.publish(options.phases.window(), rate)?;
    let wall = begin.elapsed();
    settle();
    let cpu_ns = meter.cpu()?.saturating_sub(cpu);
    let peak_bytes = Some(meter.peak()?);
    crowd.verify_silence()?;
    crowd.drain()?;
    let missed = |slow: &Slow| crowd.published.saturating_sub(slow.reader.messages);
    let outcome = Outcome {
        before_bytes,
        slow: crowd.slow.len(),
        slow_closed: crowd.slow.iter().filter(|slow| slow.is_closed()).count(),
        slow_missed: crowd.slow.iter().map(missed).sum(),
        published: crowd.published,
    };
    Ok(Measured {
        peak_bytes,
        slow: Some(outcome),
        ..tally.measured(cpu_ns, wall)
    })
}

/// Time for the server to put its buffers away.
const REST: Duration = Duration::from_millis(300);

struct Crowd {
    poll: Poll,
    /// The first one publishes.
    fast: Vec<Fast>,
    slow: Vec<Slow>,
    ring: Ring,
    burst: usize,
    /// The messages so far.
    published: u64,
}

struct Fast {
    flow: Flow,
    /// The messages of this phase.
    received: u64,
}

impl Crowd {
    /// Opens the connections, the slow ones among the others.
    fn open(options: &Options, burst: usize) -> io::Result<Self> {
        let (protocol, count) = (options.protocol, options.connections);
        if !matches!(protocol, Protocol::Rfc6455 | Protocol::Raw) {
            return Err(io::Error::other("slow receivers read frames of RFC 6455"));
        }
        let mut crowd = Self {
            poll: Poll::new()?,
            fast: Vec::new(),
            slow: Vec::new(),
            ring: Ring::new(protocol, options.script, options.size, WINDOW),
            burst: burst.min(WINDOW),
            published: 0,
        };
        for index in 0..count {
            let is_slow = index % ONE_IN == ONE_IN - 1;
            let socket = link::socket(index)?;
            if is_slow {
                // Loopback would take megabytes for them, which a network does not.
                socket.set_recv_buffer_size(SLOW_BUFFER)?;
                socket.set_tcp_mss(ETHERNET_MSS)?;
            }
            let mut stream = link::open_on(socket, options)?;
            link::rest_if_raw(protocol, index, count);
            stream.socket().set_nonblocking(true)?;
            let mut stream = stream.map(TcpStream::from_std);
            if is_slow {
                crowd.slow.push(Slow::new(stream));
                continue;
            }
            let interest = Interest::READABLE | Interest::WRITABLE;
            let token = Token(crowd.fast.len());
            crowd
                .poll
                .registry()
                .register(stream.socket(), token, interest)?;
            let flow = Flow::new(stream, &crowd.ring, 0);
            crowd.fast.push(Fast { flow, received: 0 });
        }
        Ok(crowd)
    }

    /// Publishes as much as the sockets of slow receivers take, so that the server has to decide from the
    /// beginning of the measurement what to do with more.
    fn fill(&mut self, options: &Options) -> io::Result<()> {
        let filler = Ring::new(options.protocol, options.script, FILL_SIZE, WINDOW);
        let ring = std::mem::replace(&mut self.ring, filler);
        self.restart();
        let burst = std::mem::replace(&mut self.burst, 1);
        self.publish(Goal::Messages(FILL_COUNT), FILL_RATE)?;
        (self.ring, self.burst) = (ring, burst);
        self.restart();
        Ok(())
    }

    fn restart(&mut self) {
        for fast in &mut self.fast {
            fast.flow.restart(&self.ring, 0);
        }
    }

    /// Publishes until the goal, and waits until all have all of it who read.
    fn publish(&mut self, goal: Goal, rate: u64) -> io::Result<Tally> {
        let mut tally = Tally::default();
        let mut events = Events::with_capacity(1024);
        let mut buf = vec![0; BUFFER_LEN];
        let burst = u64::try_from(self.burst).map_err(io::Error::other)?;
        let receivers = u64::try_from(self.fast.len()).map_err(io::Error::other)?;
        for fast in &mut self.fast {
            fast.received = 0;
        }
        let mut pacer = Pacer::new(goal, rate);
        let mut last_event = Instant::now();
        loop {
            while pacer.next_due().is_some() {
                if let Some(publisher) = self.fast.first_mut() {
                    publisher.flow.send(&self.ring, self.burst)?;
                }
            }
            let is_complete = tally.messages == pacer.begun() * burst * receivers;
            if pacer.is_over() && is_complete {
                self.published += pacer.begun() * burst;
                tally.pace = Some(pacer.pace());
                return Ok(tally);
            }
            if is_complete {
                last_event = Instant::now();
            }
            if last_event.elapsed() > link::PATIENCE {
                return Err(io::Error::new(
                    ErrorKind::TimedOut,
                    "messages are missing, and the server is silent",
                ));
            }
            pacer.wait(&mut self.poll, &mut events)?;
            for event in &events {
                let Some(fast) = self.fast.get_mut(event.token().0) else {
                    continue;
                };
                last_event = Instant::now();
                fast.receive(&self.ring, &pacer, burst, &mut buf, &mut tally)?;
            }
        }
    }

    fn verify_silence(&mut self) -> io::Result<()> {
        let mut fast = self.fast.iter_mut();
        fast.try_for_each(|fast| fast.flow.verify_silence())
    }

    /// Lets the slow ones read all that there is for them.
    fn drain(&mut self) -> io::Result<()> {
        let mut buf = vec![0; BUFFER_LEN];
        let (begin, mut last_read) = (Instant::now(), Instant::now());
        while last_read.elapsed() < DRAINED && begin.elapsed() < DRAIN_LIMIT {
            let mut has_read = false;
            for slow in &mut self.slow {
                has_read |= slow.read(&mut buf)?;
            }
            match has_read {
                true => last_read = Instant::now(),
                false => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        Ok(())
    }
}

const ONE_IN: usize = 10;

/// The least that the kernel gives, which is some KiB.
const SLOW_BUFFER: usize = 2048;

/// By it the kernel sizes the server's buffer for the connection.
const ETHERNET_MSS: u32 = 1460;

/// 128 KiB, more than both buffers hold.
const FILL_SIZE: usize = 16 * 1024;
const FILL_COUNT: u64 = 8;
const FILL_RATE: u64 = 4;

/// So long is silence for those who have read nothing before: their windows were closed, and the server's
/// kernel asks with growing distance whether they have opened.
const DRAINED: Duration = Duration::from_secs(2);
const DRAIN_LIMIT: Duration = Duration::from_secs(20);

impl Fast {
    fn receive(
        &mut self,
        ring: &Ring,
        pacer: &Pacer,
        burst: u64,
        buf: &mut [u8],
        tally: &mut Tally,
    ) -> io::Result<()> {
        self.flow.flush(ring)?;
        let missing = pacer.begun() * burst - self.received;
        let missing = usize::try_from(missing).map_err(io::Error::other)?;
        let complete = self.flow.receive(ring, missing, buf)?;
        let now = Instant::now();
        for _ in 0..complete {
            let due = pacer.due_of(self.received / burst);
            tally.add(1, now.duration_since(due));
            self.received += 1;
        }
        Ok(())
    }
}

/// A receiver that reads nothing until the end.
struct Slow {
    stream: Stream<TcpStream>,
    reader: FrameCounter,
    has_ended: bool,
}

impl Slow {
    fn new(stream: Stream<TcpStream>) -> Self {
        Self {
            stream,
            reader: FrameCounter::default(),
            has_ended: false,
        }
    }

    /// Reads once; returns whether there was anything.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<bool> {
        if self.has_ended {
            return Ok(false);
        }
        match self.stream.read(buf) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Ok(0) | Err(_) => {
                self.has_ended = true;
                Ok(true)
            }
            Ok(len) => {
                self.reader.count(buf.get(..len).unwrap_or_default());
                Ok(true)
            }
        }
    }

    fn is_closed(&self) -> bool {
        self.has_ended || self.reader.has_close
    }
}

/// Counts whole frames of RFC 6455 in a stream. They are not compared with anything, because which ones are
/// missing is up to the server.
#[derive(Default)]
struct FrameCounter {
    messages: u64,
    has_close: bool,
    header: Vec<u8>,
    /// What the frame still has of payload, once its header is complete.
    left: Option<u64>,
}

impl FrameCounter {
    fn count(&mut self, mut bytes: &[u8]) {
        loop {
            match self.left {
                Some(left) => {
                    let part = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    bytes = bytes.get(part..).unwrap_or_default();
                    let left = left - u64::try_from(part).unwrap_or(left);
                    if left > 0 {
                        self.left = Some(left);
                        return;
                    }
                    self.end_frame();
                }
                None => {
                    let Some((byte, rest)) = bytes.split_first() else {
                        return;
                    };
                    self.header.push(*byte);
                    bytes = rest;
                    self.left = payload_len(&self.header);
                }
            }
        }
    }

    fn end_frame(&mut self) {
        match self.header.first().map(|first| first & 0x0f) {
            Some(0x1 | 0x2) => self.messages += 1,
            Some(0x8) => self.has_close = true,
            Some(_) | None => {}
        }
        self.header.clear();
        self.left = None;
    }
}

/// Returns the length of the payload if the header is complete (RFC 6455 §5.2).
fn payload_len(header: &[u8]) -> Option<u64> {
    let (_, [second, rest @ ..]) = header.split_first()? else {
        return None;
    };
    let key_len = match second & 0x80 {
        0 => 0,
        _ => 4,
    };
    let len_len = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    if rest.len() < len_len + key_len {
        return None;
    }
    let extended = rest.get(..len_len)?;
    let fold = |len, byte: &u8| len << 8 | u64::from(*byte);
    match len_len {
        0 => Some(u64::from(second & 0x7f)),
        _ => Some(extended.iter().fold(0, fold)),
    }
}
