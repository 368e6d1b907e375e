//! Detects the version of a request by the table in PROTOCOL.md §4. This file knows only the headers that decide.

use crate::handshake::error::HandshakeError;
use crate::handshake::http::fields::Fields;
use crate::handshake::rfc6455;
use crate::version::{Version, Versions};

/// A version, and for RFC 6455 the number that the request states.
#[derive(Clone, Copy, Debug)]
pub(super) enum Dialect {
    Draft75,
    Draft76,
    Rfc6455 { number: u8 },
}

impl Dialect {
    pub(super) fn version(self) -> Version {
        match self {
            Self::Draft75 => Version::Draft75,
            Self::Draft76 => Version::Draft76,
            Self::Rfc6455 { .. } => Version::Rfc6455,
        }
    }

    pub(super) fn number(self) -> Option<u8> {
        match self {
            Self::Draft75 | Self::Draft76 => None,
            Self::Rfc6455 { number } => Some(number),
        }
    }
}

const DRAFT: &str = "Sec-WebSocket-Draft";
pub(super) const KEY: &str = "Sec-WebSocket-Key";
pub(super) const KEY1: &str = "Sec-WebSocket-Key1";
pub(super) const KEY2: &str = "Sec-WebSocket-Key2";
pub(super) const UPGRADE: &str = "Upgrade";
const VERSION: &str = "Sec-WebSocket-Version";

/// Detects the version. The code follows the rows of PROTOCOL.md §4 in their order.
pub(super) fn choose_dialect(
    headers: &(impl Fields + ?Sized),
    enabled: Versions,
) -> Result<Dialect, HandshakeError> {
    let count = |name| headers.values(name).count();
    let unclear = |problem| Err(HandshakeError::UnclearVersion { problem });
    let if_enabled = |dialect: Dialect| {
        let version = dialect.version();
        if enabled.contains(version) {
            Ok(dialect)
        } else {
            Err(HandshakeError::DisabledVersion { version, enabled })
        }
    };
    // First: only RFC 6455 has this header, so a request with it is never one of a draft, whatever else it has.
    if let Some(value) = headers.value(VERSION) {
        let number = match (count(VERSION), rfc6455::parse_version(value)) {
            (1, Some(number)) => number,
            (1, None) => return unclear("Sec-WebSocket-Version is not a number from 0 to 255"),
            (_, _) => return unclear("Sec-WebSocket-Version appears more than once"),
        };
        return match number {
            13 | 8 | 7 if enabled.contains(Version::Rfc6455) => Ok(Dialect::Rfc6455 { number }),
            seen => Err(HandshakeError::UnsupportedVersion { seen, enabled }),
        };
    }
    // A client of RFC 6455 whose version was lost must not be served as one of a draft.
    if headers.has(KEY) {
        return unclear("there is a Sec-WebSocket-Key, but no Sec-WebSocket-Version");
    }
    // The drafts between draft-76 and version 7 number themselves here; 0 is draft-76 under its later name.
    let is_draft_0 = headers.value(DRAFT).is_none_or(|draft| draft == b"0") && count(DRAFT) < 2;
    match (count(KEY1), count(KEY2)) {
        (1, 1) if is_draft_0 => if_enabled(Dialect::Draft76),
        (1, 1) => unclear("it is a draft after draft-76, but before version 7"),
        (0, 0) if headers.has(DRAFT) => {
            unclear("there is a Sec-WebSocket-Draft, but no Sec-WebSocket-Key1 and -Key2")
        }
        (0, 0) if is_draft75(headers) => if_enabled(Dialect::Draft75),
        (0, 0) => Err(HandshakeError::NoVersion { enabled }),
        (_, _) => unclear("Sec-WebSocket-Key1 and -Key2 do not appear once each"),
    }
}

/// Tells whether a request without a header of a later version is one of draft-75: it has an origin and exactly one
/// `Upgrade: WebSocket`, in these letters.
fn is_draft75(headers: &(impl Fields + ?Sized)) -> bool {
    // Without the exact case some requests of RFC 6455 would match, since their clients write `websocket` and some
    // gateways drop the other headers. Such a client would then send frames that are not those of draft-75.
    let mut upgrade = headers.values(UPGRADE);
    let is_exact = upgrade.next().is_some_and(|value| value == b"WebSocket");
    is_exact && upgrade.next().is_none() && headers.has("Origin")
}
