//! Which subprotocol is chosen, by whom, and what follows where there is none.

use std::time::Instant;

use ws_proto::{
    Accept, ConfigError, HandshakeError, HandshakeEvent, ServerConfig, ServerHandshake, State,
    Subprotocol,
};

use ws_testing::handshake::{
    DRAFT75, DRAFT76, Outcome, RFC6455, drain, run, sample_config, status_of, subprotocols, upgrade,
};

/// R-R5: the server's order decides, and the application can decide otherwise.
#[test]
fn the_subprotocol_is_chosen_among_what_was_offered() {
    let name = |name: &str| Some(name.parse::<Subprotocol>().unwrap());
    let policy = ServerConfig::new().subprotocols(subprotocols(&["x", "superchat", "chat"]));
    for (config, accept, expected) in [
        (&policy, Accept::new(), Ok(Some("superchat"))),
        (
            &policy,
            Accept::new().subprotocol(name("chat")),
            Ok(Some("chat")),
        ),
        (&policy, Accept::new().subprotocol(None), Ok(None)),
        (&policy, Accept::new().subprotocol(name("x")), Err(())),
        (&ServerConfig::new(), Accept::new(), Ok(None)),
        (
            &ServerConfig::new(),
            Accept::new().subprotocol(name("chat")),
            Ok(Some("chat")),
        ),
        (&sample_config(), Accept::new(), Ok(None)),
    ] {
        let mut handshake = ServerHandshake::new(config, Instant::now());
        handshake.handle_read(Instant::now(), RFC6455.as_bytes());
        upgrade(&mut handshake);
        let result = handshake.accept(accept.clone());
        let Ok(expected) = expected else {
            let name = "Sec-WebSocket-Protocol".to_owned();
            let problem = "the client did not offer this subprotocol";
            assert_eq!(result, Err(ConfigError::InvalidHeader { name, problem }));
            assert_eq!(handshake.state(), State::Handshaking, "it is still pending");
            handshake.accept(Accept::new()).unwrap();
            continue;
        };
        assert_eq!(result, Ok(()));
        let answer = String::from_utf8(drain(handshake.outgoing())).unwrap();
        let sent = answer
            .split("\r\n")
            .find_map(|line| line.strip_prefix("Sec-WebSocket-Protocol: "));
        assert_eq!(sent, expected, "{accept:?}");
    }
}

/// D75-R4, D76-R4: a client of a draft would fail without its subprotocol, so it gets 400.
#[test]
fn a_draft_cannot_be_accepted_without_the_subprotocol_it_asked_for() {
    let sample = "sample".parse::<Subprotocol>().unwrap();
    for request in [DRAFT75, DRAFT76] {
        let mut handshake = ServerHandshake::new(&ServerConfig::new(), Instant::now());
        handshake.handle_read(Instant::now(), request.as_bytes());
        assert_eq!(
            upgrade(&mut handshake).subprotocols().collect::<Vec<_>>(),
            ["sample"]
        );
        handshake.accept(Accept::new()).unwrap();
        let offered = "sample".into();
        let Some(HandshakeEvent::Failed(error)) = handshake.poll_event() else {
            panic!()
        };
        assert_eq!(error, HandshakeError::SubprotocolRefused { offered });
        let answer = String::from_utf8(drain(handshake.outgoing())).unwrap();
        assert_eq!(status_of(&answer).0, 400);

        // A server that has subprotocols does not ask the application.
        let config = ServerConfig::new().subprotocols(subprotocols(&["other"]));
        let mut handshake = ServerHandshake::new(&config, Instant::now());
        handshake.handle_read(Instant::now(), request.as_bytes());
        let event = handshake.poll_event();
        assert!(
            matches!(event, Some(HandshakeEvent::Failed(_))),
            "{event:?}"
        );

        let accept = Accept::new().subprotocol(sample.clone());
        let request = request.to_owned() + "12345678";
        let reads = [request.as_bytes()];
        let (_, outcome, written) = run(&ServerConfig::new(), &reads, &accept);
        assert_eq!(outcome, Outcome::Open);
        assert!(String::from_utf8_lossy(&written).contains("WebSocket-Protocol: sample\r\n"));
    }
}
