//! Topics: who is in them, and who is not any more.

use ws_driver::ws_proto::{Message, Version};
use ws_driver::{Connection, Sender, TOPIC_NAME_LIMIT, TopicError};

use ws_testing::sim::peer::close;
use ws_testing::sim::{ANY, Peer, Server, Sim, echo, seconds, serve};

/// A message to a topic goes to its members and to nobody else, in every version; who leaves gets no
/// more; a handle and the connection itself can join.
#[test]
fn a_message_to_a_topic_goes_to_its_members_only() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, async |mut connection: Connection| {
            if connection.version() == Version::Draft76 {
                assert_eq!(connection.join("room"), Ok(true));
            }
            while let Some(message) = connection.recv().await {
                let left = connection.leave("room");
                connection
                    .send(format!("{left} {message:?}"))
                    .await
                    .unwrap();
            }
        });
        let clients = server.clients();
        let peer = Peer::open(&sim, server.local_addr()).await;
        let mut peer_76 = Peer::open_76(&sim, server.local_addr()).await;
        let peer_75 = Peer::open_75(&sim, server.local_addr()).await;
        let senders: Vec<_> = clients.iter().collect();
        let (room, other) = (clients.topic("room"), clients.topic("other"));
        assert_eq!(room.name(), "room");
        assert_eq!((room.len(), other.len(), other.is_empty()), (1, 0, true));
        assert_eq!(senders[0].join("room"), Ok(true));
        assert_eq!(senders[0].join("room"), Ok(false));
        assert_eq!(senders[2].join("other"), Ok(true));
        assert_eq!(room.len(), 2);
        assert!(room.contains(senders[0].id()) && room.contains(senders[1].id()));
        assert!(!room.contains(senders[2].id()) && other.contains(senders[2].id()));
        let mut names: Vec<_> = clients.topics().map(|it| it.name().to_owned()).collect();
        names.sort();
        assert_eq!(names, ["other", "room"]);
        let mut members: Vec<_> = room.iter().map(|sender| sender.id()).collect();
        members.sort();
        let mut expected = [senders[0].id(), senders[1].id()];
        expected.sort();
        assert_eq!(members, expected);

        let read = async || {
            sim.settle().await;
            [&peer, &peer_75].map(|peer| peer.read().escape_ascii().to_string())
        };
        assert_eq!(room.broadcast("hi"), 2);
        assert_eq!(read().await, [r"\x81\x02hi", ""]);
        assert_eq!(peer_76.read(), b"\0hi\xff");
        assert_eq!(room.broadcast_except(senders[1].id(), "but one"), 1);
        assert_eq!(read().await, [r"\x81\x07but one", ""]);
        assert_eq!(room.broadcast_except(senders[2].id(), b"binary"), 1);
        assert_eq!(read().await, [r"\x82\x06binary", ""]);
        assert_eq!(other.broadcast("other"), 1);
        assert_eq!(read().await, ["", r"\x00other\xff"]);
        assert_eq!(peer_76.ask(b"\0x\xff").await, b"\0true Text(\"x\")\xff");
        assert_eq!(peer_76.ask(b"\0x\xff").await, b"\0false Text(\"x\")\xff");
        assert_eq!(room.broadcast("after"), 1);
        assert!(senders[0].leave("room") && !senders[0].leave("room"));
        assert_eq!(
            (room.broadcast("nobody"), clients.topic("").broadcast("")),
            (0, 0)
        );
        assert_eq!(
            clients.topics().count(),
            1,
            "a topic is gone with its members"
        );
    });
}

/// A connection can join 64 topics, or what `topic_limit` says, with names of at most 256 bytes; the
/// errors say what was seen and allowed.
#[test]
fn joining_is_limited() {
    Sim::run(async |sim| {
        for (limit, allowed) in [(None, 64), (Some(Some(2)), 2), (Some(Some(0)), 0)] {
            let server = match limit {
                None => Server::builder(),
                Some(limit) => Server::builder().topic_limit(limit),
            };
            let server = server.bind(ANY).await.unwrap();
            serve(&sim, &server, echo);
            let peer = Peer::open(&sim, server.local_addr()).await;
            let sender = server.clients().iter().next().unwrap();
            for number in 0..allowed {
                assert_eq!(sender.join(&format!("topic {number}")), Ok(true));
            }
            let error = sender.join("one more").unwrap_err();
            let (joined, limit) = (allowed, allowed);
            assert_eq!(error, TopicError::TooManyTopics { joined, limit });
            assert!(error.to_string().ends_with("(option topic_limit)"));
            if allowed > 0 {
                assert_eq!(sender.join("topic 0"), Ok(false), "it is a member");
                assert!(sender.leave("topic 0"));
                assert_eq!(sender.join("one more"), Ok(true));
            }
            assert_eq!(server.clients().topics().count(), allowed);
            drop(peer);
        }
        let server = Server::builder().topic_limit(None).bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let _peer = Peer::open(&sim, server.local_addr()).await;
        let sender = server.clients().iter().next().unwrap();
        assert!((0..1000).all(|number| sender.join(&number.to_string()) == Ok(true)));
        let long = "x".repeat(TOPIC_NAME_LIMIT + 1);
        let (len, limit) = (257, 256);
        assert_eq!(
            sender.join(&long),
            Err(TopicError::NameTooLong { len, limit })
        );
    });
}

/// A connection that ends leaves its topics, whatever ends it; nothing is left of them, and who comes
/// into its place is no member.
#[test]
fn who_has_gone_is_in_no_topic() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let clients = server.clients();
        let mut before: Option<Sender> = None;
        for how in 0..4 {
            let mut peer = Peer::open(&sim, server.local_addr()).await;
            let sender = clients.iter().next().unwrap();
            let id = sender.id();
            assert!((0..10).all(|number| !clients.topic(number.to_string()).contains(id)));
            assert!((0..10).all(|number| sender.join(&number.to_string()) == Ok(true)));
            if let Some(before) = before.replace(sender.clone()) {
                // It had the same place; its id means nothing any more.
                assert_ne!(before.id(), id);
                assert!(clients.get(before.id()).is_none());
                assert!(!clients.topic("3").contains(before.id()));
                assert!(!before.leave("3"));
                assert_eq!(before.join("4"), Err(TopicError::Closed));
                assert_eq!(clients.topic("3").len(), 1);
            }
            match how {
                0 => drop(peer),
                1 => peer.link().reset(),
                2 => drop(peer.ask(close(1000)).await),
                _ => {
                    sender.begin_close(1000.try_into().unwrap(), "").unwrap();
                    sim.settle().await;
                    assert!(clients.topic("3").contains(id), "it has not ended yet");
                    assert_eq!(clients.topic("3").broadcast("late"), 0);
                    peer.ask(close(1000)).await;
                }
            }
            sim.sleep(seconds(11)).await;
            assert_eq!(clients.len(), 0);
            assert_eq!(clients.topics().count(), 0);
            let topic = clients.topic("3");
            assert!(topic.is_empty() && !topic.contains(id) && topic.iter().next().is_none());
            assert_eq!(sender.join("3"), Err(TopicError::Closed));
            assert!(!sender.leave("3"));
        }
        let sender = {
            let (server, _peer) = {
                let server = Server::bind(ANY).await.unwrap();
                serve(&sim, &server, echo);
                let peer = Peer::open(&sim, server.local_addr()).await;
                (server, peer)
            };
            let sender = server.clients().iter().next().unwrap();
            server.shutdown(seconds(0)).await;
            sender
        };
        sim.settle().await;
        assert_eq!(sender.join("room"), Err(TopicError::Closed));
    });
}

/// The connection of a client has no topics and says so; it has counters.
#[test]
fn a_clients_connection_has_no_topics() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let url = format!("ws://{}/", server.local_addr());
        let mut connection = ws_driver::connect::<Sim>(&url).await.unwrap();
        assert_eq!(connection.join("room"), Err(TopicError::NoServer));
        assert_eq!(connection.sender().join("room"), Err(TopicError::NoServer));
        assert!(!connection.leave("room"));
        connection.send("hello").await.unwrap();
        assert_eq!(connection.recv().await, Some(Message::from("hello")));
        let counters = connection.counters();
        assert_eq!((counters.messages_sent, counters.bytes_sent), (1, 5));
        assert_eq!(
            (counters.messages_received, counters.bytes_received),
            (1, 5)
        );
    });
}
