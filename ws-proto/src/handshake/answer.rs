//! What a server answers: the application's choice ([`Accept`], [`Rejection`]), and the head that
//! becomes of it, as bytes for a socket or as a response for an HTTP server.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderName, HeaderValue};

use super::error::HandshakeError;
use super::policy::Subprotocol;
use crate::config::ServerConfig;
use crate::error::ConfigError;
use crate::version::Version;

/// How an upgrade is accepted. The default leaves the subprotocol to the server's policy and adds
/// no headers.
#[derive(Clone, Debug, Default)]
pub struct Accept {
    pub(super) subprotocol: Choice,
    pub(super) headers: Vec<Header>,
}

/// Who chooses the subprotocol.
#[derive(Clone, Debug, Default)]
pub(super) enum Choice {
    #[default]
    Policy,
    Application(Option<Subprotocol>),
}

impl Accept {
    /// Leaves everything to the server's policy.
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses a subprotocol, which must be one that the client offered, or none at all.
    #[must_use]
    pub fn subprotocol(mut self, subprotocol: impl Into<Option<Subprotocol>>) -> Self {
        self.subprotocol = Choice::Application(subprotocol.into());
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

/// A header with its name as it is sent.
pub(super) type Header = (Cow<'static, str>, HeaderValue);

/// A whole answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    status: StatusCode,
    reason: &'static str,
    headers: Vec<Header>,
    body: Bytes,
}

impl Answer {
    /// Begins a 101. The order of the lines is part of draft-75 (D75-R1).
    pub(super) fn switching(reason: &'static str, upgrade: &'static str) -> Self {
        let headers = vec![
            ("Upgrade".into(), HeaderValue::from_static(upgrade)),
            ("Connection".into(), HeaderValue::from_static("Upgrade")),
        ];
        Self {
            status: StatusCode::SWITCHING_PROTOCOLS,
            reason,
            headers,
            body: Bytes::new(),
        }
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
        let mut answer = Self {
            status,
            reason,
            headers: Vec::new(),
            body: Bytes::new(),
        };
        if status == StatusCode::UPGRADE_REQUIRED {
            answer.push("Upgrade", HeaderValue::from_static("websocket"));
            answer.push("Connection", HeaderValue::from_static("Upgrade, close"));
        } else {
            answer.push("Connection", HeaderValue::from_static("close"));
        }
        if lists_versions && config.versions.contains(Version::Rfc6455) {
            answer.push(
                "Sec-WebSocket-Version",
                HeaderValue::from_static("13, 8, 7"),
            );
        }
        if !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            answer.body = body.unwrap_or_else(|| format!("{reason}\n").into());
            if !extra
                .iter()
                .any(|(name, _)| name.eq_ignore_ascii_case("Content-Type"))
            {
                let plain_text = HeaderValue::from_static("text/plain; charset=utf-8");
                answer.push("Content-Type", plain_text);
            }
            answer.push("Content-Length", HeaderValue::from(answer.body.len()));
        }
        answer.headers.extend(extra);
        answer
    }

    /// Appends a header.
    pub(super) fn push(&mut self, name: &'static str, value: HeaderValue) {
        self.headers.push((name.into(), value));
    }

    /// Appends headers of the application.
    pub(super) fn extend(&mut self, headers: Vec<Header>) {
        self.headers.extend(headers);
    }

    /// Writes the answer down for a socket.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = self.encode_head();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Writes it down without its body.
    pub(super) fn encode_head(&self) -> Vec<u8> {
        let mut bytes =
            format!("HTTP/1.1 {} {}\r\n", self.status.as_str(), self.reason).into_bytes();
        for (name, value) in &self.headers {
            push_header(&mut bytes, name, value.as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }

    /// Hands the answer to an HTTP server.
    pub(super) fn into_response(self) -> http::Response<Bytes> {
        let mut response = http::Response::new(self.body);
        *response.status_mut() = self.status;
        response.extensions_mut().insert(ReasonPhrase(self.reason));
        for (name, value) in self.headers {
            let name = HeaderName::from_bytes(name.as_bytes());
            response
                .headers_mut()
                .append(name.expect("names are checked when they are set"), value);
        }
        response
    }
}

/// Writes a header line down.
pub(super) fn push_header(bytes: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        bytes.extend_from_slice(part);
    }
}

/// Checks a header that an application adds to a request or an answer.
pub(super) fn checked_header(name: &str, value: &str) -> Result<Header, ConfigError> {
    let invalid = |problem| ConfigError::InvalidHeader {
        name: name.to_owned(),
        problem,
    };
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err(invalid("its name is not a token"));
    }
    let lower = name.to_ascii_lowercase();
    let is_reserved = RESERVED.contains(&&*lower)
        || ["sec-websocket-", "websocket-"]
            .iter()
            .any(|prefix| lower.starts_with(prefix));
    if is_reserved {
        return Err(invalid("it belongs to the handshake or to the transport"));
    }
    if !value
        .bytes()
        .all(|byte| matches!(byte, b' '..=b'~' | b'\t'))
    {
        return Err(invalid("its value is not printable ASCII"));
    }
    let value = HeaderValue::from_str(value).map_err(|_| invalid("its value is malformed"))?;
    Ok((name.to_owned().into(), value))
}

/// Headers that the handshake writes itself or that would change what follows it.
const RESERVED: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "origin",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// X7, X8: nothing that an application sets can break a head or the handshake.
    #[test]
    fn headers_that_would_break_the_head_cannot_be_set() {
        for (name, value) in [
            ("", "a"),
            ("A b", "a"),
            ("A:", "a"),
            ("A\r\nB", "a"),
            ("é", "a"),
            ("A", "a\r\nB: c"),
            ("A", "a\n"),
            ("A", "a\0"),
            ("A", "é"),
            ("A", "\x7f"),
            ("connection", "close"),
            ("Upgrade", "h2c"),
            ("Content-Length", "0"),
            ("TRANSFER-ENCODING", "chunked"),
            ("Sec-WebSocket-Accept", "a"),
            ("sec-websocket-protocol", "a"),
            ("WebSocket-Origin", "a"),
            ("Host", "a"),
            ("Origin", "a"),
        ] {
            let result = checked_header(name, value);
            assert!(
                matches!(result, Err(ConfigError::InvalidHeader { .. })),
                "{name:?}: {value:?}"
            );
        }
        for (name, value) in [
            ("Set-Cookie", "a=b; Path=/"),
            ("X-A", ""),
            ("server", "a\tb"),
        ] {
            let (sent, kept) = checked_header(name, value).unwrap();
            assert_eq!((&*sent, kept.to_str().unwrap()), (name, value));
        }
    }
}
