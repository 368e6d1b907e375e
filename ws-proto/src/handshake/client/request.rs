//! The request of a client for each version, and the values that the response must have. This file reads no
//! responses.

use std::borrow::Cow;

use super::config::ClientConfig;
use super::response_check::ExpectedHeaders;
use super::url::ClientUrl;
use crate::error::ConfigError;
use crate::handshake::http::extensions::EXTENSIONS;
use crate::handshake::http::header::{Header, push_header};
use crate::handshake::{hixie, rfc6455};
use crate::randomness::Randomness;
use crate::version::Version;

/// A request, and what the response must contain.
pub(super) struct ClientRequest {
    pub(super) bytes: Vec<u8>,
    pub(super) expected: ExpectedHeaders,
    pub(super) challenge_response: Option<[u8; hixie::RESPONSE_LEN]>,
}

/// Makes the request of RFC 6455 (R-C3).
pub(super) fn rfc6455_request(
    url: &ClientUrl,
    config: &ClientConfig,
    randomness: &mut dyn Randomness,
) -> ClientRequest {
    let key = rfc6455::generate_key(randomness);
    let subprotocols: Vec<_> = config
        .subprotocols
        .iter()
        .map(|name| name.as_str())
        .collect();
    let mut bytes = begin_request(url);
    push_header(&mut bytes, "Host", authority(url, config).as_bytes());
    push_header(&mut bytes, "Upgrade", b"websocket");
    push_header(&mut bytes, "Connection", b"Upgrade");
    push_header(&mut bytes, "Sec-WebSocket-Key", key.as_bytes());
    push_header(&mut bytes, "Sec-WebSocket-Version", b"13");
    if let Some(origin) = &config.origin {
        push_header(&mut bytes, "Origin", origin.as_str().as_bytes());
    }
    // An empty value would be malformed: the list of RFC 6455 §4.1 has at least one element.
    if !subprotocols.is_empty() {
        push_header(
            &mut bytes,
            "Sec-WebSocket-Protocol",
            subprotocols.join(", ").as_bytes(),
        );
    }
    if let Some(offer) = config.offer().header() {
        push_header(&mut bytes, EXTENSIONS, offer.as_bytes());
    }
    end_request(&mut bytes, url, config);
    let accept = rfc6455::accept_hash(key.as_bytes());
    let accept = String::from_utf8_lossy(&accept).into_owned();
    ClientRequest {
        bytes,
        expected: ExpectedHeaders::Rfc6455 { accept },
        challenge_response: None,
    }
}

/// Makes the request of draft-76 (§4.1), in which the order of the headers is free.
pub(super) fn draft76_request(
    url: &ClientUrl,
    config: &ClientConfig,
    randomness: &mut dyn Randomness,
) -> ClientRequest {
    let authority = authority(url, config);
    let origin = draft_origin(url, &authority, config);
    let keys = [
        hixie::Key::generate(randomness),
        hixie::Key::generate(randomness),
    ];
    let mut key3 = [0; hixie::KEY3_LEN];
    randomness.fill(&mut key3);
    let mut bytes = begin_draft_request(url, &authority, &origin);
    if let Some(subprotocol) = config.subprotocols.first() {
        push_header(
            &mut bytes,
            "Sec-WebSocket-Protocol",
            subprotocol.as_str().as_bytes(),
        );
    }
    push_header(&mut bytes, "Sec-WebSocket-Key1", keys[0].text.as_bytes());
    push_header(&mut bytes, "Sec-WebSocket-Key2", keys[1].text.as_bytes());
    end_request(&mut bytes, url, config);
    // Behind the empty line and without a Content-Length (draft-76 §4.1).
    bytes.extend_from_slice(&key3);
    let response = hixie::challenge_response(keys.map(|key| key.number), &key3);
    let expected = ExpectedHeaders::Draft76 {
        origin,
        location: url.location(&authority),
    };
    ClientRequest {
        bytes,
        expected,
        challenge_response: Some(response),
    }
}

/// Makes the request of draft-75 (§4.1), in which the order of the headers is fixed.
pub(super) fn draft75_request(url: &ClientUrl, config: &ClientConfig) -> ClientRequest {
    let authority = authority(url, config);
    let origin = draft_origin(url, &authority, config);
    let mut bytes = begin_draft_request(url, &authority, &origin);
    // `check_offered_subprotocols` made sure that there is no second one.
    if let Some(subprotocol) = config.subprotocols.first() {
        push_header(
            &mut bytes,
            "WebSocket-Protocol",
            subprotocol.as_str().as_bytes(),
        );
    }
    end_request(&mut bytes, url, config);
    let expected = ExpectedHeaders::Draft75 {
        origin,
        location: url.location(&authority),
    };
    ClientRequest {
        bytes,
        expected,
        challenge_response: None,
    }
}

/// Returns the value of the `Host` header.
fn authority<'a>(url: &'a ClientUrl, config: &ClientConfig) -> Cow<'a, str> {
    match &config.host {
        Some(host) => host.authority(url.scheme()).into(),
        None => url.authority().into(),
    }
}

/// Returns the origin of a request of a draft, which must have one: by default that of the server.
fn draft_origin(url: &ClientUrl, authority: &str, config: &ClientConfig) -> String {
    config
        .origin
        .as_ref()
        .map_or_else(|| url.own_origin(authority), ToString::to_string)
}

fn begin_request(url: &ClientUrl) -> Vec<u8> {
    format!("GET {} HTTP/1.1\r\n", url.resource()).into_bytes()
}

fn begin_draft_request(url: &ClientUrl, authority: &str, origin: &str) -> Vec<u8> {
    let mut bytes = begin_request(url);
    push_header(&mut bytes, "Upgrade", b"WebSocket");
    push_header(&mut bytes, "Connection", b"Upgrade");
    push_header(&mut bytes, "Host", authority.as_bytes());
    push_header(&mut bytes, "Origin", origin.as_bytes());
    bytes
}

fn end_request(bytes: &mut Vec<u8>, url: &ClientUrl, config: &ClientConfig) {
    // Behind all others, because draft-75 fixes the order of its headers.
    if let Some(authorization) = url.authorization() {
        // What the application sets for one request says more than a URL, which can come from a configuration. Two
        // such headers would be malformed (RFC 9110 §11.6.2).
        let is_set = |(name, _): &Header| name.eq_ignore_ascii_case("Authorization");
        if !config.headers.iter().any(is_set) {
            push_header(bytes, "Authorization", authorization.as_bytes());
        }
    }
    for (name, value) in &config.headers {
        push_header(bytes, name, value.as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
}

/// Checks that no subprotocol is offered twice and that a draft, which has no list, offers at most one (R-C5).
pub(super) fn check_offered_subprotocols(config: &ClientConfig) -> Result<(), ConfigError> {
    let invalid = |problem| {
        let name = "Sec-WebSocket-Protocol".to_owned();
        Err(ConfigError::InvalidHeader { name, problem })
    };
    let names = config.subprotocols.iter().map(|name| name.as_str());
    if rfc6455::parse_subprotocols(names).is_err() {
        return invalid("a subprotocol is offered twice");
    }
    match config.version {
        Version::Draft75 | Version::Draft76 if config.subprotocols.len() > 1 => {
            invalid("a draft can offer one subprotocol")
        }
        Version::Draft75 | Version::Draft76 | Version::Rfc6455 => Ok(()),
    }
}
