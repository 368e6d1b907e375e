//! Gives a request to `ws_proto` and compares the answer with the model's decision.

use std::time::Instant;

use bytes::Buf;
use ws_proto::{
    Accept, HandshakeEvent, OriginPolicy, Request, ServerConfig, ServerHandshake, Version, Versions,
};

use super::decision::{ACCEPTS, Head, KEYS, Outcome, Policy, decide, in_order, trim};

/// What comes behind a head: key3 of the draft-76 vector A1, or what is kept for the connection.
pub const BEHIND: &[u8] = b"^n:ds[4U";

/// What a server answers to the keys and key3 of A1.
const CHALLENGE_RESPONSE: &[u8] = b"8jKS'y:G*Co,Wxa-";

const OUR_VERSIONS: &str = "Sec-WebSocket-Version: 13, 8, 7";

/// Gives a request to the code under test, in reads of these lengths, over and over; says where it
/// differs from the model.
pub fn compare(head: &Head, policy: &Policy, read_lens: &[usize]) -> Result<(), String> {
    let expected = decide(head, policy);
    let bytes = [&head.bytes(), BEHIND].concat();
    let seen = observe(policy, &bytes, read_lens, is_a1(head))?;
    let is_same = match (&expected, &seen) {
        (
            Outcome::Refused {
                status,
                lists_versions: None,
            },
            Outcome::Refused { status: seen, .. },
        ) => status == seen,
        (expected, seen) => expected == seen,
    };
    if is_same {
        Ok(())
    } else {
        Err(format!(
            "the model says {expected:#?}\nws_proto says {seen:#?}"
        ))
    }
}

/// What the code under test makes of these bytes.
fn observe(
    policy: &Policy,
    bytes: &[u8],
    read_lens: &[usize],
    is_a1: bool,
) -> Result<Outcome, String> {
    let now = Instant::now();
    let mut handshake = ServerHandshake::new(&config(policy), now);
    let (mut outcome, mut accepted) = (None, None);
    let mut rest = bytes;
    let mut written = Vec::new();
    for len in read_lens.iter().cycle() {
        let (read, left) = rest.split_at((*len).clamp(1, rest.len()));
        rest = left;
        handshake.handle_read(now, read);
        while let Some(event) = handshake.poll_event() {
            match event {
                HandshakeEvent::Request(Request::Http) => outcome = Some(Outcome::Http),
                HandshakeEvent::Request(Request::Upgrade(request)) => {
                    accepted = Some((request.version(), request.version_number()));
                    handshake.accept(Accept::new()).unwrap();
                }
                HandshakeEvent::Failed(_) => accepted = None,
                HandshakeEvent::Open => {}
                other => return Err(format!("unexpected event {other:?}")),
            }
        }
        let outgoing = handshake.outgoing();
        let len = outgoing.remaining();
        written.extend(outgoing.copy_to_bytes(len));
        if rest.is_empty() {
            break;
        }
    }
    if let Some(outcome) = outcome {
        let is_whole = written.is_empty() && handshake.into_received() == bytes;
        return is_whole
            .then_some(outcome)
            .ok_or("HTTP does not get what was read".to_owned());
    }
    let end = written.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.ok_or_else(|| format!("no head was written: {}", written.escape_ascii()))?;
    let text = String::from_utf8(written[..end].to_vec()).map_err(|error| error.to_string())?;
    let mut lines: Vec<String> = text.split("\r\n").map(str::to_owned).collect();
    let Some((version, number)) = accepted else {
        let status = lines[0][9..12].parse().map_err(|_| lines[0].clone())?;
        let lists_versions = Some(lines.iter().any(|line| line == OUR_VERSIONS));
        let allows = lines.iter().any(|line| line == "Allow: GET");
        let upgrades = lines.iter().any(|line| line == "Upgrade: websocket");
        // R-H1, R-H5.
        if allows != (status == 405) || upgrades != (status == 426) || !handshake.is_finished() {
            return Err(text);
        }
        return Ok(Outcome::Refused {
            status,
            lists_versions,
        });
    };
    let behind = &written[end + 4..];
    let is_right = match version {
        Version::Draft76 if is_a1 => behind == CHALLENGE_RESPONSE,
        Version::Draft76 => behind.len() == CHALLENGE_RESPONSE.len(),
        Version::Draft75 | Version::Rfc6455 => behind.is_empty(),
    };
    if !is_right || handshake.into_connection(now).version() != version {
        return Err(format!(
            "behind the answer of {version}: {}",
            behind.escape_ascii()
        ));
    }
    for line in &mut lines {
        if let Some(accept) = line.strip_prefix("Sec-WebSocket-Accept: ") {
            if !ACCEPTS.iter().any(|(_, vector)| *vector == accept) {
                *line = "Sec-WebSocket-Accept: unknown".to_owned();
            }
        }
    }
    let lines = in_order(version, lines);
    Ok(Outcome::Accepted {
        version,
        number,
        lines,
    })
}

fn config(policy: &Policy) -> ServerConfig {
    let versions = Version::ALL.into_iter().zip(policy.enabled);
    let origins = if policy.checks_origin {
        OriginPolicy::list(["http://example.com"]).unwrap()
    } else {
        OriginPolicy::Any
    };
    let subprotocols: Vec<_> = policy
        .subprotocols
        .iter()
        .map(|name| name.parse().unwrap())
        .collect();
    ServerConfig::new()
        .versions(
            versions
                .filter(|(_, enabled)| *enabled)
                .map(|(version, _)| version)
                .collect::<Versions>(),
        )
        .origins(origins)
        .require_origin(policy.require_origin)
        .secure(policy.secure)
        .subprotocols(subprotocols)
        .header_limit(policy.header_limit)
}

/// Whether its keys are those of the vector whose response is known.
fn is_a1(head: &Head) -> bool {
    let has = |name: &str, key: &str| {
        let mut lines = head.lines.iter();
        lines.any(|(seen, value)| seen.eq_ignore_ascii_case(name) && trim(value) == key)
    };
    has("Sec-WebSocket-Key1", KEYS[0]) && has("Sec-WebSocket-Key2", KEYS[1])
}
