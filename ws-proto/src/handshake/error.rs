//! Why an opening handshake failed, and with which status a server answers it.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use http::StatusCode;

use super::refusal::Refusal;
use crate::redact::Redacted;
use crate::state::State;
use crate::version::{Version, Versions};

/// What the peer did, or did not do, that made an opening handshake fail.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The stream ended before its first byte: a port check or a spare connection of a browser.
    /// Nothing worth a line in a log.
    Empty,
    /// The stream ended too early.
    Disconnected {
        /// How far the handshake was.
        state: State,
    },
    /// The handshake took too long.
    Timeout {
        /// How far it was.
        state: State,
        /// How long was waited.
        waited: Duration,
    },
    /// The first bytes cannot be those of HTTP/1: TLS on a plain port, a Flash policy request, noise.
    NotHttp {
        /// The bytes, up to the first that cannot be.
        seen: Vec<u8>,
    },
    /// The head is not well-formed HTTP/1.1.
    MalformedHead {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The head is over the limit.
    HeadTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The head has more header lines than the limit.
    TooManyHeaders {
        /// The limit.
        limit: usize,
    },
    /// The HTTP version cannot carry an upgrade.
    HttpVersion {
        /// The version.
        seen: http::Version,
    },
    /// A header is missing.
    MissingHeader {
        /// Its name.
        name: &'static str,
    },
    /// A header that must be there once is there more often.
    DuplicateHeader {
        /// Its name.
        name: &'static str,
    },
    /// A header has a value that it must not have.
    InvalidHeader {
        /// Its name.
        name: &'static str,
        /// Its value, as far as it is text.
        value: Redacted,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The method of an upgrade is not GET.
    Method {
        /// The method.
        method: http::Method,
    },
    /// The request target is not one of a WebSocket.
    InvalidTarget {
        /// The target.
        target: Redacted,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The request has a body.
    Body,
    /// A `Sec-WebSocket-Version` that is not spoken here.
    UnsupportedVersion {
        /// The version number.
        seen: u8,
        /// The versions that are spoken.
        enabled: Versions,
    },
    /// A draft that is not spoken here.
    DisabledVersion {
        /// The version.
        version: Version,
        /// The versions that are spoken.
        enabled: Versions,
    },
    /// The request has nothing that tells its version: no `Sec-WebSocket-Version`, no draft-76
    /// keys, and not the `Origin` and the `Upgrade: WebSocket` that every draft-75 request has.
    NoVersion {
        /// The versions that are spoken.
        enabled: Versions,
    },
    /// The request contradicts itself about its version.
    UnclearVersion {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A key is not valid.
    InvalidKey {
        /// The name of its header.
        name: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A draft-76 request without an origin.
    MissingOrigin,
    /// An origin that may not open a connection here.
    OriginRefused {
        /// The origin.
        origin: Redacted,
    },
    /// The host that was asked is not one of this server's.
    HostRefused {
        /// The host, in lower case.
        host: String,
    },
    /// A client of draft-75 or draft-76 insists on a subprotocol that is not spoken here.
    SubprotocolRefused {
        /// The subprotocol, of which the length is shown: some clients send a token as one.
        offered: Redacted,
    },
    /// The server answered with something else than 101. The client only, like all that follow.
    Status {
        /// The status.
        status: StatusCode,
        /// The whole answer, as far as the option `refusal_limit` allows.
        refusal: Box<Refusal>,
    },
    /// The server sends us elsewhere. That is not followed: what goes with the request, such as a cookie,
    /// is for the one who was asked.
    Redirect {
        /// The status.
        status: StatusCode,
        /// Where to, as the server wrote it: it can be relative.
        location: Redacted,
    },
    /// More answers with a status of 1xx than are read past, before one that accepts or refuses (RFC 9110
    /// §15.2).
    TooManyInterim {
        /// How many are.
        limit: usize,
    },
    /// A header of the answer has another value than the one that the request implies.
    Mismatch {
        /// Its name.
        name: &'static str,
        /// Its value, as far as it is text: a location has the query of the URL.
        seen: Redacted,
        /// What it must be.
        expected: Redacted,
    },
    /// The 16 bytes behind a draft-76 answer are not those that the keys imply.
    WrongChallengeResponse,
    /// The server chose a subprotocol that was not offered.
    SubprotocolNotOffered {
        /// The subprotocol.
        seen: String,
    },
    /// The server chose none of the subprotocols that were offered.
    NoSubprotocol,
    /// The server uses an extension that was not offered.
    ExtensionNotOffered {
        /// The extension.
        seen: String,
    },
}

impl HandshakeError {
    /// Returns the status with which a server answers; none if it just closes the stream: when
    /// nobody is there to read it, or when a 101 head has been sent already.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Empty | Self::Disconnected { .. } => None,
            Self::Timeout { state, .. } => match state {
                State::Unknown | State::Opening => Some(StatusCode::REQUEST_TIMEOUT),
                State::Handshaking => Some(StatusCode::SERVICE_UNAVAILABLE),
                State::Waiting | State::Connected | State::Closing | State::Closed => None,
            },
            Self::HeadTooLarge { .. } | Self::TooManyHeaders { .. } => {
                Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
            }
            Self::NotHttp { .. }
            | Self::MalformedHead { .. }
            | Self::HttpVersion { .. }
            | Self::MissingHeader { .. }
            | Self::DuplicateHeader { .. }
            | Self::InvalidHeader { .. }
            | Self::InvalidTarget { .. }
            | Self::Body
            | Self::UnclearVersion { .. }
            | Self::InvalidKey { .. }
            | Self::MissingOrigin
            | Self::SubprotocolRefused { .. } => Some(StatusCode::BAD_REQUEST),
            Self::Method { .. } => Some(StatusCode::METHOD_NOT_ALLOWED),
            Self::UnsupportedVersion { .. }
            | Self::DisabledVersion { .. }
            | Self::NoVersion { .. } => Some(StatusCode::UPGRADE_REQUIRED),
            Self::OriginRefused { .. } => Some(StatusCode::FORBIDDEN),
            // RFC 9110 §7.4
            Self::HostRefused { .. } => Some(StatusCode::MISDIRECTED_REQUEST),
            Self::Status { .. }
            | Self::Redirect { .. }
            | Self::TooManyInterim { .. }
            | Self::Mismatch { .. }
            | Self::WrongChallengeResponse
            | Self::SubprotocolNotOffered { .. }
            | Self::NoSubprotocol
            | Self::ExtensionNotOffered { .. } => None,
        }
    }

    /// Tells whether the answer lists the versions that are spoken (RFC 6455 §4.4).
    pub(super) fn is_about_version(&self) -> bool {
        matches!(
            self,
            Self::UnsupportedVersion { .. }
                | Self::DisabledVersion { .. }
                | Self::NoVersion { .. }
                | Self::UnclearVersion { .. }
        )
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the stream ended before its first byte"),
            Self::Disconnected { state } => {
                write!(
                    f,
                    "the stream ended in the opening handshake, in state {state}"
                )
            }
            Self::Timeout { state, waited } => write!(
                f,
                "the opening handshake was not done after {waited:?}, in state {state} \
                 (option handshake_timeout)"
            ),
            Self::NotHttp { seen } => {
                write!(
                    f,
                    "\"{}\" is not the beginning of an HTTP/1 head",
                    seen.escape_ascii()
                )
            }
            Self::MalformedHead { problem } => write!(f, "malformed HTTP head: {problem}"),
            Self::HeadTooLarge { limit } => {
                write!(
                    f,
                    "HTTP head of more than {limit} bytes (option head_limit)"
                )
            }
            Self::TooManyHeaders { limit } => {
                write!(
                    f,
                    "HTTP head with more than {limit} header lines (option header_limit)"
                )
            }
            Self::HttpVersion { seen } => write!(f, "{seen:?} cannot upgrade; HTTP/1.1 can"),
            Self::MissingHeader { name } => write!(f, "header {name} is missing"),
            Self::DuplicateHeader { name } => {
                write!(f, "header {name} is there more than once; once is allowed")
            }
            Self::InvalidHeader {
                name,
                value,
                problem,
            } => {
                write!(f, "header {name} with value {value:?}: {problem}")
            }
            Self::Method { method } => write!(f, "method {method} in an upgrade; GET is allowed"),
            Self::InvalidTarget { target, problem } => {
                write!(f, "request target {target:?}: {problem}")
            }
            Self::Body => f.write_str("an upgrade with a body; none is allowed"),
            Self::UnsupportedVersion { seen, enabled } => write!(
                f,
                "Sec-WebSocket-Version {seen} is not spoken; rfc6455 has 13, 8 and 7, and \
                 {enabled} is enabled (option versions)"
            ),
            Self::DisabledVersion { version, enabled } => {
                write!(
                    f,
                    "{version} is not spoken; {enabled} is enabled (option versions)"
                )
            }
            Self::NoVersion { enabled } => write!(
                f,
                "neither a Sec-WebSocket-Version nor the headers of a draft, which a gateway may have \
                 dropped; {enabled} is enabled (option versions)"
            ),
            Self::UnclearVersion { problem } => write!(f, "the version is not clear: {problem}"),
            Self::InvalidKey { name, problem } => write!(f, "header {name}: {problem}"),
            Self::MissingOrigin => {
                f.write_str("a draft-76 request without an Origin (option require_origin)")
            }
            Self::OriginRefused { origin } => {
                write!(f, "origin {origin:?} is not allowed (option origins)")
            }
            Self::HostRefused { host } => {
                write!(f, "host {host:?} is not allowed (option hosts)")
            }
            Self::SubprotocolRefused { offered } => write!(
                f,
                "the client insists on subprotocol {offered}, which is not spoken \
                 (option subprotocols)"
            ),
            Self::Status { status, refusal } => {
                write!(f, "the server answered {status}; 101 would accept{refusal}")
            }
            Self::Redirect { status, location } => write!(
                f,
                "the server answered {status} and names {location:?}; a redirect is not followed, \
                 connect there if it is to be trusted"
            ),
            Self::TooManyInterim { limit } => write!(
                f,
                "more than {limit} answers of status 1xx before one that accepts or refuses"
            ),
            Self::Mismatch {
                name,
                seen,
                expected,
            } => {
                write!(
                    f,
                    "header {name} with value {seen:?}; it must be {expected:?}"
                )
            }
            Self::WrongChallengeResponse => {
                f.write_str("the server's response to the draft-76 challenge is wrong")
            }
            Self::SubprotocolNotOffered { seen } => write!(
                f,
                "the server chose subprotocol {seen:?}, which was not offered (option subprotocols)"
            ),
            Self::NoSubprotocol => f.write_str(
                "the server chose none of the subprotocols (option require_subprotocol)",
            ),
            Self::ExtensionNotOffered { seen } => {
                write!(
                    f,
                    "the server uses extension {seen:?}, which was not offered"
                )
            }
        }
    }
}

impl Error for HandshakeError {}
