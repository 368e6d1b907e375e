//! Handshakes that are never done: their deadline, and the end of their stream.

use std::time::{Duration, Instant};

use ws_proto::{
    Accept, ConfigError, HandshakeError, HandshakeEvent, ServerConfig, ServerHandshake, State,
};

use ws_testing::handshake::{DRAFT76, RFC6455, drain, sample_config, status_of, upgrade};

/// X11: one deadline for the whole handshake; 408 before the head is complete. A peer that sent too
/// little gets no more time to take the answer: its stream is gone after the one deadline. A client whose
/// request waited for the application gets it.
#[test]
fn a_handshake_that_takes_too_long_fails() {
    let start = Instant::now();
    let wait = Duration::from_secs(10);
    let cases: [(&[u8], State, Option<u16>); 4] = [
        (b"", State::Unknown, Some(408)),
        (b"GET / HT", State::Opening, Some(408)),
        (RFC6455.as_bytes(), State::Handshaking, Some(503)),
        (DRAFT76.as_bytes(), State::Waiting, None),
    ];
    for (bytes, state, status) in cases {
        let mut handshake = ServerHandshake::new(&sample_config(), start);
        for byte in bytes {
            handshake.handle_read(start + wait / 2, &[*byte]);
        }
        if state == State::Waiting {
            upgrade(&mut handshake);
            handshake.accept(Accept::new()).unwrap();
            drain(handshake.outgoing());
        } else if state == State::Handshaking {
            upgrade(&mut handshake);
        }
        assert_eq!(
            handshake.poll_timeout(),
            Some(start + wait),
            "bytes do not move it"
        );
        handshake.handle_timeout(start + wait - Duration::from_millis(1));
        assert!(
            handshake.poll_event().is_none(),
            "nothing happens before the deadline"
        );
        handshake.handle_timeout(start + wait);
        let Some(HandshakeEvent::Failed(error)) = handshake.poll_event() else {
            panic!()
        };
        let text = error.to_string();
        let is_silent = state == State::Unknown;
        assert_eq!(text.contains("before anything of the request"), is_silent);
        assert_eq!(text.contains(&format!("in state {state}")), !is_silent);
        assert_eq!(
            error,
            HandshakeError::Timeout {
                state,
                waited: wait
            }
        );
        assert_eq!(handshake.is_finished(), status.is_none());
        if let Some(status) = status {
            let is_peer_late = status == 408;
            let end = start + if is_peer_late { wait } else { 2 * wait };
            assert_eq!(
                handshake.poll_timeout(),
                Some(end),
                "writing the answer is bounded, too"
            );
            assert_eq!(
                handshake.close_deadline(start + wait),
                Some(end),
                "the wait for the end of the stream is bounded, too"
            );
            let answer = String::from_utf8(drain(handshake.outgoing())).unwrap();
            assert_eq!(status_of(&answer).0, status);
        }
    }
}

/// An answer that the client does not read does not keep the stream for ever.
#[test]
fn a_refusal_that_is_not_read_is_given_up() {
    let start = Instant::now();
    let config = ServerConfig::new().handshake_timeout(Duration::from_secs(3));
    let mut handshake = ServerHandshake::new(&config, start);
    handshake.handle_read(start, b"\0");
    assert!(matches!(
        handshake.poll_event(),
        Some(HandshakeEvent::Failed(_))
    ));
    let deadline = handshake.poll_timeout().unwrap();
    assert_eq!(deadline, start + Duration::from_secs(3));
    handshake.handle_timeout(deadline);
    assert!(handshake.is_finished() && handshake.poll_event().is_none());
    assert_eq!(handshake.poll_timeout(), None);

    let config = ServerConfig::new().handshake_timeout(None);
    assert_eq!(
        ServerHandshake::new(&config, start).poll_timeout(),
        None,
        "None means never"
    );
}

/// The end of the stream before the handshake is done has no answer; an empty stream has a cause
/// of its own.
#[test]
fn the_end_of_the_stream_fails_a_handshake_quietly() {
    for (bytes, state) in [
        ("", State::Unknown),
        ("GET / HTTP/1.1\r\n", State::Opening),
        (RFC6455, State::Handshaking),
        (DRAFT76, State::Waiting),
    ] {
        let mut handshake = ServerHandshake::new(&sample_config(), Instant::now());
        handshake.handle_read(Instant::now(), bytes.as_bytes());
        if bytes == DRAFT76 {
            upgrade(&mut handshake);
            handshake.accept(Accept::new()).unwrap();
            drain(handshake.outgoing());
            handshake.handle_read(Instant::now(), b"1234567");
        } else if bytes == RFC6455 {
            upgrade(&mut handshake);
        }
        assert_eq!(handshake.state(), state);
        handshake.handle_eof();
        let Some(HandshakeEvent::Failed(error)) = handshake.poll_event() else {
            panic!()
        };
        let expected = match bytes {
            "" => HandshakeError::Empty,
            _ => HandshakeError::Disconnected { state },
        };
        assert_eq!((error.status(), error), (None, expected));
        assert!(handshake.is_finished(), "nothing is to be written");
        assert_eq!(
            handshake.accept(Accept::new()),
            Err(ConfigError::NotPending)
        );
        handshake.handle_read(Instant::now(), RFC6455.as_bytes());
        handshake.handle_eof();
        assert!(
            handshake.poll_event().is_none(),
            "a failed handshake stays failed"
        );
    }
}
