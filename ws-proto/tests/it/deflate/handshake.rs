//! Compression in the opening handshake: what the heads say, and that the connection does it.

use std::collections::BTreeSet;
use std::time::Instant;

use ws_proto::{
    Accept, ClientConfig, ClientHandshake, Connection, Deflate, HandshakeError, HandshakeEvent,
    ServerConfig, ServerHandshake, Version,
};

use super::peer::frames;
use super::{eager, prose};
use ws_testing::connections::{Counting, told, written};
use ws_testing::handshake::{DRAFT75, DRAFT76, Outcome, RFC6455, drain, run, serve, with};

const NAME: &str = "Sec-WebSocket-Extensions";

fn config() -> ServerConfig {
    ServerConfig::new().deflate(Deflate::new())
}

fn offering(offer: &str) -> String {
    with(RFC6455, NAME, &format!("{NAME}: {offer}"))
}

/// The extensions in a head.
fn extensions(head: &str) -> Option<&str> {
    let mut lines = head
        .split("\r\n")
        .filter_map(|line| line.strip_prefix(NAME));
    let line = lines.next().map(|line| line.trim_start_matches(": "));
    assert_eq!(lines.next(), None, "there is one line at most");
    line
}

/// Proves that a server answers an offer, whether it comes as bytes or as a request, if compression is
/// on, with the exact line; and otherwise, as an offer that it declines, with none (P-S6).
#[test]
fn a_server_answers_offers() {
    for (config, offer, expected) in [
        (
            config(),
            "permessage-deflate; client_max_window_bits",
            Some("permessage-deflate"),
        ),
        (
            config(),
            "permessage-deflate; server_no_context_takeover",
            Some("permessage-deflate; server_no_context_takeover"),
        ),
        (
            config(),
            "permessage-deflate; server_max_window_bits=8",
            None,
        ),
        (config(), "permessage-bzip2", None),
        (ServerConfig::new(), "permessage-deflate", None),
        (
            ServerConfig::new().deflate(None),
            "permessage-deflate",
            None,
        ),
    ] {
        let request = offering(offer);
        let (outcome, written) = serve(&config, request.as_bytes());
        assert_eq!(outcome, Outcome::Open);
        assert_eq!(extensions(&written), expected, "{offer}");

        let mut parts = http::Request::new(());
        for line in request
            .split("\r\n")
            .skip(1)
            .take_while(|line| !line.is_empty())
        {
            let (name, value) = line.split_once(": ").unwrap();
            let name: http::HeaderName = name.parse().unwrap();
            parts.headers_mut().insert(name, value.parse().unwrap());
        }
        let (parts, ()) = parts.into_parts();
        let now = Instant::now();
        let mut handshake = ServerHandshake::from_request(&config, &parts, now);
        handshake.accept(Accept::new()).unwrap();
        let response = handshake.response().unwrap();
        let header = response
            .headers()
            .get(NAME)
            .map(|value| value.to_str().unwrap());
        assert_eq!(header, expected, "{offer}");
        assert_eq!(
            handshake.into_connection(now).has_deflate(),
            expected.is_some()
        );
    }
}

/// What a server writes to a client and how it goes on: the head, and the bytes of messages that show
/// threshold, level, window and context.
fn answered(config: &ServerConfig, request: &str, accept: &Accept) -> (String, Vec<u8>) {
    let key3 = match request.contains("Key1") {
        true => "^n:ds[4U",
        false => "",
    };
    let bytes = [request, key3].concat();
    let (handshake, outcome, written_head) = run(config, &[bytes.as_bytes()], accept);
    assert_eq!(outcome, Outcome::Open);
    let mut connection = handshake.into_connection(Instant::now());
    for len in [20, 2000, 2000] {
        connection.send(prose(len, 1)).unwrap();
    }
    let head = String::from_utf8_lossy(&written_head).into_owned();
    assert_eq!(connection.has_deflate(), extensions(&head).is_some());
    (head, written(&mut connection))
}

/// RFC 7692 §5: what the application chooses for one upgrade stands for the option. The answer and the
/// connection are those of a server with that option, whatever its own is, and whatever is offered.
#[test]
fn an_application_chooses_for_one_upgrade() {
    let config = ws_testing::handshake::sample_config;
    let forgetful = Deflate::new().client_no_context_takeover(true);
    let kept = Deflate::new().server_no_context_takeover(false);
    let small = kept.server_max_window_bits(9).unwrap();
    let choices = [None, Some(Deflate::new()), Some(forgetful), Some(small)];
    let offers = [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits=10; server_no_context_takeover",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-bzip2",
    ];
    let drafts =
        [DRAFT75, DRAFT76].map(|draft| with(draft, NAME, &format!("{NAME}: {}", offers[0])));
    let requests = offers.map(offering).into_iter().chain(drafts);
    let mut all = BTreeSet::new();
    for request in requests.chain([RFC6455.to_owned()]) {
        for own in &choices {
            let own = config().deflate(own.clone());
            for chosen in &choices {
                let accept = Accept::new().deflate(chosen.clone());
                let told = answered(&own, &request, &accept);
                let option = config().deflate(chosen.clone());
                assert_eq!(
                    told,
                    answered(&option, &request, &Accept::new()),
                    "{request}"
                );
                all.insert(told);
            }
        }
    }
    // Plain in each version, and each choice as each of the two good offers has it.
    assert_eq!(all.len(), 3 + 3 * 2);
}

/// P-S7: what breaks the grammar of the header is answered with 400, and not declined.
#[test]
fn a_malformed_offer_is_a_bad_request() {
    for offer in [
        "permessage-deflate;",
        "permessage-deflate; server_max_window_bits=",
        "permessage-deflate; server_max_window_bits=\"9",
        "permessage-deflate; =9",
        "permessage-deflate;, permessage-deflate",
        "permessage-deflate, permessage deflate",
    ] {
        let (outcome, written) = serve(&config(), offering(offer).as_bytes());
        assert!(matches!(
            outcome,
            Outcome::Failed(HandshakeError::InvalidHeader { .. })
        ));
        assert!(written.starts_with("HTTP/1.1 400 "), "{offer}: {written}");
    }
}

/// The drafts have no extensions: what is offered there is not looked at.
#[test]
fn a_draft_is_never_compressed() {
    for request in [DRAFT75, DRAFT76] {
        let config = ws_testing::handshake::sample_config().deflate(Deflate::new());
        let request = with(request, NAME, &format!("{NAME}: permessage-deflate"));
        let key3: &[u8] = if request.contains("Key1") {
            b"^n:ds[4U"
        } else {
            b""
        };
        let bytes = [request.as_bytes(), key3].concat();
        let (handshake, outcome, written) = run(&config, &[&bytes], &Accept::new());
        assert_eq!(outcome, Outcome::Open);
        assert_eq!(extensions(&String::from_utf8_lossy(&written)), None);
        assert!(!handshake.into_connection(Instant::now()).has_deflate());
    }
}

/// Opens a connection between two of us; returns the heads, too.
fn meet(server: &ServerConfig, client: &ClientConfig) -> (Connection, Connection, [String; 2]) {
    let now = Instant::now();
    let url = "ws://server.example.com/".parse().unwrap();
    let mut theirs = ClientHandshake::new(&url, client, Box::<Counting>::default(), now).unwrap();
    let request = drain(theirs.outgoing());
    let (ours, outcome, answer) = run(server, &[&request], &Accept::new());
    assert_eq!(outcome, Outcome::Open);
    theirs.handle_read(now, &answer);
    assert!(matches!(theirs.poll_event(), Some(HandshakeEvent::Open)));
    let heads = [request, answer].map(|head| String::from_utf8_lossy(&head).into_owned());
    (
        ours.into_connection(now),
        theirs.into_connection(now),
        heads,
    )
}

/// Proves that a server which keeps no context does not say so to a client that did not ask (clients of
/// Netty up to 4.1.65 refuse that), and keeps none all the same: P-S5, P-M7.
#[test]
fn a_server_forgets_without_saying_so_unless_it_is_asked() {
    let asks = eager();
    let does_not = eager().server_no_context_takeover(false);
    for (options, client, is_said, forgets) in [
        (eager(), &does_not, false, true),
        (eager(), &asks, true, true),
        (
            eager().server_no_context_takeover(false),
            &does_not,
            false,
            false,
        ),
        (eager().server_no_context_takeover(false), &asks, true, true),
    ] {
        let (mut ours, _, [_, answer]) = meet(
            &ServerConfig::new().deflate(options),
            &ClientConfig::new().deflate(client.clone()),
        );
        assert_eq!(
            answer.contains("server_no_context_takeover"),
            is_said,
            "{answer}"
        );
        assert!(!answer.contains("client_no_context_takeover"), "{answer}");
        let text = prose(2000, 1);
        let sent = [(); 2].map(|()| {
            ours.send(&text).unwrap();
            written(&mut ours)
        });
        assert_eq!(sent[0] == sent[1], forgets, "{answer}");
    }
}

/// Proves that two of us agree if both want to, in the words of the standard, and then do it.
#[test]
fn two_of_us_agree() {
    let now = Instant::now();
    for server in [None, Some(eager())] {
        for client in [None, Some(eager().client_no_context_takeover(true))] {
            let (mut ours, mut theirs, [request, answer]) = meet(
                &ServerConfig::new().deflate(server.clone()),
                &ClientConfig::new().deflate(client.clone()),
            );
            let is_offered = client.is_some();
            let is_on = is_offered && server.is_some();
            assert_eq!(
                extensions(&request),
                is_offered.then_some(
                    "permessage-deflate; server_no_context_takeover; \
                     client_no_context_takeover; client_max_window_bits"
                )
            );
            assert_eq!(
                extensions(&answer),
                is_on.then_some(
                    "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
                )
            );
            assert_eq!((ours.has_deflate(), theirs.has_deflate()), (is_on, is_on));
            let text = prose(2000, 1);
            ours.send(&text).unwrap();
            theirs.send(&text).unwrap();
            let (sent, answered) = (written(&mut ours), written(&mut theirs));
            let expected = if is_on { 0xc1 } else { 0x81 };
            assert_eq!([frames(&sent)[0].0, frames(&answered)[0].0], [expected; 2]);
            theirs.handle_read(now, &sent);
            ours.handle_read(now, &answered);
            let said = [format!("text:{text}")];
            assert_eq!(
                (told(&mut ours, now), told(&mut theirs, now)),
                (said.to_vec(), said.to_vec())
            );
        }
    }
}

/// Proves that a compressed message that comes right behind the request, or the answer, is understood.
#[test]
fn what_comes_early_is_inflated() {
    let now = Instant::now();
    let hello = ws_testing::connections::Frame::new(0xc1, b"\xf2\x48\xcd\xc9\xc9\x07\x00");
    let bytes = [
        offering("permessage-deflate").as_bytes(),
        &hello.masked().bytes(),
    ]
    .concat();
    let (handshake, outcome, _) = run(&config(), &[&bytes], &Accept::new());
    assert_eq!(outcome, Outcome::Open);
    assert_eq!(
        told(&mut handshake.into_connection(now), now),
        ["text:Hello"]
    );
}

/// R-C11 and §6.2: a client fails if the answer is none to its offer. Whoever offers nothing takes
/// nothing.
#[test]
fn a_client_checks_the_answer() {
    let now = Instant::now();
    let url = "ws://server.example.com/".parse().unwrap();
    for (deflate, line) in [
        (None, "permessage-deflate"),
        (
            Some(eager().server_max_window_bits(10).unwrap()),
            "permessage-deflate; server_no_context_takeover",
        ),
        (
            Some(eager()),
            "permessage-deflate; server_no_context_takeover; foo",
        ),
        (Some(eager()), "x-webkit-deflate-frame"),
    ] {
        let config = ClientConfig::new().deflate(deflate);
        let (_, _, [_, answer]) = meet(&ServerConfig::new(), &config);
        let answer = with(&answer, NAME, &format!("{NAME}: {line}"));
        let mut client =
            ClientHandshake::new(&url, &config, Box::<Counting>::default(), now).unwrap();
        client.handle_read(now, answer.as_bytes());
        assert!(
            matches!(
                client.poll_event(),
                Some(HandshakeEvent::Failed(
                    HandshakeError::InvalidHeader { .. }
                        | HandshakeError::ExtensionNotOffered { .. }
                ))
            ),
            "{line}"
        );
    }
    // The drafts offer nothing, whatever the options say.
    for version in [Version::Draft75, Version::Draft76] {
        let config = ClientConfig::new().version(version).deflate(eager());
        let (ours, theirs, [request, _]) = meet(&ServerConfig::new().deflate(eager()), &config);
        assert_eq!(extensions(&request), None);
        assert!(!ours.has_deflate() && !theirs.has_deflate());
    }
}
