//! The answer of RFC 6455: its headers, the hash of the key, the subprotocol.

use ws_proto::{ClientConfig, HandshakeError};

use ws_testing::handshake::{ACCEPT_LINE, answer, offering, rfc6455_answer};

/// R-C7 to R-C12: every rule of an RFC 6455 answer whose status is 101; handshake_refusal.rs has the others.
#[test]
fn an_rfc6455_answer_is_checked() {
    const SWITCH: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
    let plain = ClientConfig::new();
    let offers = offering(ClientConfig::new(), &["chat", "superchat"]);
    let demands = offers.clone().require_subprotocol(true);
    let mismatch = |name, seen: &str, expected: &str| {
        Some(Err(HandshakeError::Mismatch {
            name,
            seen: seen.into(),
            expected: expected.into(),
        }))
    };
    let missing = |name| Some(Err(HandshakeError::MissingHeader { name }));
    let duplicate = |name| Some(Err(HandshakeError::DuplicateHeader { name }));
    let good = || Some(Ok(()));
    let protocol = |value: &str| {
        [
            SWITCH,
            ACCEPT_LINE,
            "Sec-WebSocket-Protocol: ",
            value,
            "\r\n",
        ]
        .concat()
    };
    let expected_hash = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    for (rule, config, text, expected) in [
        (
            "good",
            &plain,
            rfc6455_answer(&[SWITCH, ACCEPT_LINE].concat()),
            good(),
        ),
        (
            "any order, any reason",
            &plain,
            format!("HTTP/1.1 101\r\n{ACCEPT_LINE}{SWITCH}\r\n"),
            good(),
        ),
        (
            "incomplete",
            &plain,
            format!("HTTP/1.1 101 \r\n{SWITCH}{ACCEPT_LINE}\r"),
            None,
        ),
        (
            "R-C7",
            &plain,
            format!("HTTP/1.0 101 \r\n{SWITCH}{ACCEPT_LINE}\r\n"),
            Some(Err(HandshakeError::HttpVersion {
                seen: http::Version::HTTP_10,
            })),
        ),
        (
            "R-C8",
            &plain,
            rfc6455_answer(&["Connection: Upgrade\r\n", ACCEPT_LINE].concat()),
            missing("Upgrade"),
        ),
        (
            "R-C8",
            &plain,
            rfc6455_answer(&["Upgrade: h2c\r\nConnection: Upgrade\r\n", ACCEPT_LINE].concat()),
            mismatch("Upgrade", "h2c", "websocket"),
        ),
        (
            "R-C8 case",
            &plain,
            rfc6455_answer(
                &[
                    "Upgrade: WEBSocket\r\nConnection: x, upgrade\r\n",
                    ACCEPT_LINE,
                ]
                .concat(),
            ),
            good(),
        ),
        (
            "R-C9",
            &plain,
            rfc6455_answer(&["Upgrade: websocket\r\n", ACCEPT_LINE].concat()),
            missing("Connection"),
        ),
        (
            "R-C9",
            &plain,
            rfc6455_answer(&["Upgrade: websocket\r\nConnection: close\r\n", ACCEPT_LINE].concat()),
            mismatch("Connection", "close", "Upgrade"),
        ),
        (
            "R-C10",
            &plain,
            rfc6455_answer(SWITCH),
            missing("Sec-WebSocket-Accept"),
        ),
        (
            "R-C10",
            &plain,
            rfc6455_answer(&[SWITCH, ACCEPT_LINE, ACCEPT_LINE].concat()),
            duplicate("Sec-WebSocket-Accept"),
        ),
        (
            "R-C10",
            &plain,
            rfc6455_answer(&[SWITCH, &ACCEPT_LINE.to_lowercase()].concat()),
            mismatch(
                "Sec-WebSocket-Accept",
                &expected_hash.to_lowercase(),
                expected_hash,
            ),
        ),
        (
            "R-C10 spaces",
            &plain,
            rfc6455_answer(
                &[
                    SWITCH,
                    &ACCEPT_LINE.replace(": ", ":  ").replace("\r", " \r"),
                ]
                .concat(),
            ),
            good(),
        ),
        (
            "R-C11",
            &plain,
            rfc6455_answer(&[SWITCH, ACCEPT_LINE, "Sec-WebSocket-Extensions: a\r\n"].concat()),
            Some(Err(HandshakeError::ExtensionNotOffered {
                seen: "a".to_owned(),
            })),
        ),
        (
            "R-C12",
            &offers,
            rfc6455_answer(&protocol("superchat")),
            good(),
        ),
        (
            "R-C12 none",
            &offers,
            rfc6455_answer(&[SWITCH, ACCEPT_LINE].concat()),
            good(),
        ),
        (
            "R-C12 demanded",
            &demands,
            rfc6455_answer(&[SWITCH, ACCEPT_LINE].concat()),
            Some(Err(HandshakeError::NoSubprotocol)),
        ),
        (
            "R-C12 demanded",
            &demands,
            rfc6455_answer(&protocol("chat")),
            good(),
        ),
        (
            "R-C12",
            &offers,
            rfc6455_answer(&protocol("Chat")),
            Some(Err(HandshakeError::SubprotocolNotOffered {
                seen: "Chat".to_owned(),
            })),
        ),
        (
            "R-C12",
            &plain,
            rfc6455_answer(&protocol("chat")),
            Some(Err(HandshakeError::SubprotocolNotOffered {
                seen: "chat".to_owned(),
            })),
        ),
        (
            "R-C12",
            &offers,
            rfc6455_answer(&protocol("chat, superchat")),
            Some(Err(HandshakeError::SubprotocolNotOffered {
                seen: "chat, superchat".to_owned(),
            })),
        ),
        (
            "R-C12",
            &offers,
            rfc6455_answer(&(protocol("chat") + "Sec-WebSocket-Protocol: chat\r\n")),
            duplicate("Sec-WebSocket-Protocol"),
        ),
    ] {
        let (handshake, outcome) = answer(config, &text);
        assert_eq!(outcome, expected, "{rule}: {text:?}");
        if expected == Some(Ok(())) {
            let sent = text
                .split("\r\n")
                .find_map(|line| line.strip_prefix("Sec-WebSocket-Protocol: "));
            assert_eq!(
                handshake.response_head().unwrap().subprotocol(),
                sent,
                "{rule}"
            );
        }
    }
}
