//! The closing handshake, begun by the peer, by this side, or by both: who answers, who shuts down, and
//! who waits for the end of the stream.

use std::time::Instant;

use ws_proto::{CloseCode, CloseReason, Role, SendError, State, Version};

use super::peer::{assert_close_written, open, peer_closes, text_to};
use ws_testing::connections::{all, told, written};

/// Proves who does what when the peer closes: the answer, the account, who shuts down, who waits
/// for the end of the stream (R-X2, R-X4 to R-X7, D75-X1, D76-X2, D76-X3, D76-X6).
#[test]
fn the_peer_closes() {
    for (role, version) in all() {
        let now = Instant::now();
        let context = format!("{version} {role:?}");
        let mut connection = open(role, version, now);
        assert_eq!(connection.state(), State::Connected);
        peer_closes(&mut connection, now);
        let expected = match version {
            Version::Draft75 => "closed:1005 \"\" clean=false by=Peer Handshake",
            Version::Draft76 => "closed:1005 \"\" clean=true by=Peer Handshake",
            Version::Rfc6455 => "closed:1001 \"bye\" clean=true by=Peer Handshake",
        };
        assert_eq!(told(&mut connection, now), [expected], "{context}");
        assert_eq!(connection.send("late"), Err(SendError::Closed), "{context}");
        let answers = version != Version::Draft75;
        assert_eq!(
            connection.wants_shutdown(),
            !answers,
            "not before the answer, {context}"
        );
        assert_eq!(connection.is_finished(), !answers, "{context}");
        assert_close_written(&mut connection, &1001_u16.to_be_bytes(), &context);

        let waits_for_server = version == Version::Rfc6455 && role == Role::Client;
        assert_eq!(connection.wants_shutdown(), !waits_for_server, "{context}");
        if answers {
            assert_eq!(connection.state(), State::Closing, "{context}");
            assert!(
                !connection.is_finished() && connection.wants_read(),
                "{context}"
            );
            connection.handle_eof(now);
        }
        assert!(connection.is_finished(), "{context}");
        assert_eq!(connection.state(), State::Closed, "{context}");
        assert_eq!(told(&mut connection, now), [""; 0], "told once, {context}");
        assert_eq!(written(&mut connection), b"", "{context}");
    }
}

/// Proves who does what when this side closes and the peer answers; messages that arrive before the
/// answer are delivered, none are sent any more (R-F15, R-X4 to R-X7, D75-X1, D76-X1, D76-X5).
#[test]
fn this_side_closes() {
    for (role, version) in all() {
        let now = Instant::now();
        let context = format!("{version} {role:?}");
        let mut connection = open(role, version, now);
        connection.send("last").unwrap();
        written(&mut connection);
        connection.close(
            now,
            Some(CloseCode::GOING_AWAY),
            CloseReason::from_static("bye"),
        );
        assert_eq!(connection.state(), State::Closing, "{context}");
        assert_eq!(connection.send("late"), Err(SendError::Closed), "{context}");
        let ping = connection.ping(b"late");
        assert_eq!(ping, Err(SendError::Closed), "{context}");
        assert_eq!(
            connection.wants_shutdown(),
            version == Version::Draft75,
            "{context}"
        );
        assert_close_written(&mut connection, b"\x03\xe9bye", &context);
        assert_eq!(
            connection.wants_shutdown(),
            version == Version::Draft75,
            "{context}"
        );

        connection.handle_read(now, &text_to(role, version, "crossing"));
        assert_eq!(told(&mut connection, now), ["text:crossing"], "{context}");

        peer_closes(&mut connection, now);
        let expected = match version {
            Version::Draft75 => "closed:1005 \"\" clean=false by=Local Handshake",
            Version::Draft76 => "closed:1005 \"\" clean=true by=Local Handshake",
            Version::Rfc6455 => "closed:1001 \"bye\" clean=true by=Local Handshake",
        };
        assert_eq!(told(&mut connection, now), [expected], "{context}");
        assert_eq!(
            written(&mut connection),
            b"",
            "one close is enough, {context}"
        );
        let waits_for_server = version == Version::Rfc6455 && role == Role::Client;
        assert_eq!(connection.wants_shutdown(), !waits_for_server, "{context}");
        connection.handle_eof(now);
        assert!(connection.is_finished(), "{context}");
        assert_eq!(connection.state(), State::Closed, "{context}");
        connection.close(now, Some(CloseCode::NORMAL), CloseReason::EMPTY);
        assert_eq!(
            (told(&mut connection, now), written(&mut connection)),
            (vec![], vec![])
        );
    }
}

/// Proves that when both sides close at once each tells the other's code and sends nothing more
/// (R-X7, D76-X2).
#[test]
fn both_sides_close_at_once() {
    for version in Version::ALL {
        let now = Instant::now();
        let codes = [CloseCode::GOING_AWAY, CloseCode::RESTART];
        let mut server = open(Role::Server, version, now);
        let mut client = open(Role::Client, version, now);
        server.close(now, Some(codes[0]), CloseReason::EMPTY);
        client.close(now, Some(codes[1]), CloseReason::EMPTY);
        let (from_server, from_client) = (written(&mut server), written(&mut client));
        let told_code = |code: CloseCode| match version {
            Version::Draft75 | Version::Draft76 => 1005,
            Version::Rfc6455 => code.get(),
        };
        for (end, bytes, code) in [
            (&mut server, from_client, codes[1]),
            (&mut client, from_server, codes[0]),
        ] {
            end.handle_read(now, &bytes);
            if version == Version::Draft75 {
                assert!(bytes.is_empty() && end.wants_shutdown());
                end.handle_eof(now);
            }
            let said = told(end, now);
            assert_eq!(said.len(), 1, "{said:?}");
            assert!(
                said[0].starts_with(&format!("closed:{} ", told_code(code))),
                "{said:?}"
            );
            assert!(said[0].ends_with("by=Local Handshake"), "{said:?}");
            assert_eq!(written(end), b"");
        }
        assert!(server.wants_shutdown());
        client.handle_eof(now);
        server.handle_eof(now);
        assert!(client.is_finished() && server.is_finished());
    }
}
