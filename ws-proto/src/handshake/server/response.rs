//! What a server answers: the application's choice ([`Accept`], [`Rejection`]), and the head that
//! becomes of it, as bytes for a socket or as a response for an HTTP server.

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

/// How an upgrade is accepted. The default leaves the subprotocol to the server's policy and compression
/// to its options, and adds no headers.
#[derive(Clone, Debug, Default)]
pub struct Accept {
    pub(super) subprotocol: ChosenBy<Subprotocol>,
    #[cfg(feature = "deflate")]
    pub(super) deflate: ChosenBy<Deflate>,
    pub(super) headers: Vec<Header>,
}

/// Who chooses: the server's options, or the application for this upgrade.
#[derive(Clone, Debug, Default)]
pub(super) enum ChosenBy<T> {
    #[default]
    Options,
    Application(Option<T>),
}

#[cfg(feature = "deflate")]
impl<T> ChosenBy<T> {
    /// Returns what is chosen; `policy` is what the server's options do.
    pub(super) fn or<'a>(&'a self, policy: Option<&'a T>) -> Option<&'a T> {
        match self {
            Self::Options => policy,
            Self::Application(chosen) => chosen.as_ref(),
        }
    }
}

impl Accept {
    /// Leaves everything to the server's policy.
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses a subprotocol, which must be one that the client offered, or none at all.
    #[must_use]
    pub fn subprotocol(mut self, subprotocol: impl Into<Option<Subprotocol>>) -> Self {
        self.subprotocol = ChosenBy::Application(subprotocol.into());
        self
    }

    /// Returns the subprotocol that this chooses; `selected` is what the server's policy does.
    pub fn chosen_subprotocol<'a>(&'a self, selected: Option<&'a str>) -> Option<&'a str> {
        match &self.subprotocol {
            ChosenBy::Options => selected,
            ChosenBy::Application(chosen) => chosen.as_ref().map(Subprotocol::as_str),
        }
    }

    /// Compresses messages of this connection, where the client offers it (RFC 7692), or never: whatever
    /// [`ServerConfig::deflate`](crate::ServerConfig::deflate) says, which decides otherwise. Without
    /// compression nobody can guess a secret by the length of a message (RFC 7692 §8, CRIME and BREACH).
    ///
    /// An offer that is not taken up is declined, and the connection is plain (RFC 7692 §5).
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(mut self, deflate: impl Into<Option<Deflate>>) -> Self {
        self.deflate = ChosenBy::Application(deflate.into());
        self
    }

    /// Adds a header to the answer, such as `Set-Cookie`; its name is sent as it is written here.
    ///
    /// # Errors
    ///
    /// Fails if the name is not a token, if the value is not printable ASCII, and if the header
    /// belongs to the handshake or to the transport.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, ConfigError> {
        self.headers.push(checked_header(name, value)?);
        Ok(self)
    }
}

// Here, because a request knows nothing of answers.
impl UpgradeRequest {
    /// Returns the subprotocol that an answer chooses, or leaves to the server's policy.
    pub fn chosen_subprotocol<'a>(&'a self, accept: &'a Accept) -> Option<&'a str> {
        accept.chosen_subprotocol(self.subprotocol())
    }
}

/// How an upgrade is rejected: an HTTP answer, after which the stream is closed.
#[derive(Clone, Debug)]
pub struct Rejection {
    status: StatusCode,
    headers: Vec<Header>,
    body: Option<Bytes>,
}

impl Rejection {
    /// Rejects with a status from 200 to 599 and a body that names it.
    pub fn new(status: StatusCode) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: None,
        }
    }

    /// Adds a header to the answer, such as `WWW-Authenticate`, `Location` or the `Content-Type`
    /// of the body, which is plain text otherwise.
    ///
    /// # Errors
    ///
    /// Fails if the name is not a token, if the value is not printable ASCII, and if the header
    /// belongs to the handshake or to the transport.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, ConfigError> {
        self.headers.push(checked_header(name, value)?);
        Ok(self)
    }

    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Sets the body. A status that has none, 204 or 304, is sent without it.
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

/// The text behind the status of an answer, as an extension of
/// [`ServerHandshake::response`](crate::ServerHandshake::response).
///
/// A client of draft-75 compares it byte by byte, so an HTTP server must send it as it is, and the
/// header names with capital letters.
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

/// A whole answer.
#[derive(Debug, Default)]
pub(super) struct EncodedResponse {
    status: StatusCode,
    reason: &'static str,
    /// The head as it goes out, without the empty line at its end.
    head: Vec<u8>,
    body: Bytes,
}

/// Room for the head of a 101 with a subprotocol, so that it is not moved while it is written.
const HEAD_CAPACITY: usize = 192;

impl EncodedResponse {
    /// Begins a 101. The order of the lines is part of draft-75 (D75-R1).
    pub(super) fn switching(reason: &'static str, upgrade: &'static str) -> Self {
        let mut answer = Self::new(StatusCode::SWITCHING_PROTOCOLS, reason);
        answer.push("Upgrade", upgrade);
        answer.push("Connection", "Upgrade");
        answer
    }

    /// Makes the answer to a request that failed, if it gets one.
    pub(super) fn for_error(error: &HandshakeError, config: &ServerConfig) -> Option<Self> {
        let status = error.status()?;
        let body = config.reveal_reasons.then(|| format!("{error}\n").into());
        let mut headers = Vec::new();
        if let HandshakeError::Method { .. } = error {
            headers.push(("Allow".into(), HeaderValue::from_static("GET")));
        }
        let lists_versions = error.is_about_version();
        Some(Self::refusal(status, headers, body, lists_versions, config))
    }

    /// Makes the answer that an application chose.
    pub(super) fn for_rejection(
        rejection: Rejection,
        config: &ServerConfig,
    ) -> Result<Self, ConfigError> {
        let Rejection {
            status,
            headers,
            body,
        } = rejection;
        if !(200..=599).contains(&status.as_u16()) {
            return Err(ConfigError::InvalidStatus {
                status: status.as_u16(),
            });
        }
        let lists_versions = status == StatusCode::UPGRADE_REQUIRED;
        Ok(Self::refusal(status, headers, body, lists_versions, config))
    }

    fn refusal(
        status: StatusCode,
        extra: Vec<Header>,
        body: Option<Bytes>,
        lists_versions: bool,
        config: &ServerConfig,
    ) -> Self {
        let reason = status.canonical_reason().unwrap_or("Rejected");
        let mut answer = Self::new(status, reason);
        if status == StatusCode::UPGRADE_REQUIRED {
            answer.push("Upgrade", "websocket");
            answer.push("Connection", "Upgrade, close");
        } else {
            answer.push("Connection", "close");
        }
        if lists_versions && config.versions.contains(Version::Rfc6455) {
            answer.push("Sec-WebSocket-Version", "13, 8, 7");
        }
        if !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            answer.body = body.unwrap_or_else(|| format!("{reason}\n").into());
            if !extra
                .iter()
                .any(|(name, _)| name.eq_ignore_ascii_case("Content-Type"))
            {
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

    /// Appends a header, whose value must be printable.
    pub(super) fn push(&mut self, name: &str, value: &str) {
        self.push_parts(name, &[value]);
    }

    /// Appends a header, whose value is given in parts.
    pub(super) fn push_parts(&mut self, name: &str, value: &[&str]) {
        let bytes = value.iter().flat_map(|part| part.bytes());
        assert!(
            bytes.clone().all(|byte| matches!(byte, b' '..=b'~')),
            "what is copied into an answer was checked to be printable: {value:?}"
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

    /// Gives the answer up for a socket.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        let body = self.body.clone();
        let mut bytes = self.into_head();
        bytes.extend_from_slice(&body);
        bytes
    }

    /// Gives it up without its body.
    pub(super) fn into_head(mut self) -> Vec<u8> {
        self.head.extend_from_slice(b"\r\n");
        self.head
    }

    /// Hands the answer to an HTTP server.
    pub(super) fn into_response(self) -> http::Response<Bytes> {
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
