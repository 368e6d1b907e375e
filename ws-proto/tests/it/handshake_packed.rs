//! A head that is packed and unpacked says what it said: method, target, status, version, subprotocol,
//! and every header with its values, in their order.

use std::time::Instant;

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use proptest::collection::vec;
use proptest::prelude::*;
use ws_proto::hooks::{PackedEvent, PackedRequest, PackedResponse, poll_packed_event};
use ws_proto::{
    ClientConfig, HandshakeEvent, Request, RequestHead, ResponseHead, ServerConfig, ServerHandshake,
};
use ws_testing::handshake::{ACCEPT_LINE, RFC6455, client, rfc6455_answer, subprotocols};

const SWITCH: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\n";

/// Everything that a map says, in its order.
fn lines(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let line = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), value.as_bytes().to_vec())
    };
    headers.iter().map(line).collect()
}

fn assert_same_request(head: &RequestHead, again: &RequestHead) {
    assert_eq!(
        (again.method(), again.target(), again.path(), again.query()),
        (head.method(), head.target(), head.path(), head.query())
    );
    assert_eq!(lines(again.headers()), lines(head.headers()));
    assert_eq!(again.headers(), head.headers());
}

/// A handshake that has read these bytes in one read.
fn reader(bytes: &[u8]) -> ServerHandshake {
    let mut handshake = ServerHandshake::new(&ServerConfig::new(), Instant::now());
    handshake.handle_read(Instant::now(), bytes);
    handshake
}

fn upgrade(mut handshake: ServerHandshake) -> RequestHead {
    match handshake.poll_event() {
        Some(HandshakeEvent::Request(Request::Upgrade(request))) => request.into_head(),
        other => panic!("not an upgrade: {other:?}"),
    }
}

fn packed(mut handshake: ServerHandshake) -> PackedRequest {
    match poll_packed_event(&mut handshake) {
        Some(PackedEvent::Upgrade(request)) => request.into_head(),
        other => panic!("not an upgrade: {other:?}"),
    }
}

/// The same request line, and no header.
fn assert_no_headers(head: &RequestHead, without: &PackedRequest) {
    let without = without.without_headers().unpack();
    assert_eq!(
        (without.method(), without.target(), without.headers().len()),
        (head.method(), head.target(), 0)
    );
}

/// Reads an answer as a client does; its status decides whether it opens.
fn answer(bytes: &[u8]) -> ResponseHead {
    let config = ClientConfig::new().subprotocols(subprotocols(&["chat"]));
    let mut handshake = client(&config);
    handshake.handle_read(Instant::now(), bytes);
    handshake.response_head().expect("a head").clone()
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("Cookie".to_owned()),
        Just("accept-language".to_owned()),
        Just("X-A".to_owned()),
        "X-[A-Za-z0-9!#$%&'*+.^_`|~-]{0,30}",
    ]
}

/// Whatever a value can be: empty, tabs inside, obs-text (RFC 9110 §5.5), separators of other formats.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![0x20..=0x7e_u8, 0x80..=0xff_u8, Just(b'\t')];
    prop_oneof![vec(byte, 0..60), Just(b": a, b; c=\"d\\\"\"".to_vec())]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// Of any upgrade that is read from bytes.
    #[test]
    fn a_request_comes_back_as_it_was(
        headers in vec((name(), value()), 0..40),
        target in "/[!-\"$-~]{0,40}",
    ) {
        let mut bytes = RFC6455.replacen(" /chat ", &format!(" {target} "), 1).into_bytes();
        prop_assert!(bytes.windows(target.len()).any(|part| part == target.as_bytes()));
        bytes.truncate(bytes.len() - 2);
        for (name, value) in &headers {
            bytes.extend([name.as_bytes(), b":", value, b"\r\n"].concat());
        }
        bytes.extend(b"\r\n");
        let mut expected = upgrade(reader(RFC6455.as_bytes())).headers().clone();
        for (name, value) in &headers {
            let value = value.trim_ascii();
            let name: HeaderName = name.parse().unwrap();
            expected.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        let head = upgrade(reader(&bytes));
        prop_assert_eq!(head.target(), target);
        prop_assert_eq!(lines(head.headers()), lines(&expected));
        let packed = packed(reader(&bytes));
        assert_no_headers(&head, &packed);
        assert_same_request(&head, &packed.unpack());
    }

    /// Of a request that an HTTP server read, whose values need not be trimmed.
    #[test]
    fn a_request_of_an_http_server_comes_back_as_it_was(
        headers in vec((name(), value()), 0..40),
    ) {
        let mut parts = http::Request::get("http://a.example/b?c").body(()).unwrap().into_parts().0;
        for line in RFC6455.lines().skip(1).filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").unwrap();
            let name: HeaderName = name.parse().unwrap();
            parts.headers.append(name, value.parse().unwrap());
        }
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            parts.headers.append(name, HeaderValue::from_bytes(&value).unwrap());
        }
        let now = Instant::now();
        let handshake = || ServerHandshake::from_request(&ServerConfig::new(), &parts, now);
        let head = upgrade(handshake());
        assert_eq!(lines(head.headers()), lines(&parts.headers));
        let packed = packed(handshake());
        assert_no_headers(&head, &packed);
        assert_same_request(&head, &packed.unpack());
    }

    /// Of any answer: with and without a subprotocol, in both versions of HTTP, with any status.
    #[test]
    fn an_answer_comes_back_as_it_was(
        headers in vec((name(), value()), 0..40),
        has_subprotocol in any::<bool>(),
        // Others of 1xx are read past.
        status_line in "HTTP/1\\.[01] (101|[2-9][0-9]{2}) [ -~]{0,20}",
        is_good in any::<bool>(),
    ) {
        let subprotocol = if has_subprotocol { "Sec-WebSocket-Protocol: chat\r\n" } else { "" };
        let mut text = rfc6455_answer(&format!("{SWITCH}{ACCEPT_LINE}{subprotocol}"));
        if !is_good {
            text = text.replacen(text.lines().next().unwrap(), &status_line, 1);
        }
        let mut bytes = text.into_bytes();
        bytes.truncate(bytes.len() - 2);
        for (name, value) in &headers {
            bytes.extend([name.as_bytes(), b":", value, b"\r\n"].concat());
        }
        bytes.extend(b"\r\n");
        let head = answer(&bytes);
        let again = PackedResponse::new(&head).unpack();
        prop_assert_eq!(again.status(), head.status());
        prop_assert_eq!(again.version(), head.version());
        prop_assert_eq!(again.subprotocol(), head.subprotocol());
        prop_assert!(!is_good || head.subprotocol() == has_subprotocol.then_some("chat"));
        prop_assert_eq!(lines(again.headers()), lines(head.headers()));
    }
}
