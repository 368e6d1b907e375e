//! Opening handshakes: a head costs a few times its limit at most, however it comes, and every byte
//! of it is looked at once.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, BytesMut};
use ws_proto::hooks::{PackedEvent, poll_packed_event};
use ws_proto::{
    Accept, ClientConfig, ClientHandshake, HandshakeError, HandshakeEvent, Request, ServerConfig,
    ServerHandshake,
};

use super::LITTLE;
use crate::meter::Meter;
use ws_testing::handshake::{ACCEPT_LINE, DRAFT75, DRAFT76, RFC6455, client, rfc6455_answer, with};

/// The head limit that is the default on both sides.
const HEAD_LIMIT: usize = 16 << 10;

/// What a handshake may hold: what was received, in a buffer that doubles; one copy that all header
/// values share; a table of at most 100 headers, with the names that are not standard.
const HEAD_BOUND: usize = 4 * HEAD_LIMIT + (32 << 10);

/// The same while a buffer grows: the old one is there, too.
const HEAD_PEAK: usize = HEAD_BOUND + 2 * HEAD_LIMIT;

/// Proves that a head that comes byte by byte, up to its limit and over it, with one line as long as
/// it gets or 100 lines, costs a few times the limit, is copied a few times at most, and that nothing
/// is held once it is refused (X12).
#[test]
fn a_head_byte_by_byte_costs_a_few_times_its_limit() {
    let now = Instant::now();
    let padded = |len: usize, line_len: usize| {
        let mut lines = String::new();
        // A line has nine bytes besides its value.
        while let Some(room) = len.checked_sub(RFC6455.len() + lines.len() + 9) {
            lines += &format!(
                "X-{:03}: {}\r\n",
                room % 1000,
                "a".repeat(room.min(line_len))
            );
        }
        with(RFC6455, "X-None", &lines)
    };
    let ends = "it is opened, or refused for a limit";
    for (name, head, is_over) in [
        ("one line", padded(HEAD_LIMIT, HEAD_LIMIT), false),
        ("one line, over", padded(HEAD_LIMIT + 100, HEAD_LIMIT), true),
        ("90 lines", padded(HEAD_LIMIT, 170), false),
        ("91 lines, over", padded(HEAD_LIMIT + 100, 170), true),
        (
            "no end",
            "GET / HTTP/1.1\r\nA: ".to_owned() + &"a".repeat(100_000),
            true,
        ),
        (
            "100000 lines",
            "GET / HTTP/1.1\r\n".to_owned() + &"A:\r\n".repeat(100_000),
            true,
        ),
        (
            "100000 targets",
            "GET /".to_owned() + &"?".repeat(100_000),
            true,
        ),
    ] {
        for step in [1, 1000, usize::MAX] {
            let mut meter = Meter::default();
            let mut handshake = meter.run(|| ServerHandshake::new(&ServerConfig::new(), now));
            let mut last = None;
            for part in head.as_bytes().chunks(step) {
                // As long as it wants more; in one read all of it comes.
                if handshake.wants_read() {
                    meter.run(|| handshake.handle_read(now, part));
                    last = meter.run(|| handshake.poll_event()).or(last);
                }
            }
            meter.print(&format!("{name} in steps of {step}"));
            let read = if step == 1 { 0 } else { step.min(head.len()) };
            assert!(meter.peak() <= HEAD_PEAK + 2 * read, "{name} {step}");
            assert!(meter.total() <= 2 * HEAD_PEAK + 2 * read, "{name} {step}");
            match (&last, is_over) {
                (Some(HandshakeEvent::Request(Request::Upgrade(_))), false) => {}
                (
                    Some(HandshakeEvent::Failed(
                        HandshakeError::HeadTooLarge { .. } | HandshakeError::TooManyHeaders { .. },
                    )),
                    true,
                ) => assert!(meter.held() < LITTLE, "{name}: {} are kept", meter.held()),
                other => panic!("{name} {step}: not {ends}: {other:?}"),
            }
        }
    }
}

/// Proves what an upgrade costs in allocations, stage by stage: reading it, making the map of its headers if somebody
/// asks for it, and answering it and becoming a connection.
#[test]
fn an_upgrade_costs_few_allocations() {
    let now = Instant::now();
    let config = Arc::new(ServerConfig::new());
    let plain = with(RFC6455, "Sec-WebSocket-Protocol", "");
    let browser = with(
        &plain,
        "X-None",
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: */*\r\nAccept-Language: de,en\r\n\
         Accept-Encoding: gzip\r\nSec-Fetch-Dest: websocket\r\nSec-Fetch-Mode: websocket\r\n\
         Sec-Fetch-Site: same-site\r\nPragma: no-cache\r\nCache-Control: no-cache\r\nCookie: a=b",
    );
    let draft75 = with(DRAFT75, "WebSocket-Protocol", "");
    let draft76 = with(DRAFT76, "Sec-WebSocket-Protocol", "");
    for (name, head, key3, bounds) in [
        // Bytes and the answer; table, the table's index, the shared bytes; the queue that the answer waits in, which
        // is apart from the connection, as one at rest has none.
        ("rfc6455", &plain, &b""[..], [2, 3, 1]),
        // Besides, names that the table does not know: of Sec-Fetch, and of the keys of draft-76.
        ("of a browser", &browser, b"", [2, 6, 1]),
        ("draft-75", &draft75, b"", [2, 3, 1]),
        ("draft-76", &draft76, b"^n:ds[4U", [2, 5, 1]),
    ] {
        let [mut reading, mut unpacking, mut opening] = [(); 3].map(|()| Meter::default());
        let mut handshake = reading.run(|| ServerHandshake::shared(Arc::clone(&config), now));
        reading.run(|| handshake.handle_read(now, head.as_bytes()));
        let packed = reading.run(|| match poll_packed_event(&mut handshake) {
            Some(PackedEvent::Upgrade(request)) => request,
            other => panic!("not an upgrade: {other:?}"),
        });
        let request = unpacking.run(|| packed.unpack());
        opening.run(|| handshake.accept(Accept::new()).unwrap());
        handshake.handle_read(now, key3);
        let open = opening.run(|| handshake.poll_event());
        assert!(matches!(open, Some(HandshakeEvent::Open)), "{name}");
        let len = handshake.outgoing().remaining();
        opening.run(|| handshake.outgoing().advance(len));
        let early = opening.run(|| handshake.take_early());
        assert!(early.is_empty());
        let connection = opening.run(|| handshake.into_connection(now));
        for (meter, stage, bound) in [
            (&reading, "reading", bounds[0]),
            (&unpacking, "unpacking", bounds[1]),
            (&opening, "opening", bounds[2]),
        ] {
            meter.print(&format!("{name}, {stage}"));
            assert!(meter.count() <= bound, "{name}, {stage}: {}", meter.count());
        }
        drop((request, connection));
    }
}

/// The same for a client: proves that the head of an answer is bounded, too.
#[test]
fn an_answer_without_an_end_is_refused_at_the_limit() {
    let now = Instant::now();
    let lines = [
        format!("A: {}", "a".repeat(100_000)),
        "A:\r\n".repeat(100_000),
    ];
    for (line, step) in lines.iter().flat_map(|line| [(line, 1), (line, 4096)]) {
        let answer = rfc6455_answer(&(ACCEPT_LINE.to_owned() + line));
        let mut meter = Meter::default();
        let mut handshake: ClientHandshake = meter.run(|| client(&ClientConfig::new()));
        let mut parts = answer.as_bytes().chunks(step);
        while handshake.wants_read() {
            let part = parts.next().expect("it is refused before its end");
            meter.run(|| handshake.handle_read(now, part));
        }
        meter.print(&format!("answer in steps of {step}"));
        assert!(meter.peak() <= HEAD_PEAK + 2 * step);
        assert!(meter.held() < LITTLE, "{} are kept", meter.held());
        assert!(matches!(
            handshake.poll_event(),
            Some(HandshakeEvent::Failed(
                HandshakeError::HeadTooLarge { .. } | HandshakeError::TooManyHeaders { .. }
            ))
        ));
    }
}

/// Requests behind each other: proves that of 100 in one read the first is looked at, no more are
/// wanted, and all bytes are handed on as they came, without a copy for each.
#[test]
fn pipelined_requests_are_kept_as_they_came() {
    let now = Instant::now();
    let requests = "GET /page HTTP/1.1\r\nHost: a.example\r\n\r\n".repeat(100);
    let mut meter = Meter::default();
    let mut handshake = meter.run(|| ServerHandshake::new(&ServerConfig::new(), now));
    meter.run(|| handshake.handle_read(now, requests.as_bytes()));
    assert!(!handshake.wants_read());
    let events = [handshake.poll_event(), handshake.poll_event()];
    assert!(matches!(
        events,
        [Some(HandshakeEvent::Request(Request::Http)), None]
    ));
    meter.print("100 pipelined requests");
    assert!(meter.peak() <= 3 * requests.len() + LITTLE);
    assert_eq!(handshake.into_received(), requests);
}

/// Bytes behind an upgrade: proves that while the request waits for its answer no more are wanted
/// once 4 KiB are there, and that what is there costs no more than it is.
#[test]
fn early_bytes_are_bounded_while_the_request_waits() {
    let now = Instant::now();
    let mut meter = Meter::default();
    let mut handshake = meter.run(|| ServerHandshake::new(&ServerConfig::new(), now));
    meter.run(|| handshake.handle_read(now, RFC6455.as_bytes()));
    let request = meter.run(|| handshake.poll_event());
    let mut early = BytesMut::new();
    while handshake.wants_read() {
        early.extend_from_slice(b"\x82\x80\x01\x02\x03\x04");
        meter.run(|| handshake.handle_read(now, b"\x82\x80\x01\x02\x03\x04"));
        assert!(early.len() < 4096 + 6);
    }
    meter.print("early bytes");
    assert!(meter.held() <= 4 * (RFC6455.len() + early.len()) + LITTLE);
    drop(request);
    handshake.accept(Accept::new()).unwrap();
    let connection = handshake.into_connection(now);
    assert!(connection.queued_len() >= early.len() / 6);
}
