//! What went wrong in other WebSocket servers and clients, one test for each cause that lies between
//! the protocol and the socket: of a family of advisories it is named after the first. The table of
//! all causes is in ws-proto's `tests/it/advisories/table.rs`.
#![allow(
    clippy::print_stdout,
    reason = "clippy spares tests, but not their helpers"
)]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use allocation_counter::measure;
use http::{Request, Response};
use ws_driver::test::Kit;
use ws_driver::{Connection, RequestBody, TopicError, Version};
use ws_testing::sim::peer::{
    DRAFT75, DRAFT76, KEY3, OK_6455, RFC6455, close, frames, masked, text,
};
use ws_testing::sim::{ANY, Peer, Server, Sim, echo, seconds, serve};

const PLAIN: &str = "GET /page HTTP/1.1\r\nHost: a.example\r\n\r\n";

/// Runs a simulation; returns its peak in bytes, all that belongs to the test included.
fn peak<F: Future>(simulate: impl FnOnce(Sim) -> F) -> usize {
    let info = measure(|| {
        Sim::run(simulate);
    });
    usize::try_from(info.bytes_max).unwrap()
}

#[test]
fn cve_2026_100658_pipelined_requests_are_not_read_ahead() {
    // Netty kept requests that came behind each other, and answers to them, in a queue without a
    // bound, before an upgrade as well. Here one request is looked at at a time; what comes behind it
    // is left in the stream beyond one read and the head limit, however long the answer takes.
    const COUNT: usize = 20_000;
    let requests = PLAIN.repeat(COUNT);
    let peak = peak(async |sim| {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let server = Server::builder().on_request(move |_: Request<RequestBody>| {
            counter.fetch_add(1, Ordering::SeqCst);
            pending::<Response<String>>()
        });
        let server = server.bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let mut peer = Peer::connect(&sim, server.local_addr());
        let writing = peer.write(requests.as_bytes());
        assert!(sim.within(seconds(3), writing).await.is_none());
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        let read = peer.link().to_far.read_len;
        println!("bytes of {} that were read: {read}", requests.len());
        assert!(read <= (64 << 10) + 2 * (16 << 10), "{read}");
    });
    println!("peak for pipelined requests: {peak}");
    assert!(peak < 512 << 10, "{peak}");

    // Those that are answered are answered in order, and 100 are no more trouble than one.
    Sim::run(async |sim| {
        let server = Server::builder().on_request(async |request: Request<RequestBody>| {
            Response::new(request.uri().to_string())
        });
        let server = server.bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let mut peer = Peer::connect(&sim, server.local_addr());
        let request = |index: usize| PLAIN.replace("page", &format!("{index:03}"));
        let mut wire: String = (0..100).map(request).collect();
        wire += RFC6455;
        let answer = String::from_utf8(peer.ask(wire).await).unwrap();
        let mut rest = &answer[..];
        for index in 0..100 {
            let body = format!("\r\n\r\n/{index:03}");
            let (_, behind) = rest.split_once(&body).expect("an answer to each, in order");
            rest = behind;
        }
        assert!(rest.starts_with("HTTP/1.1 101 "), "{rest}");
    });
}

#[test]
fn rustsec_2021_0081_bytes_belong_to_one_request() {
    // actix took bytes for a second request that another parser took for the body of the first. Here a
    // request whose length can be read in two ways is not followed by another one on its stream, an
    // upgrade has no body, and what comes behind an upgrade is frames, exactly once.
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n";
    for headers in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: identity, xchunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "Content-Length: +5\r\n\r\n0\r\n\r\n",
        "Content-Length: 0x5\r\n\r\n0\r\n\r\n",
        "Content-Length : 5\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    ] {
        Sim::run(async |sim| {
            let server = Server::builder().on_request(async |request: Request<RequestBody>| {
                Response::new(request.uri().to_string())
            });
            let server = server.bind(ANY).await.unwrap();
            serve(&sim, &server, echo);
            let mut peer = Peer::connect(&sim, server.local_addr());
            let head = "POST /first HTTP/1.1\r\nHost: a.example\r\n";
            let answer = peer.ask(head.to_owned() + headers + smuggled).await;
            let answer = String::from_utf8(answer).unwrap();
            println!("{headers:?}: {answer:?}");
            assert!(!answer.contains("/smuggled"), "{headers:?}: {answer}");
        });
    }
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        // First on its stream, and behind a plain request.
        for before in ["", PLAIN] {
            for body in ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
                let mut peer = Peer::connect(&sim, server.local_addr());
                let upgrade = RFC6455.replace("Upgrade: ", &format!("{body}Upgrade: "));
                let answer = peer.ask(before.to_owned() + &upgrade + "hello").await;
                let answer = String::from_utf8(answer).unwrap();
                assert!(!answer.contains("HTTP/1.1 101"), "{body:?}: {answer}");
            }
            for (head, early, echo) in [
                (RFC6455.to_owned(), text("early"), &b"\x81\x05early"[..]),
                (DRAFT75.to_owned(), b"\0early\xff".to_vec(), b"\0early\xff"),
                (
                    DRAFT76.to_owned() + str::from_utf8(KEY3).unwrap(),
                    b"\0early\xff".to_vec(),
                    b"\0early\xff",
                ),
            ] {
                let mut peer = Peer::connect(&sim, server.local_addr());
                let wire = [before.as_bytes(), head.as_bytes(), &early].concat();
                let answer = peer.ask(wire).await;
                let shown = answer.escape_ascii().to_string();
                assert!(answer.ends_with(echo), "{shown}");
                assert_eq!(shown.matches("early").count(), 1, "{shown}");
                assert_eq!(shown.matches("HTTP/1.1 101").count(), 1, "{shown}");
            }
        }
    });
}

#[test]
fn rustsec_2020_0043_a_peer_that_never_reads_is_bounded() {
    // ws (Rust) kept what a peer did not read without a bound, which was never mended. Here an echo
    // stops reading when the send queue is full, and a broadcast gives a peer up.
    let message = text("x".repeat(1000)).repeat(60);
    let peak_of_echo = peak(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let mut peer = Peer::open(&sim, server.local_addr()).await;
        let writing = async {
            for _ in 0..1000 {
                peer.write(&message).await;
            }
        };
        assert!(sim.within(seconds(5), writing).await.is_none());
        let buffered = server.counters().buffered_amount;
        println!("buffered for an echo: {buffered}");
        assert!((256 << 10..(256 << 10) + 2000).contains(&buffered));
    });
    let peak_of_broadcast = peak(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let peer = Peer::open(&sim, server.local_addr()).await;
        for _ in 0..100_000 {
            server.broadcast("x".repeat(1000));
            assert!(server.counters().buffered_amount <= (256 << 10) + 2000);
        }
        sim.sleep(seconds(11)).await;
        assert_eq!(server.clients().len(), 0, "it is given up");
        drop(peer);
    });
    println!("peak of an echo: {peak_of_echo}, of a broadcast: {peak_of_broadcast}");
    // Two queues, each in buffers that double, the pipes, one read, and what the test holds.
    assert!(peak_of_echo < 2 << 20, "{peak_of_echo}");
    assert!(peak_of_broadcast < 2 << 20, "{peak_of_broadcast}");
}

#[test]
fn ghsa_w67g_5rqw_f597_masks_do_not_repeat() {
    // gorilla took masks from a generator that begins the same and can be foreseen. Here they come from
    // the system: two clients have none in common, and every bit is set half of the time.
    let mut keys = HashSet::new();
    let mut ones = [0; 32];
    Sim::run(async |_| {
        for _ in 0..2 {
            let (connection, mut peer) = Kit::<Sim>::scripted_client(Version::Rfc6455);
            for _ in 0..500 {
                connection.send("").await.unwrap();
                let frame = peer.receive(6).await.unwrap();
                assert_eq!(frame[..2], [0x81, 0x80]);
                let key: [u8; 4] = frame[2..].try_into().unwrap();
                let bits = u32::from_be_bytes(key);
                for (bit, ones) in ones.iter_mut().enumerate() {
                    *ones += bits >> bit & 1;
                }
                keys.insert(key);
            }
        }
    });
    // Two of 1000 are equal once in 9000 runs; three pairs practically never.
    assert!(keys.len() >= 998, "{}", keys.len());
    assert!(
        ones.iter().all(|ones| (350..650).contains(ones)),
        "{ones:?}"
    );
}

#[test]
fn osv_2020_1695_topics_do_what_a_simple_model_does() {
    // The topic tree of uWebSockets used memory that it had freed when members left in the wrong
    // moment. Here, after any order of joining, leaving and going, who gets a message is what sets of
    // names say.
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let clients = server.clients();
        let mut open = BTreeMap::new();
        let mut model: BTreeMap<usize, BTreeSet<_>> = BTreeMap::new();
        let mut state = 1_u64;
        for _ in 0..2000 {
            // A generator of its own, so that a failure can be run again.
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let roll = usize::try_from(state >> 33).unwrap();
            let (what, topic, who) = (roll % 20, roll / 20 % 5, roll / 100);
            let name = format!("topic {topic}");
            let chosen = open.keys().nth(who % open.len().max(1)).copied();
            match (what, chosen) {
                (0, _) | (_, None) if open.len() < 12 => {
                    let known: BTreeSet<_> = open.keys().copied().collect();
                    let peer = Peer::open(&sim, server.local_addr()).await;
                    let new = clients.iter().find(|sender| !known.contains(&sender.id()));
                    let new = new.unwrap();
                    open.insert(new.id(), (peer, new));
                }
                (1, Some(id)) => {
                    open.remove(&id);
                    sim.settle().await;
                    model.values_mut().for_each(|members| {
                        members.remove(&id);
                    });
                }
                (2..=10, Some(id)) => {
                    let is_new = model.entry(topic).or_default().insert(id);
                    assert_eq!(open[&id].1.join(&name), Ok(is_new));
                }
                (11..=16, Some(id)) => {
                    let was_there = model.entry(topic).or_default().remove(&id);
                    assert_eq!(open[&id].1.leave(&name), was_there);
                }
                (_, _) => {
                    let members = model.get(&topic).cloned().unwrap_or_default();
                    assert_eq!(clients.topic(&*name).broadcast("x"), members.len());
                    sim.settle().await;
                    for (id, (peer, _)) in &open {
                        let expected: &[u8] = match members.contains(id) {
                            true => b"\x81\x01x",
                            false => b"",
                        };
                        assert_eq!(peer.read(), expected);
                    }
                }
            }
            let topics = model.values().filter(|members| !members.is_empty()).count();
            assert_eq!(clients.topics().count(), topics);
        }
    });
}

#[test]
fn cve_2026_56811_topics_of_a_connection_are_limited() {
    // Phoenix let a client join as many channels as it liked, each with a process. Here a handler that
    // joins whatever its peer names stops at the limit, and what the names cost is bounded.
    let peak = peak(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        let (too_many, too_long) = (Arc::default(), Arc::default());
        let counters: [Arc<AtomicUsize>; 2] = [Arc::clone(&too_many), Arc::clone(&too_long)];
        serve(&sim, &server, move |mut connection: Connection| {
            let [too_many, too_long] = counters.clone();
            async move {
                while let Some(name) = connection.recv().await {
                    let refused = match connection.join(name.as_text().unwrap()) {
                        Ok(_) => continue,
                        Err(TopicError::TooManyTopics { limit: 64, .. }) => &too_many,
                        Err(_) => &too_long,
                    };
                    refused.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        let mut peer = Peer::open(&sim, server.local_addr()).await;
        for index in 0..10_000 {
            peer.write(&text(format!("{index:0>256}"))).await;
        }
        peer.write(&text("x".repeat(10_000))).await;
        sim.settle().await;
        assert_eq!(server.clients().topics().count(), 64);
        assert_eq!(too_many.load(Ordering::SeqCst), 10_000 - 64);
        assert_eq!(too_long.load(Ordering::SeqCst), 1);
        peer.ask(close(1000)).await;
        peer.end().await;
        sim.settle().await;
        assert_eq!(server.clients().topics().count(), 0);
    });
    println!("peak for topics: {peak}");
    assert!(peak < 1 << 20, "{peak}");
}

#[test]
fn cve_2022_41940_a_reset_ends_one_connection_only() {
    // engine.io had no handler for a stream that was reset, and the process ended; parsers of
    // socket.io threw at what the network sent. Here a reset, or an end, behind any part of a
    // handshake or a frame ends what it belongs to, and a panic in a handler its own connection.
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, async |mut connection: Connection| {
            while let Some(message) = connection.recv().await {
                assert_ne!(message.as_text(), Some("panic"));
                let _ = connection.send(message).await;
            }
        });
        let mut witness = Peer::open(&sim, server.local_addr()).await;
        let frame = masked(0x81, b"hello");
        let wire = [RFC6455.as_bytes(), &frame, &frame].concat();
        for len in (0..wire.len()).step_by(3).chain(RFC6455.len()..wire.len()) {
            for resets in [true, false] {
                let mut peer = Peer::connect(&sim, server.local_addr());
                peer.ask(&wire[..len]).await;
                match resets {
                    true => peer.link().reset(),
                    false => peer.end().await,
                }
                sim.settle().await;
            }
        }
        let mut peer = Peer::open(&sim, server.local_addr()).await;
        let end = frames(&peer.ask(text("panic")).await);
        assert_eq!(end, [(0x88, vec![3, 243])], "1011");
        assert_eq!(witness.ask(text("still")).await, b"\x81\x05still");
        sim.sleep(seconds(11)).await;
        assert_eq!(server.clients().len(), 1);
        let answer = Peer::connect(&sim, server.local_addr()).ask(RFC6455).await;
        assert!(answer.starts_with(OK_6455.as_bytes()));
    });
}

#[test]
fn rustsec_2026_0007_dependencies_have_floors() {
    // bytes, slab, zlib-rs, tokio had advisories of their own. Here the manifest does not allow what is
    // older than the mend, and the lock file has nothing older.
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap();
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let lock = std::fs::read_to_string(root.join("Cargo.lock")).unwrap();
    let version = |text: &str| -> Vec<u32> {
        let text = text.split('"').next().unwrap();
        text.split('.').map(|part| part.parse().unwrap()).collect()
    };
    // tokio is named with the features of its adapter; its floor is that of the mend of 2025.
    for (name, floor) in [("bytes", "1.11.1"), ("slab", "0.4.11"), ("tokio", "1.44.2")] {
        let line = manifest
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name} = ")));
        let allowed = line
            .unwrap()
            .trim_start_matches("{ version = ")
            .trim_start_matches('"');
        assert!(version(allowed) >= version(floor), "{name} {allowed}");
        let locked: Vec<_> = lock
            .split(&format!("name = \"{name}\"\nversion = \""))
            .collect();
        assert!(locked.len() > 1);
        for locked in &locked[1..] {
            assert!(version(locked) >= version(floor), "{name}");
        }
    }
}
