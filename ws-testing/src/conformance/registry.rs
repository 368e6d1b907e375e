//! A server reaches its connections by id, all together, or by topic.

use std::collections::HashSet;
use std::io::ErrorKind;

use ws_proto::{SendError, Version};

use super::support::{
    ANY, Peer, Told, client, echo, ms, serve, serve_at, sleep, spawn, text, until, url,
};
use ws_driver::{
    Connection, ConnectionId, Runtime, SendToError, Server, ServerBuilder, SlowPeer, TopicError,
    connect,
};

/// A server whose handlers tell the id of their connection and wait for its end.
async fn telling<R: Runtime + Default>(
    builder: ServerBuilder<R>,
) -> (super::support::Host<R>, Told<ConnectionId>) {
    let told = Told::default();
    let teller = told.clone();
    let server = serve(builder, move |mut connection: Connection| {
        teller.tell(connection.id());
        async move { while connection.recv().await.is_some() {} }
    });
    (server.await, told)
}

/// `server.send`: reaches one connection in any version; says if there is no such client, or why it
/// did not take the message.
pub async fn server_send_by_id<R: Runtime + Default>() {
    let (server, told) = telling::<R>(Server::builder()).await;
    for version in Version::ALL {
        let mut connection = client(&server, version).await;
        let id = told.next().await;
        assert_eq!(server.send(id, "by the server"), Ok(()));
        assert_eq!(server.clients().send(id, "by its clients"), Ok(()));
        assert_eq!(server.clients().send_wait(id, "waiting").await, Ok(()));
        for expected in ["by the server", "by its clients", "waiting"] {
            assert_eq!(text(&mut connection).await, expected);
        }
        let binary = server.send(id, b"bytes");
        assert_eq!(binary.is_ok(), version.features().binary);
        if let Err(error) = binary {
            let SendToError::Send(SendError::Unsupported { .. }) = error else {
                unreachable!("{error:?}");
            };
        }
        connection.close().await;
        until::<R>(|| server.clients().is_empty()).await;
        assert_eq!(
            server.send(id, "gone"),
            Err(SendToError::NoSuchClient { id })
        );
    }
}

/// `server.broadcast`: reaches every connection that can take it, and says how many.
pub async fn server_broadcast<R: Runtime + Default>() {
    let (server, told) = telling::<R>(Server::builder()).await;
    assert_eq!(server.broadcast("to nobody"), 0);
    let mut connections = Vec::new();
    for version in Version::ALL.into_iter().chain([Version::Rfc6455]) {
        connections.push(client(&server, version).await);
        told.next().await;
    }
    assert_eq!(server.broadcast("to all"), 4);
    assert_eq!(
        server.broadcast(b"binary"),
        2,
        "the drafts have no binary messages"
    );
    assert_eq!(server.clients().broadcast_wait("at last").await, 4);
    for connection in &mut connections {
        assert_eq!(text(connection).await, "to all");
        if connection.version().features().binary {
            assert_eq!(connection.recv().await, Some(b"binary".into()));
        }
        assert_eq!(text(connection).await, "at last");
    }
}

/// The later `connection.broadcast`: to all but itself.
pub async fn broadcast_except<R: Runtime + Default>() {
    let (server, told) = telling::<R>(Server::builder()).await;
    let mut first = client(&server, Version::Rfc6455).await;
    let id = told.next().await;
    let mut second = client(&server, Version::Draft76).await;
    told.next().await;
    assert_eq!(server.clients().broadcast_except(id, "to the others"), 1);
    assert_eq!(server.broadcast("to all"), 2);
    assert_eq!(text(&mut first).await, "to all");
    assert_eq!(text(&mut second).await, "to the others");
}

/// The later `manager`: `len`, `get` and `iter`, which know each connection and no other.
pub async fn manager_length_find_for_each<R: Runtime + Default>() {
    let (server, told) = telling::<R>(Server::builder()).await;
    let clients = server.clients();
    assert!(clients.is_empty());
    let mut connections = Vec::new();
    for version in Version::ALL {
        connections.push((client(&server, version).await, told.next().await));
    }
    assert_eq!(clients.len(), 3);
    for (connection, id) in &connections {
        let sender = clients.get(*id).unwrap();
        assert_eq!((sender.id(), sender.version()), (*id, connection.version()));
    }
    let old = clients
        .iter()
        .filter(|sender| sender.version() < Version::Rfc6455);
    for sender in old {
        sender.send("please update").await.unwrap();
    }
    let versions: HashSet<_> = clients.iter().map(|sender| sender.version()).collect();
    assert_eq!(versions.len(), 3);
    let (mut connection, id) = connections.remove(0);
    assert_eq!(text(&mut connection).await, "please update");
    connection.close().await;
    until::<R>(|| clients.len() == 2).await;
    assert!(clients.get(id).is_none());
}

/// An id reads back from its text, and no connection ever has the id of another.
pub async fn ids_are_never_reused<R: Runtime + Default>() {
    let (server, told) = telling::<R>(Server::builder()).await;
    let mut ids = HashSet::new();
    for round in 1..=20 {
        let mut connection = client(&server, Version::ALL[round % 3]).await;
        let id = told.next().await;
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(ids.insert(id), "{id} is used again");
        connection.close().await;
        until::<R>(|| server.clients().is_empty()).await;
        for old in &ids {
            assert!(server.clients().get(*old).is_none());
        }
    }
}

/// Connections join and leave topics; a message to a topic reaches its members.
pub async fn topics_reach_their_members<R: Runtime + Default>() {
    let (server, told) = telling::<R>(Server::builder().topic_limit(Some(1))).await;
    let mut first = client(&server, Version::Rfc6455).await;
    let one = server.clients().get(told.next().await).unwrap();
    let mut second = client(&server, Version::Draft75).await;
    let other = server.clients().get(told.next().await).unwrap();
    let news = server.clients().topic("news");
    assert_eq!(news.broadcast("to nobody"), 0);
    assert_eq!(one.join("news"), Ok(true));
    assert_eq!(one.join("news"), Ok(false));
    let too_many = one.join("sports");
    assert!(
        matches!(too_many, Err(TopicError::TooManyTopics { .. })),
        "{too_many:?}"
    );
    assert_eq!(other.join("news"), Ok(true));
    assert_eq!(news.broadcast("to both"), 2);
    assert_eq!(news.broadcast_except(one.id(), "to the other"), 1);
    assert!(other.leave("news"));
    assert_eq!(news.broadcast("to one"), 1);
    assert_eq!(text(&mut first).await, "to both");
    assert_eq!(text(&mut first).await, "to one");
    assert_eq!(text(&mut second).await, "to both");
    assert_eq!(text(&mut second).await, "to the other");
    first.close().await;
    until::<R>(|| news.is_empty()).await;
    assert_eq!(server.clients().topics().count(), 0);
}

/// By default a peer that does not read is closed with 1013: it gets whole messages up to a point, and
/// is told that there was more. Nobody else is harmed.
pub async fn a_slow_peer_is_closed_with_1013<R: Runtime + Default>() {
    let builder = Server::<R>::builder().send_queue_limit(Some(100_000));
    let (server, told) = telling(builder).await;
    let mut peer = Peer::open(&server).await;
    let slow = told.next().await;
    let message = "x".repeat(60_000);
    let mut sent = 0;
    while server.send(slow, message.as_str()).is_ok() {
        sent += 1;
        assert!(sent < 10_000, "a peer that never reads takes everything");
    }
    assert_eq!(server.counters().slow_closes, 1);
    assert_eq!(server.clients().len(), 1, "the close waits to be written");
    for _ in 0..sent {
        let (first_byte, payload) = peer.frame().await;
        assert_eq!((first_byte, payload.len()), (0x81, message.len()));
    }
    assert_eq!(peer.close_frame().await, (1013, "too slow".to_owned()));
    let mut other = client(&server, Version::Rfc6455).await;
    assert_eq!(server.send(told.next().await, "hi"), Ok(()));
    assert_eq!(text(&mut other).await, "hi");
}

/// `DropNewest` and `Wait` leave a slow peer open; the one counts what it drops, the other says that
/// the queue is full, and a send that waits goes through once the peer reads.
pub async fn a_slow_peer_can_be_spared<R: Runtime + Default>() {
    for policy in [SlowPeer::DropNewest, SlowPeer::Wait] {
        let builder = Server::<R>::builder().send_queue_limit(Some(100_000));
        let (server, told) = telling(builder.slow_peer(policy)).await;
        let mut peer = Peer::open(&server).await;
        let slow = told.next().await;
        let message = "x".repeat(60_000);
        let mut sent = 0;
        while server.broadcast(message.as_str()) == 1 {
            sent += 1;
            assert!(sent < 10_000, "a peer that never reads takes everything");
        }
        let error = server.send(slow, message.as_str());
        let dropped = server.counters().messages_dropped;
        assert_eq!(dropped > 0, policy == SlowPeer::DropNewest, "{error:?}");
        let clients = server.clients();
        let waiting = spawn::<R, _>(async move { clients.send_wait(slow, "the end").await });
        loop {
            let (_, payload) = peer.frame().await;
            if payload == b"the end" {
                break;
            }
        }
        assert_eq!(waiting.next().await, Ok(()));
        assert_eq!(server.counters().slow_closes, 0);
    }
}

/// At the `connection_limit` no stream is accepted until one has gone.
pub async fn the_connection_limit_makes_streams_wait<R: Runtime + Default>() {
    let server = serve::<R, _, _>(Server::builder().connection_limit(Some(1)), echo).await;
    let mut first = client(&server, Version::Rfc6455).await;
    let url = url(&server);
    let second = spawn::<R, _>(async move { connect::<R>(&url).await.is_ok() });
    sleep::<R>(ms(100)).await;
    assert_eq!(second.try_next(), None);
    first.close().await;
    assert!(second.next().await);
}

/// Two servers with `reuse_port` listen on one port, and each gets some of its connections; the one knows
/// nothing of the other's. A server that does not say so shares its port with nobody.
pub async fn two_servers_share_a_port<R: Runtime + Default>() {
    if cfg!(windows) {
        let error = Server::<R>::builder().reuse_port(true).bind(ANY).await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Unsupported);
        return;
    }
    let builder = || Server::<R>::builder().reuse_port(true);
    let first = serve(builder(), echo).await;
    let addr = first.local_addr();
    let alone = Server::<R>::bind(addr).await;
    assert_eq!(alone.unwrap_err().kind(), ErrorKind::AddrInUse);
    let second = serve_at(builder(), addr, echo).await;
    assert_eq!(second.local_addr(), addr);
    let mut connections = Vec::new();
    while first.clients().is_empty() || second.clients().is_empty() {
        assert!(connections.len() < 64, "all went to one server");
        let mut connection = client(&first, Version::Rfc6455).await;
        connection.send("to either").await.unwrap();
        assert_eq!(text(&mut connection).await, "to either");
        connections.push(connection);
    }
    let reached = (first.broadcast("of one"), second.broadcast("of the other"));
    assert_eq!(reached.0 + reached.1, connections.len());
    let mut texts = Vec::new();
    for connection in &mut connections {
        texts.push(text(connection).await);
    }
    let of_one = texts.iter().filter(|text| *text == "of one").count();
    let of_other = texts.iter().filter(|text| *text == "of the other").count();
    assert_eq!((of_one, of_other), reached);
}
