//! The peers: raw clients in every version, among them slow, rude, broken and vanishing ones. Each draws
//! what it does from a seed of its own.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_io::{AsyncRead, AsyncWrite};
use ws_driver::Timer;
use ws_driver::ws_proto::Version;

use super::compression::OFFERS;
use super::gate::Gate;
use super::handlers::Manners;
use super::ledger::{self, Label, Ledger, PEER};
use super::wire::{self, Ear, Heard};
use ws_testing::sim::{Rng, SimStream, SimTimer};

/// How a peer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    Prompt,
    /// So many bytes at a time, with pauses of so many milliseconds.
    Slow(usize, u64),
    /// Not at all any more, after so many bytes.
    Until(usize),
}

/// How a peer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    Upgrade,
    /// Plain requests first, on the same stream.
    HttpFirst,
    /// Plain requests only.
    Http,
    /// A plain request whose body comes in pieces, and often not all of it.
    Upload,
    /// Nothing.
    Silent,
    /// A part of the head.
    Half,
    /// A byte now and then.
    Drip,
    Bad,
}

/// How a peer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Close,
    HalfClose,
    Drop,
    Reset,
    Vanish,
    Malice,
    Stay,
}

/// What a peer is like.
#[derive(Clone, Debug)]
pub(crate) struct Habits {
    pub(crate) version: Version,
    pub(crate) opening: Opening,
    pub(crate) reading: Reading,
    pub(crate) ending: Ending,
    pub(crate) behaviour: &'static str,
    pub(crate) messages: u32,
    /// The longest pause between messages, in milliseconds.
    pub(crate) pause: u64,
    /// Whether it vanishes as soon as all is written, or no more is taken.
    pub(crate) floods: bool,
    /// What it offers to compress with.
    pub(crate) offer: Option<&'static str>,
}

impl Habits {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let habits = Self::draw_any(rng);
        match rng.once_in(16) {
            true => habits.flooding(rng),
            false => habits,
        }
    }

    /// Takes its time with all that it hears, and stays for it.
    pub(crate) fn listening_slowly(self, rng: &mut Rng) -> Self {
        Self {
            opening: Opening::Upgrade,
            reading: Reading::Slow(rng.len(20..=600), rng.within(1..=100)),
            ending: rng.pick(&[Ending::Close, Ending::Stay]),
            floods: false,
            ..self
        }
    }

    /// Sends all that it has at once, and is never heard of again.
    fn flooding(self, rng: &mut Rng) -> Self {
        Self {
            opening: Opening::Upgrade,
            ending: Ending::Vanish,
            messages: u32::try_from(rng.within(100..=400)).expect("some"),
            pause: 0,
            floods: true,
            ..self
        }
    }

    fn draw_any(rng: &mut Rng) -> Self {
        use Ending::{Close, Drop, HalfClose, Malice, Reset, Stay, Vanish};
        use Opening::{Bad, Drip, Half, Http, HttpFirst, Silent, Upgrade, Upload};
        let u = Upgrade;
        Self {
            version: rng.pick(&Version::ALL),
            opening: rng.pick(&[
                u, u, u, u, u, u, u, u, u, u, HttpFirst, Http, Upload, Silent, Half, Drip, Bad,
            ]),
            reading: match rng.below(6) {
                0 => Reading::Slow(rng.len(1..=600), rng.within(1..=400)),
                1 => Reading::Until(rng.len(0..=3000)),
                _ => Reading::Prompt,
            },
            ending: rng.pick(&[
                Close, Close, Close, HalfClose, Drop, Reset, Vanish, Malice, Stay, Stay,
            ]),
            behaviour: rng.pick(super::handlers::BEHAVIOURS),
            messages: u32::try_from(rng.within(0..=30)).expect("a few"),
            pause: rng.pick(&[0, 50, 1000, 30_000]),
            floods: false,
            offer: rng.once_in(2).then(|| rng.pick(OFFERS)),
        }
    }
}

/// A peer at work.
pub(crate) struct Peer {
    ledger: Ledger,
    number: u32,
    habits: Habits,
    manners: Manners,
    rng: Rng,
    stream: SimStream,
    ear: Ear,
    outbox: Vec<u8>,
    timer: SimTimer,
    read_after: Instant,
    read_len: usize,
    over: Gate,
    has_ended: bool,
    /// Whether the server takes nothing any more.
    is_unheard: bool,
}

/// What a peer comes across next.
enum Step {
    Wrote,
    Time,
    Gone,
    Over,
    Heard,
}

impl Peer {
    /// Opens a stream; there is no peer if nobody listens.
    pub(crate) fn connect(
        ledger: &Ledger,
        addr: SocketAddr,
        number: u32,
        habits: Habits,
        manners: Manners,
        mut rng: Rng,
        over: Gate,
    ) -> Option<Self> {
        let sim = ledger.sim();
        let Ok((stream, local)) = sim.network().open(addr) else {
            return None;
        };
        ledger.tell(|| format!("peer {number} from {local}: {habits:?}"));
        ledger.with(number, |record| {
            record.what = format!("{habits:?}");
            record.addr = Some(local);
            record.is_hurt = stream.link().errnos.prepare.is_some();
            record.asks_at_once = habits.opening == Opening::Upgrade;
            record.is_prompt = habits.reading == Reading::Prompt;
            record.reads = record.is_prompt;
            record.drains = !matches!(habits.reading, Reading::Until(_));
        });
        Some(Self {
            ledger: ledger.clone(),
            number,
            manners,
            rng: rng.fork(),
            stream,
            ear: Ear::new(habits.version),
            outbox: Vec::new(),
            timer: sim.timer(),
            read_after: sim.now(),
            read_len: 0,
            over,
            has_ended: false,
            is_unheard: false,
            habits,
        })
    }

    /// Lives to the end.
    pub(crate) async fn live(mut self) {
        if self.open().await {
            self.talk().await;
        }
        self.ledger.with(self.number, |record| {
            record.reads = false;
            record.drains = false;
        });
        self.ledger.tell(|| format!("peer {}: leaves", self.number));
    }

    /// Does the opening handshake, or what there is instead; tells whether the connection is open.
    async fn open(&mut self) -> bool {
        let path = format!("/{}/{}", self.number, self.habits.behaviour);
        let request = wire::request(self.habits.version, &path, self.habits.offer);
        let plain = b"GET /plain HTTP/1.1\r\nHost: example.com\r\n\r\n";
        match self.habits.opening {
            Opening::Upgrade => self.write(&request),
            Opening::HttpFirst => {
                self.write(plain);
                self.run_until(None, |peer| {
                    peer.ear.is_at_boundary() && peer.outbox.is_empty()
                })
                .await;
                self.pause(3000).await;
                self.write(&request);
            }
            Opening::Http => {
                for _ in 0..self.rng.within(1..=3) {
                    self.write(plain);
                    self.pause(3000).await;
                }
            }
            Opening::Upload => {
                let len = self.rng.len(1..=3000);
                let head = "POST /plain HTTP/1.1\r\nHost: example.com\r\n";
                self.write(format!("{head}Content-Length: {len}\r\n\r\n").as_bytes());
                let mut left = len;
                for _ in 0..self.rng.within(0..=20) {
                    self.pause(4000).await;
                    let piece = self.rng.len(0..=300).min(left);
                    self.write(&vec![b'x'; piece]);
                    left -= piece;
                }
            }
            Opening::Silent => {}
            Opening::Half => self.write(&request[..request.len() / 2]),
            Opening::Drip => {
                for byte in request {
                    self.write(&[byte]);
                    self.pause(600).await;
                }
            }
            Opening::Bad => {
                let bad = wire::bad_head(self.habits.version, &path, &mut self.rng);
                self.write(&bad);
            }
        }
        self.run_until(None, |peer| peer.ear.is_open()).await;
        self.ear.is_open() && !self.has_ended
    }

    async fn talk(&mut self) {
        let Habits {
            version,
            messages,
            pause,
            ending,
            floods,
            ..
        } = self.habits;
        for seq in 1..=messages {
            self.pause(pause).await;
            if self.has_ended {
                break;
            }
            let label = Label {
                to: self.number,
                source: PEER,
                seq,
            };
            let text = ledger::message(label, self.manners.len(&mut self.rng));
            let is_text = !self.rng.once_in(3);
            let agreement = self.ear.agreement();
            let deflater = agreement.map(|agreement| &mut agreement.deflater);
            let bytes = wire::message(version, is_text, text.as_bytes(), deflater, &mut self.rng);
            self.write(&bytes);
            // Said once it is written.
            let time = floods.then_some(PATIENCE_OF_A_FLOOD);
            self.run_until(time, |peer| peer.outbox.is_empty()).await;
            if floods && !self.outbox.is_empty() {
                break;
            }
            if self.outbox.is_empty() && !self.is_unheard {
                self.ledger.with(self.number, |record| record.said = seq);
            }
        }
        if !floods {
            self.pause(20_000).await;
        }
        if self.has_ended {
            return;
        }
        self.ledger
            .tell(|| format!("peer {}: {ending:?}", self.number));
        match ending {
            Ending::Close => self.close(),
            Ending::HalfClose => {
                self.note_closed(version == Version::Draft75);
                self.end().await;
            }
            Ending::Drop => {
                self.hurt();
                return;
            }
            Ending::Reset => {
                self.hurt();
                self.stream.link().reset();
                return;
            }
            Ending::Vanish => {
                self.hurt();
                let now = self.ledger.sim().now();
                self.ledger
                    .with(self.number, |record| record.vanished = Some(now));
                self.stream.link().vanish();
            }
            Ending::Malice => {
                let bytes = wire::malice(version, &mut self.rng);
                self.write(&bytes);
                // A peer that breaks a rule cannot complain.
                self.hurt();
            }
            Ending::Stay => {}
        }
        if version == Version::Draft75 && ending == Ending::Close {
            self.run_until(None, |peer| peer.outbox.is_empty()).await;
            self.end().await;
        }
        self.run_until(None, |peer| peer.has_ended).await;
    }

    fn hurt(&self) {
        self.ledger
            .with(self.number, |record| record.is_hurt = true);
    }

    fn note_closed(&self, closed: bool) {
        self.ledger
            .with(self.number, |record| record.peer_closed |= closed);
    }

    fn close(&mut self) {
        let code = self.rng.pick(&[None, Some(1000), Some(1001), Some(4999)]);
        let bytes = wire::close(self.habits.version, code);
        self.write(&bytes);
        self.note_closed(true);
    }

    fn write(&mut self, bytes: &[u8]) {
        self.outbox.extend_from_slice(bytes);
    }

    /// Ends this side of the stream.
    async fn end(&mut self) {
        let stream = &mut self.stream;
        let _ = poll_fn(|cx| Pin::new(&mut *stream).poll_close(cx)).await;
    }

    async fn pause(&mut self, most_millis: u64) {
        let time = self.rng.millis(0..=most_millis);
        self.run_until(Some(time), |_| false).await;
    }

    /// Goes on until something is so, for a time at most, or until the stream is gone.
    async fn run_until(&mut self, time: Option<Duration>, is_done: impl Fn(&Self) -> bool) {
        let until = time.map(|time| self.ledger.sim().now() + time);
        while !is_done(self) && !self.has_ended {
            let is_writing = !self.outbox.is_empty();
            self.ledger
                .with(self.number, |record| record.is_writing = is_writing);
            match self.step(until).await {
                Step::Wrote => {}
                Step::Heard => self.listen().await,
                Step::Time => {
                    if until.is_some_and(|until| until <= self.ledger.sim().now()) {
                        return;
                    }
                }
                Step::Gone | Step::Over => self.has_ended = true,
            }
        }
        let is_writing = !self.outbox.is_empty();
        self.ledger
            .with(self.number, |record| record.is_writing = is_writing);
    }

    async fn step(&mut self, until: Option<Instant>) -> Step {
        let now = self.ledger.sim().now();
        let (wants_read, at_once) = match self.habits.reading {
            Reading::Prompt => (true, 64 << 10),
            Reading::Slow(len, _) => (self.read_after <= now, len),
            Reading::Until(limit) => (self.read_len < limit, limit),
        };
        let read_after = Some(self.read_after).filter(|after| *after > now);
        let wake = [until, read_after].into_iter().flatten().min();
        if let Some(wake) = wake {
            self.timer.set(wake);
        }
        let Self {
            stream,
            outbox,
            timer,
            over,
            ear,
            ledger,
            number,
            rng,
            habits,
            is_unheard,
            ..
        } = self;
        let (read_len, read_after) = (&mut self.read_len, &mut self.read_after);
        let mut over = pin!(over.wait());
        poll_fn(|cx| {
            if over.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Step::Over);
            }
            if !outbox.is_empty() {
                match Pin::new(&mut *stream).poll_write(cx, outbox) {
                    Poll::Ready(Ok(len)) => {
                        outbox.drain(..len);
                        return Poll::Ready(Step::Wrote);
                    }
                    // The server may be done with us; what it said before is still there.
                    Poll::Ready(Err(_)) => {
                        outbox.clear();
                        *is_unheard = true;
                    }
                    Poll::Pending => {}
                }
            }
            if wants_read {
                let mut buffer = vec![0; at_once];
                match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                    Poll::Ready(Ok(0)) => {
                        let was_cut = !ear.is_at_boundary();
                        ledger.with(*number, |record| {
                            record.saw_end = true;
                            record.was_cut = was_cut;
                        });
                        return Poll::Ready(Step::Gone);
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(Step::Gone),
                    Poll::Ready(Ok(len)) => {
                        ear.push(&buffer[..len]);
                        *read_len += len;
                        if let Reading::Slow(_, pause) = habits.reading {
                            *read_after = ledger.sim().now() + rng.millis(0..=pause);
                        }
                        return Poll::Ready(Step::Heard);
                    }
                    Poll::Pending => {}
                }
            }
            match wake {
                Some(_) => Timer::poll(timer, cx).map(|()| Step::Time),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Understands what has come.
    async fn listen(&mut self) {
        loop {
            match self.ear.hear() {
                Ok(None) => return,
                Ok(Some(Heard::Message(payload))) => {
                    self.ledger.receive(self.number, &payload, true);
                }
                Ok(Some(Heard::Ping(payload))) => {
                    let pong = ws_testing::sim::peer::masked(0x8a, &payload);
                    self.write(&pong);
                }
                Ok(Some(Heard::Close)) => {
                    self.ledger
                        .with(self.number, |record| record.saw_close = true);
                    self.ledger
                        .tell(|| format!("peer {}: hears a close", self.number));
                    let has_closed = self.ledger.with(self.number, |record| record.peer_closed);
                    if !has_closed {
                        let bytes = wire::close(self.habits.version, Some(1000));
                        self.write(&bytes);
                    }
                }
                Ok(Some(Heard::Http(status))) => {
                    self.ledger
                        .tell(|| format!("peer {}: hears {status}", self.number));
                }
                Ok(Some(Heard::Pong | Heard::Open)) => {}
                Err(why) => {
                    let text = format!("peer {} ({:?}): {why}", self.number, self.habits);
                    self.ledger.violation("wire (well formed)", text);
                    self.has_ended = true;
                    return;
                }
            }
        }
    }
}

/// How long who floods waits for room before it vanishes.
const PATIENCE_OF_A_FLOOD: Duration = Duration::from_secs(1);
