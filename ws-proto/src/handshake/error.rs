//! The reasons why an opening handshake fails, and the status with which a server answers each.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use http::StatusCode;

use super::unexpected_response::UnexpectedResponse;
use crate::redact::Redacted;
use crate::state::State;
use crate::version::{Version, Versions};

/// The reason why an opening handshake failed. Each is something that the peer did or failed to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The stream ended before its first byte, as a port check or an unused connection of a browser does. It
    /// needs no line in a log.
    Empty,
    /// The stream ended too early.
    Disconnected {
        /// The state of the handshake at that time.
        state: State,
    },
    /// The handshake took too long.
    Timeout {
        /// The state of the handshake at that time.
        state: State,
        /// The time that the handshake was given.
        waited: Duration,
    },
    /// The first bytes are not HTTP/1: TLS on a plain port, HTTP/2, the PROXY protocol, a Flash policy request, noise.
    NotHttp {
        /// The bytes, up to and including the first one that is not allowed.
        seen: Vec<u8>,
    },
    /// The head is not well-formed HTTP/1.1.
    MalformedHead {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The head is longer than the limit.
    HeadTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The head has more header lines than the limit.
    TooManyHeaders {
        /// The limit.
        limit: usize,
    },
    /// The HTTP version has no upgrades.
    HttpVersion {
        /// The version.
        seen: http::Version,
    },
    /// A header is missing.
    MissingHeader {
        /// Its name.
        name: &'static str,
    },
    /// A header that must appear once appears more often.
    DuplicateHeader {
        /// Its name.
        name: &'static str,
    },
    /// A header has an invalid value.
    InvalidHeader {
        /// Its name.
        name: &'static str,
        /// Its value, with U+FFFD in the place of bytes that are not UTF-8.
        value: Redacted,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The method of an upgrade is not GET.
    Method {
        /// The method.
        method: http::Method,
    },
    /// The request target is not a valid one for a WebSocket.
    InvalidTarget {
        /// The target.
        target: Redacted,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The request has a body.
    Body,
    /// The server does not support this `Sec-WebSocket-Version`.
    UnsupportedVersion {
        /// The version number.
        seen: u8,
        /// The versions that are enabled.
        enabled: Versions,
    },
    /// The server does not support the draft that the client speaks.
    DisabledVersion {
        /// The version.
        version: Version,
        /// The versions that are enabled.
        enabled: Versions,
    },
    /// The request does not show its version: it has no `Sec-WebSocket-Version`, no draft-76
    /// keys, and not the `Origin` and the `Upgrade: WebSocket` that every draft-75 request has.
    NoVersion {
        /// The versions that are enabled.
        enabled: Versions,
    },
    /// The headers of the request contradict each other about its version.
    UnclearVersion {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A key is invalid.
    InvalidKey {
        /// The name of its header.
        name: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A draft-76 request without an origin.
    MissingOrigin,
    /// The origin is not allowed to open a connection here.
    OriginRefused {
        /// The origin.
        origin: Redacted,
    },
    /// The client asked for a host that is not one of this server's.
    HostRefused {
        /// The host, in lower case.
        host: String,
    },
    /// A client of draft-75 or draft-76 requires a subprotocol that the server does not support.
    SubprotocolRefused {
        /// The subprotocol. Only its length is shown, because some clients send a token as a subprotocol.
        offered: Redacted,
    },
    /// The server answered with another status than 101. Only a client reports this and all that follow.
    Status {
        /// The status.
        status: StatusCode,
        /// The response, with as much of its body as the option `response_body_limit` allows.
        response: Box<UnexpectedResponse>,
    },
    /// The server redirects to another URL. The client does not follow it, because cookies and other headers of
    /// the request are meant for the first server only.
    Redirect {
        /// The status.
        status: StatusCode,
        /// The new URL as the server wrote it. It can be relative.
        location: Redacted,
    },
    /// The server sent too many interim responses, whose status is 1xx, before the final one (RFC 9110
    /// §15.2).
    TooManyInterim {
        /// How many are allowed.
        limit: usize,
    },
    /// A header of the response has another value than the request implies.
    Mismatch {
        /// Its name.
        name: &'static str,
        /// Its value, with U+FFFD in the place of bytes that are not UTF-8. A location has the query of the URL.
        seen: Redacted,
        /// The value that it must have.
        expected: Redacted,
    },
    /// The 16 bytes behind a draft-76 response are not those that the keys imply.
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
    /// Returns the status with which a server answers. It is `None` if the server only closes the stream, because
    /// the client is gone or a 101 was sent already.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Empty | Self::Disconnected { .. } => None,
            Self::Timeout { state, .. } => match state {
                // The client was too slow.
                State::Unknown | State::Opening => Some(StatusCode::REQUEST_TIMEOUT),
                // The request was complete, so our own application was too slow.
                State::Handshaking => Some(StatusCode::SERVICE_UNAVAILABLE),
                // The 101 of draft-76 goes out before key3 arrives; a second response cannot follow it.
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
            // RFC 9110 §7.4: the request reached a server that is not the one it asks for.
            Self::HostRefused { .. } => Some(StatusCode::MISDIRECTED_REQUEST),
            // Only a client fails with these, and a client answers nothing.
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

    /// Tells whether another attempt can succeed as it is: the stream ended or was too slow, or the server answered with a status
    /// that passes (408, 425, 429, 500, 502, 503 and 504, RFC 9110 §15). A server that refuses, redirects or breaks a rule
    /// would do so again.
    pub fn is_transient(&self) -> bool {
        if let Self::Status { status, .. } = self {
            return matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504);
        }
        matches!(
            self,
            Self::Empty | Self::Disconnected { .. } | Self::Timeout { .. }
        )
    }

    /// Tells whether the response must list the supported versions (RFC 6455 §4.4).
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
            // "in state unknown" would tell a reader nothing.
            Self::Disconnected {
                state: State::Unknown,
            } => f.write_str("the stream ended before anything of the request arrived"),
            Self::Disconnected { state } => {
                write!(
                    f,
                    "the stream ended in the opening handshake, in state {state}"
                )
            }
            Self::Timeout {
                state: State::Unknown,
                waited,
            } => write!(
                f,
                "the opening handshake was not complete after {waited:?}, before anything of the \
                 request arrived (option handshake_timeout)"
            ),
            Self::Timeout { state, waited } => write!(
                f,
                "the opening handshake was not complete after {waited:?}, in state {state} \
                 (option handshake_timeout)"
            ),
            Self::NotHttp { seen } => {
                write!(
                    f,
                    "\"{}\" is not the beginning of an HTTP/1 head{}",
                    seen.escape_ascii(),
                    other_protocol(seen)
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
            Self::HttpVersion { seen } => {
                write!(f, "{seen:?} has no upgrades; HTTP/1.1 is allowed")
            }
            Self::MissingHeader { name } => write!(f, "header {name} is missing"),
            Self::DuplicateHeader { name } => {
                write!(f, "header {name} appears more than once; once is allowed")
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
            Self::Body => f.write_str("the upgrade request has a body; it must not have one"),
            Self::UnsupportedVersion { seen, enabled } => write!(
                f,
                "Sec-WebSocket-Version {seen} is not supported; rfc6455 has 13, 8 and 7, and \
                 {enabled} is enabled (option versions)"
            ),
            Self::DisabledVersion { version, enabled } => {
                write!(
                    f,
                    "{version} is not enabled; {enabled} is enabled (option versions)"
                )
            }
            Self::NoVersion { enabled } => write!(
                f,
                "neither a Sec-WebSocket-Version nor the headers of a draft; a gateway may have \
                 dropped them; {enabled} is enabled (option versions)"
            ),
            Self::UnclearVersion { problem } => write!(f, "the version is ambiguous: {problem}"),
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
                "the client requires subprotocol {offered}, which is not supported \
                 (option subprotocols)"
            ),
            Self::Status { status, response } => {
                write!(
                    f,
                    "the server answered {status}; 101 was expected{response}"
                )
            }
            Self::Redirect { status, location } => write!(
                f,
                "the server answered {status} and redirects to {location:?}; redirects are not followed; \
                 connect there if you trust it"
            ),
            Self::TooManyInterim { limit } => write!(
                f,
                "more than {limit} responses of status 1xx before the final one"
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
                "the server chose none of the offered subprotocols (option require_subprotocol)",
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

/// Says what the first bytes of a stream are, if they are known to be something else.
fn other_protocol(seen: &[u8]) -> &'static str {
    match seen {
        [0x16, ..] => "; it is TLS, and this end speaks none (a wss client at a port without TLS)",
        b"\r\n\r" | b"PROXY " => {
            "; a header of the PROXY protocol begins so, and none was expected (option proxy_protocol)"
        }
        b"PRI * HTTP/2" => {
            "; it is HTTP/2, and this end speaks HTTP/1.1 (an h2 client, or a proxy that is set to HTTP/2)"
        }
        b"<" => "; a request for a Flash policy file begins so",
        _ => "",
    }
}
