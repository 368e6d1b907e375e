//! Open connections: what the bytes say does not depend on how they are cut, queues are bounded, and
//! every connection comes to its end.

use std::time::{Duration, Instant};

use arbitrary::{Result, Unstructured};
use ws_proto::{
    Connection, ConnectionConfig, InvalidText, Rate, RateExcess, RateLimit, Role, State, Version,
};

use crate::chop::chop;
use crate::memory::bounded;
use crate::merge::Merge;
use crate::wire;
use ws_testing::connections::{connect, describe, events, told, written};

/// So short that pongs for all of it fit their limit: then none is left out, whatever the reads.
const INPUT_LIMIT: usize = 4096;

/// The bytes of pongs that may wait when the peer does not read (16 KiB), the last of them, and a close.
const OUTGOING_LIMIT: usize = (16 << 10) + 131 + 131;

/// Choices: version, role, limits, tolerance, fragments, whether the rest is choices, too, step.
pub(crate) fn read(u: &mut Unstructured<'_>, versions: &[Version]) -> Result<()> {
    let version = *u.choose(versions)?;
    let role = *u.choose(&[Role::Server, Role::Client])?;
    let mut config = ConnectionConfig::new().control_events(true);
    if u.arbitrary()? {
        config = config
            .message_limit(64)
            .frame_limit(48)
            .fragment_limit(3)
            .close_timeout(Duration::from_secs(1))
            // A stream of a few dozen frames reaches it. No time passes, so nothing comes back.
            .receive_rate_limit(
                RateLimit::new()
                    .messages(Rate::per_second(30))
                    .bytes(Rate::per_second(1000))
                    .excess(RateExcess::Close),
            );
    }
    if u.arbitrary()? {
        config = config
            .replace_invalid_utf8(true)
            .skip_unknown_frames(true)
            .accept_wrong_masking(true)
            .accept_padded_lengths(true)
            .invalid_text(InvalidText::Binary);
    }
    config = config.receive_fragments(u.arbitrary::<bool>()?);
    let is_built = u.arbitrary()?;
    let step = u.arbitrary()?;
    let bytes = if is_built {
        &wire::stream(u, role, version, INPUT_LIMIT)?
    } else {
        u.bytes(u.len().min(INPUT_LIMIT))?
    };
    let len = bytes.len();

    let now = Instant::now();
    let open = || connect(role, version, config.clone(), now);
    let whole = bounded(len, || observe(open(), now, &[bytes]));
    let chopped = bounded(len, || observe(open(), now, &chop(bytes, step)));
    assert_eq!(whole, chopped, "reads of {step}");
    flood(open(), now, bytes);
    Ok(())
}

/// What a connection says and writes, to its end.
fn observe(mut connection: Connection, now: Instant, reads: &[&[u8]]) -> (Vec<String>, String) {
    let (mut told, mut bytes) = (Vec::new(), Vec::new());
    let mut merge = Merge::default();
    let mut take = |connection: &mut Connection| {
        for event in events(connection, now) {
            told.extend(merge.whole(event).as_ref().map(describe));
        }
    };
    for read in reads {
        connection.handle_read(now, read);
        take(&mut connection);
        bytes.extend(written(&mut connection));
    }
    connection.handle_eof(now);
    take(&mut connection);
    bytes.extend(written(&mut connection));
    let ends = told.iter().filter(|event| event.starts_with("closed:"));
    assert_eq!(ends.count(), 1, "a connection ends once: {told:?}");
    assert!(
        told.last().is_some_and(|last| last.starts_with("closed:")),
        "nothing follows the end: {told:?}"
    );
    assert!(connection.closed().is_some());
    finish(connection, now);
    (told, bytes.escape_ascii().to_string())
}

/// The same bytes again and again, to a connection whose user takes nothing and whose peer reads
/// nothing.
fn flood(mut connection: Connection, now: Instant, bytes: &[u8]) {
    let mut fed = 0;
    for _ in 0..16 {
        if !connection.wants_read() {
            break;
        }
        connection.handle_read(now, bytes);
        fed += bytes.len();
        assert!(
            connection.buffered_amount() <= OUTGOING_LIMIT,
            "{} bytes wait to be written",
            connection.buffered_amount()
        );
        // Two bytes can make an event, which counts its own size.
        let queued_limit = fed * (1 + size_of::<ws_proto::Event>());
        assert!(connection.queued_len() <= queued_limit);
    }
    connection.handle_reset(now);
    assert_eq!(connection.buffered_amount(), 0);
    told(&mut connection, now);
    finish(connection, now);
}

/// Time alone ends a connection whose stream has ended.
fn finish(mut connection: Connection, now: Instant) {
    let mut now = now;
    for _ in 0..4 {
        if connection.is_finished() {
            assert_eq!(connection.state(), State::Closed);
            return;
        }
        now += Duration::from_secs(60);
        connection.handle_timeout(now);
        told(&mut connection, now);
        written(&mut connection);
    }
    panic!("it does not come to an end: {connection:?}");
}
