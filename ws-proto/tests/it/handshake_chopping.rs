//! How bytes are cut into reads changes nothing: the same events and the same bytes, for a server
//! and a client of every version; and a client and a server understand each other.

use std::time::Instant;

use proptest::prelude::*;
use ws_proto::{
    Accept, ClientConfig, ClientHandshake, ClientUrl, Connection, HandshakeEvent, ServerConfig,
    State, Version,
};
use ws_testing::handshake::{DRAFT75, DRAFT76, Outcome, RFC6455, Seeded, drain, run, subprotocols};

const FRAMES: &[u8] = b"\x00early\xff\x00frames\xff";

fn server_config() -> ServerConfig {
    ServerConfig::new().subprotocols(subprotocols(&["sample", "chat"]))
}

/// Cuts `bytes` at the given places.
fn chop<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let mut start = 0;
    let mut reads = Vec::new();
    for end in ends {
        reads.push(&bytes[start..end]);
        start = end;
    }
    reads
}

/// Everything that an open connection says about what it got so far.
fn events(mut connection: Connection) -> String {
    let now = Instant::now();
    let mut text = String::new();
    for _ in 0..100 {
        let Some(event) = connection.poll_event(now) else {
            break;
        };
        text += &format!("{event:?}\n");
    }
    text
}

/// What a server does with reads, in full.
fn served(reads: &[&[u8]]) -> (Outcome, Vec<u8>, String) {
    let (handshake, outcome, written) = run(&server_config(), reads, &Accept::new());
    let events = if handshake.state() == State::Connected {
        events(handshake.into_connection(Instant::now()))
    } else {
        format!("{:?}", handshake.into_received())
    };
    (outcome, written, events)
}

fn requests() -> Vec<Vec<u8>> {
    let with_frames = |request: &str, key3: &[u8]| [request.as_bytes(), key3, FRAMES].concat();
    vec![
        with_frames(DRAFT75, b""),
        with_frames(DRAFT76, b"^n:ds[4U"),
        with_frames(DRAFT76, b"\r\n\r\n\0\xff\0\n"),
        [RFC6455.as_bytes(), &[0x81, 0x81, 1, 2, 3, 4, b'A' ^ 1]].concat(),
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde".to_vec(),
    ]
}

fn start(version: Version, seed: u64) -> ClientHandshake {
    let url: ClientUrl = "ws://example.com:8080/chat?a=b".parse().unwrap();
    let config = ClientConfig::new()
        .version(version)
        .subprotocols(vec!["chat".parse().unwrap()]);
    ClientHandshake::new(&url, &config, Box::new(Seeded(seed)), Instant::now()).unwrap()
}

/// What a client does with reads, in full.
fn received(version: Version, seed: u64, reads: &[&[u8]]) -> (Option<String>, String) {
    let mut handshake = start(version, seed);
    for read in reads {
        handshake.handle_read(Instant::now(), read);
    }
    match handshake.poll_event() {
        Some(HandshakeEvent::Open) => {
            let head = handshake.response_head().unwrap();
            let subprotocol = format!("subprotocol: {:?}", head.subprotocol());
            let head = format!("{head:?} {:?} {subprotocol}", head.headers());
            (
                Some(head),
                events(handshake.into_connection(Instant::now())),
            )
        }
        other => (other.map(|event| format!("{event:?}")), String::new()),
    }
}

fn indices() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..12)
}

/// Q2, Q3: byte by byte is a chopping, too, and the most likely one to go wrong.
#[test]
fn a_server_reads_byte_by_byte() {
    for request in requests() {
        let bytes: Vec<&[u8]> = request.chunks(1).collect();
        let whole = served(&[&request]);
        assert!(matches!(whole.0, Outcome::Open | Outcome::Http));
        assert_eq!(served(&bytes), whole);
    }
}

proptest! {
    #[test]
    fn chopping_a_request_changes_nothing(request in 0..5usize, cuts in indices()) {
        let request = &requests()[request];
        prop_assert_eq!(served(&chop(request, &cuts)), served(&[request]));
    }

    /// Damaged requests fail in the same way wherever they are cut.
    #[test]
    fn chopping_a_damaged_request_changes_nothing(
        request in 0..5usize,
        position: prop::sample::Index,
        byte: u8,
        cuts in indices(),
    ) {
        let mut request = requests().swap_remove(request);
        let position = position.index(request.len());
        request[position] = byte;
        prop_assert_eq!(served(&chop(&request, &cuts)), served(&[&request]));
    }

    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>, cuts in indices()) {
        prop_assert_eq!(served(&chop(&bytes, &cuts)), served(&[&bytes]));
        for version in Version::ALL {
            let whole = received(version, 1, &[&bytes]);
            prop_assert_eq!(received(version, 1, &chop(&bytes, &cuts)), whole);
        }
    }

    /// What a client asks for a server accepts, and what that answers the client accepts, for any
    /// keys and any chopping.
    #[test]
    fn a_client_and_a_server_understand_each_other(
        seed: u64,
        version in 0..3usize,
        request_cuts in indices(),
        answer_cuts in indices(),
    ) {
        let version = Version::ALL[version];
        let request = drain(start(version, seed).outgoing());
        let reads = chop(&request, &request_cuts);
        let (handshake, outcome, mut answer) = run(&server_config(), &reads, &Accept::new());
        prop_assert_eq!(outcome, Outcome::Open);
        let mut connection = handshake.into_connection(Instant::now());
        prop_assert_eq!(connection.version(), version);
        connection.send("welcome").unwrap();
        answer.extend(drain(connection.outgoing()));
        let (opened, events) = received(version, seed, &chop(&answer, &answer_cuts));
        prop_assert!(opened.is_some_and(|head| head.contains("subprotocol: Some(\"chat\")")));
        prop_assert_eq!(events, "Message(Text(\"welcome\"))\n");
    }

    #[test]
    fn chopping_a_damaged_answer_changes_nothing(
        version in 0..3usize,
        position: prop::sample::Index,
        byte: u8,
        cuts in indices(),
    ) {
        let version = Version::ALL[version];
        let request = drain(start(version, 7).outgoing());
        let (_, _, mut answer) = run(&server_config(), &[&request], &Accept::new());
        let position = position.index(answer.len());
        answer[position] = byte;
        let whole = received(version, 7, &[&answer]);
        prop_assert_eq!(received(version, 7, &chop(&answer, &cuts)), whole);
    }
}
