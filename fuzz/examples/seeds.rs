//! Writes the seeds of all targets: vectors of docs/PROTOCOL.md behind the choices that each oracle
//! reads first.
//!
//! ```text
//! cargo run --example seeds
//! ```

use std::fs;
use std::io;
use std::path::Path;

/// draft-75 §5.1, draft-76 §1.2 and RFC 6455 §1.3, as in PROTOCOL.md.
const DRAFT75: &str = "GET /demo HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
    Host: example.com\r\nOrigin: http://example.com\r\nWebSocket-Protocol: sample\r\n\r\n";
const DRAFT76: &str = "GET /demo HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\nSec-WebSocket-Protocol: sample\r\n\
    Upgrade: WebSocket\r\nSec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\n\
    Origin: http://example.com\r\n\r\n^n:ds[4U";
const RFC6455: &str = "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Origin: http://example.com\r\nSec-WebSocket-Protocol: chat, superchat\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

fn main() -> io::Result<()> {
    let hixie_frames = b"\x00Hello\xff\xff\x00".as_slice();
    let masked_frame = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58".as_slice();

    // Small limits or not, step.
    for (name, request, frames) in [
        ("draft75", DRAFT75, hixie_frames),
        ("draft76", DRAFT76, hixie_frames),
        ("rfc6455", RFC6455, masked_frame),
        (
            "http",
            "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
            b"abcde",
        ),
        (
            "http10",
            "GET / HTTP/1.0\r\nUpgrade: websocket\r\n\r\n",
            b"",
        ),
        ("lf", "GET / HTTP/1.1\nHost: a\n\n", b""),
        ("folded", "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", b""),
        ("tls", "\x16\x03\x01\x02", b""),
    ] {
        write("request_head", name, &[&[0, 7], request.as_bytes(), frames])?;
        write(
            "request_head",
            &format!("{name}-small"),
            &[&[1, 0], request.as_bytes()],
        )?;
    }

    // Versions that are off, origins, then names and values by their places in the tables.
    let (host, upgrade, connection, origin) = ([0, 0], [1, 1], [2, 2], [8, 8]);
    let (version, key) = ([3, 3], [4, 4]);
    let (key1, key2) = ([5, 5], [6, 6]);
    for (name, headers) in [
        ("row1", &[host, upgrade, connection, version, key][..]),
        ("row2", &[host, upgrade, connection, [3, 12], key, [9, 8]]),
        ("row3", &[host, upgrade, connection, [3, 14], key]),
        ("row4", &[host, upgrade, connection, [3, 15], key]),
        (
            "row4-twice",
            &[host, upgrade, connection, version, version, key],
        ),
        ("row5", &[host, upgrade, connection, key]),
        (
            "row6",
            &[host, upgrade, connection, key1, key2, origin, [10, 9]],
        ),
        (
            "row7",
            &[host, upgrade, connection, key1, key2, origin, [7, 17]],
        ),
        ("row8", &[host, upgrade, connection, key1, origin]),
        ("row9", &[host, upgrade, connection, origin]),
        ("row9-no-origin", &[host, upgrade, connection]),
        ("row10", &[host, upgrade, connection, origin, [7, 7]]),
        ("no-connection", &[host, upgrade, [2, 0], version, key]),
        ("no-host", &[upgrade, connection, version, key]),
        (
            "two-hosts",
            &[host, host, upgrade, connection, version, key],
        ),
        (
            "lists",
            &[host, [1, 11], [2, 10], version, key, [10, 21], [12, 20]],
        ),
    ] {
        write("version_decision", name, &[&[0, 0], &headers.concat()])?;
        write(
            "version_decision",
            &format!("{name}-off"),
            &[&[5, 2], &headers.concat()],
        )?;
    }
    let control = b"\x08\x17\x06http\0\r";
    write(
        "version_decision",
        "control-bytes",
        &[&[0, 0, 0, 0, 1, 1, 2, 2], control],
    )?;
    let smuggled = b"\x01\x17\x14WebSocket\r\nHost: a\r\n";
    write("version_decision", "smuggled", &[&[0, 0], smuggled])?;

    // Version, whether a subprotocol is offered, step. The answers are those to the request that
    // the oracle's client always sends.
    for (place, version) in [(0, "draft75"), (1, "draft76"), (2, "rfc6455")] {
        for is_offered in [0, 1] {
            let answer = fuzz::right_answer(version, is_offered == 1);
            let choices = [place, is_offered, 5];
            let frames = if version == "rfc6455" {
                b"\x81\x05Hello".as_slice()
            } else {
                hixie_frames
            };
            let name = format!("{version}-{is_offered}");
            write("response_head", &name, &[&choices, &answer, frames])?;
            let refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
            write(
                "response_head",
                &format!("{name}-403"),
                &[&choices, refusal],
            )?;
        }
    }

    frames_rfc6455()?;
    frames_hixie()?;
    pair()?;
    close_and_timers()?;
    http_fall_through()?;
    envelope()?;
    topics()
}

/// Role, limits, tolerance, fragments, step.
fn frames_rfc6455() -> io::Result<()> {
    let pings = b"\x89\x00".repeat(1000);
    let frames: [(&str, &[u8]); 25] = [
        ("pings", &pings),
        (
            "utf8",
            b"\x81\x0b\xce\xba\xe1\xbd\xb9\xf4\x8f\xbf\xbf\xcf\x83",
        ),
        ("masked-utf8", b"\x81\x82\x01\x02\x03\x04\xcf\xb8"),
        ("hello", b"\x81\x05Hello"),
        ("masked", b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
        ("fragments", b"\x01\x03Hel\x89\x00\x80\x02lo"),
        ("ping", b"\x89\x05Hello"),
        (
            "masked-pong",
            b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
        ),
        (
            "masked-foo-bar",
            b"\x81\x83\x01\xe1\xc9\x2a\x67\x8e\xa6\x81\x83\x5d\xde\xd6\x42\x3f\xbf\xa4",
        ),
        ("masked-close", b"\x88\x82\x37\xfa\x21\x3d\x34\x12"),
        ("close", b"\x88\x02\x03\xe8"),
        ("close-empty", b"\x88\x00\x81\x00"),
        ("close-one-byte", b"\x88\x01\x03"),
        ("close-1005", b"\x88\x02\x03\xed"),
        ("non-minimal", b"\x81\x7e\x00\x7d"),
        ("top-bit", b"\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00"),
        ("huge", b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xffabc"),
        (
            "masked-huge",
            b"\x82\xff\x00\x00\x00\x00\x00\x0f\xff\xff\x01\x02\x03\x04abc",
        ),
        ("fragmented-ping", b"\x09\x00"),
        ("long-ping", b"\x89\x7e\x00\x7e"),
        ("stray", b"\x80\x00"),
        ("interleaved", b"\x01\x01a\x01\x01b"),
        ("reserved", b"\x83\x00"),
        ("rsv1", b"\xc1\x00"),
        ("bad-utf8", b"\x01\x02\xce\xba\x80\x01\xe1"),
    ];
    for (name, bytes) in frames {
        let is_masked = bytes.get(1).is_some_and(|byte| byte & 0x80 != 0);
        let role = u8::from(!is_masked);
        write("frames_rfc6455", name, &[&[role, 0, 0, 1, 0, 0], bytes])?;
        write(
            "frames_rfc6455",
            &format!("{name}-limits"),
            &[&[role, 1, 0, 0, 0, 3], bytes],
        )?;
        // Whether the rest is choices, step.
        write("differential", name, &[&[role, 1, 0], bytes])?;
    }
    for (name, choices) in BUILT {
        for role in [0, 1] {
            let name = format!("{name}-{role}");
            write("frames_rfc6455", &name, &[&[role, 0, 0, 1, 1, 7], choices])?;
            write("differential", &name, &[&[role, 0, 7], choices])?;
        }
    }

    // The windows, less 9, and who begins anew; then lines.
    for (name, lines) in [
        ("plain", "permessage-deflate"),
        ("browser", "permessage-deflate; client_max_window_bits"),
        (
            "all",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
             server_max_window_bits=10; client_max_window_bits=\"12\"",
        ),
        (
            "fallback",
            "permessage-deflate; server_max_window_bits=8, permessage-deflate; mystery\n\
             x-webkit-deflate-frame, permessage-deflate; server_max_window_bits=9",
        ),
        (
            "twice",
            "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9",
        ),
        ("zero", "permessage-deflate; client_max_window_bits=08"),
        (
            "escapes",
            "permessage-deflate; server_max_window_bits=\"\\1\\0\"",
        ),
        ("malformed", "permessage-deflate; =9"),
    ] {
        for (kind, options) in [("", [6, 6, 0, 0]), ("-small", [1, 0, 1, 1])] {
            write(
                "deflate_offer",
                &format!("{name}{kind}"),
                &[&options, lines.as_bytes()],
            )?;
        }
    }

    // Role, the windows, who begins anew, limit, parts, text, step, how many more messages; then each of
    // these behind its length, and the rest is the last.
    let hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00".as_slice();
    let vectors: [(&str, &[u8]); 9] = [
        ("hello", hello),
        ("stored", b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"),
        ("final", b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00"),
        (
            "final-and-back",
            b"\xf3\x48\xcd\xc9\xc9\x07\x00\xf2\x00\x11\x00\x00",
        ),
        (
            "two-blocks",
            b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
        ),
        ("empty", b"\x00"),
        ("cut", b"\x00\x05\x00\xfa\xff\x48"),
        ("no-type", b"\x07"),
        ("bomb", b"\x62\x18\x05\xa3\x60\x14\x0c\x77\x00\x00"),
    ];
    for (name, payload) in vectors {
        for (kind, choices) in [
            ("server", [0, 6, 6, 0, 0, 2, 0, 1, 3, 0]),
            ("parts", [0, 6, 6, 0, 0, 3, 1, 1, 0, 0]),
            ("client", [1, 0, 0, 1, 1, 1, 0, 0, 200, 0]),
        ] {
            write("inflate", &format!("{name}-{kind}"), &[&choices, payload])?;
        }
    }
    // Three messages: the second refers to the first, and the third is empty.
    let choices = [0, 6, 6, 0, 0, 2, 0, 1, 3, 2];
    let second = b"\xf2\x00\x11\x00\x00";
    write(
        "inflate",
        "context",
        &[&choices, &[7], hello, &[5], second, &[0]],
    )?;
    Ok(())
}

/// Pieces of `src/wire.rs`: shape, first byte, payload.
const BUILT: [(&str, &[u8]); 12] = [
    ("built-reserved-code", &[0, 6, 2, 11]),
    ("built-long-control", &[12, 6, 0, 0, 0, 0]),
    ("built-text", &[0, 0, 0, 1, 0, 1, 3, 0, 8, 3]),
    ("built-fragments", &[0, 2, 0, 2, 0, 7, 3, 0, 5, 0, 3]),
    ("built-cut-text", &[0, 2, 0, 2, 0, 5, 0, 5]),
    (
        "built-lengths",
        &[0, 1, 1, 4, 0, 1, 1, 6, 0, 7, 1, 4, 0, 7, 1, 5],
    ),
    ("built-close", &[0, 6, 4, 0, 1, 0, 0, 0, 0]),
    ("built-close-codes", &[0, 0, 0, 0, 0, 6, 2, 9]),
    ("built-bad-close", &[0, 6, 2, 4]),
    ("built-long-form", &[13, 0, 0, 0, 12, 1, 1, 7]),
    ("built-other-mask", &[0, 0, 0, 0, 11, 0, 0, 0]),
    ("built-declared", &[14, 1, 3, 0, 0, 0, 0, 0, 1, 0, 0]),
];

fn frames_hixie() -> io::Result<()> {
    let frames: [(&str, &[u8]); 13] = [
        ("utf8", b"\x00\xce\xba\xe1\xbd\xb9\xf4\x8f\xbf\xbf\xff"),
        ("hello", b"\x00Hello\xff"),
        ("empty", b"\x00\xff\x00\xff"),
        ("nul", b"\x00a\x00b\xff"),
        ("close", b"\x00a\xff\xff\x00\x00b\xff"),
        ("close-long", b"\xff\x80\x00"),
        ("terminated", b"\x01abc\xff\x00a\xff"),
        ("skipped", b"\x80\x03\xff\x00\xff\x00a\xff"),
        ("skipped-long", b"\x80\x80\x81\x01x\x00a\xff"),
        ("not-a-close", b"\x80\x00\xfe\x00\x00a\xff"),
        (
            "long-length",
            b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
        ),
        ("overflow", b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
        ("bad-utf8", b"\x00\xed\xa0\x80\xc0\xff\x00\xce\xba\xff"),
    ];
    for (name, bytes) in frames {
        for version in [0, 1] {
            for role in [0, 1] {
                let choices = [version, role, role, 1 - role, version, 0, 2];
                let name = format!("{name}-{version}{role}");
                write("frames_hixie", &name, &[&choices, bytes])?;
            }
        }
    }
    Ok(())
}

/// Version, limits, then steps: who, what, how much.
fn pair() -> io::Result<()> {
    for (place, version) in [(0, "draft75"), (1, "draft76"), (2, "rfc6455")] {
        for (name, steps) in [
            (
                "talk",
                &[0, 0, 1, 0, 0, 5, 255, 0, 6, 4, 0, 1, 1, 3, 1, 1, 4, 8][..],
            ),
            (
                "close",
                &[
                    0, 0, 2, 1, 1, 0, 2, 2, 0, 8, 1, 0, 5, 9, 0, 6, 3, 0, 1, 4, 2,
                ],
            ),
            (
                "fragments",
                &[
                    0, 7, 9, 2, 1, 0, 0, 7, 8, 0, 0, 1, 6, 1, 1, 1, 4, 2, 0, 7, 9, 1, 2, 1,
                ],
            ),
            (
                "both-close",
                &[0, 0, 0, 0, 1, 1, 5, 0, 0, 8, 1, 1, 8, 2, 0, 5, 255],
            ),
            (
                "much",
                &[0, 0, 4, 0, 0, 0, 5, 0, 1, 0, 4, 2, 1, 3, 1, 1, 1, 5, 200],
            ),
        ] {
            for is_small in [0, 1] {
                let name = format!("{version}-{name}-{is_small}");
                write("pair", &name, &[&[place, is_small], steps])?;
                if version == "rfc6455" {
                    // The same compressed: with and without contexts, small windows and large ones.
                    let name = format!("{name}-deflate");
                    let compressed = [place + 3, is_small];
                    let wanted: &[u8] = match is_small {
                        0 => &[6, 6, 0, 0, 0, 6, 6, 0, 0, 0],
                        _ => &[0, 6, 1, 0, 1, 1, 0, 0, 1, 0],
                    };
                    write("pair", &name, &[&compressed, wanted, steps])?;
                }
            }
        }
    }
    Ok(())
}

/// Version, role, close timeout, keepalive, limits, then calls.
fn close_and_timers() -> io::Result<()> {
    // Calls: 0 reads a piece, 3 ends the stream, 4 and 5 send, 9 closes, 10 and 11 take events, 12 and
    // 13 write, 14 sleeps, 15 waits for the deadline or oversleeps.
    let sequences: [(&str, &[u8]); 13] = [
        (
            "paused",
            &[
                0, 0, 0, 1, 3, 0, 0, 0, 1, 3, 0, 0, 0, 1, 3, 0, 0, 0, 1, 3, 14, 15, 160, 14, 15,
                160, 15, 1, 11,
            ],
        ),
        (
            "both-close",
            &[9, 1, 3, 0, 0, 6, 2, 0, 11, 13, 0, 200, 15, 1],
        ),
        (
            "other-fragment-after-close",
            &[7, 9, 0, 1, 9, 0, 0, 7, 0, 0, 0],
        ),
        ("close-first", &[9, 1, 3, 12, 0, 99, 15, 1, 15, 1]),
        (
            "close-second",
            &[5, 2, 0, 0, 6, 2, 0, 11, 13, 0, 200, 15, 1],
        ),
        (
            "deferred",
            &[0, 0, 0, 0, 0, 0, 0, 6, 2, 0, 6, 4, 15, 1, 15, 1],
        ),
        ("hixie-close", &[5, 3, 0, 10, 3, 11, 12, 0, 200, 3]),
        ("no-answer", &[9, 2, 0, 15, 0, 11]),
        ("fails", &[0, 10, 0xff, 3, 11, 5, 1, 12, 1, 0]),
        ("silence", &[14, 15, 160, 14, 15, 160, 14, 15, 160, 11]),
        (
            "slow",
            &[5, 9, 12, 0, 10, 14, 15, 160, 12, 0, 10, 15, 1, 15, 1],
        ),
        ("reset", &[5, 9, 12, 0, 10, 4, 3, 11, 3]),
        ("open-fragment", &[7, 9, 0, 1, 9, 0, 0, 12, 0, 255, 3, 11]),
    ];
    for (name, calls) in sequences {
        for version in 0..3 {
            for role in [0, 1] {
                let choices = [version, role, version, 1 + role, role];
                let name = format!("{name}-{version}{role}");
                write("close_and_timers", &name, &[&choices, calls])?;
            }
        }
    }
    Ok(())
}

/// Step, then requests by their places in the table of `src/fall_through.rs`.
fn http_fall_through() -> io::Result<()> {
    let streams: [(&str, &[u8]); 12] = [
        ("pipeline", &[0, 1, 2, 3, 4, 0]),
        ("http10", &[0, 5, 0]),
        ("close", &[6, 0]),
        ("continue", &[7, 0]),
        ("empty-line", &[8, 0, 8]),
        ("upgrade-later", &[1, 20]),
        ("upgrade-76-later", &[0, 21]),
        ("upgrade-75-first", &[22, 0]),
        ("h2c", &[23, 2, 23]),
        ("raw", &[0, 24, 4, b'G', b'E', b'T', b' ', 0]),
        ("declared-key3", &[21, 1]),
        (
            "no-end",
            &[1, 24, 7, b'G', b'E', b'T', b' ', b'/', b'\r', b'\n'],
        ),
    ];
    for (name, pieces) in streams {
        for step in [0, 40] {
            let name = format!("{name}-{step}");
            write("http_fall_through", &name, &[&[step], pieces])?;
        }
    }
    for place in 8..20 {
        let (first, later) = (format!("odd-{place}-first"), format!("odd-{place}-later"));
        write("http_fall_through", &first, &[&[5, place, 0]])?;
        write("http_fall_through", &later, &[&[5, 0, place, 0]])?;
    }
    Ok(())
}

/// Steps: 7 breaks the link; 6, a channel, a length and bytes are raw; others, a channel, then a kind, a flag, a number and
/// its beginning, a node, a length and bytes.
fn envelope() -> io::Result<()> {
    for (name, steps) in [
        ("text", &[0, 2, 0, 0, 1, 1, 0, 2, b'h', b'i'][..]),
        (
            "gap",
            &[
                0, 2, 0, 0, 1, 1, 0, 0, 0, 2, 0, 0, 9, 1, 0, 0, 0, 2, 0, 0, 5, 1, 0, 0,
            ],
        ),
        (
            "anew",
            &[0, 0, 1, 0, 3, 1, 0, 0, 7, 0, 0, 1, 0, 30, 20, 0, 0],
        ),
        ("probe", &[0, 0, 2, 0, 1, 1, 0, 8]),
        ("raw", &[6, 2, 5, 1, 1, 0, 0, 9]),
    ] {
        write("envelope", name, &[steps])?;
    }
    Ok(())
}

/// Steps: 0 and a version connect, 2 disconnects, 3 joins, 6 leaves, 7 publishes, 8 broadcasts, 9 uses
/// a handle that is gone.
fn topics() -> io::Result<()> {
    for (name, steps) in [
        (
            "talk",
            &[0, 0, 0, 1, 3, 0, 3, 3, 1, 3, 7, 3, 0, 8, 7, 3, 1, 0][..],
        ),
        ("leave", &[0, 2, 3, 4, 6, 4, 7, 4, 0, 6, 4]),
        ("limit", &[0, 0, 3, 0, 3, 1, 3, 2, 3, 3, 3, 4, 3, 3]),
        ("again", &[0, 0, 3, 3, 2, 0, 0, 0, 9, 3, 7, 3, 0]),
        (
            "reset",
            &[
                0, 1, 0, 2, 3, 0, 3, 3, 1, 3, 2, 0, 1, 7, 3, 0, 2, 0, 9, 0, 3,
            ],
        ),
    ] {
        write("topics", name, &[steps])?;
    }
    Ok(())
}

fn write(target: &str, name: &str, parts: &[&[u8]]) -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), parts.concat())
}
