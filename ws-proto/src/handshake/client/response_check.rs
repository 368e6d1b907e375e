//! What a client demands of an answer, for each version. Knows no bytes behind the head.

use std::str;

use http::header::{HeaderMap, HeaderValue};

use crate::deflate::DeflateTerms;
use crate::handshake::deflate::Offer;
use crate::handshake::error::HandshakeError;
use crate::handshake::head::ResponseHead;
use crate::handshake::http::fields::{list, list_contains, lossy, single, single_text};
use crate::handshake::subprotocol::Subprotocol;
use crate::redact::Redacted;

/// The status line and the next two lines, byte for byte (draft-75 §4.1).
const DRAFT75_START: &[u8] = b"HTTP/1.1 101 Web Socket Protocol Handshake\r\n\
    Upgrade: WebSocket\r\nConnection: Upgrade\r\n";

/// What an answer must contain.
#[derive(Debug)]
pub(super) struct ResponseCheck {
    pub(super) expected: ExpectedHeaders,
    pub(super) offered: Vec<Subprotocol>,
    pub(super) require_subprotocol: bool,
    pub(super) deflate: Offer,
}

/// What shows that the server read the request as one of the version.
#[derive(Debug)]
pub(super) enum ExpectedHeaders {
    /// The hash of the key.
    Rfc6455 { accept: String },
    /// The echo of two values. The digest of the keys follows behind the head.
    Draft76 { origin: String, location: String },
    /// The echo of two values.
    Draft75 { origin: String, location: String },
}

impl ResponseCheck {
    /// Checks an answer whose status is 101; returns the subprotocol that the server chose, and what it
    /// said to an offer of compression.
    pub(super) fn check(
        &self,
        bytes: &[u8],
        head: &ResponseHead,
    ) -> Result<(Option<Box<str>>, Option<DeflateTerms>), HandshakeError> {
        let headers = head.headers();
        match &self.expected {
            ExpectedHeaders::Rfc6455 { accept } => {
                if head.version() != http::Version::HTTP_11 {
                    return Err(HandshakeError::HttpVersion {
                        seen: head.version(),
                    });
                }
                check_switch(headers)?;
                equals(headers, "Sec-WebSocket-Accept", accept)?;
                let deflate = self.deflate.confirm(headers)?;
                Ok((self.choice(headers)?, deflate))
            }
            ExpectedHeaders::Draft76 { origin, location } => {
                let first_line = bytes
                    .split(|byte| *byte == b'\r')
                    .next()
                    .unwrap_or_default();
                if first_line.iter().filter(|byte| **byte == b' ').count() < 2 {
                    let problem = "the first line has fewer than two spaces";
                    return Err(HandshakeError::MalformedHead { problem });
                }
                equals(headers, "Upgrade", "WebSocket")?;
                let connection = required(headers, "Connection")?;
                if !connection.eq_ignore_ascii_case("upgrade") {
                    return Err(mismatch("Connection", connection, "Upgrade"));
                }
                equals(headers, "Sec-WebSocket-Origin", origin)?;
                equals(headers, "Sec-WebSocket-Location", location)?;
                let subprotocol = self.confirmation(headers, "Sec-WebSocket-Protocol")?;
                Ok((subprotocol, None))
            }
            ExpectedHeaders::Draft75 { origin, location } => {
                if !bytes.starts_with(DRAFT75_START) {
                    let problem = "it does not begin with the fixed lines of draft-75";
                    return Err(HandshakeError::MalformedHead { problem });
                }
                equals(headers, "WebSocket-Origin", origin)?;
                equals(headers, "WebSocket-Location", location)?;
                let subprotocol = self.confirmation(headers, "WebSocket-Protocol")?;
                Ok((subprotocol, None))
            }
        }
    }

    /// RFC 6455: one of the subprotocols, or none.
    fn choice(&self, headers: &HeaderMap) -> Result<Option<Box<str>>, HandshakeError> {
        let name = "Sec-WebSocket-Protocol";
        // An empty one chooses nothing.
        let is_empty = single(headers, name)?.is_some_and(HeaderValue::is_empty);
        let chosen = match is_empty {
            true => None,
            false => single_text(headers, name)?,
        };
        match chosen {
            None if self.require_subprotocol && !self.offered.is_empty() => {
                Err(HandshakeError::NoSubprotocol)
            }
            None => Ok(None),
            Some(seen) if self.offered.iter().any(|offered| offered.as_str() == seen) => {
                Ok(Some(seen.into()))
            }
            Some(seen) => Err(HandshakeError::SubprotocolNotOffered {
                seen: seen.to_owned(),
            }),
        }
    }

    /// The drafts: the very subprotocol that was asked for; ignored if none was.
    fn confirmation(
        &self,
        headers: &HeaderMap,
        name: &'static str,
    ) -> Result<Option<Box<str>>, HandshakeError> {
        let Some(offered) = self.offered.first() else {
            return Ok(None);
        };
        equals(headers, name, offered.as_str())?;
        Ok(Some(offered.as_str().into()))
    }
}

/// R-C8 and R-C9.
fn check_switch(headers: &HeaderMap) -> Result<(), HandshakeError> {
    let name = "Upgrade";
    let value = headers
        .get(name)
        .ok_or(HandshakeError::MissingHeader { name })?;
    // It is a list (RFC 9110 §7.8); another protocol in it would be spoken, too.
    let is_websocket = |element: &str| element.eq_ignore_ascii_case("websocket");
    if list(headers, name).next().is_none() || !list(headers, name).all(is_websocket) {
        return Err(mismatch(name, lossy(value), "websocket"));
    }
    let name = "Connection";
    if list_contains(headers, name, "upgrade") {
        return Ok(());
    }
    let value = headers
        .get(name)
        .ok_or(HandshakeError::MissingHeader { name })?;
    Err(mismatch(name, lossy(value), "Upgrade"))
}

fn equals(headers: &HeaderMap, name: &'static str, expected: &str) -> Result<(), HandshakeError> {
    match required(headers, name)? {
        seen if seen == expected => Ok(()),
        seen => Err(mismatch(name, seen, expected)),
    }
}

fn required<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, HandshakeError> {
    let value = single(headers, name)?.ok_or(HandshakeError::MissingHeader { name })?;
    str::from_utf8(value.as_bytes()).map_err(|_| HandshakeError::InvalidHeader {
        name,
        value: lossy(value),
        problem: "it is not text",
    })
}

fn mismatch(name: &'static str, seen: impl Into<Redacted>, expected: &str) -> HandshakeError {
    HandshakeError::Mismatch {
        name,
        seen: seen.into(),
        expected: expected.into(),
    }
}
