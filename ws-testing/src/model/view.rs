//! The input and output of an endpoint, in types of the model's own. Knows nothing of the
//! processing in between.

use std::time::Duration;

use ws_proto::{ConnectionConfig, Rate, RateExcess, RateLimit};

use crate::plain::{Item, Rules, Way};

/// The options of an endpoint.
#[derive(Clone, Debug)]
pub struct Setup {
    pub rules: Rules,
    pub send_queue_limit: Option<usize>,
    pub receive_queue_limit: Option<usize>,
    pub keepalive_interval: Option<Duration>,
    pub pong_timeout: Option<Duration>,
    pub stall_timeout: Option<Duration>,
    pub message_timeout: Option<Duration>,
    pub close_timeout: Option<Duration>,
    pub rate_limit: Option<RateSetup>,
    pub control_events: bool,
    pub deflate: Option<Agreement>,
}

/// The limit of what arrives in a second.
#[derive(Clone, Copy, Debug)]
pub struct RateSetup {
    pub messages: Option<Tokens>,
    pub bytes: Option<Tokens>,
    /// Whether too much ends the connection; otherwise nothing is read for a time.
    pub closes: bool,
}

/// A token bucket. The model counts parts of a token, and the code under test rounds to nanoseconds, so the rate is to
/// divide a billion.
#[derive(Clone, Copy, Debug)]
pub struct Tokens {
    pub per_second: u32,
    pub burst: u32,
}

impl RateSetup {
    fn limit(self) -> RateLimit {
        let rate = |tokens: Tokens| Rate::per_second(tokens.per_second).burst(tokens.burst);
        let excess = if self.closes {
            RateExcess::Close
        } else {
            RateExcess::Wait
        };
        RateLimit::new()
            .messages(self.messages.map(rate))
            .bytes(self.bytes.map(rate))
            .excess(excess)
    }
}

/// What was agreed on about compression, as one side has it, and its options.
#[derive(Clone, Debug)]
pub struct Agreement {
    pub level: u8,
    pub threshold: usize,
    pub sends: Way,
    pub receives: Way,
    /// What the peer does, whatever was agreed on.
    pub peer: Way,
    /// Whether the code under test is lent streams of zlib for each step.
    pub lends: bool,
}

impl Setup {
    /// The same for the code under test.
    pub fn config(&self) -> ConnectionConfig {
        ConnectionConfig::new()
            .message_limit(self.rules.message_limit)
            .frame_limit(self.rules.frame_limit)
            .fragment_limit(self.rules.fragment_limit)
            .replace_invalid_utf8(self.rules.replaces)
            .skip_unknown_frames(self.rules.skips)
            .accept_wrong_masking(self.rules.wrong_masking)
            .accept_padded_lengths(self.rules.padded_lengths)
            .invalid_text(self.rules.invalid_text)
            .receive_fragments(self.rules.fragments)
            .send_queue_limit(self.send_queue_limit)
            .receive_queue_limit(self.receive_queue_limit)
            .keepalive_interval(self.keepalive_interval)
            .pong_timeout(self.pong_timeout)
            .stall_timeout(self.stall_timeout)
            .message_timeout(self.message_timeout)
            .close_timeout(self.close_timeout)
            .receive_rate_limit(self.rate_limit.map(RateSetup::limit))
            .control_events(self.control_events)
    }
}

/// What the application is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Item(Item),
    Closed(Account),
}

/// The account of the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub code: u16,
    pub reason: String,
    pub clean: bool,
    pub by_us: bool,
    pub cause: Cause,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    Handshake,
    Disconnected,
    CloseTimeout,
    /// With the close code that tells the peer.
    Failed(u16),
}

/// Why a call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Closed,
    Unsupported,
    MessageOpen,
    QueueFull,
    ControlTooLong,
}
