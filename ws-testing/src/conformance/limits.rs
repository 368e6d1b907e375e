//! A peer that breaks a rule or a limit gets the reason and is closed; queues are bounded.

use std::future::pending;
use std::time::Duration;

use ws_proto::{
    ClientConfig, CloseCause, CloseCode, ConnectionConfig, InvalidText, ProtocolError, Rate,
    RateExcess, RateLimit, SendError, Version,
};

use super::support::{Peer, Told, client, echo, masked, ms, serve, spawn, text, url};
use ws_driver::{Connection, Runtime, Server, ServerBuilder, connect_with};

/// Sends frames to an echo server with these options; returns the close code that comes back, and how
/// the handler saw it.
async fn failure<R>(builder: ServerBuilder<R>, frames: &[Vec<u8>]) -> (u16, CloseCause)
where
    R: Runtime + Default,
{
    let told = Told::default();
    let teller = told.clone();
    let server = serve(builder, move |mut connection: Connection| {
        let teller = teller.clone();
        async move {
            while connection.recv().await.is_some() {}
            teller.tell(connection.closed().unwrap());
        }
    });
    let server = server.await;
    let mut peer = Peer::open(&server).await;
    peer.write(frames.concat()).await;
    let (code, _) = peer.close_frame().await;
    peer.write(masked(0x88, &code.to_be_bytes())).await;
    peer.end().await;
    peer.read_to_end().await;
    (code, told.next().await.cause)
}

/// A message, a frame, or a number of fragments over its limit closes with 1009.
pub async fn what_is_too_big_closes_with_1009<R: Runtime + Default>() {
    let builder = Server::<R>::builder;
    let fragments = [masked(0x01, b"a"), masked(0x00, b"b"), masked(0x80, b"c")];
    for (builder, frames) in [
        (
            builder().message_limit(Some(10)),
            vec![masked(0x82, &[0; 11])],
        ),
        (builder().message_limit(Some(2)), fragments.to_vec()),
        (
            builder().frame_limit(Some(10)),
            vec![masked(0x82, &[0; 11])],
        ),
        (builder().fragment_limit(Some(2)), fragments.to_vec()),
    ] {
        let (code, cause) = failure(builder, &frames).await;
        assert_eq!(code, 1009, "{cause:?}");
        assert!(matches!(cause, CloseCause::Failed(_)), "{cause:?}");
    }
    let server = serve(builder().message_limit(Some(10)), echo).await;
    for version in Version::ALL {
        let mut connection = client(&server, version).await;
        connection.send("0123456789").await.unwrap();
        assert_eq!(text(&mut connection).await, "0123456789");
        connection.send("0123456789a").await.unwrap();
        assert_eq!(connection.recv().await, None, "{version}");
    }
}

/// A peer that breaks the protocol is told which kind of rule it was.
pub async fn a_broken_rule_fails_the_connection<R: Runtime + Default>() {
    for (frame, code, error) in [
        (masked(0x81, b"\xff"), 1007, ProtocolError::InvalidUtf8),
        (
            masked(0x80, b"stray"),
            1002,
            ProtocolError::StrayContinuation,
        ),
        (
            masked(0x88, &1005u16.to_be_bytes()),
            1002,
            ProtocolError::InvalidCloseCode { code: 1005 },
        ),
    ] {
        let (seen, cause) = failure(Server::<R>::builder(), &[frame]).await;
        assert_eq!((seen, cause), (code, CloseCause::Failed(error)));
    }
}

/// A device that does not mask, writes long lengths, or sends text that is not UTF-8, is served if the options say so.
pub async fn a_device_that_breaks_rules_is_served_by_option<R: Runtime + Default>() {
    let unmasked = [&[0x81, 5][..], b"plain"].concat();
    let padded = [&[0x81, 0xfe, 0, 2, 0, 0, 0, 0][..], b"hi"].concat();
    let invalid = masked(0x81, b"caf\xe9");
    for (frame, code) in [(&unmasked, 1002), (&padded, 1002), (&invalid, 1007)] {
        let server = Server::<R>::builder();
        assert_eq!(failure(server, std::slice::from_ref(frame)).await.0, code);
    }
    let builder = Server::<R>::builder()
        .accept_wrong_masking(true)
        .accept_padded_lengths(true)
        .invalid_text(InvalidText::Binary);
    let server = serve(builder, echo).await;
    let mut peer = Peer::open(&server).await;
    peer.write([unmasked, padded, invalid.clone()].concat())
        .await;
    assert_eq!(peer.frame().await, (0x81, b"plain".to_vec()));
    assert_eq!(peer.frame().await, (0x81, b"hi".to_vec()));
    assert_eq!(peer.frame().await, (0x82, b"caf\xe9".to_vec()));
    let replaces = Server::<R>::builder().invalid_text(InvalidText::Replace);
    let server = serve(replaces, echo).await;
    let mut peer = Peer::open(&server).await;
    peer.write(invalid).await;
    assert_eq!(peer.frame().await, (0x81, "caf\u{fffd}".into()));
}

/// A client holds its own limits.
pub async fn a_client_has_limits_too<R: Runtime + Default>() {
    let server = serve::<R, _, _>(Server::builder(), echo).await;
    let connection = ConnectionConfig::new().message_limit(Some(10));
    let config = ClientConfig::new().connection(connection);
    let mut connection = connect_with::<R>(&url(&server), &config).await.unwrap();
    connection.send("more than ten").await.unwrap();
    assert_eq!(connection.recv().await, None);
    let closed = connection.closed().unwrap();
    let (len, limit) = (13, 10);
    let error = ProtocolError::MessageTooBig { len, limit };
    assert_eq!(closed.cause, CloseCause::Failed(error));
}

/// With `debug(true)`, and only then, the close frame says which rule failed the connection; nothing in it
/// is the peer's.
pub async fn a_close_says_why_with_debug<R: Runtime + Default>() {
    for debug in [false, true] {
        let builder = Server::<R>::builder().debug(debug);
        let server = serve(builder.message_limit(Some(10)), echo).await;
        for (frame, expected, why) in [
            (masked(0x81, b"0123456789x"), 1009, "option message_limit"),
            (masked(0x81, b"secret\xff"), 1007, "not valid UTF-8"),
            (masked(0x83, b"secret"), 1002, "unknown opcode"),
        ] {
            let mut peer = Peer::open(&server).await;
            peer.write(frame).await;
            let (code, reason) = peer.close_frame().await;
            assert_eq!(code, expected);
            assert_eq!(reason.contains(why), debug, "{reason}");
            assert_eq!(reason.is_empty(), !debug, "{reason}");
            assert!(!reason.contains("secret"), "{reason}");
        }
    }
}

/// A wait that no peer can keep is refused before anybody is served, and named; by a client, too.
pub async fn a_wait_of_zero_is_refused<R: Runtime + Default>() {
    let zero = Duration::ZERO;
    let builder = Server::<R>::builder;
    for (builder, option) in [
        (builder().keepalive_interval(zero), "keepalive_interval"),
        (builder().pong_timeout(zero), "pong_timeout"),
        (builder().stall_timeout(zero), "stall_timeout"),
        (builder().message_timeout(zero), "message_timeout"),
        (builder().body_timeout(zero), "body_timeout"),
        (
            builder().receive_rate_limit(RateLimit::new().messages(Rate::per_second(0))),
            "receive_rate_limit",
        ),
    ] {
        let error = builder.bind("127.0.0.1:0").await.unwrap_err();
        assert!(error.to_string().contains(option), "{error}");
    }
    let server = serve(builder(), echo).await;
    let config = ConnectionConfig::new().pong_timeout(zero);
    let config = ClientConfig::new().connection(config);
    let refused = connect_with::<R>(&url(&server), &config).await;
    let error = refused.map(drop).unwrap_err().to_string();
    assert!(error.contains("option pong_timeout"), "{error}");
}

/// A peer that sends faster than the limit of the rate allows waits, and all that it sent arrives; a message longer than
/// the burst, too. In each version, and for a client as for a server.
pub async fn a_peer_that_sends_too_fast_waits<R: Runtime + Default>() {
    let limit = RateLimit::new()
        .messages(Rate::per_second(40).burst(4))
        .bytes(Rate::per_second(1 << 20).burst(1000));
    let server = serve(Server::<R>::builder().receive_rate_limit(limit), echo).await;
    let runtime = R::default();
    for version in Version::ALL {
        let begun = runtime.now();
        let mut connection = client(&server, version).await;
        for number in 0..12 {
            connection.send(format!("{number}")).await.unwrap();
        }
        connection.send("x".repeat(100_000)).await.unwrap();
        connection.send("last").await.unwrap();
        for number in 0..12 {
            assert_eq!(text(&mut connection).await, format!("{number}"));
        }
        assert_eq!(text(&mut connection).await.len(), 100_000);
        assert_eq!(text(&mut connection).await, "last");
        // Ten tokens beyond the burst take a quarter of a second.
        let took = runtime.now() - begun;
        assert!(took >= ms(249), "{version}: {took:?}");
    }
    // The echoes of a server are limited by a client.
    let server = serve(Server::<R>::builder(), echo).await;
    let config = ConnectionConfig::new().receive_rate_limit(limit);
    let config = ClientConfig::new().connection(config);
    let begun = runtime.now();
    let mut connection = connect_with::<R>(&url(&server), &config).await.unwrap();
    for _ in 0..8 {
        connection.send("hi").await.unwrap();
    }
    for _ in 0..8 {
        assert_eq!(text(&mut connection).await, "hi");
    }
    assert!(runtime.now() - begun >= ms(99));
}

/// With `RateExcess::Close` too many messages, pings or bytes close with 1008; the cause names the limit.
pub async fn a_rate_beyond_the_limit_closes_with_1008<R: Runtime + Default>() {
    let close = RateLimit::new().excess(RateExcess::Close);
    let messages = close.messages(Rate::per_second(1).burst(3));
    let bytes = close.bytes(Rate::per_second(10).burst(30));
    for (limit, frames, counted) in [
        (
            messages,
            vec![masked(0x81, b"a"); 4],
            "messages and control frames",
        ),
        (
            messages,
            vec![masked(0x89, b"a"); 4],
            "messages and control frames",
        ),
        (bytes, vec![masked(0x82, &[0; 20]); 3], "bytes"),
    ] {
        let builder = Server::<R>::builder().receive_rate_limit(limit);
        let (code, cause) = failure(builder, &frames).await;
        assert_eq!(code, 1008, "{cause:?}");
        let CloseCause::Failed(error) = cause else {
            unreachable!("{cause:?}");
        };
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("more {counted} arrived than the rate limit")),
            "{text}"
        );
    }
}

/// When the peer does not read, `try_send` says that the queue is full and `send` waits; once the peer
/// reads, all that was taken arrives, in order.
pub async fn a_full_send_queue_waits_or_tells<R: Runtime + Default>() {
    let told = Told::default();
    let teller = told.clone();
    let builder = Server::<R>::builder().send_queue_limit(Some(100_000));
    let server = serve(builder, move |connection: Connection| {
        let teller = teller.clone();
        async move {
            let mut count: u32 = 0;
            let error = loop {
                match connection.try_send("x".repeat(60_000)) {
                    Ok(()) => count += 1,
                    Err(error) => break error.reason().clone(),
                }
            };
            teller.tell((count, error, connection.buffered_amount()));
            connection.send("waited").await.unwrap();
            pending::<()>().await;
        }
    });
    let server = server.await;
    let mut peer = Peer::open(&server).await;
    let (count, error, buffered) = told.next().await;
    let SendError::QueueFull { limit: 100_000, .. } = error else {
        unreachable!("{error:?}");
    };
    assert!((100_000..200_000).contains(&buffered), "{buffered}");
    for _ in 0..count {
        assert_eq!(peer.frame().await.1.len(), 60_000);
    }
    assert_eq!(peer.frame().await, (0x81, b"waited".to_vec()));
}

/// A handler that does not receive makes its peer wait; nothing is lost, and its memory has a limit.
pub async fn a_handler_that_does_not_receive_makes_the_peer_wait<R: Runtime + Default>() {
    const COUNT: usize = 300;
    let told = Told::default();
    let go = told.clone();
    let builder = Server::<R>::builder().receive_queue_limit(Some(1000));
    let server = serve(builder, move |mut connection: Connection| {
        let go = go.clone();
        async move {
            let () = go.next().await;
            let mut received = 0;
            while let Some(message) = connection.recv().await {
                received += message.len();
            }
            assert_eq!(received, COUNT * 60_000);
            go.tell(());
        }
    });
    let server = server.await;
    let mut connection = client(&server, Version::Rfc6455).await;
    let sender = connection.sender();
    let sending = spawn::<R, _>(async move {
        for _ in 0..COUNT {
            sender.send("x".repeat(60_000)).await.unwrap();
        }
    });
    super::support::sleep::<R>(ms(100)).await;
    assert_eq!(
        sending.try_next(),
        None,
        "18 MB do not fit anywhere in between"
    );
    told.tell(());
    sending.next().await;
    let code = CloseCode::new(4000).unwrap();
    connection.close_with(code, "").await.unwrap();
    told.next().await;
}
