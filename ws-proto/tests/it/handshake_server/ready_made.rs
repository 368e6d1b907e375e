//! Requests that an HTTP server has read.

use std::time::Instant;

use http::StatusCode;
use ws_proto::{
    Accept, Event, HandshakeEvent, Message, ReasonPhrase, Request, ServerHandshake, State,
};

use ws_testing::handshake::{
    DRAFT75, DRAFT76, RFC6455, drain, sample_config, serve, upgrade, with,
};

/// Makes a ready-made request of bytes, as an HTTP server would.
fn parts(request: &str) -> http::request::Parts {
    let (head, _) = request.split_once("\r\n\r\n").unwrap();
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap().split(' ');
    let mut builder = http::Request::builder().method(words.next().unwrap());
    builder = builder.uri(words.next().unwrap());
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        builder = builder.header(name, value.trim());
    }
    builder.body(()).unwrap().into_parts().0
}

/// Writes a response down as an HTTP server would that keeps names in capital letters.
fn written(response: &http::Response<bytes::Bytes>) -> String {
    let reason = response.extensions().get::<ReasonPhrase>().unwrap();
    let mut text = format!("HTTP/1.1 {} {reason}\r\n", response.status().as_u16());
    for (name, value) in response.headers() {
        text += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    text + "\r\n" + &String::from_utf8_lossy(response.body())
}

/// A ready-made request gets the same answer as the same request on a stream.
#[test]
fn a_ready_made_request_is_answered_like_bytes() {
    let requests = [
        RFC6455.to_owned(),
        DRAFT75.to_owned(),
        DRAFT76.to_owned(),
        RFC6455.replace("GET", "POST"),
        RFC6455.replace("/chat", "/chat?a=b"),
        with(RFC6455, "Sec-WebSocket-Version", "Sec-WebSocket-Version: 9"),
        with(RFC6455, "Sec-WebSocket-Version", ""),
        with(RFC6455, "Sec-WebSocket-Key", "Sec-WebSocket-Key: 1"),
        with(DRAFT75, "Host", "Host: a:0"),
        with(DRAFT75, "Origin", ""),
        with(
            DRAFT76,
            "Sec-WebSocket-Key1",
            "Sec-WebSocket-Key1: 4@146546xW%0l15",
        ),
    ];
    for request in requests {
        let now = Instant::now();
        let (_, on_stream) = serve(&sample_config(), request.as_bytes());
        let mut handshake = ServerHandshake::from_request(&sample_config(), &parts(&request), now);
        let event = handshake.poll_event();
        if let Some(HandshakeEvent::Request(_)) = event {
            assert!(handshake.response().is_none(), "nothing is decided yet");
            handshake.accept(Accept::new()).unwrap();
        } else {
            assert!(
                matches!(event, Some(HandshakeEvent::Failed(_))),
                "{event:?}"
            );
            assert!(!handshake.is_finished(), "the response is not taken yet");
        }
        let response = handshake.response().expect("an answer");
        let lower = |text: &str| text.to_ascii_lowercase();
        assert_eq!(lower(&written(&response)), lower(&on_stream));
        assert!(handshake.response().is_none(), "it is taken once");
        assert!(
            handshake.outgoing().is_empty(),
            "the head does not go out twice"
        );
    }
    let plain = parts("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut handshake = ServerHandshake::from_request(&sample_config(), &plain, Instant::now());
    assert!(matches!(
        handshake.poll_event(),
        Some(HandshakeEvent::Request(Request::Http))
    ));
}

/// Q1 with an HTTP server in front: the response goes first, the 16 bytes follow key3.
#[test]
fn a_ready_made_draft76_request_still_waits_for_key3() {
    let now = Instant::now();
    let mut handshake = ServerHandshake::from_request(&sample_config(), &parts(DRAFT76), now);
    upgrade(&mut handshake);
    handshake.accept(Accept::new()).unwrap();
    assert_eq!(handshake.state(), State::Waiting);
    let response = handshake.response().unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let reason = response.extensions().get::<ReasonPhrase>().unwrap();
    assert_eq!(reason.as_str(), "WebSocket Protocol Handshake");
    let names: Vec<_> = response
        .headers()
        .keys()
        .take(2)
        .map(|name| name.as_str())
        .collect();
    assert_eq!(names, ["upgrade", "connection"]);
    handshake.handle_read(now, b"^n:ds[4U\x00Hi\xff");
    assert!(matches!(handshake.poll_event(), Some(HandshakeEvent::Open)));
    assert_eq!(drain(handshake.outgoing()), b"8jKS'y:G*Co,Wxa-");
    let mut connection = handshake.into_connection(now);
    assert_eq!(
        connection.poll_event(now),
        Some(Event::Message(Message::from("Hi")))
    );
}
