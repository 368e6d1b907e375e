//! The checks of a request head, in one order for all versions: is it an upgrade, and does it have everything that
//! its version demands? This file knows neither bytes nor time.

use std::str;

use http::header::HeaderMap;

use super::config::ServerConfig;
use super::dialect::{Dialect, KEY, KEY1, KEY2, UPGRADE, choose_dialect};
use super::hosts;
use super::pending::{PROTOCOL, PROTOCOL_75, PendingRequest, subprotocol_refused};
use super::response::EncodedResponse;
use crate::handshake::deflate::AcceptableOffer;
use crate::handshake::error::HandshakeError;
use crate::handshake::http::authority::{Authority, target_authority};
use crate::handshake::http::extensions::{self, EXTENSIONS};
use crate::handshake::http::fields::{Fields, list, list_contains, lossy, single, single_text};
use crate::handshake::http::head_parser::RequestView;
use crate::handshake::request::UpgradeFacts;
use crate::handshake::{hixie, rfc6455};

pub(super) const CONNECTION: &str = "Connection";

/// Tells whether a request with these headers asks for an upgrade to a WebSocket: `Upgrade` lists
/// `websocket` (RFC 6455 §4.2.1). Ignore the result for HTTP/1.0, which has no upgrades (RFC 9110 §7.8). This is
/// not a check of the request; [`ServerHandshake`](crate::ServerHandshake) does that.
pub fn is_upgrade(headers: &HeaderMap) -> bool {
    asks_for_websocket(headers)
}

/// A request for a WebSocket that breaks no rule.
pub(super) type Checked = (UpgradeFacts, PendingRequest);

/// A request that breaks no rule.
#[cfg_attr(
    feature = "deflate",
    expect(
        clippy::large_enum_variant,
        reason = "it is matched at once, and a box would be one more allocation for each upgrade"
    )
)]
pub(super) enum CheckedRequest {
    Upgrade(UpgradeFacts, PendingRequest),
    /// A request that does not ask for a WebSocket.
    Plain,
}

/// Checks a request, in the order of PROTOCOL.md §5.1. So a request that breaks several rules always fails with the
/// same one.
pub(super) fn check<H: Fields + ?Sized>(
    head: &RequestView<'_, H>,
    config: &ServerConfig,
) -> Result<CheckedRequest, HandshakeError> {
    let RequestView {
        target, headers, ..
    } = *head;
    // RFC 9110 §7.8: an `Upgrade` in HTTP/1.0 is ignored. Proxies that speak HTTP/1.0 may pass the header on.
    if !asks_for_websocket(headers) || head.http_version < http::Version::HTTP_11 {
        return Ok(CheckedRequest::Plain);
    }
    if head.http_version != http::Version::HTTP_11 {
        return Err(HandshakeError::HttpVersion {
            seen: head.http_version,
        });
    }
    let (host, authority) = check_host(headers)?;
    check_connection(headers)?;
    if head.method != http::Method::GET {
        return Err(HandshakeError::Method {
            method: head.method.clone(),
        });
    }
    // The checks above are the same in all versions; the ones below need to know it.
    let dialect = choose_dialect(headers, config.versions)?;
    let asked = checked_authority(authority, host, target, dialect)?;
    check_body(headers, dialect)?;
    let keys = check_keys(headers, dialect)?;
    hosts::check(&config.hosts, config.secure, authority, target)?;
    let origin = check_origin(headers, dialect, asked, config)?;
    check_target(target, dialect)?;
    let (offered, selected) = check_subprotocols(headers, dialect, config)?;
    let offered_deflate = check_extensions(headers, dialect)?;

    // The lists are cloned because the request goes to the application, and `accept` needs them later.
    let location = hixie::location_parts(config.secure, host, target);
    let pending = PendingRequest {
        version: dialect.version(),
        numbers: keys.numbers(),
        legacy_close_codes: matches!(dialect, Dialect::Rfc6455 { number: 7 | 8 }),
        offered_deflate,
        deflate: None,
        answer: begin_answer(dialect, &keys, origin, location),
        offered: offered.clone(),
        selected: selected.clone(),
    };
    let facts = UpgradeFacts {
        version: dialect.version(),
        version_number: dialect.number(),
        offered,
        selected,
    };
    Ok(CheckedRequest::Upgrade(facts, pending))
}

fn asks_for_websocket(headers: &(impl Fields + ?Sized)) -> bool {
    list_contains(headers, UPGRADE, "websocket")
}

/// The keys of a request, as far as the response needs them.
enum CheckedKeys {
    None,
    Draft76([u32; 2]),
    Rfc6455(rfc6455::AcceptHash),
}

impl CheckedKeys {
    fn numbers(&self) -> Option<[u32; 2]> {
        match self {
            Self::Draft76(numbers) => Some(*numbers),
            Self::None | Self::Rfc6455(_) => None,
        }
    }
}

fn check_host(headers: &(impl Fields + ?Sized)) -> Result<(&str, Authority<'_>), HandshakeError> {
    const NAME: &str = "Host";
    let host = single_text(headers, NAME)?.ok_or(HandshakeError::MissingHeader { name: NAME })?;
    let authority = Authority::parse_uri(host).map_err(|problem| invalid_host(host, problem))?;
    Ok((host, authority))
}

pub(super) fn invalid_host(host: &str, problem: &'static str) -> HandshakeError {
    HandshakeError::InvalidHeader {
        name: "Host",
        value: host.into(),
        problem,
    }
}

/// Returns the authority with which an origin is compared.
fn checked_authority<'a>(
    authority: Authority<'a>,
    host: &'a str,
    target: &'a str,
    dialect: Dialect,
) -> Result<Authority<'a>, HandshakeError> {
    match dialect {
        // The drafts copy the `Host` into the location, so it is read strictly.
        Dialect::Draft75 | Dialect::Draft76 => {
            Authority::parse(host).map_err(|problem| invalid_host(host, problem))
        }
        Dialect::Rfc6455 { .. } => {
            // The authority of an absolute target counts before the `Host` (RFC 9112 §3.2.2). `check_target` refuses a
            // malformed one.
            let named = target_authority(target).map(Authority::parse_uri);
            Ok(named.and_then(Result::ok).unwrap_or(authority))
        }
    }
}

fn check_connection(headers: &(impl Fields + ?Sized)) -> Result<(), HandshakeError> {
    if list_contains(headers, CONNECTION, "upgrade") {
        return Ok(());
    }
    let value = headers
        .value(CONNECTION)
        .ok_or(HandshakeError::MissingHeader { name: CONNECTION })?;
    let (name, value) = (CONNECTION, lossy(headers, CONNECTION, value));
    Err(HandshakeError::InvalidHeader {
        name,
        value,
        problem: "it lacks the token upgrade",
    })
}

/// Checks that an upgrade has no body, except for the eight bytes of draft-76, which some clients announce (X13).
fn check_body(headers: &(impl Fields + ?Sized), dialect: Dialect) -> Result<(), HandshakeError> {
    let length = single(headers, "Content-Length")?;
    let is_allowed = match (length, dialect) {
        (None | Some(b"0"), _) | (Some(b"8"), Dialect::Draft76) => true,
        // RFC 9110 §8.6: a length can have any number of digits, so that 00 is zero, too.
        (Some(digits), Dialect::Rfc6455 { .. }) => {
            !digits.is_empty() && digits.iter().all(|digit| *digit == b'0')
        }
        (Some(_), Dialect::Draft75 | Dialect::Draft76) => false,
    };
    if is_allowed && !headers.has("Transfer-Encoding") {
        Ok(())
    } else {
        Err(HandshakeError::Body)
    }
}

fn check_keys(
    headers: &(impl Fields + ?Sized),
    dialect: Dialect,
) -> Result<CheckedKeys, HandshakeError> {
    let key = |name| {
        let value = single(headers, name)?.ok_or(HandshakeError::MissingHeader { name })?;
        Ok(value)
    };
    let number = |name| {
        hixie::key_number(key(name)?)
            .map_err(|problem| HandshakeError::InvalidKey { name, problem })
    };
    match dialect {
        Dialect::Draft75 => Ok(CheckedKeys::None),
        Dialect::Draft76 => Ok(CheckedKeys::Draft76([number(KEY1)?, number(KEY2)?])),
        Dialect::Rfc6455 { .. } => match key(KEY)? {
            key if rfc6455::is_key(key) => Ok(CheckedKeys::Rfc6455(rfc6455::accept_hash(key))),
            _ => Err(HandshakeError::InvalidKey {
                name: KEY,
                problem: "it is not base64 of 16 bytes",
            }),
        },
    }
}

pub(super) fn check_origin<'a>(
    headers: &'a (impl Fields + ?Sized),
    dialect: Dialect,
    host: Authority<'_>,
    config: &ServerConfig,
) -> Result<Option<&'a str>, HandshakeError> {
    let refused = |origin: &str| HandshakeError::OriginRefused {
        origin: origin.into(),
    };
    let is_allowed = |origin: &str| config.origins.allows(origin, host, config.secure);
    if let Dialect::Rfc6455 { number } = dialect {
        let mut origin = single(headers, "Origin")?;
        if matches!(number, 7 | 8) {
            origin = single(headers, "Sec-WebSocket-Origin")?.or(origin);
        }
        // RFC 6455 does not copy the origin into the response, so any bytes are allowed here (RFC 9110 §5.5). A
        // malformed origin is simply on no list.
        return match origin.map(|origin| String::from_utf8_lossy(origin)) {
            Some(origin) if !is_allowed(&origin) => Err(refused(&origin)),
            Some(_) | None => Ok(None),
        };
    }
    // The drafts copy the origin into the response, so it must be printable.
    match single_text(headers, "Origin")? {
        Some(origin) if is_allowed(origin) => Ok(Some(origin)),
        Some(origin) => Err(refused(origin)),
        None if matches!(dialect, Dialect::Draft76) && config.require_origin => {
            Err(HandshakeError::MissingOrigin)
        }
        None => Ok(None),
    }
}

pub(super) fn check_target(target: &str, dialect: Dialect) -> Result<(), HandshakeError> {
    let invalid = |problem| {
        Err(HandshakeError::InvalidTarget {
            target: target.into(),
            problem,
        })
    };
    if !target.bytes().all(|byte| matches!(byte, b'!'..=b'~')) {
        return invalid("it must be printable ASCII");
    }
    if target.contains('#') {
        return invalid("it must not have a fragment");
    }
    if target.starts_with('/') {
        return Ok(());
    }
    match (dialect, target_authority(target)) {
        (Dialect::Rfc6455 { .. }, Some(authority)) => {
            Authority::parse_uri(authority).map(drop).or_else(invalid)
        }
        (_, _) => invalid("it must begin with a slash"),
    }
}

/// The subprotocols that the client offers, and the one of them that the options select.
pub(super) type Subprotocols = (Vec<Box<str>>, Option<Box<str>>);

pub(super) fn check_subprotocols(
    headers: &(impl Fields + ?Sized),
    dialect: Dialect,
    config: &ServerConfig,
) -> Result<Subprotocols, HandshakeError> {
    let offered: Vec<Box<str>> = match dialect {
        Dialect::Draft75 => single_text(headers, PROTOCOL_75)?
            .map(Into::into)
            .into_iter()
            .collect(),
        Dialect::Draft76 => single_text(headers, PROTOCOL)?
            .map(Into::into)
            .into_iter()
            .collect(),
        Dialect::Rfc6455 { .. } => {
            rfc6455::parse_subprotocols(list(headers, PROTOCOL)).map_err(|problem| {
                let value = headers.value(PROTOCOL).unwrap_or_default();
                HandshakeError::InvalidHeader {
                    name: PROTOCOL,
                    value: lossy(headers, PROTOCOL, value),
                    problem,
                }
            })?
        }
    };
    let mut supported = config.subprotocols.iter().map(|name| name.as_str());
    let selected = supported.find(|name| offered.iter().any(|offered| **offered == **name));
    // A client of a draft fails without its subprotocol, so a status is a better answer than a 101. A server without a
    // list leaves the choice to its application.
    match (selected, dialect, offered.first()) {
        (None, Dialect::Draft75 | Dialect::Draft76, Some(offered))
            if !config.subprotocols.is_empty() =>
        {
            Err(subprotocol_refused(offered))
        }
        (_, _, _) => Ok((offered, selected.map(Into::into))),
    }
}

/// Checks the grammar of the extensions (P-S7), and returns the offer of compression that can be met.
pub(super) fn check_extensions(
    headers: &(impl Fields + ?Sized),
    dialect: Dialect,
) -> Result<Option<AcceptableOffer>, HandshakeError> {
    // The drafts have no extensions.
    let Dialect::Rfc6455 { .. } = dialect else {
        return Ok(None);
    };
    for line in headers.values(EXTENSIONS) {
        extensions::read(line, |_| ()).map_err(|problem| HandshakeError::InvalidHeader {
            name: EXTENSIONS,
            value: lossy(headers, EXTENSIONS, line),
            problem,
        })?;
    }
    Ok(AcceptableOffer::first_in(headers))
}

/// Writes the 101 up to the subprotocol.
fn begin_answer(
    dialect: Dialect,
    keys: &CheckedKeys,
    origin: Option<&str>,
    location: [&str; 3],
) -> EncodedResponse {
    let (mut answer, origin_name, location_name) = match dialect {
        Dialect::Rfc6455 { .. } => {
            let mut answer = EncodedResponse::switching("Switching Protocols", "websocket");
            if let CheckedKeys::Rfc6455(accept) = keys {
                let accept = str::from_utf8(accept).expect("base64 is ASCII");
                answer.push("Sec-WebSocket-Accept", accept);
            }
            return answer;
        }
        Dialect::Draft76 => (
            EncodedResponse::switching("WebSocket Protocol Handshake", "WebSocket"),
            "Sec-WebSocket-Origin",
            "Sec-WebSocket-Location",
        ),
        Dialect::Draft75 => (
            EncodedResponse::switching("Web Socket Protocol Handshake", "WebSocket"),
            "WebSocket-Origin",
            "WebSocket-Location",
        ),
    };
    if let Some(origin) = origin {
        answer.push(origin_name, origin);
    }
    answer.push_parts(location_name, &location);
    answer
}
