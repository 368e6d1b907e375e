//! SECURITY.md: no text of the core tells a secret, neither of a caller nor of a peer.

use std::time::Instant;

use ws_proto::hooks::{PackedEvent, poll_packed_event};
use ws_proto::{
    ClientConfig, ClientHandshake, ClientUrl, HandshakeError, HandshakeEvent, Origin, OriginPolicy,
    Request, ServerConfig, ServerHandshake, Subprotocol,
};
use ws_testing::handshake::Fixed;

const SECRET: &str = "s3cr3t";

fn assert_hidden(what: &str, text: &str) {
    assert!(!text.contains(SECRET), "{what} tells it: {text}");
    assert!(!text.is_empty(), "{what} says nothing");
}

/// Debug of what a caller set: headers under any name, subprotocols, the query of a URL.
#[test]
fn options_of_a_client_do_not_show_secrets() {
    let mut config = ClientConfig::new().subprotocols(vec![SECRET.parse::<Subprotocol>().unwrap()]);
    for name in ["Authorization", "Cookie", "X-Api-Key"] {
        config = config.header(name, SECRET).unwrap();
    }
    let shown = format!("{config:?}");
    assert_hidden("ClientConfig", &shown);
    assert!(shown.contains("Authorization"), "names are shown: {shown}");
    let url: ClientUrl = format!("wss://example.com/chat?token={SECRET}")
        .parse()
        .unwrap();
    assert_hidden("ClientUrl", &format!("{url:?}"));
    assert_eq!(url.to_string(), "wss://example.com/chat?…");
    assert!(url.reveal().contains(SECRET), "who asks gets it");
    let url: ClientUrl = format!("wss://user:{SECRET}@example.com/").parse().unwrap();
    assert_hidden("ClientUrl", &format!("{url:?}"));
    assert_eq!(url.to_string(), "wss://…@example.com/");
    assert!(url.reveal().contains(SECRET), "who asks gets it");
    let handshake =
        ClientHandshake::new(&url, &config, Box::new(Fixed(b"noise")), Instant::now()).unwrap();
    assert_hidden("ClientHandshake", &format!("{handshake:?}"));
}

/// Errors of what cannot be read repeat neither user information nor query, nor a token.
#[test]
fn errors_of_options_do_not_show_secrets() {
    for url in [
        format!("ws://user:{SECRET}%@example.com/"),
        format!("ws://user:{SECRET} @example.com/"),
        format!("ws://user%3a{SECRET}@example.com/"),
        format!("ws://{SECRET}@example.com:x/"),
        format!("ws://user:{SECRET}@[::1%eth0]/"),
        format!("ws://user:{SECRET}@\u{ff0f}/"),
        format!("wss://example.com/a b?token={SECRET}"),
        format!("http://user:{SECRET}@example.com/"),
        format!("user:{SECRET}@example.com"),
        format!("ws://user:a/{SECRET}@example.com"),
        format!("ws://user:a?{SECRET}@example.com"),
        format!("ws://example.com/#{SECRET}"),
        format!("ws://user:a#{SECRET}@example.com"),
    ] {
        let error = url.parse::<ClientUrl>().unwrap_err();
        assert_hidden("ConfigError", &error.to_string());
        assert_hidden("ConfigError", &format!("{error:?}"));
    }
    for error in [
        format!("Bearer {SECRET}")
            .parse::<Subprotocol>()
            .unwrap_err(),
        format!("https://u:{SECRET}@a")
            .parse::<Origin>()
            .unwrap_err(),
    ] {
        assert_hidden("ConfigError", &error.to_string());
        assert_hidden("ConfigError", &format!("{error:?}"));
    }
}

/// Requests, as a server shows them: target, headers, subprotocols.
#[test]
fn requests_do_not_show_secrets() {
    let request = format!(
        "GET /chat?token={SECRET} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\nAuthorization: {SECRET}\r\nCookie: a={SECRET}\r\n\
         X-Api-Key: {SECRET}\r\nSec-WebSocket-Protocol: chat, {SECRET}\r\n\r\n"
    );
    let [mut server, mut packed] = [(); 2].map(|()| {
        let mut server = ServerHandshake::new(&ServerConfig::new(), Instant::now());
        server.handle_read(Instant::now(), request.as_bytes());
        server
    });
    let event = server.poll_event().unwrap();
    assert_hidden("HandshakeEvent", &format!("{event:?}"));
    let HandshakeEvent::Request(Request::Upgrade(request)) = event else {
        panic!("{event:?}");
    };
    let head = request.head();
    assert_hidden("RequestHead", &format!("{head:?}"));
    let packed = poll_packed_event(&mut packed).unwrap();
    assert_hidden("PackedEvent", &format!("{packed:?}"));
    let PackedEvent::Upgrade(packed) = packed else {
        panic!("{packed:?}");
    };
    let packed = packed.into_head();
    assert_hidden("PackedRequest", &format!("{packed:?}"));
    let again = packed.unpack();
    for headers in [head.headers(), again.headers()] {
        for name in ["authorization", "cookie", "sec-websocket-protocol"] {
            assert!(headers[name].is_sensitive(), "{name}");
            assert_hidden(name, &format!("{:?}", headers[name]));
        }
    }
    assert_eq!(
        head.header("Authorization"),
        Some(SECRET),
        "who asks gets it"
    );
}

/// Refusals of requests: what is wrong with a target or a token is said without it.
#[test]
fn refusals_of_requests_do_not_show_secrets() {
    for (target, more) in [
        ("/".into(), format!("Origin: http://u:{SECRET}@h\r\n")),
        (format!("/chat?token={SECRET}#a"), String::new()),
        (format!("http://u:{SECRET}@h/"), String::new()),
        (
            "/".into(),
            format!("Sec-WebSocket-Protocol: {SECRET} x\r\n"),
        ),
        ("/".into(), format!("Host: u:{SECRET}@h\r\n")),
    ] {
        let host = if more.starts_with("Host") {
            ""
        } else {
            "Host: a\r\n"
        };
        let request = format!(
            "GET {target} HTTP/1.1\r\n{host}Upgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
        );
        let config = ServerConfig::new().origins(OriginPolicy::SameHost);
        let mut server = ServerHandshake::new(&config, Instant::now());
        server.handle_read(Instant::now(), request.as_bytes());
        let Some(HandshakeEvent::Failed(error)) = server.poll_event() else {
            panic!("{request:?} is refused");
        };
        assert_hidden("HandshakeError", &error.to_string());
        assert_hidden("HandshakeError", &format!("{error:?}"));
    }
}

/// Answers, as a client shows them: where a redirect points to, what a location should have been, cookies.
#[test]
fn answers_do_not_show_secrets() {
    for (version, answer) in [
        (
            ws_proto::Version::Rfc6455,
            format!("HTTP/1.1 302 Found\r\nLocation: https://a/b?token={SECRET}\r\n\r\n"),
        ),
        (
            ws_proto::Version::Rfc6455,
            format!("HTTP/1.1 401 No\r\nSet-Cookie: a={SECRET}\r\nContent-Length: 0\r\n\r\n"),
        ),
        (
            ws_proto::Version::Draft75,
            "HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\n\
             Connection: Upgrade\r\nWebSocket-Origin: http://example.com\r\n\
             WebSocket-Location: ws://example.com/\r\n\r\n"
                .to_owned(),
        ),
    ] {
        let url: ClientUrl = format!("ws://example.com/?token={SECRET}").parse().unwrap();
        let config = ClientConfig::new().version(version);
        let mut client =
            ClientHandshake::new(&url, &config, Box::new(Fixed(b"noise")), Instant::now()).unwrap();
        client.handle_read(Instant::now(), answer.as_bytes());
        let Some(HandshakeEvent::Failed(error)) = client.poll_event() else {
            panic!("{answer:?} is refused");
        };
        assert_hidden("HandshakeError", &error.to_string());
        assert_hidden("HandshakeError", &format!("{error:?}"));
        assert_hidden("ResponseHead", &format!("{:?}", client.response_head()));
        if let HandshakeError::Redirect { location, .. } = error {
            assert!(location.reveal().contains(SECRET), "who asks gets it");
        }
    }
}
