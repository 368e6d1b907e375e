//! The checks of a request for a WebSocket in HTTP/2: an extended CONNECT (RFC 8441). This file knows neither the
//! pseudo-header `:protocol`, which the caller has read, nor what HTTP/2 is made of.

use http::header::{HOST, HeaderMap, HeaderValue};
use http::request::Parts;

use super::config::ServerConfig;
use super::dialect::{Dialect, UPGRADE};
use super::hosts;
use super::pending::PendingRequest;
use super::request_check::{
    CONNECTION, Checked, check_extensions, check_origin, check_subprotocols, check_target,
    invalid_host,
};
use super::response::EncodedResponse;
use crate::handshake::error::HandshakeError;
use crate::handshake::http::authority::Authority;
use crate::handshake::http::fields::{Fields, lossy, single_text};
use crate::handshake::request::UpgradeFacts;
use crate::handshake::rfc6455;
use crate::version::{Version, Versions};

/// The only version of the protocol that HTTP/2 carries (RFC 8441 §5).
const NUMBER: u8 = 13;

/// Returns the head in the form that a request in HTTP/1.1 has: the authority is the `Host`, the target begins with
/// the path (H2-S4), and the cookies are one line (H2-S11). Whoever reads the head later need not know how it came.
///
/// # Errors
///
/// Fails if the request has a `Host` that is not the authority, or too many header lines (H2-S12).
pub(super) fn in_origin_form(
    parts: &Parts,
    config: &ServerConfig,
) -> Result<Parts, HandshakeError> {
    let mut head = http::Request::new(());
    *head.method_mut() = parts.method.clone();
    *head.version_mut() = parts.version;
    *head.headers_mut() = parts.headers.clone();
    config.check_http2_headers(head.headers_mut())?;
    let path = parts.uri.path_and_query();
    *head.uri_mut() = path.cloned().map(Into::into).unwrap_or_default();
    if let Some(authority) = parts.uri.authority() {
        let authority = authority.as_str();
        let host = single_text(&parts.headers, "Host")?;
        // RFC 9113 §8.3.1: a `Host` beside `:authority` must name the same. Otherwise a proxy and this server could
        // take the request for different ones.
        if let Some(host) = host.filter(|host| !host.eq_ignore_ascii_case(authority)) {
            return Err(invalid_host(host, "it differs from :authority"));
        }
        let value = HeaderValue::from_str(authority)
            .map_err(|_| invalid_host(authority, "a character is not allowed in a host"))?;
        head.headers_mut().insert(HOST, value);
    }
    Ok(head.into_parts().0)
}

/// Checks a head that is [in origin form](in_origin_form), in the order of PROTOCOL.md §5.8.
pub(super) fn check(head: &Parts, config: &ServerConfig) -> Result<Checked, HandshakeError> {
    let headers = &head.headers;
    let dialect = Dialect::Rfc6455 { number: NUMBER };
    let host = single_text(headers, "Host")?;
    let host = host.ok_or(HandshakeError::MissingHeader { name: ":authority" })?;
    let authority = Authority::parse_uri(host).map_err(|problem| invalid_host(host, problem))?;
    check_hop_by_hop(headers)?;
    check_version(headers, config.versions)?;
    if headers.has("Content-Length") {
        return Err(HandshakeError::Body);
    }
    let target = head.uri.to_string();
    hosts::check(&config.hosts, config.secure, authority, &target)?;
    check_origin(headers, dialect, authority, config)?;
    check_target(&target, dialect)?;
    let (offered, selected) = check_subprotocols(headers, dialect, config)?;
    let offered_deflate = check_extensions(headers, dialect)?;
    let pending = PendingRequest {
        version: Version::Rfc6455,
        numbers: None,
        legacy_close_codes: false,
        offered_deflate,
        deflate: None,
        answer: EncodedResponse::ok(),
        offered: offered.clone(),
        selected: selected.clone(),
    };
    let facts = UpgradeFacts {
        version: Version::Rfc6455,
        version_number: dialect.number(),
        offered,
        selected,
    };
    Ok((facts, pending))
}

/// Checks that the headers of an upgrade are absent, because HTTP/2 has none (RFC 9113 §8.2.2).
fn check_hop_by_hop(headers: &HeaderMap) -> Result<(), HandshakeError> {
    for name in [CONNECTION, UPGRADE, "Transfer-Encoding"] {
        if let Some(value) = headers.value(name) {
            return Err(HandshakeError::InvalidHeader {
                name,
                value: lossy(headers, name, value),
                problem: "HTTP/2 does not allow this header",
            });
        }
    }
    Ok(())
}

/// Checks the version. The versions 7 and 8 were never spoken in HTTP/2, so a number is 13 or an error.
fn check_version(headers: &HeaderMap, enabled: Versions) -> Result<(), HandshakeError> {
    const NAME: &str = "Sec-WebSocket-Version";
    let unclear = |problem| Err(HandshakeError::UnclearVersion { problem });
    let mut values = headers.get_all(NAME).iter();
    let number = match (values.next(), values.next()) {
        (None, _) => return unclear("there is no Sec-WebSocket-Version; in HTTP/2 it must be 13"),
        (Some(value), None) => rfc6455::parse_version(value.as_bytes()),
        (Some(_), Some(_)) => return unclear("Sec-WebSocket-Version appears more than once"),
    };
    match number {
        Some(NUMBER) if enabled.contains(Version::Rfc6455) => Ok(()),
        Some(7 | 8) => unclear("Sec-WebSocket-Version is 7 or 8; in HTTP/2 it must be 13"),
        Some(seen) => Err(HandshakeError::UnsupportedVersion { seen, enabled }),
        None => unclear("Sec-WebSocket-Version is not a number from 0 to 255"),
    }
}
