//! What a plain decoder finds that sees the whole stream at once, and what is to be answered.

use ws_proto::{NO_STATUS, Role, Version};

use super::endpoint::FRAGMENT_LIMIT;
use ws_testing::plain::{self, Item, Rules};

/// Decodes a stream up to its end, and says the same in short as `run` of any_chopping.rs.
pub(crate) fn decode(
    role: Role,
    version: Version,
    bytes: &[u8],
    limit: Option<usize>,
) -> Vec<String> {
    let rules = Rules {
        message_limit: limit,
        fragment_limit: Some(FRAGMENT_LIMIT),
        ..Rules::new(version, role)
    };
    let decoded = plain::decode(&rules, &[bytes.to_vec()]);
    let ends = decoded.items.last().is_some_and(Item::is_end);
    let end = match version {
        _ if ends => None,
        Version::Draft75 if decoded.at_boundary => Some("closed:1005 "),
        Version::Draft75 | Version::Draft76 | Version::Rfc6455 => Some("gone"),
    };
    let said = decoded.items.iter().map(|item| match item {
        Item::Message(true, text) => format!("text:{}", std::str::from_utf8(text).unwrap()),
        Item::Message(false, payload) => format!("binary:{}", payload.escape_ascii()),
        Item::Part(..) => unreachable!("messages are told whole"),
        Item::Ping(payload) => format!("ping:{}", payload.escape_ascii()),
        Item::Pong(payload) => format!("pong:{}", payload.escape_ascii()),
        Item::Close(code, reason) => format!("closed:{} {reason}", code.unwrap_or(NO_STATUS)),
        Item::Fail(code) => format!("failed:{code}"),
        Item::Begin | Item::Arrived(_) => unreachable!("it is not told"),
    });
    said.chain(end.map(str::to_owned)).collect()
}

/// What an endpoint sends of itself for what it is told: pongs, then its close.
pub(crate) fn answers(version: Version, said: &[String]) -> Vec<(u8, Vec<u8>)> {
    let mut answers = Vec::new();
    for event in said {
        let close = match event.split_once([':', ' ']) {
            Some(("closed", code)) => code.split_once(' ').unwrap().0.parse::<u16>().unwrap(),
            Some(("failed", code)) => code.parse().unwrap(),
            _ => continue,
        };
        let payload = match close {
            1005 => vec![],
            code => code.to_be_bytes().to_vec(),
        };
        if version == Version::Rfc6455 {
            answers.push((0x88, payload));
        }
    }
    answers
}
