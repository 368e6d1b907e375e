//! The responses of a server: the application's decision ([`Accept`], [`Rejection`]), and the encoded response, as
//! bytes for a socket or as an `http::Response` for an HTTP server.

use std::fmt;

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderName, HeaderValue};

use super::config::ServerConfig;
#[cfg(feature = "deflate")]
use crate::deflate::Deflate;
use crate::error::ConfigError;
use crate::handshake::error::HandshakeError;
use crate::handshake::http::header::{Header, checked_header, push_header, split_header};
use crate::handshake::request::UpgradeRequest;
use crate::handshake::subprotocol::Subprotocol;
use crate::version::Version;

/// How to accept an upgrade. By default the server's options decide on the subprotocol and on compression, and no
/// headers are added.
#[derive(Clone, Debug, Default)]
pub struct Accept {
    pub(super) subprotocol: ChosenBy<Subprotocol>,
    #[cfg(feature = "deflate")]
    pub(super) deflate: ChosenBy<Deflate>,
    pub(super) headers: Vec<Header>,
}

/// A choice that the server's options make, unless the application makes it for this upgrade. The application can
/// also choose `None`.
#[derive(Clone, Debug, Default)]
pub(super) enum ChosenBy<T> {
    #[default]
    Options,
    Application(Option<T>),
}

#[cfg(feature = "deflate")]
impl<T> ChosenBy<T> {
    /// Returns the choice; `options` is that of the server's options.
    pub(super) fn or<'a>(&'a self, options: Option<&'a T>) -> Option<&'a T> {
        match self {
            Self::Options => options,
            Self::Application(chosen) => chosen.as_ref(),
        }
    }
}

impl Accept {
    /// Leaves all choices to the server's options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses a subprotocol that the client offered, or `None` for a connection without one.
    #[must_use]
    pub fn subprotocol(mut self, subprotocol: impl Into<Option<Subprotocol>>) -> Self {
        self.subprotocol = ChosenBy::Application(subprotocol.into());
        self
    }

    /// Returns the subprotocol of the connection; `selected` is the one that the server's options select.
    pub fn chosen_subprotocol<'a>(&'a self, selected: Option<&'a str>) -> Option<&'a str> {
        match &self.subprotocol {
            ChosenBy::Options => selected,
            ChosenBy::Application(chosen) => chosen.as_ref().map(Subprotocol::as_str),
        }
    }

    /// Overrides [`ServerConfig::deflate`](crate::ServerConfig::deflate) for this connection. With options, its
    /// messages are compressed if the client offers it (RFC 7692). With `None` they never are: then the length of a
    /// message cannot help to guess a secret (RFC 7692 §8, CRIME and BREACH).
    ///
    /// If the client's offer is declined, the connection is uncompressed (RFC 7692 §5).
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(mut self, deflate: impl Into<Option<Deflate>>) -> Self {
        self.deflate = ChosenBy::Application(deflate.into());
        self
    }

    /// Adds a header to the response, such as `Set-Cookie`. The name keeps its case.
    ///
    /// # Errors
    ///
    /// Fails if the name is not a token, the value is not printable ASCII, or the header
    /// belongs to the handshake or to the transport.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, ConfigError> {
        self.headers.push(checked_header(name, value)?);
        Ok(self)
    }
}

// Here and not in `request.rs`, because that file must not import the responses.
impl UpgradeRequest {
    /// Returns the subprotocol of the connection if the request is accepted like this.
    pub fn chosen_subprotocol<'a>(&'a self, accept: &'a Accept) -> Option<&'a str> {
        accept.chosen_subprotocol(self.subprotocol())
    }
}

/// How to reject an upgrade: an HTTP response, after which the stream is closed.
#[derive(Clone, Debug)]
pub struct Rejection {
    status: StatusCode,
    headers: Vec<Header>,
    body: Option<Bytes>,
}

impl Rejection {
    /// Rejects with a status from 200 to 599; in HTTP/2 from 300, because any 2xx accepts there (RFC 8441 §5). The body is
    /// the name of the status.
    pub fn new(status: StatusCode) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: None,
        }
    }

    /// Adds a header to the response, such as `WWW-Authenticate`, `Location` or `Content-Type`. Without the last
    /// one the body is plain text. The name keeps its case.
    ///
    /// # Errors
    ///
    /// Fails if the name is not a token, the value is not printable ASCII, or the header
    /// belongs to the handshake or to the transport.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, ConfigError> {
        self.headers.push(checked_header(name, value)?);
        Ok(self)
    }

    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Sets the body. A response of status 204 or 304 is sent without a body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }
}

impl Default for Rejection {
    /// Rejects with 403.
    fn default() -> Self {
        Self::new(StatusCode::FORBIDDEN)
    }
}

/// The text behind the status of a response, as an extension of
/// [`ServerHandshake::response`](crate::ServerHandshake::response).
///
/// A client of draft-75 compares it byte by byte. So an HTTP server must send it unchanged, and the
/// names of headers with capital letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReasonPhrase(&'static str);

impl ReasonPhrase {
    /// Returns the text.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for ReasonPhrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

/// How a client asks for a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bootstrap {
    /// By the upgrade of a stream of HTTP/1.1.
    Upgrade,
    /// By an extended CONNECT in HTTP/2 (RFC 8441).
    Connect,
}

/// A whole response.
#[derive(Debug, Default)]
pub(super) struct EncodedResponse {
    status: StatusCode,
    reason: &'static str,
    /// The bytes of the head, without the empty line at its end. They are bytes from the start, because draft-75 fixes
    /// the case of names and the order of lines, and a `HeaderMap` keeps neither.
    head: Vec<u8>,
    body: Bytes,
}

/// The first capacity of a head, in bytes. A 101 with a subprotocol fits, so it is not reallocated while it is written.
const HEAD_CAPACITY: usize = 192;

impl EncodedResponse {
    /// Begins a 101.
    pub(super) fn switching(reason: &'static str, upgrade: &'static str) -> Self {
        let mut answer = Self::new(StatusCode::SWITCHING_PROTOCOLS, reason);
        // Draft-75 fixes the order of these lines (D75-R1). Not by `push`, because constants need no check.
        for part in ["Upgrade: ", upgrade, "\r\nConnection: Upgrade\r\n"] {
            answer.head.extend_from_slice(part.as_bytes());
        }
        answer
    }

    /// Begins a 200, which accepts a WebSocket in HTTP/2 (RFC 8441 §5). There is no key, and so no proof.
    pub(super) fn ok() -> Self {
        Self::new(StatusCode::OK, "OK")
    }

    /// Makes the response to a request that failed, unless the stream is only closed.
    pub(super) fn for_error(
        error: &HandshakeError,
        config: &ServerConfig,
        bootstrap: Bootstrap,
    ) -> Option<Self> {
        let status = error.status()?;
        // Off by default: the reason helps an attacker to learn which origins and hosts are allowed.
        let body = config.reveal_reasons.then(|| format!("{error}\n").into());
        let mut headers = Vec::new();
        // RFC 9110 §15.5.6: a 405 must list the allowed methods.
        if let HandshakeError::Method { .. } = error {
            headers.push(("Allow".into(), HeaderValue::from_static("GET")));
        }
        let lists_versions = error.is_about_version();
        Some(Self::rejection(
            status,
            headers,
            body,
            lists_versions,
            config,
            bootstrap,
        ))
    }

    /// Makes the response that an application chose.
    pub(super) fn for_rejection(
        rejection: Rejection,
        config: &ServerConfig,
        bootstrap: Bootstrap,
    ) -> Result<Self, ConfigError> {
        let Rejection {
            status,
            headers,
            body,
        } = rejection;
        // A status below 200 is not a final response, and a 101 would accept. HTTP has no status above 599. In HTTP/2 any
        // 2xx accepts (RFC 8441 §5): the client would take the body for frames.
        let rejects = match bootstrap {
            Bootstrap::Upgrade => 200..=599,
            Bootstrap::Connect => 300..=599,
        };
        if !rejects.contains(&status.as_u16()) {
            return Err(ConfigError::InvalidStatus {
                status: status.as_u16(),
            });
        }
        let lists_versions = status == StatusCode::UPGRADE_REQUIRED;
        Ok(Self::rejection(
            status,
            headers,
            body,
            lists_versions,
            config,
            bootstrap,
        ))
    }

    fn rejection(
        status: StatusCode,
        extra: Vec<Header>,
        body: Option<Bytes>,
        lists_versions: bool,
        config: &ServerConfig,
        bootstrap: Bootstrap,
    ) -> Self {
        let status = match bootstrap {
            // A 426 must have an `Upgrade` (RFC 9110 §15.5.22), which HTTP/2 does not allow.
            Bootstrap::Connect if status == StatusCode::UPGRADE_REQUIRED => StatusCode::BAD_REQUEST,
            Bootstrap::Connect | Bootstrap::Upgrade => status,
        };
        let reason = status.canonical_reason().unwrap_or("Rejected");
        let mut answer = Self::new(status, reason);
        let versions = match bootstrap {
            // RFC 9110 §15.5.22: a 426 must name the protocol, and `Connection` must name each hop-by-hop header.
            Bootstrap::Upgrade if status == StatusCode::UPGRADE_REQUIRED => {
                answer.push("Upgrade", "websocket");
                answer.push("Connection", "Upgrade, close");
                "13, 8, 7"
            }
            Bootstrap::Upgrade => {
                // The stream is closed after this response, so the client must not send another request on it.
                answer.push("Connection", "close");
                "13, 8, 7"
            }
            // The stream ends with the response anyway, and the session goes on.
            Bootstrap::Connect => "13",
        };
        // RFC 6455 §4.4: a client may try again with one of these versions.
        if lists_versions && config.versions.contains(Version::Rfc6455) {
            answer.push("Sec-WebSocket-Version", versions);
        }
        // RFC 9110 §8.6: a 204 must not have a Content-Length, and neither status has a body.
        if !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            answer.body = body.unwrap_or_else(|| format!("{reason}\n").into());
            if !extra
                .iter()
                .any(|(name, _)| name.eq_ignore_ascii_case("Content-Type"))
            {
                // Not HTML: a reason can quote the request, and a browser must not run it as a page.
                answer.push("Content-Type", "text/plain; charset=utf-8");
            }
            answer.push("Content-Length", &answer.body.len().to_string());
        }
        answer.extend(extra);
        answer
    }

    fn new(status: StatusCode, reason: &'static str) -> Self {
        let mut head = Vec::with_capacity(HEAD_CAPACITY);
        for part in ["HTTP/1.1 ", status.as_str(), " ", reason, "\r\n"] {
            head.extend_from_slice(part.as_bytes());
        }
        Self {
            status,
            reason,
            head,
            body: Bytes::new(),
        }
    }

    /// Appends a header. Its value must be printable ASCII.
    pub(super) fn push(&mut self, name: &str, value: &str) {
        self.push_parts(name, &[value]);
    }

    /// Appends a header whose value is the concatenation of these parts.
    pub(super) fn push_parts(&mut self, name: &str, value: &[&str]) {
        // The checks of the request guarantee this. It is asserted in release builds, too, because a line break in a
        // copied value would let a client write headers of the response.
        let is_printable = |part: &&str| part.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        assert!(
            value.iter().all(is_printable),
            "a value that is copied into a response was checked to be printable: {value:?}"
        );
        for part in [name, ": "].iter().chain(value).chain(&["\r\n"]) {
            self.head.extend_from_slice(part.as_bytes());
        }
    }

    /// Appends headers of the application.
    pub(super) fn extend(&mut self, headers: Vec<Header>) {
        for (name, value) in headers {
            push_header(&mut self.head, &name, value.as_bytes());
        }
    }

    /// Returns the bytes for a socket.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        let body = self.body.clone();
        let mut bytes = self.into_head();
        bytes.extend_from_slice(&body);
        bytes
    }

    /// Returns the bytes of the head, without the body.
    pub(super) fn into_head(mut self) -> Vec<u8> {
        self.head.extend_from_slice(b"\r\n");
        self.head
    }

    /// Converts this into a response for an HTTP server.
    pub(super) fn into_response(self) -> http::Response<Bytes> {
        // The lines are parsed again. That is slower than a second representation beside the bytes, but the two
        // could differ.
        let mut response = http::Response::new(self.body);
        *response.status_mut() = self.status;
        response.extensions_mut().insert(ReasonPhrase(self.reason));
        let lines = self.head.split(|byte| *byte == b'\n').skip(1);
        for line in lines.filter_map(|line| line.strip_suffix(b"\r")) {
            let (name, value) = split_header(line);
            let name = HeaderName::from_bytes(name);
            let value = HeaderValue::from_bytes(value);
            response.headers_mut().append(
                name.expect("names are checked when they are set"),
                value.expect("values are checked when they are set"),
            );
        }
        response
    }
}
