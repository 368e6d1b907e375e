//! The request of a client, as a server reports it. This file knows neither the checks nor the responses.

use std::fmt;

use super::head::RequestHead;
use super::http::PackedRequest;
use super::http::authority::target_authority;
use crate::redact::Hidden;
use crate::version::Version;

/// The request of a client.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Request {
    /// A request for a WebSocket connection. It passed all checks and waits for
    /// [`accept`](crate::ServerHandshake::accept) or [`reject`](crate::ServerHandshake::reject).
    Upgrade(UpgradeRequest),
    /// Any other request: no `Upgrade` header names `websocket`, or it is HTTP/1.0, which has no upgrades.
    /// [`into_received`](crate::ServerHandshake::into_received) returns the bytes for an HTTP server. Without
    /// one, answer by [`reject`](crate::ServerHandshake::reject).
    Http,
    /// No request, but the beginning of an HTTP/2 session, where
    /// [`allow_http2`](crate::ServerHandshake::allow_http2) was called.
    /// [`into_received`](crate::ServerHandshake::into_received) returns the bytes for a server of HTTP/2.
    Http2,
}

/// A request for a WebSocket connection that passed all checks.
#[derive(Clone)]
pub struct UpgradeRequest {
    head: RequestHead,
    facts: UpgradeFacts,
}

/// What the checks of a request read in it.
#[derive(Clone)]
pub(super) struct UpgradeFacts {
    pub(super) version: Version,
    pub(super) version_number: Option<u8>,
    pub(super) offered: Vec<Box<str>>,
    pub(super) selected: Option<Box<str>>,
}

/// An [`UpgradeRequest`] whose head is packed.
#[derive(Clone, Debug)]
pub struct PackedUpgrade {
    head: PackedRequest,
    facts: UpgradeFacts,
}

impl PackedUpgrade {
    pub(super) fn new(head: PackedRequest, facts: UpgradeFacts) -> Self {
        Self { head, facts }
    }

    /// Returns the head and drops the rest.
    pub fn into_head(self) -> PackedRequest {
        self.head
    }

    /// Makes the map of the headers.
    pub fn unpack(self) -> UpgradeRequest {
        UpgradeRequest {
            head: self.head.unpack(),
            facts: self.facts,
        }
    }

    /// Returns the version that the client speaks.
    pub fn version(&self) -> Version {
        self.facts.version
    }

    /// Returns the subprotocol that the server's options select, as [`UpgradeRequest::subprotocol`] does.
    pub fn subprotocol(&self) -> Option<&str> {
        self.facts.selected.as_deref()
    }
}

impl UpgradeRequest {
    /// Returns the head and drops the rest.
    pub fn into_head(self) -> RequestHead {
        self.head
    }

    /// Returns the head of the request.
    pub fn head(&self) -> &RequestHead {
        &self.head
    }

    /// Returns the version that the client speaks.
    pub fn version(&self) -> Version {
        self.facts.version
    }

    /// Returns the `Sec-WebSocket-Version`: 13, 8 or 7; the drafts have none.
    pub fn version_number(&self) -> Option<u8> {
        self.facts.version_number
    }

    /// Returns the origin as the client sent it. It passed the server's policy.
    pub fn origin(&self) -> Option<&str> {
        // Versions 7 and 8 have a header of their own, and it counts before `Origin`. `check_origin` chose in the
        // same order; it must, or the application would see another origin than the one that was checked.
        let old_name = Some("Sec-WebSocket-Origin");
        let old_name = old_name.filter(|_| matches!(self.facts.version_number, Some(7 | 8)));
        let origin = old_name.and_then(|name| self.head.header(name));
        origin.or_else(|| self.head.header("Origin"))
    }

    /// Returns the host that the client asks for: `host[:port]`, well-formed. It is the authority of the target
    /// if that is an absolute URI, and the `Host` header otherwise (RFC 9112 §3.2.2).
    pub fn host(&self) -> &str {
        let named = target_authority(self.head.target());
        named.unwrap_or_else(|| self.head.header("Host").unwrap_or_default())
    }

    /// Iterates over the subprotocols that the client offers, in the client's order. A client of a draft
    /// offers at most one, which need not be a token.
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        self.facts.offered.iter().map(|name| &**name)
    }

    /// Returns the subprotocol that the server's options select: the first in the server's order that the client
    /// offers.
    pub fn subprotocol(&self) -> Option<&str> {
        self.facts.selected.as_deref()
    }
}

impl fmt::Debug for UpgradeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpgradeRequest")
            .field("head", &self.head)
            .field("facts", &self.facts)
            .finish()
    }
}

impl fmt::Debug for UpgradeFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpgradeFacts")
            .field("version", &self.version)
            .field("version_number", &self.version_number)
            // Some clients send a token as a subprotocol, so the offers count as secrets.
            .field("offered", &Hidden(&self.offered))
            .field("selected", &self.selected)
            .finish()
    }
}
