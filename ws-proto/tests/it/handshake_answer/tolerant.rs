//! What RFC 9110 and 9112 have a client take of an answer, in RFC 6455 (PROTOCOL.md §5.3, the column *Tolerant*).

use std::time::Instant;

use ws_proto::{ClientConfig, HandshakeError, HandshakeEvent, Version};

use ws_testing::handshake::{ACCEPT_LINE, answer, client, offering, rfc6455_answer};

const SWITCH: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\n";

fn good() -> String {
    rfc6455_answer(&[SWITCH, ACCEPT_LINE].concat())
}

/// RFC 9110 §15.2: answers of status 1xx before the one that counts are read past, however they are cut, up to
/// eight of them.
#[test]
fn answers_of_1xx_are_read_past_up_to_a_limit() {
    let config = ClientConfig::new();
    for interim in [
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
        "HTTP/1.1 102\r\nUpgrade: nothing\r\n\r\n",
        "HTTP/1.1 199 x\r\n\r\n",
    ] {
        for (count, opens) in [(1, true), (8, true), (9, false)] {
            let text = interim.repeat(count) + &good();
            for step in [1, 7, text.len()] {
                let mut handshake = client(&config);
                for read in text.as_bytes().chunks(step) {
                    handshake.handle_read(Instant::now(), read);
                }
                let event = handshake.poll_event();
                match opens {
                    true => {
                        assert!(matches!(event, Some(HandshakeEvent::Open)), "{event:?}");
                        let head = handshake.response_head().unwrap();
                        assert_eq!(head.status(), 101);
                        assert_eq!(head.header("Link"), None, "of the last one only");
                    }
                    false => {
                        let Some(HandshakeEvent::Failed(error)) = event else {
                            panic!("{event:?}");
                        };
                        assert_eq!(error, HandshakeError::TooManyInterim { limit: 8 });
                    }
                }
            }
        }
        // What counts can be a refusal, too, and each head has the whole limit.
        let refused = "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno";
        let (_, outcome) = answer(&config, &(interim.to_owned() + refused));
        assert!(
            matches!(outcome, Some(Err(HandshakeError::Status { .. }))),
            "{outcome:?}"
        );
        let limit = good().len();
        let exact = ClientConfig::new().head_limit(limit);
        let (_, outcome) = answer(&exact, &(interim.to_owned() + &good()));
        assert_eq!(outcome, Some(Ok(())));
    }
    // One that never ends is over the limit of a head, and the end behind one is no empty stream.
    let endless = "HTTP/1.1 100 Continue\r\nX: ".to_owned() + &"a".repeat(20_000);
    let (_, outcome) = answer(&config, &endless);
    assert_eq!(
        outcome,
        Some(Err(HandshakeError::HeadTooLarge { limit: 16_384 }))
    );
    let mut handshake = client(&config);
    handshake.handle_read(Instant::now(), b"HTTP/1.1 100 Continue\r\n\r\n");
    handshake.handle_eof();
    let Some(HandshakeEvent::Failed(error)) = handshake.poll_event() else {
        panic!("the stream ended");
    };
    assert!(
        matches!(error, HandshakeError::Disconnected { .. }),
        "{error:?}"
    );
    // The drafts stay exact.
    for version in [Version::Draft75, Version::Draft76] {
        let config = ClientConfig::new().version(version);
        let (_, outcome) = answer(&config, "HTTP/1.1 100 Continue\r\n\r\n");
        assert!(
            matches!(outcome, Some(Err(HandshakeError::Status { .. }))),
            "{outcome:?}"
        );
    }
}

/// RFC 9112 §5.2: a client takes a continued line for one with spaces; the drafts, and a continued first line,
/// stay refused.
#[test]
fn a_continued_line_of_an_answer_is_one_line() {
    let config = ClientConfig::new();
    let accept = ACCEPT_LINE.replace(": ", ":\r\n\t ");
    for lines in [
        format!("X-A: b\r\n c\r\n\td\r\n{SWITCH}{ACCEPT_LINE}"),
        format!("{SWITCH}{accept}"),
        format!("{SWITCH}{ACCEPT_LINE}X-A:\r\n \r\n"),
    ] {
        for step in [1, 1000] {
            let text = rfc6455_answer(&lines);
            let mut handshake = client(&config);
            for read in text.as_bytes().chunks(step) {
                handshake.handle_read(Instant::now(), read);
            }
            let event = handshake.poll_event();
            assert!(
                matches!(event, Some(HandshakeEvent::Open)),
                "{text:?}: {event:?}"
            );
            let value = handshake.response_head().unwrap().header("X-A");
            assert!(
                value.is_none_or(|value| ["b   c  \td", ""].contains(&value)),
                "{value:?}"
            );
        }
    }
    let (_, outcome) = answer(
        &config,
        &rfc6455_answer(&format!(" X\r\n{SWITCH}{ACCEPT_LINE}")),
    );
    assert!(
        matches!(outcome, Some(Err(HandshakeError::MalformedHead { .. }))),
        "{outcome:?}"
    );
    let drafts = ClientConfig::new().version(Version::Draft76);
    let (_, outcome) = answer(&drafts, "HTTP/1.1 101 a b\r\nX: a\r\n b\r\n\r\n");
    assert!(
        matches!(outcome, Some(Err(HandshakeError::MalformedHead { .. }))),
        "{outcome:?}"
    );
}

/// R-C8, R-C9, R-C11, R-C12: empty elements of a list are none, a header that is there twice is a list, and
/// an empty subprotocol or extension is no choice.
#[test]
fn empty_elements_of_an_answer_are_none() {
    let offers = offering(ClientConfig::new(), &["chat"]);
    let demands = offers.clone().require_subprotocol(true);
    for lines in [
        "Upgrade: websocket,\r\nConnection: ,Upgrade\r\n",
        "Upgrade: websocket\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: \r\n",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Extensions: \r\n",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Extensions: , ,\r\n",
    ] {
        let text = rfc6455_answer(&[lines, ACCEPT_LINE].concat());
        for config in [&ClientConfig::new(), &offers] {
            let (handshake, outcome) = answer(config, &text);
            assert_eq!(outcome, Some(Ok(())), "{text:?}");
            assert_eq!(handshake.response_head().unwrap().subprotocol(), None);
        }
        let (_, outcome) = answer(&demands, &text);
        assert_eq!(
            outcome,
            Some(Err(HandshakeError::NoSubprotocol)),
            "{text:?}"
        );
    }
    for upgrade in [
        "",
        ",",
        "websocket, h2c",
        "h2c, websocket",
        "websocket/13",
        "web socket",
    ] {
        let lines = format!("Upgrade: {upgrade}\r\nConnection: Upgrade\r\n{ACCEPT_LINE}");
        let (_, outcome) = answer(&ClientConfig::new(), &rfc6455_answer(&lines));
        assert!(
            matches!(outcome, Some(Err(HandshakeError::Mismatch { .. }))),
            "{outcome:?}"
        );
    }
}
