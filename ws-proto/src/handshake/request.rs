//! What a client asks a server for. Knows nothing of how it was checked, or of answers.

use std::fmt;

use super::head::RequestHead;
use super::http::authority::target_authority;
use crate::redact::Hidden;
use crate::version::Version;

/// What a client asks a server for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Request {
    /// A WebSocket connection. It passed all checks and waits for
    /// [`accept`](crate::ServerHandshake::accept) or [`reject`](crate::ServerHandshake::reject).
    Upgrade(UpgradeRequest),
    /// Anything else: no `Upgrade` header names `websocket`, or it is HTTP/1.0, which has no upgrades.
    /// [`into_received`](crate::ServerHandshake::into_received) gives the bytes to an HTTP server;
    /// [`reject`](crate::ServerHandshake::reject) answers where there is none.
    Http,
}

/// A request for a WebSocket connection that passed all checks.
#[derive(Clone)]
pub struct UpgradeRequest {
    pub(super) head: RequestHead,
    pub(super) version: Version,
    pub(super) version_number: Option<u8>,
    pub(super) offered: Vec<Box<str>>,
    pub(super) selected: Option<Box<str>>,
}

impl UpgradeRequest {
    /// Gives up everything but the head.
    pub fn into_head(self) -> RequestHead {
        self.head
    }

    /// Returns the head of the request.
    pub fn head(&self) -> &RequestHead {
        &self.head
    }

    /// Returns the version that the client speaks.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns the `Sec-WebSocket-Version`: 13, 8 or 7; the drafts have none.
    pub fn version_number(&self) -> Option<u8> {
        self.version_number
    }

    /// Returns the origin as it was sent. It passed the server's policy.
    pub fn origin(&self) -> Option<&str> {
        // As `check_origin`, which saw that they are well-formed.
        let old_name = Some("Sec-WebSocket-Origin");
        let old_name = old_name.filter(|_| matches!(self.version_number, Some(7 | 8)));
        let origin = old_name.and_then(|name| self.head.header(name));
        origin.or_else(|| self.head.header("Origin"))
    }

    /// Returns the host that is asked for: `host[:port]`, well-formed. It is the `Host` as it was sent, or
    /// what the target names if that is a whole URI (RFC 9112 §3.2.2).
    pub fn host(&self) -> &str {
        let named = target_authority(self.head.target());
        named.unwrap_or_else(|| self.head.header("Host").unwrap_or_default())
    }

    /// Iterates over the subprotocols that the client offers, in its order. A client of a draft
    /// offers one at most, and it need not be a token.
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        self.offered.iter().map(|name| &**name)
    }

    /// Returns the subprotocol that the server's policy chose: its own first that is offered.
    pub fn subprotocol(&self) -> Option<&str> {
        self.selected.as_deref()
    }
}

impl fmt::Debug for UpgradeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpgradeRequest")
            .field("head", &self.head)
            .field("version", &self.version)
            .field("version_number", &self.version_number)
            .field("offered", &Hidden(&self.offered))
            .field("selected", &self.selected)
            .finish()
    }
}
