//! What a close frame says of why (RFC 6455 §5.5.1).

use std::time::Instant;

use ws_proto::{ConnectionConfig, REASON_LIMIT, Role, Version};

use ws_testing::connections::{Frame, all, close_frame, connect, written};

/// Proves that the close of a connection that a rule failed says why if it is to, in a few words and none
/// of the peer's; and that it does not otherwise.
#[test]
fn a_close_that_a_rule_causes_says_why_if_it_is_to() {
    let secret = "0123456789".repeat(200);
    let cases = [
        (Frame::new(0x81, &secret), 1009, "message_limit"),
        (
            Frame::new(0x82, &secret),
            1009,
            "message of at least 2000 bytes; 1000 are allowed",
        ),
        (Frame::new(0x83, "secret"), 1002, "opcode"),
        (Frame::new(0xf1, "secret"), 1002, "reserved bits"),
        (Frame::new(0x81, [b's', 0xff]), 1007, "not valid UTF-8"),
        (Frame::new(0x80, "secret"), 1002, "no message is open"),
        (
            close_frame(999, "secret"),
            1002,
            "a close code that must not be sent",
        ),
        (
            Frame::new(0x88, "s"),
            1002,
            "close frame with a payload of 1 byte",
        ),
    ];
    let now = Instant::now();
    for role in [Role::Server, Role::Client] {
        for (frame, code, why) in &cases {
            let frame = Frame::new(frame.first_byte, &frame.payload).to(role);
            for tells in [true, false] {
                let config = ConnectionConfig::new()
                    .message_limit(1000)
                    .close_reasons(tells);
                let mut connection = connect(role, Version::Rfc6455, config, now);
                connection.handle_read(now, &frame);
                let payload = sent_close(role, &written(&mut connection));
                let (sent_code, reason) = payload.split_at(2);
                assert_eq!(u16::from_be_bytes(sent_code.try_into().unwrap()), *code);
                let reason = std::str::from_utf8(reason).unwrap();
                assert_eq!(reason.contains(why), tells, "{reason}");
                assert_eq!(reason.is_empty(), !tells, "{reason}");
                assert!(reason.len() <= REASON_LIMIT);
                assert!(
                    !reason.contains("secret") && !reason.contains("0123"),
                    "{reason}"
                );
            }
        }
    }
}

/// Proves that nothing is said in the drafts, and of nothing but what a rule causes.
#[test]
fn a_close_of_the_drafts_has_no_reason() {
    let now = Instant::now();
    for (role, version) in all().filter(|(_, version)| *version != Version::Rfc6455) {
        let config = || ConnectionConfig::new().message_limit(1);
        let close = |config: ConnectionConfig| {
            let mut connection = connect(role, version, config, now);
            connection.handle_read(now, b"\0long\xff");
            written(&mut connection)
        };
        assert_eq!(close(config().close_reasons(true)), close(config()));
    }
    let config = ConnectionConfig::new().close_reasons(true);
    let mut connection = connect(Role::Server, Version::Rfc6455, config, now);
    connection.handle_read(now, &close_frame(1000, "bye").to(Role::Server));
    assert_eq!(
        sent_close(Role::Server, &written(&mut connection)),
        [0x03, 0xe8]
    );
}

/// The payload of a close frame; that of a client is unmasked.
fn sent_close(role: Role, bytes: &[u8]) -> Vec<u8> {
    assert_eq!(bytes[0], 0x88);
    match role {
        Role::Server => bytes[2..].to_vec(),
        Role::Client => {
            let (key, payload) = bytes[2..].split_at(4);
            let keys = key.iter().cycle();
            payload
                .iter()
                .zip(keys)
                .map(|(byte, key)| byte ^ key)
                .collect()
        }
    }
}
