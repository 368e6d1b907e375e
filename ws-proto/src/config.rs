//! Every option of the protocol, with its default. All limits and waits are here, by name.
//!
//! `None` means unlimited (or never, for a wait); zero means zero.

use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "deflate")]
use crate::deflate::Deflate;
use crate::handshake::{OriginPolicy, Subprotocol};
use crate::version::Versions;

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
    pub(crate) close_timeout: Option<Duration>,
    pub(crate) replace_invalid_utf8: bool,
    pub(crate) skip_unknown_frames: bool,
    pub(crate) control_events: bool,
    pub(crate) receive_fragments: bool,
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
            close_timeout: Some(Duration::from_secs(10)),
            replace_invalid_utf8: false,
            skip_unknown_frames: false,
            control_events: false,
            receive_fragments: false,
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
        /// Limits the bytes of received messages that wait for the application: 256 KiB. Beyond
        /// it [`wants_read`](crate::Connection::wants_read) is false.
        receive_queue_limit: Option<usize>,
        /// Pings a peer that has been silent for so long: 20 s. RFC 6455 only; the drafts have no
        /// ping, but see [`silence_limits`](Self::silence_limits).
        keepalive_interval: Option<Duration>,
        /// Fails the connection when nothing at all arrives for so long after a ping: 20 s.
        pong_timeout: Option<Duration>,
        /// Fails an open connection on which bytes wait to be written and the transport takes none of
        /// them for so long, or up to half as long again: 60 s. Any byte that is written begins it anew,
        /// so a peer that reads slowly is safe. In all versions; what arrives does not count.
        stall_timeout: Option<Duration>,
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
    }
}

impl ConnectionConfig {
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

/// Options of a server: the opening handshake and what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    pub(crate) versions: Versions,
    pub(crate) origins: OriginPolicy,
    pub(crate) subprotocols: Vec<Subprotocol>,
    pub(crate) require_origin: bool,
    pub(crate) secure: bool,
    pub(crate) head_limit: usize,
    pub(crate) header_limit: usize,
    pub(crate) handshake_timeout: Option<Duration>,
    pub(crate) reveal_reasons: bool,
    #[cfg(feature = "deflate")]
    pub(crate) deflate: Option<Deflate>,
    /// Shared by all connections.
    pub(crate) connection: Arc<ConnectionConfig>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            versions: Versions::ALL,
            origins: OriginPolicy::Any,
            subprotocols: Vec::new(),
            require_origin: true,
            secure: false,
            head_limit: 16 << 10,
            header_limit: 100,
            handshake_timeout: Some(Duration::from_secs(10)),
            reveal_reasons: false,
            #[cfg(feature = "deflate")]
            deflate: None,
            connection: Arc::default(),
        }
    }
}

impl ServerConfig {
    /// Starts from the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    setters! {
        /// Sets the versions that are spoken: all of them.
        versions: Versions,
        /// Sets which origins may open a connection: any.
        origins: OriginPolicy,
        /// Sets the subprotocols that are spoken, best first: none. The server's order decides.
        subprotocols: Vec<Subprotocol>,
        /// Rejects a draft-76 request without an `Origin`: on, as every conforming client sends
        /// one and would fail without the echo. A draft-75 request always needs it.
        require_origin: bool,
        /// Says that clients reach this server over TLS, so that locations in draft-75 and
        /// draft-76 answers begin with `wss`: off.
        secure: bool,
        /// Limits the request head, in bytes: 16 KiB. A larger one is answered with 431.
        head_limit: usize,
        /// Limits the header lines of a request: 100. More are answered with 431.
        header_limit: usize,
        /// Bounds the whole opening handshake, from accept to open: 10 s.
        handshake_timeout: Option<Duration>,
        /// Tells the client why it was rejected, in the body of the answer: off.
        reveal_reasons: bool,
        /// Sets the options of the connections that are opened.
        connection: Arc<ConnectionConfig>,
    }

    /// Compresses messages where the client offers permessage-deflate (RFC 7692): off. For one upgrade
    /// [`Accept::deflate`](crate::Accept::deflate) can say otherwise.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(mut self, deflate: impl Into<Option<Deflate>>) -> Self {
        self.deflate = deflate.into();
        self
    }
}

impl ServerConfig {
    /// Returns the versions that are spoken: what [`versions`](Self::versions) set.
    pub fn spoken_versions(&self) -> Versions {
        self.versions
    }

    /// Returns the limit of a request head, in bytes, for an HTTP server on the same port.
    pub fn head_len_limit(&self) -> usize {
        self.head_limit
    }

    /// Returns how long a request may take, for an HTTP server on the same port.
    pub fn handshake_wait(&self) -> Option<Duration> {
        self.handshake_timeout
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The defaults are a promise; README.md names them. Whoever changes one changes this test.
    #[test]
    fn the_defaults_are_frozen() {
        let is_compiled = if cfg!(feature = "deflate") {
            "deflate: None, "
        } else {
            ""
        };
        assert_eq!(
            format!("{:?}", ServerConfig::default()).replace(is_compiled, ""),
            "ServerConfig { versions: {Draft75, Draft76, Rfc6455}, origins: Any, \
             subprotocols: [], require_origin: true, secure: false, head_limit: 16384, \
             header_limit: 100, handshake_timeout: Some(10s), reveal_reasons: false, \
             connection: ConnectionConfig { message_limit: Some(1048576), frame_limit: None, \
             fragment_limit: Some(4096), send_queue_limit: Some(262144), \
             receive_queue_limit: Some(262144), keepalive_interval: Some(20s), \
             pong_timeout: Some(20s), stall_timeout: Some(60s), close_timeout: Some(10s), \
             replace_invalid_utf8: false, skip_unknown_frames: false, control_events: false, \
             receive_fragments: false } }"
        );
    }
}
