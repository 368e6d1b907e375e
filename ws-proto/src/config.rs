//! Every option of an open connection, with its default. All its limits and waits are here, by name.
//!
//! `None` means unlimited (or never, for a wait); zero means zero.

use std::time::Duration;

use crate::error::ConfigError;

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

/// Options of an open connection, the same for both roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionConfig {
    pub(crate) message_limit: Option<usize>,
    pub(crate) frame_limit: Option<usize>,
    pub(crate) fragment_limit: Option<usize>,
    pub(crate) send_queue_limit: Option<usize>,
    pub(crate) receive_queue_limit: Option<usize>,
    pub(crate) keepalive_interval: Option<Duration>,
    pub(crate) pong_timeout: Option<Duration>,
    pub(crate) stall_timeout: Option<Duration>,
    pub(crate) message_timeout: Option<Duration>,
    pub(crate) close_timeout: Option<Duration>,
    pub(crate) replace_invalid_utf8: bool,
    pub(crate) skip_unknown_frames: bool,
    pub(crate) control_events: bool,
    pub(crate) receive_fragments: bool,
    pub(crate) close_reasons: bool,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self {
            message_limit: Some(1 << 20),
            frame_limit: None,
            fragment_limit: Some(4096),
            send_queue_limit: Some(256 << 10),
            receive_queue_limit: Some(256 << 10),
            keepalive_interval: Some(Duration::from_secs(20)),
            pong_timeout: Some(Duration::from_secs(20)),
            stall_timeout: Some(Duration::from_secs(60)),
            message_timeout: Some(Duration::from_secs(60)),
            close_timeout: Some(Duration::from_secs(10)),
            replace_invalid_utf8: false,
            skip_unknown_frames: false,
            control_events: false,
            receive_fragments: false,
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
        /// one fails the connection with 1009. In the drafts it limits what is skipped, too.
        message_limit: Option<usize>,
        /// Limits the payload of one received frame, in bytes: unlimited, as the message limit
        /// holds anyway. A larger one fails the connection with 1009.
        frame_limit: Option<usize>,
        /// Limits the number of fragments of a received message: 4096, empty ones included. More
        /// fail the connection with 1009.
        fragment_limit: Option<usize>,
        /// Limits the bytes that wait to be written: 256 KiB. Control frames are exempt. A message
        /// is taken while less than that waits, so what waits can exceed it by one message.
        send_queue_limit: Option<usize>,
        /// Limits the bytes of received messages that wait for the application: 256 KiB. Each event
        /// counts its payload and its own size, so that empty messages are bounded, too. At it
        /// [`wants_read`](crate::Connection::wants_read) is false. A message is read while less than that
        /// waits, so what waits can exceed it by one; zero is the same as one, as nothing would be read
        /// otherwise, not even a close.
        receive_queue_limit: Option<usize>,
        /// Pings a peer that has been silent for so long: 20 s. RFC 6455 only; the drafts have no
        /// ping, but see [`silence_limits`](Self::silence_limits). Up to a quarter less where
        /// [`spread_keepalive`](crate::Connection::spread_keepalive) was called, so that the pings of many
        /// are spread. While a ping waits to be written no other is added, and that one counts. Zero is
        /// [refused](Self::check).
        keepalive_interval: Option<Duration>,
        /// Fails the connection when nothing at all arrives for so long after a ping: 20 s. Zero is
        /// [refused](Self::check).
        pong_timeout: Option<Duration>,
        /// Fails an open connection on which bytes wait to be written and the transport takes none of
        /// them for so long, or up to half as long again: 60 s. Any byte that is written begins it anew,
        /// so a peer that reads slowly is safe. In all versions; what arrives does not count. Zero is
        /// [refused](Self::check).
        stall_timeout: Option<Duration>,
        /// Fails an open connection with 1008 if less than 4 KiB of a message that began arrive in so long, or up to
        /// twice as long: 60 s. The end of the message does, too, and a time in which nothing is read because the
        /// `receive_queue_limit` is reached does not count. Control frames are no part of a message.
        /// A message that is reported in parts
        /// ([`receive_fragments`](Self::receive_fragments)) may take for ever, because it is not held.
        message_timeout: Option<Duration>,
        /// Bounds each wait of the closing handshake: for the peer's close, and for the end of the
        /// stream after it: 10 s.
        close_timeout: Option<Duration>,
        /// Replaces invalid UTF-8 in text of the drafts by U+FFFD instead of failing the
        /// connection: off for a server; a client always does it (draft-76 §4.3).
        replace_invalid_utf8: bool,
        /// Skips frames of the drafts that no peer may send (types 0x01 to 0xFE) instead of
        /// failing the connection: off for a server; a client always does it (draft-76 §4.2).
        skip_unknown_frames: bool,
        /// Reports pings and pongs as events: off. Pings are answered either way.
        control_events: bool,
        /// Reports a message in parts as they arrive, so that one of any length can be received in
        /// bounded memory: off. The `message_limit` still holds; lift it if it is to.
        receive_fragments: bool,
        /// Says why in the close frame when the connection is failed by a rule of ours, in words that have
        /// nothing of what the peer sent: off, as it tells strangers about limits. RFC 6455 only; the
        /// drafts have no reason.
        close_reasons: bool,
    }
}

impl ConnectionConfig {
    /// Checks that the options make sense. [`ClientHandshake::new`](crate::ClientHandshake::new) does it by
    /// itself; a server does it once, before it makes connections. A connection that was made all the same
    /// takes a wait of zero for one that ran out.
    ///
    /// # Errors
    ///
    /// Fails if the `keepalive_interval`, the `pong_timeout`, the `stall_timeout` or the `message_timeout` is
    /// zero: no peer could keep it.
    pub fn check(&self) -> Result<(), ConfigError> {
        let waits = [
            ("keepalive_interval", self.keepalive_interval),
            ("pong_timeout", self.pong_timeout),
            ("stall_timeout", self.stall_timeout),
            ("message_timeout", self.message_timeout),
        ];
        match waits.iter().find(|(_, wait)| *wait == Some(Duration::ZERO)) {
            Some((option, _)) => Err(ConfigError::ZeroWait { option }),
            None => Ok(()),
        }
    }

    /// Returns how long a peer may be silent before it is probed, and how long it may take to answer;
    /// `None` if it may do so for ever. For transports that probe by themselves where the version has
    /// no ping.
    pub fn silence_limits(&self) -> Option<(Duration, Duration)> {
        self.keepalive_interval.zip(self.pong_timeout)
    }

    /// Returns how long a message may be that is one frame; `None` if there may be none.
    pub(crate) fn single_frame_limit(&self) -> Option<usize> {
        let limits = [self.message_limit, self.frame_limit];
        let limit = limits.into_iter().flatten().min().unwrap_or(usize::MAX);
        Some(limit).filter(|_| self.fragment_limit != Some(0))
    }
}
