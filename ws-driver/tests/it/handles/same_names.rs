//! What `Connection` and `Sender` have by the same name means the same on both.

use ws_driver::ws_proto::{CloseCode, SendError};

use super::open;
use ws_testing::sim::peer::{close, frames};
use ws_testing::sim::{ANY, Peer, Server, Sim, poll_once, seconds};

/// The public methods that both have. `send` is the only one whose meaning differs, as its pages say: while a message is
/// sent in fragments that of the connection fails, because nobody else can end that message, and that of a sender waits.
const SHARED: [&str; 26] = [
    "begin_close",
    "buffered_amount",
    "clients",
    "close",
    "close_with",
    "closed",
    "cluster_id",
    "counters",
    "flush",
    "id",
    "join",
    "join_wait",
    "latency",
    "leave",
    "peer_addr",
    "ping",
    "pong",
    "round_trip",
    "send",
    "send_prepared",
    "state",
    "track",
    "try_send",
    "try_send_prepared",
    "untrack",
    "version",
];

/// The public methods in a source, sorted: each with its arguments and its result, on one line.
fn methods(source: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for part in source.split("\n    pub ").skip(1) {
        let Some((signature, _)) = part.split_once(" {\n") else {
            continue;
        };
        let Some((keywords, signature)) = signature.split_once("fn ") else {
            continue;
        };
        let name: String = signature
            .chars()
            .take_while(|c| c.is_ascii_lowercase() || *c == '_')
            .collect();
        let words: Vec<_> = signature.split_whitespace().collect();
        let words = words.join(" ").replace("( ", "(").replace(", )", ")");
        // A connection is owned by one task, so some of its methods can ask for more.
        let words = words.replace("&mut self", "&self");
        found.push((name, format!("{keywords}{words}")));
    }
    found.sort();
    found
}

/// Methods with the same name have the same arguments and results. A new one has to be named in the list, and so be
/// compared.
#[test]
fn methods_with_the_same_name_have_the_same_arguments() {
    let connection = methods(include_str!("../../../src/handle/connection/mod.rs"));
    let sender = methods(include_str!("../../../src/handle/sender.rs"));
    assert!(connection.len() > 30 && sender.len() > 20);
    let mut shared = Vec::new();
    for (name, arguments) in &sender {
        let Some((_, others)) = connection.iter().find(|(other, _)| other == name) else {
            continue;
        };
        shared.push(name.as_str());
        // That of a connection is a future with a name; see `connection/futures.rs`.
        if name != "send" {
            assert_eq!(others, arguments);
        }
    }
    let only_senders: Vec<_> = sender
        .iter()
        .filter(|(name, _)| !shared.contains(&name.as_str()))
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(only_senders, ["wait_closed"]);
    assert_eq!(shared, SHARED);
}

/// What each does is the same: on an open connection, at the limit of the queue, and on one that is closing.
#[test]
fn methods_with_the_same_name_do_the_same() {
    Sim::run(async |sim| {
        let server = Server::builder().send_queue_limit(Some(10));
        let server = server.bind(ANY).await.unwrap();
        let (connection, peer) = open(&sim, &server).await;
        let sender = connection.sender();
        connection.send("a").await.unwrap();
        sender.send("b").await.unwrap();
        connection.try_send("c").unwrap();
        sender.try_send("d").unwrap();
        sim.settle().await;
        let seen: Vec<_> = frames(&peer.read()).into_iter().map(|it| it.1).collect();
        assert_eq!(seen, [b"a", b"b", b"c", b"d"]);
        assert_eq!(connection.state(), sender.state());
        assert_eq!(connection.closed(), sender.closed());
        assert_eq!(connection.counters(), sender.counters());
        assert_eq!(connection.latency(), sender.latency());
        assert_eq!(connection.cluster_id(), sender.cluster_id());

        peer.link().to_near.capacity = 0;
        let long = "fills the queue";
        connection.try_send(long).unwrap();
        let prepared = long.into();
        let [ours, theirs] = [connection.try_send(long), sender.try_send(long)];
        assert_eq!(ours, theirs);
        assert!(matches!(
            ours.unwrap_err().reason(),
            SendError::QueueFull { .. }
        ));
        let [ours, theirs] = [
            connection.try_send_prepared(&prepared),
            sender.try_send_prepared(&prepared),
        ];
        assert_eq!(ours, theirs);
        assert_eq!(poll_once(connection.send(long)), None);
        assert_eq!(poll_once(sender.send(long)), None);
        assert_eq!(connection.buffered_amount(), sender.buffered_amount());
        let code = CloseCode::NORMAL;
        let too_long = "x".repeat(124);
        let [ours, theirs] = [
            connection.begin_close(code, &too_long),
            sender.begin_close(code, &too_long),
        ];
        assert_eq!(ours, theirs);
        assert!(ours.is_err());
    });
}

/// To close is to wait for the end, with either handle and either way; to begin to close is not.
#[test]
fn close_waits_for_the_end_on_both() {
    for end in 0..4 {
        Sim::run(async |sim| {
            let server = Server::bind(ANY).await.unwrap();
            let (mut connection, peer) = open(&sim, &server).await;
            let sender = connection.sender();
            let code = CloseCode::new(4000).unwrap();
            match end {
                0 => sender.begin_close(code, "bye").unwrap(),
                1 => connection.begin_close(code, "bye").unwrap(),
                2 => assert_eq!(poll_once(sender.close_with(code, "bye")), None),
                _ => assert_eq!(poll_once(connection.close_with(code, "bye")), None),
            }
            sim.settle().await;
            let mut expected = code.get().to_be_bytes().to_vec();
            expected.extend(b"bye");
            assert_eq!(frames(&peer.read()), [(0x88, expected)]);
            assert_eq!(poll_once(sender.close()), None);
            assert_eq!(poll_once(connection.close()), None);
            end_stream(peer).await;
            let closed = sim.within(seconds(1), sender.close()).await.unwrap();
            let again = sim.within(seconds(1), connection.close()).await;
            assert_eq!(again, Some(closed.clone()));
            assert!(closed.clean && closed.code == 4000, "{closed:?}");
        });
    }
}

async fn end_stream(mut peer: Peer) {
    peer.ask(close(4000)).await;
    peer.end().await;
}
