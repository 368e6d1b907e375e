//! Plain HTTP on the port of the WebSocket, and input that is neither.

use std::panic::resume_unwind;

use ::http::{Request, Response};
use http_body_util::BodyExt;
use ws_proto::Version;

use super::support::{DRAFT76, KEY3, Log, Peer, RFC6455, client, echo, masked, ms, serve, text};
use ws_driver::{RequestBody, Runtime, Server};

const PLAIN: &str = "GET /page HTTP/1.1\r\nHost: example.com\r\n\r\n";

const DRAFT75: &str = "GET /demo HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
                       Host: example.com\r\nOrigin: http://example.com\r\n\r\n";

const POST: &str = "POST /form HTTP/1.1\r\nHost: example.com\r\nContent-Length: 5\r\n\r\nhello";

/// Event `request`: a closure answers plain requests, bodies included, one after the other on one
/// stream, which can still be upgraded; the observer is told.
pub async fn event_request<R: Runtime + Default>() {
    let log = Log::default();
    let builder = Server::<R>::builder().observer(log.clone());
    let builder = builder.on_request(|request: Request<RequestBody>| async move {
        let asked = format!("{} {}", request.method(), request.uri());
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Response::new(format!("{asked} {}", body.escape_ascii()))
    });
    let server = serve(builder, echo).await;
    let mut peer = Peer::connect(&server).await;
    for (request, expected) in [(PLAIN, "GET /page "), (POST, "POST /form hello")] {
        let (head, body) = peer.ask_all(request).await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert_eq!(body, expected);
    }
    let head = peer.ask(RFC6455).await;
    assert!(
        head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"),
        "{head}"
    );
    peer.write(masked(0x81, b"hi")).await;
    assert_eq!(peer.frame().await, (0x81, b"hi".to_vec()));
    let lines = log.until("connection rfc6455").await;
    let requests: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("request"))
        .collect();
    assert_eq!(requests, ["request GET /page", "request POST /form"]);
}

/// Without a service a plain request is told what this is, and the stream stays good.
pub async fn without_a_service_a_request_gets_426<R: Runtime + Default>() {
    let server = serve::<R, _, _>(Server::builder(), echo).await;
    let mut peer = Peer::connect(&server).await;
    let (head, body) = peer.ask_all(PLAIN).await;
    assert!(
        head.starts_with("HTTP/1.1 426 Upgrade Required\r\n"),
        "{head}"
    );
    assert!(
        head.to_ascii_lowercase()
            .contains("\r\nupgrade: websocket\r\n"),
        "{head}"
    );
    assert!(body.contains("WebSocket"), "{body}");
    let head = peer.ask(RFC6455).await;
    assert!(
        head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"),
        "{head}"
    );
}

/// A service that panics makes it a 500, and the server goes on.
pub async fn a_service_that_panics_makes_it_a_500<R: Runtime + Default>() {
    let builder = Server::<R>::builder().on_request(|request: Request<RequestBody>| async move {
        if request.uri() == "/page" {
            // As a panic, but without the noise of one.
            resume_unwind(Box::new("a case wants it"));
        }
        Response::new(String::from("fine"))
    });
    let server = serve(builder, echo).await;
    let mut peer = Peer::connect(&server).await;
    let (head, _) = peer.ask_all(PLAIN).await;
    assert!(
        head.starts_with("HTTP/1.1 500 Internal Server Error\r\n"),
        "{head}"
    );
    let (_, body) = Peer::connect(&server).await.ask_all(POST).await;
    assert_eq!(body, "fine");
}

/// Bytes that are no HTTP are answered with 400 and the stream ends; a good client works afterwards.
pub async fn garbage_is_answered_with_400<R: Runtime + Default>() {
    let server = serve::<R, _, _>(Server::builder(), echo).await;
    for garbage in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(),
        b"<policy-file-request/>\0",
        b"GET / HTTP/1.1\r\nHost: a\r\n no: folding\r\n\r\n",
        b"\r\n\0\0\0\0",
    ] {
        let mut peer = Peer::connect(&server).await;
        let head = peer.ask(garbage).await;
        let shown = garbage.escape_ascii();
        assert!(
            head.starts_with("HTTP/1.1 400 Bad Request\r\n"),
            "{shown}: {head}"
        );
        peer.read_to_end().await;
    }
    let mut connection = client(&server, Version::Rfc6455).await;
    connection.send("hi").await.unwrap();
    assert_eq!(text(&mut connection).await, "hi");
}

/// One rule for all requests: each gets the same answer, byte for byte, as the first one of a stream and behind
/// a plain one that is kept alive, in one write with it or not.
pub async fn a_request_is_the_same_wherever_it_comes<R: Runtime + Default>() {
    let server = serve::<R, _, _>(Server::builder(), echo).await;
    let target = |target: &str| RFC6455.replace("/chat?room=1", target);
    let with = |line: &str| RFC6455.replace("Origin: ", &format!("{line}\r\nOrigin: "));
    let key3 = std::str::from_utf8(KEY3).unwrap();
    let draft76 = [DRAFT76, key3].concat();
    for (request, status) in [
        (RFC6455.to_owned(), 101),
        (DRAFT75.to_owned(), 101),
        (draft76.clone(), 101),
        (draft76.replace("Host", "Content-Length: 8\r\nHost"), 101),
        (target("/a|b?x=<y>"), 101),
        (target("/a?x=\"y\""), 101),
        (target("/a\\b"), 101),
        (target("/a#b"), 400),
        (target("/\u{e9}"), 400),
        (target("http://a.example/b"), 101),
        (target("ws://a.example/b"), 400),
        (format!("\r\n{RFC6455}"), 101),
        (RFC6455.replace("\r\n", "\n"), 400),
        (with("Content-Length: 0\r\nContent-Length: 0"), 400),
        (with("Content-Length: 00"), 101),
        (with("Transfer-Encoding: chunked"), 400),
        (with("X : a"), 400),
        (with("X: a\r\n b"), 400),
        (with("Sec-WebSocket-Extensions: a; b=\"c d\""), 101),
        (with("Host: a"), 400),
        (with(&format!("X: {}", "x".repeat(20_000))), 431),
        (with(&["X: a"; 120].join("\r\n")), 431),
        (RFC6455.replace("GET", "PUT"), 405),
        (RFC6455.replace("HTTP/1.1", "HTTP/1.0"), 426),
        (RFC6455.replace("Sec-WebSocket-Version: 13", "X: a"), 400),
        ("GET / HTTP/1.1\nHost: a\n\n".to_owned(), 400),
        ("GET /<a> HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n".to_owned(),
            400,
        ),
        ("\x16\x03\x01\x02".to_owned(), 400),
    ] {
        let shown = &request[..request.len().min(300)];
        let mut first = Peer::connect(&server).await;
        let expected = first.ask(&request).await;
        assert!(
            expected[9..].starts_with(&status.to_string()),
            "{shown}: {expected}"
        );
        let chunked = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                       2;a=b\r\n\r\n\r\n0\r\nT: u\r\n\r\n";
        for before in [PLAIN, POST, chunked] {
            let mut later = Peer::connect(&server).await;
            later.ask_all(before).await;
            assert_eq!(
                without_date(&later.ask(&request).await),
                without_date(&expected),
                "{shown}"
            );
            let mut at_once = Peer::connect(&server).await;
            let (_, _) = at_once.ask_all([before, &request].concat()).await;
            assert_eq!(
                without_date(&at_once.head().await),
                without_date(&expected),
                "{shown}"
            );
        }
    }
}

/// Plain answers have the time of day.
fn without_date(head: &str) -> String {
    let lines = head
        .split("\r\n")
        .filter(|line| !line.starts_with("Date: "));
    lines.collect::<Vec<_>>().join("\r\n")
}

/// An upload that nobody reads is not reset before its client has read the answer, as one that was refused.
pub async fn an_upload_that_nobody_reads_gets_its_answer<R: Runtime + Default>() {
    let server = serve::<R, _, _>(Server::builder(), echo).await;
    for len in [1000, 200_000, 3_000_000] {
        let mut peer = Peer::connect(&server).await;
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n");
        peer.write(head).await;
        for part in vec![b'x'; len].chunks(65_536) {
            peer.try_write(part)
                .await
                .expect("it is taken, though nobody reads it");
        }
        let (head, body) = peer.ask_all("").await;
        assert!(head.starts_with("HTTP/1.1 426 "), "{len}: {head}");
        assert!(body.contains("WebSocket"), "{body}");
        peer.end().await;
    }
}

/// A head with too many bytes or lines is refused with 431.
pub async fn a_head_over_a_limit_gets_431<R: Runtime + Default>() {
    let bytes = Server::<R>::builder().head_limit(200);
    let lines = Server::<R>::builder().header_limit(6usize);
    let long = RFC6455.replace("Origin", &format!("X: {}\r\nOrigin", "x".repeat(200)));
    let many = RFC6455.replace("Origin", "X: 1\r\nX: 2\r\nX: 3\r\nOrigin");
    for (builder, request) in [(bytes, long), (lines, many)] {
        let server = serve(builder, echo).await;
        let head = Peer::connect(&server).await.ask(request).await;
        assert!(head.starts_with("HTTP/1.1 431 "), "{head}");
    }
}

/// X11, X18: a client that pipelines plain requests and reads no answer is cut off once it has taken
/// nothing for the `handshake_timeout`, and its place is free again.
pub async fn who_pipelines_requests_and_reads_no_answer_is_cut_off<R: Runtime + Default>() {
    let waited = ms(300);
    let builder = Server::<R>::builder().handshake_timeout(waited);
    let builder = builder.on_request(|_: Request<RequestBody>| async {
        // Fills the buffers of the host sooner than a short answer.
        Response::new("x".repeat(64 << 10))
    });
    let server = serve(builder.connection_limit(1), echo).await;
    let runtime = R::default();
    let begin = runtime.now();
    let mut peer = Peer::connect(&server).await;
    peer.write_until_it_breaks(PLAIN.repeat(1000).as_bytes())
        .await;
    assert!(runtime.now() - begin >= waited);
    // While that one was there, this one would have had to wait.
    let mut connection = client(&server, Version::Rfc6455).await;
    connection.send("hi").await.unwrap();
    assert_eq!(text(&mut connection).await, "hi");
}

/// A body of which too little comes for the `body_timeout` fails, and what reads it can still answer.
pub async fn a_body_that_does_not_come_fails_in_time<R: Runtime + Default>() {
    let builder = Server::<R>::builder().body_timeout(ms(300));
    let builder = builder.on_request(|request: Request<RequestBody>| async move {
        let error = request.into_body().collect().await.unwrap_err();
        Response::new(error.to_string())
    });
    let server = serve(builder, echo).await;
    let mut peer = Peer::connect(&server).await;
    let (head, body) = peer.ask_all(POST.trim_end_matches("ello")).await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let expected = "the peer moved 1 bytes in 300ms of waiting; at least 16384 are required (option body_timeout)";
    assert_eq!(body, expected);
    assert_eq!(peer.read_to_end().await, b"");
}

/// A stream that says nothing gives its place back after the `handshake_timeout`, though it never ends.
pub async fn a_silent_stream_gives_its_place_back_in_time<R: Runtime + Default>() {
    let builder = Server::<R>::builder().handshake_timeout(ms(300));
    let builder = builder.close_timeout(ms(60_000)).connection_limit(1);
    let server = serve(builder, echo).await;
    let runtime = R::default();
    let begin = runtime.now();
    let _silent = Peer::connect(&server).await;
    let mut connection = client(&server, Version::Rfc6455).await;
    connection.send("hi").await.unwrap();
    assert_eq!(text(&mut connection).await, "hi");
    let waited = runtime.now() - begin;
    assert!(waited >= ms(290) && waited < ms(10_000), "{waited:?}");
}
