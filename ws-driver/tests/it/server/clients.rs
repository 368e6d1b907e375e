//! Ids, sends by id, broadcasts.

use ws_driver::ws_proto::{CloseCode, Version};
use ws_driver::{ConnectionId, SendToError};

use ws_testing::sim::peer::{RFC6455, frames, text};
use ws_testing::sim::{ANY, Peer, Server, Sim, echo, serve};

/// An id names one connection for ever: what has gone is not reached, though its place is taken.
#[test]
fn an_id_is_never_used_again() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let mut seen: Vec<ConnectionId> = Vec::new();
        for _ in 0..20 {
            let peer = Peer::open(&sim, server.local_addr()).await;
            let id = server.clients().iter().next().unwrap().id();
            assert!(!seen.contains(&id));
            assert_eq!(id.to_string().parse(), Ok(id));
            for old in &seen {
                let error = server.send(*old, "lost").unwrap_err();
                assert_eq!(error, SendToError::NoSuchClient { id: *old });
            }
            server.send(id, "found").unwrap();
            sim.settle().await;
            assert_eq!(frames(&peer.read()), [(0x81, b"found".to_vec())]);
            seen.push(id);
            drop(peer);
            sim.settle().await;
        }
    });
}

/// A connection knows the others of its server, and its senders do, too, while the server is there. One of a client is of
/// no server.
#[test]
fn a_connection_knows_the_clients_of_its_server() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, |mut connection| async move {
            while let Some(message) = connection.recv().await {
                let clients = connection.clients().unwrap();
                clients.broadcast_except(connection.id(), message);
            }
        });
        let first = Peer::open(&sim, server.local_addr()).await;
        let mut second = Peer::open(&sim, server.local_addr()).await;
        assert_eq!(second.ask(text("hi")).await, b"");
        assert_eq!(frames(&first.read()), [(0x81, b"hi".to_vec())]);
        let sender = server.clients().iter().next().unwrap();
        let clients = sender.clients().unwrap();
        assert_eq!(clients.len(), 2);
        assert!(clients.get(sender.id()).is_some());
        let url = format!("ws://{}/", server.local_addr());
        let connection = ws_driver::connect::<Sim>(&url).await.unwrap();
        assert!(connection.clients().is_none());
        assert!(connection.sender().clients().is_none());
    });
}

/// A handle of a connection does not keep the registry of its server.
#[test]
fn the_clients_go_with_the_server() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        let mut peer = Peer::connect(&sim, server.local_addr());
        peer.ask(RFC6455).await;
        let connection = server.accept().await.unwrap().unwrap();
        let sender = connection.sender();
        assert_eq!(connection.clients().unwrap().len(), 1);
        drop((connection, server));
        sim.end_runtime();
        assert!(sender.clients().is_none());
    });
}

/// The registry knows who is open, reaches one, all, or all but one, in each version, and counts right.
#[test]
fn the_registry_reaches_one_all_and_all_but_one() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let clients = server.clients();
        assert!(clients.is_empty());
        let addr = server.local_addr();
        let peer = Peer::open(&sim, addr).await;
        let peer_76 = Peer::open_76(&sim, addr).await;
        let peer_75 = Peer::open_75(&sim, addr).await;
        let _opening = Peer::connect(&sim, addr);
        sim.settle().await;
        assert_eq!(clients.len(), 3);
        let versions: Vec<_> = clients.iter().map(|sender| sender.version()).collect();
        assert_eq!(
            versions,
            [Version::Rfc6455, Version::Draft76, Version::Draft75]
        );
        let ids: Vec<_> = clients.iter().map(|sender| sender.id()).collect();
        assert_eq!(clients.get(ids[1]).unwrap().version(), Version::Draft76);

        let read = async || {
            sim.settle().await;
            [&peer, &peer_76, &peer_75].map(|peer| peer.read().escape_ascii().to_string())
        };
        clients.send(ids[2], "one").unwrap();
        assert_eq!(read().await, ["", "", r"\x00one\xff"]);
        assert_eq!(clients.broadcast("all"), 3);
        assert_eq!(
            read().await,
            [r"\x81\x03all", r"\x00all\xff", r"\x00all\xff"]
        );
        assert_eq!(clients.broadcast_except(ids[0], "some"), 2);
        assert_eq!(read().await, ["", r"\x00some\xff", r"\x00some\xff"]);
        assert_eq!(clients.broadcast(b"binary"), 1, "the drafts have none");
        assert_eq!(read().await, [r"\x82\x06binary", "", ""]);

        drop(peer_76);
        sim.settle().await;
        assert_eq!(clients.len(), 2);
        assert!(clients.get(ids[1]).is_none());
        let closing = clients.get(ids[0]).unwrap();
        closing.begin_close(CloseCode::NORMAL, "").unwrap();
        assert_eq!(clients.broadcast("late"), 1, "one is closing");
    });
}
