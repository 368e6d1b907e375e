//! Calls that somebody makes who does not know better: they do what they say, or refuse at once.

use std::time::Instant;

use bytes::Buf;
use ws_proto::{
    Accept, ClientConfig, ClientHandshake, ConnectionConfig, HandshakeEvent, Outgoing, Role,
    ServerConfig, ServerHandshake, Version,
};

use ws_testing::connections::{Counting, Frame, all, connect, told, written};

/// Proves that bytes which are taken go behind those that were taken before: none is lost, none counts
/// twice, none changes its place.
#[test]
fn what_is_taken_goes_behind_what_waits() {
    let now = Instant::now();
    for (role, version) in all() {
        for limit in [1, 1000, usize::MAX] {
            let make = || connect(role, version, ConnectionConfig::new(), now);
            let (mut connection, mut plain) = (make(), make());
            let mut taken = Outgoing::new();
            for len in [1, 5000, 3, 70_000, 0] {
                connection.send("x".repeat(len)).unwrap();
                plain.send("x".repeat(len)).unwrap();
                connection.take_outgoing_into(limit, &mut taken);
                assert_eq!(connection.buffered_amount(), plain.buffered_amount());
            }
            connection.take_outgoing_into(usize::MAX, &mut taken);
            let len = taken.remaining();
            assert_eq!(len, connection.buffered_amount());
            let bytes = taken.copy_to_bytes(len);
            assert_eq!(bytes, written(&mut plain), "{version} {role:?} {limit}");
            connection.handle_written(len);
            assert_eq!(connection.buffered_amount(), 0);
        }
    }
}

/// Proves that more cannot be said to be written than was taken.
#[test]
fn no_more_is_written_than_was_taken() {
    let now = Instant::now();
    let mut connection = connect(Role::Server, Version::Rfc6455, ConnectionConfig::new(), now);
    connection.send("waits").unwrap();
    connection.handle_written(usize::MAX);
    assert_eq!(connection.buffered_amount(), 7);
    // Else a peer that takes nothing would not be found.
    connection.handle_timeout(now);
    connection.handle_written(1);
    connection.handle_timeout(now + std::time::Duration::from_secs(60));
    assert!(told(&mut connection, now)[0].contains("WriteStalled"));
}

/// Proves that with no room for messages one is read at a time, and a close is seen.
#[test]
fn a_receive_queue_without_room_lets_one_through() {
    let now = Instant::now();
    for (role, version) in all() {
        for limit in [0, 1] {
            let config = ConnectionConfig::new().receive_queue_limit(limit);
            let mut connection = connect(role, version, config, now);
            let message: &[u8] = match version {
                Version::Rfc6455 => &Frame::new(0x81, "a").to(role),
                Version::Draft75 | Version::Draft76 => b"\0a\xff",
            };
            let close: &[u8] = match version {
                Version::Rfc6455 => &Frame::new(0x88, "").to(role),
                Version::Draft75 | Version::Draft76 => &[0xff, 0x00],
            };
            let input = [message, message, close].concat();
            let mut rest = &input[..];
            for _ in 0..2 {
                assert!(connection.wants_read());
                let len = connection.handle_read_some(now, rest);
                assert_eq!(len, message.len(), "{version} {role:?}, limit {limit}");
                assert!(!connection.wants_read());
                assert_eq!(told(&mut connection, now), ["text:a"]);
                rest = &rest[len..];
            }
            assert!(connection.wants_read());
            assert_eq!(connection.handle_read_some(now, rest), rest.len());
            if version == Version::Draft75 {
                // Its close is the end of the stream.
                connection.handle_eof(now);
            }
            assert!(told(&mut connection, now)[0].starts_with("closed:1005"));
        }
    }
}

/// Proves that what came belongs to the handshake until that is done: `take_early` takes none of it.
#[test]
fn nothing_is_early_before_the_end_of_the_handshake() {
    let now = Instant::now();
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let early = Frame::new(0x81, "early").to(Role::Server);
    let mut server = ServerHandshake::new(&ServerConfig::new(), now);
    for part in [&request[..50], &request[50..], &early] {
        server.handle_read(now, part);
        assert!(server.take_early().is_empty());
    }
    server.accept(Accept::new()).unwrap();
    assert_eq!(server.take_early(), early);

    let url = "ws://a/".parse().unwrap();
    let masks = Box::<Counting>::default();
    let mut client = ClientHandshake::new(&url, &ClientConfig::new(), masks, now).unwrap();
    let len = client.outgoing().remaining();
    let request = client.outgoing().copy_to_bytes(len);
    let mut server = ServerHandshake::new(&ServerConfig::new(), now);
    server.handle_read(now, &request);
    server.accept(Accept::new()).unwrap();
    let len = server.outgoing().remaining();
    let answer = server.outgoing().copy_to_bytes(len);
    let (first, rest) = answer.split_at(20);
    client.handle_read(now, first);
    assert!(client.take_early().is_empty());
    client.handle_read(now, &[rest, b"\x81\x01a"].concat());
    assert!(matches!(client.poll_event(), Some(HandshakeEvent::Open)));
    assert_eq!(client.take_early(), b"\x81\x01a"[..]);
}

#[cfg(feature = "deflate")]
mod deflate {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use ws_proto::{CloseReason, Connection, Deflate, DeflateTerms};

    use super::*;

    /// The terms of a server and a client that agree.
    fn terms() -> [DeflateTerms; 2] {
        let headers = |line: String| {
            let name = http::header::SEC_WEBSOCKET_EXTENSIONS;
            [(name, line.parse().unwrap())].into_iter().collect()
        };
        let options = Deflate::new();
        let server = options.accept(&headers(options.offer())).unwrap();
        let client = options.confirm(&headers(server.to_string())).unwrap();
        [server, client.unwrap()]
    }

    fn is_refused(connection: Connection, terms: &DeflateTerms) -> bool {
        catch_unwind(AssertUnwindSafe(|| drop(connection.with_deflate(terms)))).is_err()
    }

    /// Proves that terms are only taken by the role whose they are: those of the other one have the windows
    /// the other way round, and spoil messages.
    #[test]
    fn the_terms_of_the_other_role_are_refused() {
        let now = Instant::now();
        let [server, client] = terms();
        assert_eq!((server.role(), client.role()), (Role::Server, Role::Client));
        for role in [Role::Server, Role::Client] {
            for terms in [&server, &client] {
                let connection = connect(role, Version::Rfc6455, ConnectionConfig::new(), now);
                assert_eq!(is_refused(connection, terms), role != terms.role());
            }
        }
    }

    /// Proves that compression is not switched on in the midst of what is said.
    #[test]
    fn a_connection_in_use_takes_no_terms() {
        let now = Instant::now();
        let [server, _] = terms();
        let uses: [fn(&mut Connection, Instant); 8] = [
            |connection, _| connection.send("a").unwrap(),
            |connection, _| {
                connection.send("a").unwrap();
                drop(written(connection));
            },
            |connection, _| connection.ping(b"").unwrap(),
            |connection, now| connection.handle_read(now, &Frame::new(0x81, "a").to(Role::Server)),
            |connection, now| connection.handle_read(now, &Frame::new(0x01, "").to(Role::Server)),
            |connection, now| connection.handle_read(now, b"\x81"),
            |connection, now| connection.close(now, None, CloseReason::EMPTY),
            |connection, now| connection.handle_reset(now),
        ];
        for (index, used) in uses.into_iter().enumerate() {
            let config = ConnectionConfig::new();
            let mut connection = connect(Role::Server, Version::Rfc6455, config, now);
            used(&mut connection, now);
            assert!(is_refused(connection, &server), "use {index}");
        }
        let connection = connect(Role::Server, Version::Rfc6455, ConnectionConfig::new(), now);
        let connection = connection.with_deflate(&server);
        assert!(connection.has_deflate());
        assert!(is_refused(connection, &server), "it has terms");
    }
}
