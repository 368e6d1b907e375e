//! The options of an open connection, with their defaults. Each limit and each wait has its name here.
//!
//! `None` means unlimited (or never, for a wait); zero means zero.

use std::time::Duration;

use crate::error::ConfigError;
use crate::rate_limit::{Rate, RateLimit};

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)+) => {
        $($(#[$doc])*
        #[must_use]
        pub fn $name(mut self, $name: impl Into<$type>) -> Self {
            self.$name = $name.into();
            self
        })+
    };
}
pub(crate) use setters;

/// What becomes of a text of RFC 6455 that is not UTF-8. A valid text is a text in each case.
///
/// The risk of all but `Fail`: code behind this endpoint gets what a strict one would have refused. Replaced text is not
/// what the peer sent, so it must not be compared or signed, and two different texts can become the same one. Bytes can be
/// anything, and code that takes all binary messages for a format of its own has to expect them.
///
/// With all but `Fail` a text is checked once it is whole: invalid text is not noticed before its end, and with
/// [`receive_fragments`](ConnectionConfig::receive_fragments) texts are not given out in parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InvalidText {
    /// Fails the connection with 1007, as soon as the invalid byte is there.
    #[default]
    Fail,
    /// Delivers a text in which U+FFFD stands for each invalid part. It can be three times as long as the `message_limit`.
    Replace,
    /// Delivers its bytes as a binary message.
    Binary,
}

/// Options of an open connection, the same for both roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionConfig {
    pub(crate) message_limit: Option<usize>,
    pub(crate) frame_limit: Option<usize>,
    pub(crate) fragment_limit: Option<usize>,
    pub(crate) send_queue_limit: Option<usize>,
    pub(crate) receive_queue_limit: Option<usize>,
    pub(crate) receive_rate_limit: Option<RateLimit>,
    pub(crate) keepalive_interval: Option<Duration>,
    pub(crate) pong_timeout: Option<Duration>,
    pub(crate) stall_timeout: Option<Duration>,
    pub(crate) message_timeout: Option<Duration>,
    pub(crate) close_timeout: Option<Duration>,
    pub(crate) replace_invalid_utf8: bool,
    pub(crate) skip_unknown_frames: bool,
    pub(crate) accept_wrong_masking: bool,
    pub(crate) accept_padded_lengths: bool,
    pub(crate) invalid_text: InvalidText,
    pub(crate) control_events: bool,
    pub(crate) receive_fragments: bool,
    pub(crate) close_reasons: bool,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self {
            message_limit: Some(1 << 20),
            // A frame is part of a message, so the message limit bounds it already.
            frame_limit: None,
            // An empty fragment costs the peer 2 to 6 bytes and adds nothing to the message, so bytes alone do not
            // bound the work.
            fragment_limit: Some(4096),
            send_queue_limit: Some(256 << 10),
            receive_queue_limit: Some(256 << 10),
            // What is too much depends on the application.
            receive_rate_limit: None,
            keepalive_interval: Some(Duration::from_secs(20)),
            pong_timeout: Some(Duration::from_secs(20)),
            stall_timeout: Some(Duration::from_secs(60)),
            message_timeout: Some(Duration::from_secs(60)),
            close_timeout: Some(Duration::from_secs(10)),
            replace_invalid_utf8: false,
            skip_unknown_frames: false,
            accept_wrong_masking: false,
            accept_padded_lengths: false,
            invalid_text: InvalidText::Fail,
            control_events: false,
            receive_fragments: false,
            // A reason tells strangers about limits.
            close_reasons: false,
        }
    }
}

impl ConnectionConfig {
    /// Starts from the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    setters! {
        /// Limits a received message, in bytes of payload over all its fragments: 1 MiB. A larger
        /// message fails the connection with 1009. In the drafts the limit holds for skipped frames, too.
        message_limit: Option<usize>,
        /// Limits the payload of one received frame, in bytes: unlimited, because the message limit
        /// holds anyway. A larger frame fails the connection with 1009.
        frame_limit: Option<usize>,
        /// Limits the number of fragments of a received message: 4096, empty ones included. More
        /// fragments fail the connection with 1009.
        fragment_limit: Option<usize>,
        /// Limits the bytes that wait to be written: 256 KiB. Control frames are exempt. The queue accepts a
        /// message while it is below the limit, so one message can take it above.
        send_queue_limit: Option<usize>,
        /// Limits the bytes of received messages that wait for the application: 256 KiB. Each event counts its
        /// payload and its own size, so empty messages are bounded, too. At the limit
        /// [`wants_read`](crate::Connection::wants_read) is false. A connection reads a message while the queue is
        /// below the limit, so one message can take it above. Zero means the same as one, because a limit of zero
        /// would stop all reading, even of a close.
        receive_queue_limit: Option<usize>,
        /// Limits the messages, control frames and bytes that arrive in a second: unlimited. While a limit makes the
        /// peer wait, [`wants_read`](crate::Connection::wants_read) is false, and time without a read does not count
        /// for other limits. A rate or a burst of zero is [refused](Self::check).
        receive_rate_limit: Option<RateLimit>,
        /// Pings a peer that has been silent for this long: 20 s. RFC 6455 only; the drafts have no ping, but see
        /// [`silence_limits`](Self::silence_limits). After
        /// [`spread_keepalive`](crate::Connection::spread_keepalive) the interval is up to a quarter shorter, so that
        /// many connections do not ping at the same moment. While a ping waits to be written, no other is added, and
        /// that ping counts. Zero is [refused](Self::check).
        keepalive_interval: Option<Duration>,
        /// Fails the connection when nothing at all arrives for this long after a ping: 20 s. Zero is
        /// [refused](Self::check).
        pong_timeout: Option<Duration>,
        /// Fails an open connection when bytes wait to be written and the transport takes none of them for this
        /// long, or up to half as long again: 60 s. Each byte that is written restarts the wait, so a peer that reads
        /// slowly is safe. Holds in all versions. Bytes that arrive do not count. Zero is [refused](Self::check).
        stall_timeout: Option<Duration>,
        /// Fails an open connection with 1008 if less than 4 KiB of an unfinished message arrive in this time, or in
        /// up to twice as long: 60 s. The end of the message counts as progress. Time in which nothing is read, because
        /// the `receive_queue_limit` is reached, does not count. Control frames are not part of a message.
        /// A message that is reported in fragments ([`receive_fragments`](Self::receive_fragments)) has no such
        /// limit, because it is not held. Zero is [refused](Self::check).
        message_timeout: Option<Duration>,
        /// Limits each wait of the closing handshake, for the peer's close and then for the end of the
        /// stream: 10 s each.
        close_timeout: Option<Duration>,
        /// Replaces invalid UTF-8 in text of the drafts by U+FFFD instead of failing the
        /// connection: off for a server; a client always does it (draft-76 §4.3).
        replace_invalid_utf8: bool,
        /// Skips frames of the drafts that no peer may send (types 0x01 to 0xFE) instead of
        /// failing the connection: off for a server; a client always does it (draft-76 §4.2).
        skip_unknown_frames: bool,
        /// Accepts frames of RFC 6455 that are not masked as a server, and such that are masked as a client, instead of
        /// failing the connection with 1002: off (§5.1 demands the failure). Meant for devices that mask wrongly.
        ///
        /// The risk: a client masks so that no page can choose the bytes that a proxy on the way sees (§10.3). A browser
        /// always does. A server that accepts frames without a mask gives up the proof that its clients do, and does not
        /// notice a client that takes the wrong role.
        accept_wrong_masking: bool,
        /// Accepts lengths of data frames of RFC 6455 that are not in their shortest form, instead of failing the
        /// connection with 1002: off (§5.2 demands the shortest form of a sender). Control frames stay strict.
        ///
        /// The risk: a firewall or a proxy that reads such a length in another way sees other frames than this endpoint.
        accept_padded_lengths: bool,
        /// Sets what becomes of a text of RFC 6455 that is not UTF-8: [`InvalidText::Fail`] (§8.1). A close reason stays
        /// strict. For the drafts there is [`replace_invalid_utf8`](Self::replace_invalid_utf8).
        invalid_text: InvalidText,
        /// Reports pings and pongs as events: off. Pings are answered either way.
        control_events: bool,
        /// Reports a message in fragments as they arrive, so that a message of any length needs only bounded
        /// memory: off. The `message_limit` still holds; set it to `None` for messages of any length.
        receive_fragments: bool,
        /// Gives the reason in the close frame when this endpoint fails the connection: off, because a reason tells
        /// strangers about limits. The text contains nothing that the peer sent. RFC 6455 only; the drafts have no
        /// reason.
        close_reasons: bool,
    }
}

impl ConnectionConfig {
    /// Checks that the options make sense. [`ClientHandshake::new`](crate::ClientHandshake::new) calls this
    /// itself. A server calls it once, before it makes connections. A connection that is made without this check
    /// treats a wait of zero as one that has run out.
    ///
    /// # Errors
    ///
    /// Fails if the `keepalive_interval`, the `pong_timeout`, the `stall_timeout` or the `message_timeout` is
    /// zero, because no peer could meet it. Fails if the `receive_rate_limit` has a rate or a burst of zero, or no rate
    /// at all.
    pub fn check(&self) -> Result<(), ConfigError> {
        // Not the `close_timeout`: zero is a legal choice there, and closes without waiting for the peer.
        let waits = [
            ("keepalive_interval", self.keepalive_interval),
            ("pong_timeout", self.pong_timeout),
            ("stall_timeout", self.stall_timeout),
            ("message_timeout", self.message_timeout),
        ];
        match waits.iter().find(|(_, wait)| *wait == Some(Duration::ZERO)) {
            Some((option, _)) => Err(ConfigError::ZeroWait { option }),
            None => self.check_rate_limit(),
        }
    }

    fn check_rate_limit(&self) -> Result<(), ConfigError> {
        let Some(limit) = self.receive_rate_limit else {
            return Ok(());
        };
        let option = "receive_rate_limit";
        if limit.rates().next().is_none() {
            let reason = "it has a rate neither of messages nor of bytes";
            return Err(ConfigError::Unused { option, reason });
        }
        let is_zero = |rate: Rate| rate.per_second == 0 || rate.burst == 0;
        if limit.rates().any(is_zero) {
            return Err(ConfigError::ZeroRate { option });
        }
        Ok(())
    }

    /// Returns how long a peer may be silent before it is probed, and how long it may take to answer;
    /// `None` if silence has no limit. Meant for transports that send probes of their own where the version
    /// has no ping.
    pub fn silence_limits(&self) -> Option<(Duration, Duration)> {
        self.keepalive_interval.zip(self.pong_timeout)
    }

    /// Returns how long a transport may take none of the bytes that wait, as set by
    /// [`stall_timeout`](Self::stall_timeout).
    pub fn get_stall_timeout(&self) -> Option<Duration> {
        self.stall_timeout
    }

    /// Returns the limit of a received message, in bytes, as set by [`message_limit`](Self::message_limit).
    pub fn get_message_limit(&self) -> Option<usize> {
        self.message_limit
    }

    /// Returns the length limit of a message in a single frame that is taken without any other check; `None` if there is
    /// no such message.
    pub(crate) fn quick_limit(&self) -> Option<usize> {
        let limits = [self.message_limit, self.frame_limit];
        let limit = limits.into_iter().flatten().min().unwrap_or(usize::MAX);
        // A single frame is one fragment. A rate limit has to look at each message.
        let is_quick = self.fragment_limit != Some(0) && self.receive_rate_limit.is_none();
        is_quick.then_some(limit)
    }
}
