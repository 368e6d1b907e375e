//! Every option of a server, with its default. `None` means no limit; for a wait it means no deadline.

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
    /// Shared by all connections, so that a connection keeps a pointer and not a copy.
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
            // The upper end of what HTTP servers allow (X12: 8 to 16 KiB, 64 to 100 lines), because cookies are long.
            head_limit: 16 << 10,
            header_limit: 100,
            // Long for a client and short for a peer that opens streams only to hold them.
            handshake_timeout: Some(Duration::from_secs(10)),
            // A reason says which origins, hosts and versions are allowed, which helps an attacker more than a user.
            reveal_reasons: false,
            #[cfg(feature = "deflate")]
            deflate: None,
            connection: Arc::default(),
        }
    }
}

impl ServerConfig {
    /// Returns the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    setters! {
        /// Sets the enabled versions. The default is all of them.
        versions: Versions,
        /// Sets which origins may open a connection. The default is any origin.
        origins: OriginPolicy,
        /// Sets the hosts under which clients may ask for an upgrade. The default is any host. A request for
        /// another host is answered with 421. A list keeps out pages whose name was changed to point to this
        /// server (DNS rebinding).
        hosts: HostPolicy,
        /// Sets the supported subprotocols, best first. The default is an empty list. The server's order decides.
        subprotocols: Vec<Subprotocol>,
        /// Rejects a draft-76 request without an `Origin`. The default is on, because every conforming client
        /// sends one and fails if the response does not repeat it. A draft-75 request always needs one.
        require_origin: bool,
        /// Says that clients reach this server over TLS, so that locations in the responses of draft-75 and
        /// draft-76 begin with `wss`. The default is off.
        secure: bool,
        /// Limits the request head, in bytes. The default is 16 KiB. A larger one is answered with 431.
        head_limit: usize,
        /// Limits the header lines of a request. The default is 100. More are answered with 431.
        header_limit: usize,
        /// Limits the time of the whole opening handshake, from accept to the open connection. The default is
        /// 10 s.
        handshake_timeout: Option<Duration>,
        /// Tells a rejected client the reason, in the body of the response. The default is off.
        reveal_reasons: bool,
        /// Sets the options of all connections.
        connection: Arc<ConnectionConfig>,
    }

    /// Compresses messages if the client offers permessage-deflate (RFC 7692). The default is off.
    /// [`Accept::deflate`](crate::Accept::deflate) overrides this for one upgrade.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(mut self, deflate: impl Into<Option<Deflate>>) -> Self {
        self.deflate = deflate.into();
        self
    }
}

// Only the options that an HTTP server on the same port or an integration reads have a getter.
impl ServerConfig {
    /// Returns the enabled versions, as set by [`versions`](Self::versions).
    pub fn get_versions(&self) -> Versions {
        self.versions
    }

    /// Returns which origins may open a connection, as set by [`origins`](Self::origins).
    pub fn get_origins(&self) -> &OriginPolicy {
        &self.origins
    }

    /// Returns the limit of a request head, in bytes, for an HTTP server on the same port.
    pub fn get_head_limit(&self) -> usize {
        self.head_limit
    }

    /// Returns the time that a request may take, for an HTTP server on the same port.
    pub fn get_handshake_timeout(&self) -> Option<Duration> {
        self.handshake_timeout
    }

    /// Returns the time to wait for the peer's end of a stream that is being closed, for an HTTP server on
    /// the same port.
    pub fn get_close_timeout(&self) -> Option<Duration> {
        self.connection.close_timeout
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The defaults are a promise, and docs/options.md names them. A change of a default changes this test.
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
             receive_queue_limit: Some(262144), receive_rate_limit: None, keepalive_interval: Some(20s), \
             pong_timeout: Some(20s), stall_timeout: Some(60s), message_timeout: Some(60s), close_timeout: Some(10s), \
             replace_invalid_utf8: false, skip_unknown_frames: false, \
             accept_wrong_masking: false, accept_padded_lengths: false, invalid_text: Fail, control_events: false, \
             receive_fragments: false, close_reasons: false } }"
        );
    }
}
