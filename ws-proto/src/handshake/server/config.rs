//! Every option of a server, with its default. `None` means unlimited (or never, for a wait).

use std::sync::Arc;
use std::time::Duration;

use super::hosts::HostPolicy;
use super::origins::OriginPolicy;
use crate::config::{ConnectionConfig, setters};
#[cfg(feature = "deflate")]
use crate::deflate::Deflate;
use crate::handshake::subprotocol::Subprotocol;
use crate::version::Versions;

/// Options of a server: the opening handshake and what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    pub(super) versions: Versions,
    pub(super) origins: OriginPolicy,
    pub(super) hosts: HostPolicy,
    pub(super) subprotocols: Vec<Subprotocol>,
    pub(super) require_origin: bool,
    pub(super) secure: bool,
    pub(super) head_limit: usize,
    pub(super) header_limit: usize,
    pub(super) handshake_timeout: Option<Duration>,
    pub(super) reveal_reasons: bool,
    #[cfg(feature = "deflate")]
    pub(super) deflate: Option<Deflate>,
    /// Shared by all connections.
    pub(super) connection: Arc<ConnectionConfig>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            versions: Versions::ALL,
            origins: OriginPolicy::Any,
            hosts: HostPolicy::Any,
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
        /// Sets which hosts an upgrade may be asked of: any. Others are answered with 421. A list keeps
        /// pages out whose name was made to point here.
        hosts: HostPolicy,
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
    pub fn get_versions(&self) -> Versions {
        self.versions
    }

    /// Returns which origins may open a connection: what [`origins`](Self::origins) set.
    pub fn get_origins(&self) -> &OriginPolicy {
        &self.origins
    }

    /// Returns the limit of a request head, in bytes, for an HTTP server on the same port.
    pub fn get_head_limit(&self) -> usize {
        self.head_limit
    }

    /// Returns how long a request may take, for an HTTP server on the same port.
    pub fn get_handshake_timeout(&self) -> Option<Duration> {
        self.handshake_timeout
    }

    /// Returns how long to wait for the end of a stream that is being closed, for an HTTP server on
    /// the same port.
    pub fn get_close_timeout(&self) -> Option<Duration> {
        self.connection.close_timeout
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
            "ServerConfig { versions: {Draft75, Draft76, Rfc6455}, origins: Any, hosts: Any, \
             subprotocols: [], require_origin: true, secure: false, head_limit: 16384, \
             header_limit: 100, handshake_timeout: Some(10s), reveal_reasons: false, \
             connection: ConnectionConfig { message_limit: Some(1048576), frame_limit: None, \
             fragment_limit: Some(4096), send_queue_limit: Some(262144), \
             receive_queue_limit: Some(262144), keepalive_interval: Some(20s), \
             pong_timeout: Some(20s), stall_timeout: Some(60s), message_timeout: Some(60s), close_timeout: Some(10s), \
             replace_invalid_utf8: false, skip_unknown_frames: false, control_events: false, \
             receive_fragments: false, close_reasons: false } }"
        );
    }
}
