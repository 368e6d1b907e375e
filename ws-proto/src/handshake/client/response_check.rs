//! The checks of the head of a response, for each version. This file does not know the bytes behind the head.

use std::str;

use http::header::HeaderMap;

use crate::deflate::DeflateTerms;
use crate::handshake::deflate::Offer;
use crate::handshake::error::HandshakeError;
use crate::handshake::head::ResponseHead;
use crate::handshake::http::fields::{Fields, list, list_contains, lossy, single, single_text};
use crate::handshake::subprotocol::Subprotocol;
use crate::redact::Redacted;

/// The status line and the next two lines, byte for byte (draft-75 §4.1).
const DRAFT75_START: &[u8] = b"HTTP/1.1 101 Web Socket Protocol Handshake\r\n\
    Upgrade: WebSocket\r\nConnection: Upgrade\r\n";

/// What the head of a response must contain.
#[derive(Debug)]
pub(super) struct ResponseCheck {
    pub(super) expected: ExpectedHeaders,
    pub(super) offered: Vec<Subprotocol>,
    pub(super) require_subprotocol: bool,
    pub(super) deflate: Offer,
}

/// The headers that prove that the server understood the request as one of this version.
#[derive(Debug)]
pub(super) enum ExpectedHeaders {
    /// The hash of the key.
    Rfc6455 { accept: String },
    /// Two values of the request. The digest of the keys follows behind the head.
    Draft76 { origin: String, location: String },
    /// Two values of the request.
    Draft75 { origin: String, location: String },
}

impl ResponseCheck {
    /// Checks a response whose status is 101. Returns the subprotocol that the server chose and the terms of
    /// compression that it accepted.
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
                // D76-V1: two spaces at least. The text behind the second one is not compared.
                let first_line = bytes
                    .split(|byte| *byte == b'\r')
                    .next()
                    .unwrap_or_default();
                if first_line.iter().filter(|byte| **byte == b' ').count() < 2 {
                    let problem = "the first line has fewer than two spaces";
                    return Err(HandshakeError::MalformedHead { problem });
                }
                // Draft-76 compares `Upgrade` with its case (D76-V5), but `Connection` without (D76-V6).
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
                // On the bytes, not on the parsed head: order and case of these lines are fixed.
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

    /// Returns the subprotocol that a server of RFC 6455 chose: one of those that were offered, or none.
    fn choice(&self, headers: &HeaderMap) -> Result<Option<Box<str>>, HandshakeError> {
        let name = "Sec-WebSocket-Protocol";
        // An empty value chooses no subprotocol (R-C12); `single_text` would refuse it.
        let is_empty = single(headers, name)?.is_some_and(<[u8]>::is_empty);
        let chosen = if is_empty {
            None
        } else {
            single_text(headers, name)?
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

    /// Checks that a server of a draft confirms the subprotocol that was asked for. Without one the header is
    /// ignored.
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

/// Checks `Upgrade` and `Connection` (R-C8, R-C9).
fn check_switch(headers: &HeaderMap) -> Result<(), HandshakeError> {
    let name = "Upgrade";
    let value = headers
        .value(name)
        .ok_or(HandshakeError::MissingHeader { name })?;
    // `Upgrade` is a list (RFC 9110 §7.8). Another protocol beside `websocket` would be layered into the stream, and
    // this client does not speak it.
    let is_websocket = |element: &str| element.eq_ignore_ascii_case("websocket");
    if list(headers, name).next().is_none() || !list(headers, name).all(is_websocket) {
        return Err(mismatch(name, lossy(headers, name, value), "websocket"));
    }
    let name = "Connection";
    if list_contains(headers, name, "upgrade") {
        return Ok(());
    }
    let value = headers
        .value(name)
        .ok_or(HandshakeError::MissingHeader { name })?;
    Err(mismatch(name, lossy(headers, name, value), "Upgrade"))
}

fn equals(headers: &HeaderMap, name: &'static str, expected: &str) -> Result<(), HandshakeError> {
    match required(headers, name)? {
        seen if seen == expected => Ok(()),
        seen => Err(mismatch(name, seen, expected)),
    }
}

fn required<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, HandshakeError> {
    let value = single(headers, name)?.ok_or(HandshakeError::MissingHeader { name })?;
    str::from_utf8(value).map_err(|_| HandshakeError::InvalidHeader {
        name,
        value: lossy(headers, name, value),
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
