//! What is sent where compression was agreed on: by which rules a message is compressed, and that any
//! peer that keeps to the terms can inflate it.

use std::time::{Duration, Instant};

use ws_proto::{
    CloseReason, Connection, ConnectionConfig, Deflate, Message, PreparedMessage, Role,
};

use super::peer::{self, Inflater, frames};
use super::{all_terms, eager, headers, noise, open, prose};
use crate::meter::Meter;
use ws_testing::connections::written;

fn unlimited() -> ConnectionConfig {
    ConnectionConfig::new().send_queue_limit(None)
}

/// The first bytes of the frames that wait.
fn first_bytes(connection: &mut Connection) -> Vec<u8> {
    frames(&written(connection))
        .iter()
        .map(|(first_byte, _)| *first_byte)
        .collect()
}

/// The inflater of a peer that keeps exactly to the terms.
fn inflater_for(sender: Role, options: &Deflate) -> Inflater {
    // As text, as the peer has it.
    let terms = options
        .accept(&headers(&options.offer()))
        .unwrap()
        .to_string();
    let (bits, resets) = match sender {
        Role::Server => ("server_max_window_bits=", "server_no_context_takeover"),
        Role::Client => ("client_max_window_bits=", "client_no_context_takeover"),
    };
    let bits = terms
        .split("; ")
        .find_map(|parameter| parameter.strip_prefix(bits));
    Inflater::new(
        bits.map_or(15, |bits| bits.parse().unwrap()),
        !terms.contains(resets),
    )
}

/// P-M4, P-M6, P-M7: with all terms and in both roles, a peer with a window of the agreed size inflates
/// what was sent, whatever was sent before: compressible or not, plain in between, in fragments.
#[test]
fn a_peer_that_keeps_to_the_terms_understands() {
    let now = Instant::now();
    for options in all_terms() {
        for role in [Role::Server, Role::Client] {
            let mut connection = open(role, &options, unlimited(), now);
            let mut inflater = inflater_for(role, &options);
            let mut seen = Vec::new();
            let mut expected = Vec::new();
            for round in 0..4_u32 {
                for message in [
                    Message::from(prose(5000, 1)),
                    Message::from(prose(300, round)),
                    Message::from(noise(3000, round.into())),
                    Message::from(prose(60_000, 2)),
                    Message::from(""),
                    Message::from(vec![0; 100_000]),
                    Message::from(prose(300, round)),
                ] {
                    connection.send(message.clone()).unwrap();
                    expected.push(message.as_bytes().to_vec());
                }
                let mut message = Vec::new();
                for (i, len) in [700, 0, 1, 20_000, 3000].into_iter().enumerate() {
                    let part = prose(len, 1);
                    message.extend_from_slice(part.as_bytes());
                    connection.send_fragment(part, i == 4).unwrap();
                }
                expected.push(message);
            }
            let mut open_message = None;
            for (first_byte, payload) in frames(&written(&mut connection)) {
                if first_byte & 0x0f != 0 {
                    open_message = Some((first_byte & 0x40 != 0, Vec::new()));
                }
                let (compressed, bytes) = open_message.as_mut().unwrap();
                bytes.extend(payload);
                if first_byte & 0x80 != 0 {
                    seen.push(match compressed {
                        true => inflater.inflate(bytes),
                        false => bytes.clone(),
                    });
                }
            }
            assert!(seen == expected, "{role:?} {options:?}");
        }
    }
}

/// Proves that messages below the threshold go plain, and leave the context of the others alone.
#[test]
fn short_messages_go_plain() {
    let now = Instant::now();
    for (threshold, len, first_byte) in [
        (None, 1023, 0x81),
        (None, 1024, 0xc1),
        (Some(10), 9, 0x81),
        (Some(0), 0, 0xc1),
    ] {
        let mut options = Deflate::new().server_no_context_takeover(false);
        options = options.clone().threshold(threshold.unwrap_or(1024));
        let mut connection = open(Role::Server, &options, unlimited(), now);
        connection.send("x".repeat(len)).unwrap();
        assert_eq!(first_bytes(&mut connection), [first_byte], "{len}");
    }
    let options = eager().server_no_context_takeover(false).threshold(100);
    let mut connection = open(Role::Server, &options, unlimited(), now);
    let text = prose(500, 4);
    connection.send(&text).unwrap();
    connection.send("short").unwrap();
    connection.send(&text).unwrap();
    let frames = frames(&written(&mut connection));
    assert_eq!(frames[1], (0x81, b"short".to_vec()));
    assert!(
        frames[2].1.len() < 20,
        "it refers to the first: {}",
        frames[2].1.len()
    );
}

/// Proves that what becomes longer is sent plain where no context is kept; where one is, it is sent
/// compressed, as the compressor has it in mind.
#[test]
fn what_cannot_be_compressed_is_sent_plain() {
    let now = Instant::now();
    let noise = noise(5000, 3);
    for (no_context_takeover, first_byte) in [(true, 0x82), (false, 0xc2)] {
        let options = eager().server_no_context_takeover(no_context_takeover);
        let mut connection = open(Role::Server, &options, unlimited(), now);
        connection.send(&*noise).unwrap();
        assert_eq!(first_bytes(&mut connection), [first_byte]);
        connection.send(prose(5000, 3)).unwrap();
        assert_eq!(first_bytes(&mut connection), [0xc1]);
    }
}

/// P-M12, trap 2: an empty message is one zero byte, every time; so is the end of a message whose last
/// fragment is empty.
#[test]
fn an_empty_message_has_a_byte() {
    let now = Instant::now();
    let options = eager().server_no_context_takeover(false);
    let mut connection = open(Role::Server, &options, unlimited(), now);
    for _ in 0..3 {
        connection.send("").unwrap();
    }
    assert_eq!(written(&mut connection), b"\xc1\x01\x00".repeat(3));
    connection.send_fragment("Hello", false).unwrap();
    connection.send_fragment("", true).unwrap();
    let frames = frames(&written(&mut connection));
    let hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff".to_vec();
    assert_eq!(frames, [(0x41, hello), (0x80, vec![0])]);
}

/// Trap 4: a client that is held to a window of 256 bytes, which zlib has not, sends plain; and still
/// understands what is compressed.
#[test]
fn a_window_of_256_bytes_means_plain_messages() {
    let now = Instant::now();
    let answer = "permessage-deflate; server_no_context_takeover; client_max_window_bits=8";
    let terms = eager().confirm(&headers(answer)).unwrap().unwrap();
    let client = super::connect(Role::Client, ws_proto::Version::Rfc6455, unlimited(), now);
    let mut client = client.with_deflate(&terms);
    client.send(prose(5000, 3)).unwrap();
    client.send_fragment(prose(5000, 3), false).unwrap();
    client.send_fragment("", true).unwrap();
    assert_eq!(first_bytes(&mut client), [0x81, 0x01, 0x80]);
    let payload = peer::Deflater::new(15, true).compress(prose(5000, 3).as_bytes());
    client.handle_read(now, &peer::message(true, &payload).bytes());
    assert_eq!(client.messages_received(), 1);
}

/// Proves that the peer can inflate each fragment as it comes, without waiting for the next one.
#[test]
fn fragments_can_be_inflated_as_they_come() {
    let now = Instant::now();
    let mut connection = open(Role::Server, &eager(), unlimited(), now);
    let config = ConnectionConfig::new().receive_fragments(true);
    let mut client = open(Role::Client, &eager(), config, now);
    for i in 0..10_u32 {
        let part = prose(1000, i);
        connection.send_fragment(&part, i == 9).unwrap();
        client.handle_read(now, &written(&mut connection));
        assert_eq!(client.bytes_received(), u64::from(i + 1) * 1000);
    }
    assert_eq!(client.messages_received(), 1);
}

/// Proves that a compressor that is not used for 20 s gives its memory back, and
/// that the peer understands what comes after that; one that is used keeps it.
#[test]
fn a_compressor_at_rest_gives_its_memory_back() {
    let start = Instant::now();
    let interval = Duration::from_secs(20);
    let options = eager().server_no_context_takeover(false);
    let config = unlimited().pong_timeout(None).keepalive_interval(interval);
    let mut meter = Meter::default();
    let mut connection = meter.run(|| open(Role::Server, &options, config, start));
    let mut inflater = inflater_for(Role::Server, &options);
    let text = prose(2000, 5);
    let mut send = |connection: &mut Connection, meter: &mut Meter| {
        meter.run(|| connection.send(&text).unwrap());
        let bytes = meter.run(|| written(connection));
        let sent = frames(&bytes);
        meter.run(|| drop(bytes));
        let (_, payload) = sent.iter().find(|(byte, _)| *byte == 0xc1).unwrap();
        assert_eq!(inflater.inflate(payload), text.as_bytes());
        payload.len()
    };
    let before = meter.held();
    let first = send(&mut connection, &mut meter);
    let busy = meter.held();
    assert!(busy > before + 200_000, "{before} {busy}");
    let again = send(&mut connection, &mut meter);
    assert!(again < first / 4, "{again} {first}");
    let mut now = start;
    for (sends, is_kept) in [(true, true), (true, true), (false, false)] {
        if sends {
            assert!(send(&mut connection, &mut meter) < first / 4);
        }
        now += interval;
        meter.run(|| connection.handle_timeout(now));
        drop(meter.run(|| written(&mut connection)));
        assert_eq!(meter.held() > before + 200_000, is_kept, "{}", meter.held());
    }
    assert_eq!(send(&mut connection, &mut meter), first);
}

/// Proves that a compressor rests without a keepalive as well: after one to two waits of 20 s without use, and that
/// nothing is waited for before there is a context and after it is given back.
#[test]
fn a_compressor_rests_without_a_keepalive() {
    let start = Instant::now();
    let wait = Duration::from_secs(20);
    let options = eager().server_no_context_takeover(false);
    let mut meter = Meter::default();
    let config = unlimited().keepalive_interval(None);
    let mut connection = meter.run(|| open(Role::Server, &options, config, start));
    let text = prose(2000, 5);
    let send = |connection: &mut Connection, meter: &mut Meter| {
        meter.run(|| connection.send(&text).unwrap());
        drop(meter.run(|| written(connection)));
    };
    let mut now = start;
    for _ in 0..2 {
        let before = meter.held();
        assert_eq!(connection.poll_timeout(), None, "there is no context");
        send(&mut connection, &mut meter);
        let sent = now;
        let mut waits = 0;
        while let Some(deadline) = connection.poll_timeout() {
            assert!(meter.held() > before + 200_000, "{}", meter.held());
            waits += 1;
            assert!(waits <= 3, "it does not rest");
            now = now.max(deadline);
            meter.run(|| connection.handle_timeout(now));
        }
        assert!(meter.held() < before + 1000, "{}", meter.held());
        assert!((wait..=2 * wait).contains(&(now - sent)));
        // The next message is sent long after the connection was last told a time.
        now += 10 * wait;
    }
}

/// Proves that a compressor that is not kept from one message to the next sets no deadline, nor one that another
/// message made begin anew, nor one of a connection that is closing: nothing can be sent any more.
#[test]
fn only_a_context_that_is_kept_has_a_deadline() {
    let now = Instant::now();
    let config = || unlimited().keepalive_interval(None).close_timeout(None);
    let alone = eager().server_no_context_takeover(true);
    let mut connection = open(Role::Server, &alone, config(), now);
    connection.send(prose(2000, 5)).unwrap();
    drop(written(&mut connection));
    assert_eq!(connection.poll_timeout(), None, "no context");

    let kept = eager().server_no_context_takeover(false);
    let mut connection = open(Role::Server, &kept, config(), now);
    let shared = PreparedMessage::compressed(prose(2000, 6), &kept);
    let deadline = Some(now + Duration::from_secs(20));
    for closes in [false, true] {
        connection.send(prose(2000, 5)).unwrap();
        drop(written(&mut connection));
        assert_eq!(connection.poll_timeout(), deadline);
        if closes {
            connection.close(now, None, CloseReason::EMPTY);
        } else {
            connection.send_prepared(&shared).unwrap();
        }
        drop(written(&mut connection));
        assert_eq!(connection.poll_timeout(), None, "closes: {closes}");
    }
}

/// P5: what waits to be written holds little more memory than the send queue's limit counts, however well it
/// was compressed.
#[test]
fn what_waits_holds_what_is_counted() {
    // So long that it is not copied.
    let payload = [noise(5000, 0), vec![0; 200_000]].concat();
    for fragments in [false, true] {
        let mut meter = Meter::default();
        let mut connection = open(Role::Server, &eager(), unlimited(), Instant::now());
        let message = Message::from(payload.clone());
        for _ in 0..20 {
            meter.run(|| match fragments {
                false => connection.send(message.clone()).unwrap(),
                true => connection.send_fragment(message.clone(), true).unwrap(),
            });
        }
        let (held, counted) = (meter.held(), connection.buffered_amount());
        assert!(counted < 20 * 6000, "{counted}");
        assert!(
            held < counted + 20 * 4096 + 10_000,
            "{held} of {counted} bytes"
        );
    }
}

/// P-M4: one empty block ends what is flushed, whatever room there was for it.
#[test]
fn a_message_is_flushed_once() {
    let now = Instant::now();
    for len in 0..3000 {
        let mut connection = open(Role::Server, &eager(), unlimited(), now);
        let payload = noise(len, len.try_into().unwrap());
        connection.send_fragment(payload, false).unwrap();
        let sent = frames(&written(&mut connection));
        let (_, payload) = &sent[0];
        assert!(!payload.ends_with(b"\0\0\xff\xff\0\0\0\xff\xff"), "{len}");
    }
}
