//! The checks of a request head, in one order for all versions: is it an upgrade, of which version
//! (PROTOCOL.md §4), and is everything in it that the version demands. Knows no bytes and no time.

use std::str;

use http::header::{HeaderMap, HeaderValue};

use super::config::ServerConfig;
use super::hosts;
use super::response::{Accept, Answer, Choice};
use crate::deflate::DeflateTerms;
use crate::error::ConfigError;
use crate::handshake::deflate::Offered;
use crate::handshake::error::HandshakeError;
use crate::handshake::head::RequestHead;
use crate::handshake::http::authority::{Authority, target_authority};
use crate::handshake::http::extensions::{self, EXTENSIONS};
use crate::handshake::http::fields::{list, list_contains, lossy, single, single_text};
use crate::handshake::request::UpgradeRequest;
use crate::handshake::{hixie, rfc6455};
use crate::redact::Redacted;
use crate::version::{Version, Versions};

/// What is kept of a request until it is answered.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) version: Version,
    /// The numbers of a draft-76 challenge.
    pub(super) numbers: Option<[u32; 2]>,
    /// Whether the peer may use the close codes of version 7 and 8.
    pub(super) legacy_close_codes: bool,
    /// What the client offers of compression.
    offered_deflate: Option<Offered>,
    /// What is answered to that, once it is.
    pub(super) deflate: Option<DeflateTerms>,
    /// The 101 up to the subprotocol; empty once it is given out.
    answer: Answer,
    offered: Vec<Box<str>>,
    selected: Option<Box<str>>,
}

impl Pending {
    /// Completes the 101. The inner result fails a request that cannot be accepted like that; the
    /// outer one leaves it pending.
    pub(super) fn accept(
        &mut self,
        accept: Accept,
        config: &ServerConfig,
    ) -> Result<Result<Answer, HandshakeError>, ConfigError> {
        let deflate = accept_deflate(config, &accept, self.offered_deflate);
        let chosen = match accept.subprotocol {
            Choice::Policy => self.selected.as_deref(),
            Choice::Application(None) => None,
            Choice::Application(Some(name)) => {
                let offered = self
                    .offered
                    .iter()
                    .find(|offered| ***offered == *name.as_str());
                let offered = offered.ok_or_else(|| ConfigError::InvalidHeader {
                    name: PROTOCOL.to_owned(),
                    problem: "the client did not offer this subprotocol",
                });
                Some(&**offered?)
            }
        };
        let header_name = match self.version {
            Version::Rfc6455 | Version::Draft76 => PROTOCOL,
            Version::Draft75 => PROTOCOL_75,
        };
        match (chosen, self.version, self.offered.first()) {
            (Some(name), ..) => self.answer.push(header_name, name),
            (None, Version::Draft75 | Version::Draft76, Some(offered)) => {
                return Ok(Err(refused(offered)));
            }
            (None, ..) => {}
        }
        if let Some(terms) = &deflate {
            self.answer.push(EXTENSIONS, &terms.to_string());
        }
        self.deflate = deflate;
        self.answer.extend(accept.headers);
        Ok(Ok(std::mem::take(&mut self.answer)))
    }
}

/// Returns what is answered to an offer: as the application has it for this upgrade, or else as the options
/// say.
#[cfg(feature = "deflate")]
fn accept_deflate(
    config: &ServerConfig,
    accept: &Accept,
    offered: Option<Offered>,
) -> Option<DeflateTerms> {
    let options = accept.deflate.or(config.deflate.as_ref())?;
    Some(options.answer(offered?))
}

/// Declines every offer.
#[cfg(not(feature = "deflate"))]
fn accept_deflate(_: &ServerConfig, _: &Accept, _: Option<Offered>) -> Option<DeflateTerms> {
    None
}

const CONNECTION: &str = "Connection";
const DRAFT: &str = "Sec-WebSocket-Draft";
const KEY: &str = "Sec-WebSocket-Key";
const KEY1: &str = "Sec-WebSocket-Key1";
const KEY2: &str = "Sec-WebSocket-Key2";
const PROTOCOL: &str = "Sec-WebSocket-Protocol";
const PROTOCOL_75: &str = "WebSocket-Protocol";
const UPGRADE: &str = "Upgrade";
const VERSION: &str = "Sec-WebSocket-Version";

/// Tells whether a request with these headers asks for an upgrade to a WebSocket: `Upgrade` lists
/// `websocket` (RFC 6455 §4.2.1). In HTTP/1.0 that means nothing (RFC 9110 §7.8), and is to be ignored. Whether
/// a request may have an upgrade is for [`ServerHandshake`](crate::ServerHandshake) to tell.
pub fn is_upgrade(headers: &HeaderMap) -> bool {
    list_contains(headers, UPGRADE, "websocket")
}

/// What a request is that breaks no rule.
#[cfg_attr(
    feature = "deflate",
    expect(
        clippy::large_enum_variant,
        reason = "it is taken apart at once, and a box would be one more allocation for each upgrade"
    )
)]
pub(super) enum Examined {
    Upgrade(UpgradeRequest, Pending),
    /// No upgrade to a WebSocket.
    Plain(RequestHead),
}

/// Checks a request.
pub(super) fn examine(
    head: RequestHead,
    http_version: http::Version,
    config: &ServerConfig,
) -> Result<Examined, HandshakeError> {
    let headers = head.headers();
    // RFC 9110 §7.8: what HTTP/1.0 says of an upgrade is ignored. Proxies speak it that pass the header on.
    if !is_upgrade(headers) || http_version < http::Version::HTTP_11 {
        return Ok(Examined::Plain(head));
    }
    if http_version != http::Version::HTTP_11 {
        return Err(HandshakeError::HttpVersion { seen: http_version });
    }
    let (host, authority) = check_host(headers)?;
    check_connection(headers)?;
    if head.method() != http::Method::GET {
        return Err(HandshakeError::Method {
            method: head.method().clone(),
        });
    }
    let dialect = choose_dialect(headers, config.versions)?;
    let asked = checked_authority(authority, host, head.target(), dialect)?;
    check_body(headers, dialect)?;
    let proof = check_keys(headers, dialect)?;
    hosts::check(&config.hosts, config.secure, authority, head.target())?;
    let origin = check_origin(headers, dialect, asked, config)?;
    check_target(head.target(), dialect)?;
    let (offered, selected) = check_subprotocols(headers, dialect, config)?;
    let offered_deflate = check_extensions(headers, dialect)?;

    let location = hixie::location_parts(config.secure, host, head.target());
    let pending = Pending {
        version: dialect.version(),
        numbers: proof.numbers(),
        legacy_close_codes: matches!(dialect, Dialect::Rfc6455 { number: 7 | 8 }),
        offered_deflate,
        deflate: None,
        answer: begin_answer(dialect, &proof, origin, location),
        offered: offered.clone(),
        selected: selected.clone(),
    };
    let request = UpgradeRequest {
        version: dialect.version(),
        version_number: dialect.number(),
        offered,
        selected,
        head,
    };
    Ok(Examined::Upgrade(request, pending))
}

/// A version with what distinguishes its requests.
#[derive(Clone, Copy, Debug)]
enum Dialect {
    Draft75,
    Draft76,
    Rfc6455 { number: u8 },
}

impl Dialect {
    fn version(self) -> Version {
        match self {
            Self::Draft75 => Version::Draft75,
            Self::Draft76 => Version::Draft76,
            Self::Rfc6455 { .. } => Version::Rfc6455,
        }
    }

    fn number(self) -> Option<u8> {
        match self {
            Self::Draft75 | Self::Draft76 => None,
            Self::Rfc6455 { number } => Some(number),
        }
    }
}

/// What shows that the server read the request as a WebSocket request.
enum Proof {
    None,
    Numbers([u32; 2]),
    Accept(rfc6455::Accept),
}

impl Proof {
    fn numbers(&self) -> Option<[u32; 2]> {
        match self {
            Self::Numbers(numbers) => Some(*numbers),
            Self::None | Self::Accept(_) => None,
        }
    }
}

fn check_host(headers: &HeaderMap) -> Result<(&str, Authority<'_>), HandshakeError> {
    const NAME: &str = "Host";
    let host = single_text(headers, NAME)?.ok_or(HandshakeError::MissingHeader { name: NAME })?;
    let authority = Authority::parse_uri(host).map_err(|problem| invalid_host(host, problem))?;
    Ok((host, authority))
}

fn invalid_host(host: &str, problem: &'static str) -> HandshakeError {
    HandshakeError::InvalidHeader {
        name: "Host",
        value: host.into(),
        problem,
    }
}

/// Returns what an origin is compared with: the authority of the target if that is a whole URI, which goes
/// before the `Host` (RFC 9112 §3.2.2). The drafts copy the `Host`, so there it is read to the letter.
fn checked_authority<'a>(
    authority: Authority<'a>,
    host: &'a str,
    target: &'a str,
    dialect: Dialect,
) -> Result<Authority<'a>, HandshakeError> {
    match dialect {
        Dialect::Draft75 | Dialect::Draft76 => {
            Authority::parse(host).map_err(|problem| invalid_host(host, problem))
        }
        Dialect::Rfc6455 { .. } => {
            // One that is malformed is refused where the target is looked at.
            let named = target_authority(target).map(Authority::parse_uri);
            Ok(named.and_then(Result::ok).unwrap_or(authority))
        }
    }
}

fn check_connection(headers: &HeaderMap) -> Result<(), HandshakeError> {
    if list_contains(headers, CONNECTION, "upgrade") {
        return Ok(());
    }
    let value = headers
        .get(CONNECTION)
        .ok_or(HandshakeError::MissingHeader { name: CONNECTION })?;
    let (name, value) = (CONNECTION, lossy(value));
    Err(HandshakeError::InvalidHeader {
        name,
        value,
        problem: "it lacks the token upgrade",
    })
}

/// Chooses the version: the rows of PROTOCOL.md §4, in their order.
fn choose_dialect(headers: &HeaderMap, enabled: Versions) -> Result<Dialect, HandshakeError> {
    let count = |name| headers.get_all(name).iter().count();
    let unclear = |problem| Err(HandshakeError::UnclearVersion { problem });
    let drafted = |version, dialect| match enabled.contains(version) {
        true => Ok(dialect),
        false => Err(HandshakeError::DisabledVersion { version, enabled }),
    };
    if let Some(value) = headers.get(VERSION) {
        let number = match (count(VERSION), rfc6455::parse_version(value.as_bytes())) {
            (1, Some(number)) => number,
            (1, None) => return unclear("Sec-WebSocket-Version is not a number from 0 to 255"),
            (_, _) => return unclear("Sec-WebSocket-Version is there more than once"),
        };
        return match number {
            13 | 8 | 7 if enabled.contains(Version::Rfc6455) => Ok(Dialect::Rfc6455 { number }),
            seen => Err(HandshakeError::UnsupportedVersion { seen, enabled }),
        };
    }
    if headers.contains_key(KEY) {
        return unclear("there is a Sec-WebSocket-Key, but no Sec-WebSocket-Version");
    }
    let is_draft_0 = headers.get(DRAFT).is_none_or(|draft| draft == "0") && count(DRAFT) < 2;
    match (count(KEY1), count(KEY2)) {
        (1, 1) if is_draft_0 => drafted(Version::Draft76, Dialect::Draft76),
        (1, 1) => unclear("it is a draft after draft-76, but before version 7"),
        (0, 0) if headers.contains_key(DRAFT) => {
            unclear("there is a Sec-WebSocket-Draft, but no Sec-WebSocket-Key1 and -Key2")
        }
        (0, 0) if is_draft75(headers) => drafted(Version::Draft75, Dialect::Draft75),
        (0, 0) => Err(HandshakeError::NoVersion { enabled }),
        (_, _) => unclear("Sec-WebSocket-Key1 and -Key2 are not there once each"),
    }
}

/// Tells whether a request that has nothing of a later version has what each of draft-75 has: an origin, and
/// the one `Upgrade: WebSocket`, in these letters. Clients of RFC 6455 write `websocket`, and there are
/// gateways that drop all other headers of theirs: what such a client then sends are no frames of draft-75.
fn is_draft75(headers: &HeaderMap) -> bool {
    let mut upgrade = headers.get_all(UPGRADE).iter();
    let is_exact = upgrade.next().is_some_and(|value| value == "WebSocket");
    is_exact && upgrade.next().is_none() && headers.contains_key("Origin")
}

/// X13: no body but the eight bytes of draft-76, which some clients announce.
fn check_body(headers: &HeaderMap, dialect: Dialect) -> Result<(), HandshakeError> {
    let length = single(headers, "Content-Length")?.map(HeaderValue::as_bytes);
    let is_allowed = match (length, dialect) {
        (None | Some(b"0"), _) | (Some(b"8"), Dialect::Draft76) => true,
        // RFC 9110 §8.6: any number of digits.
        (Some(digits), Dialect::Rfc6455 { .. }) => {
            !digits.is_empty() && digits.iter().all(|digit| *digit == b'0')
        }
        (Some(_), Dialect::Draft75 | Dialect::Draft76) => false,
    };
    match is_allowed && !headers.contains_key("Transfer-Encoding") {
        true => Ok(()),
        false => Err(HandshakeError::Body),
    }
}

fn check_keys(headers: &HeaderMap, dialect: Dialect) -> Result<Proof, HandshakeError> {
    let key = |name| {
        let value = single(headers, name)?.ok_or(HandshakeError::MissingHeader { name })?;
        Ok(value.as_bytes())
    };
    let number = |name| {
        hixie::key_number(key(name)?)
            .map_err(|problem| HandshakeError::InvalidKey { name, problem })
    };
    match dialect {
        Dialect::Draft75 => Ok(Proof::None),
        Dialect::Draft76 => Ok(Proof::Numbers([number(KEY1)?, number(KEY2)?])),
        Dialect::Rfc6455 { .. } => match key(KEY)? {
            key if rfc6455::is_key(key) => Ok(Proof::Accept(rfc6455::accept_hash(key))),
            _ => Err(HandshakeError::InvalidKey {
                name: KEY,
                problem: "it is not base64 of 16 bytes",
            }),
        },
    }
}

fn check_origin<'a>(
    headers: &'a HeaderMap,
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
        // It is copied nowhere, so what is no origin is an origin that no list has (RFC 9110 §5.5).
        return match origin.map(|origin| String::from_utf8_lossy(origin.as_bytes())) {
            Some(origin) if !is_allowed(&origin) => Err(refused(&origin)),
            Some(_) | None => Ok(None),
        };
    }
    match single_text(headers, "Origin")? {
        Some(origin) if is_allowed(origin) => Ok(Some(origin)),
        Some(origin) => Err(refused(origin)),
        None if matches!(dialect, Dialect::Draft76) && config.require_origin => {
            Err(HandshakeError::MissingOrigin)
        }
        None => Ok(None),
    }
}

fn check_target(target: &str, dialect: Dialect) -> Result<(), HandshakeError> {
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

type Subprotocols = (Vec<Box<str>>, Option<Box<str>>);

fn check_subprotocols(
    headers: &HeaderMap,
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
            rfc6455::check_subprotocols(list(headers, PROTOCOL)).map_err(|problem| {
                let value = headers.get(PROTOCOL).map_or_else(|| "".into(), lossy);
                HandshakeError::InvalidHeader {
                    name: PROTOCOL,
                    value,
                    problem,
                }
            })?
        }
    };
    let mut supported = config.subprotocols.iter().map(|name| name.as_str());
    let selected = supported.find(|name| offered.iter().any(|offered| **offered == **name));
    match (selected, dialect, offered.first()) {
        (None, Dialect::Draft75 | Dialect::Draft76, Some(offered))
            if !config.subprotocols.is_empty() =>
        {
            Err(refused(offered))
        }
        (_, _, _) => Ok((offered, selected.map(Into::into))),
    }
}

/// P-S7; then whether compression is offered.
fn check_extensions(
    headers: &HeaderMap,
    dialect: Dialect,
) -> Result<Option<Offered>, HandshakeError> {
    let Dialect::Rfc6455 { .. } = dialect else {
        return Ok(None);
    };
    for line in headers.get_all(EXTENSIONS) {
        extensions::read(line.as_bytes(), |_| ()).map_err(|problem| {
            HandshakeError::InvalidHeader {
                name: EXTENSIONS,
                value: lossy(line),
                problem,
            }
        })?;
    }
    Ok(Offered::of(headers))
}

fn begin_answer(
    dialect: Dialect,
    proof: &Proof,
    origin: Option<&str>,
    location: [&str; 3],
) -> Answer {
    let (mut answer, origin_name, location_name) = match dialect {
        Dialect::Rfc6455 { .. } => {
            let mut answer = Answer::switching("Switching Protocols", "websocket");
            if let Proof::Accept(accept) = proof {
                let accept = str::from_utf8(accept).expect("base64 is ASCII");
                answer.push("Sec-WebSocket-Accept", accept);
            }
            return answer;
        }
        Dialect::Draft76 => (
            Answer::switching("WebSocket Protocol Handshake", "WebSocket"),
            "Sec-WebSocket-Origin",
            "Sec-WebSocket-Location",
        ),
        Dialect::Draft75 => (
            Answer::switching("Web Socket Protocol Handshake", "WebSocket"),
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

fn refused(offered: &str) -> HandshakeError {
    HandshakeError::SubprotocolRefused {
        offered: Redacted::secret(offered),
    }
}
