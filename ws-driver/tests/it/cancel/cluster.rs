//! What a node of a cluster waits for, and what its backplane waits for.

use std::sync::Arc;

use ws_driver::{
    Channel, ClusterConfig, Connection, MemoryBackplane, MemoryStore, Position, Seat, SeatRequest,
    Settled,
};
use ws_testing::log_reader::log;
use ws_testing::sim::peer::close;
use ws_testing::sim::{ANY, Lent, Peer, Server, Sim, seconds};

use super::polling::{assert_nothing_left, at_every_poll, open, polled};

/// A server, and the seat of its backplane.
async fn node(sim: &Sim) -> (Server, Arc<Seat>) {
    let lent = Lent::default();
    let server = Server::builder().backplane(lent.clone());
    let server = server.bind(ANY).await.unwrap();
    sim.settle().await;
    (server, lent.seat())
}

/// Closes from the peer's side, stops the server, and asserts that nothing is left then.
async fn end(sim: &Sim, server: &Server, connection: Connection, mut peer: Peer) {
    drop(connection);
    peer.ask(close(1000)).await;
    peer.end().await;
    server.shutdown(seconds(1)).await;
    assert_nothing_left(sim, server).await;
}

/// The connection is a member once the future was polled; nothing is left of the wait.
fn assert_join_wait_joins(by_sender: bool) {
    at_every_poll(2, |sim, polls| async move {
        let (server, seat) = node(&sim).await;
        seat.link_up();
        let (connection, peer) = open(&sim, &server).await;
        let sender = connection.sender();
        let joined = async {
            if by_sender {
                sender.join_wait("topic").await
            } else {
                connection.join_wait("topic").await
            }
        };
        let confirming = Arc::clone(&seat);
        sim.spawn_task(async move {
            let confirm = async {
                loop {
                    let change = confirming.interest().await;
                    confirming.subscribed(&change.subscribe);
                }
            };
            let _: Option<()> = confirming.unless_stopped(confirm).await;
        });
        let joined = polled(polls, joined).await;
        assert!(joined.is_none() || joined == Some(Ok(true)));
        assert_eq!(
            server.clients().topic("topic").len(),
            usize::from(polls > 0)
        );
        sim.settle().await;
        // What was joined is still confirmed, and a later wait ends.
        assert_eq!(connection.join_wait("topic").await, Ok(polls == 0));
        drop((sender, seat));
        end(&sim, &server, connection, peer).await;
        joined.is_some()
    });
}

#[test]
fn join_wait() {
    assert_join_wait_joins(false);
}

#[test]
fn join_wait_of_a_sender() {
    assert_join_wait_joins(true);
}

/// No message is taken by a future that is dropped, and none comes twice.
#[test]
fn outgoing_loses_nothing() {
    at_every_poll(1, |sim, polls| async move {
        let (server, seat) = node(&sim).await;
        let taken = polled(polls, seat.outgoing()).await;
        assert!(taken.is_none(), "there is no link");
        seat.link_up();
        let change = seat.interest().await;
        seat.subscribed(&change.subscribe);
        let cluster = server.cluster();
        sim.spawn_task(async move {
            cluster.broadcast("one");
        });
        let first = polled(polls, seat.outgoing()).await;
        let mut published = Vec::new();
        let mut batch = match &first {
            Some(batch) => batch.clone(),
            None => seat.outgoing().await,
        };
        // The node says that it is there, and then what the application says, each once.
        loop {
            let texts = batch.messages().iter().map(|it| it.envelope.slice(28..));
            published.extend(texts.filter(|text| text.len() == 3));
            if published.len() == 1 {
                break;
            }
            seat.settled(&batch, Settled::Published);
            batch = seat.outgoing().await;
        }
        // One is in flight, so there is no other.
        server.cluster().broadcast("two");
        assert!(polled(polls, seat.outgoing()).await.is_none());
        seat.settled(&batch, Settled::Published);
        assert_eq!(seat.outgoing().await.messages().len(), 1);
        assert_eq!(published, ["one"]);
        drop(seat);
        server.shutdown(seconds(0)).await;
        drop(first);
        assert_nothing_left(&sim, &server).await;
        polls > 3
    });
}

/// No change of what the node wants is lost.
#[test]
fn interest_loses_nothing() {
    at_every_poll(1, |sim, polls| async move {
        let (server, seat) = node(&sim).await;
        assert!(
            polled(polls, seat.interest()).await.is_none(),
            "there is no link"
        );
        seat.link_up();
        let (connection, peer) = open(&sim, &server).await;
        let mut wanted = Vec::new();
        if let Some(change) = polled(polls, seat.interest()).await {
            wanted.extend(change.subscribe);
        }
        connection.join("topic").unwrap();
        if let Some(change) = polled(polls, seat.interest()).await {
            wanted.extend(change.subscribe);
        }
        while wanted.len() < 3 {
            wanted.extend(seat.interest().await.subscribe);
        }
        let expected = [
            Channel::Node(seat.node()),
            Channel::All,
            Channel::Topic("topic".into()),
        ];
        assert!(
            expected.iter().all(|channel| wanted.contains(channel)),
            "{wanted:?}"
        );
        drop(seat);
        end(&sim, &server, connection, peer).await;
        polls > 3
    });
}

/// The other waits of a backplane take nothing with them.
#[test]
fn request_gate_and_stopped() {
    at_every_poll(1, |sim, polls| async move {
        let (server, seat) = node(&sim).await;
        assert!(polled(polls, seat.request()).await.is_none());
        assert!(polled(polls, seat.stopped()).await.is_none());
        assert_eq!(
            polled(polls, seat.gate()).await.is_some(),
            polls > 0,
            "it is open"
        );
        let work = polled(polls, seat.unless_stopped(async { 7 })).await;
        assert_eq!(work, (polls > 0).then_some(Some(7)));
        seat.link_up();
        let change = seat.interest().await;
        seat.subscribed(&change.subscribe);
        // Asked for once a second; what a dropped future saw is asked for again.
        let request = polled(polls, seat.request()).await;
        let counts = |request: &SeatRequest| matches!(request, SeatRequest::CountNodes);
        let mut seen = request.iter().any(counts);
        while !seen {
            seen = counts(&seat.request().await);
        }
        server.close();
        server.shutdown(seconds(0)).await;
        seat.stopped().await;
        assert_eq!(
            seat.unless_stopped(std::future::pending::<()>()).await,
            None
        );
        drop(seat);
        assert_nothing_left(&sim, &server).await;
        polls > 3
    });
}

/// The connection gets what was sent once or not at all, and what is sent later always.
#[test]
fn send_wait() {
    at_every_poll(2, |sim, polls| async move {
        let backplane = MemoryBackplane::new();
        let node = async || {
            let builder = Server::builder().backplane(backplane.clone());
            builder.bind(ANY).await.unwrap()
        };
        let (one, two) = (node().await, node().await);
        sim.sleep(seconds(2)).await;
        let (connection, mut peer) = open(&sim, &two).await;
        let (cluster, id) = (one.cluster(), connection.cluster_id());
        let sent = polled(polls, cluster.send_wait(id, "hi")).await;
        assert!(sent.is_none() || sent == Some(Ok(())));
        assert_eq!(cluster.send_wait(id, "there").await, Ok(()));
        drop(connection);
        let arrived = peer.ask(close(1000)).await;
        let text = String::from_utf8_lossy(&arrived);
        assert_eq!(text.matches("hi").count(), usize::from(polls > 0), "{text}");
        assert_eq!(text.matches("there").count(), 1, "{text}");
        peer.end().await;
        one.shutdown(seconds(0)).await;
        two.shutdown(seconds(0)).await;
        assert_nothing_left(&sim, &two).await;
        sent.is_some()
    });
}

/// What was asked and not waited for is answered to nobody, and the next question is answered.
#[test]
fn nodes_and_presence() {
    at_every_poll(2, |sim, polls| async move {
        let (server, seat) = node(&sim).await;
        seat.link_up();
        let answering = Arc::clone(&seat);
        let sim_too = sim.clone();
        sim.spawn_task(async move {
            let mut store = MemoryStore::new();
            let answer = async {
                loop {
                    let request = answering.request().await;
                    store.answer(answering.node(), request, sim_too.now());
                }
            };
            let _: Option<()> = answering.unless_stopped(answer).await;
        });
        let (connection, peer) = open(&sim, &server).await;
        connection.track("topic", "anna").unwrap();
        let cluster = server.cluster();
        let topic = cluster.topic("topic");
        let nodes = polled(polls, cluster.nodes()).await;
        let shown = polled(polls, topic.presence()).await;
        for nodes in nodes.iter().chain(&[cluster.nodes().await]) {
            assert_eq!(nodes.as_ref().unwrap().len(), 1);
        }
        for shown in shown.iter().chain(&[topic.presence().await]) {
            assert_eq!(&*shown.as_ref().unwrap()[0].data, b"anna");
        }
        drop(seat);
        end(&sim, &server, connection, peer).await;
        nodes.is_some() && shown.is_some()
    });
}

/// A server alone, whose topic `room` has a log.
async fn logging(sim: &Sim) -> Server {
    let config = ClusterConfig::new().log("room", log());
    let server = Server::builder().cluster(config).bind(ANY).await.unwrap();
    sim.sleep(seconds(1)).await;
    server
}

/// A message is appended once or not at all, and what is appended later always.
#[test]
fn append() {
    at_every_poll(2, |sim, polls| async move {
        let server = logging(&sim).await;
        let room = server.cluster().topic("room");
        let appended = polled(polls, room.append("dropped")).await;
        assert!(appended.as_ref().is_none_or(Result::is_ok));
        let later = room.append("later").await.unwrap();
        assert!(later.offset == 2 || later.offset == 1 && appended.is_none());
        server.shutdown(seconds(0)).await;
        assert_nothing_left(&sim, &server).await;
        appended.is_some()
    });
}

/// A connection that was dropped on its way back can leave and resume: it gets all that it has not got.
#[test]
fn resume() {
    at_every_poll(4, |sim, polls| async move {
        let server = logging(&sim).await;
        let (connection, peer) = open(&sim, &server).await;
        let (room, id) = (server.cluster().topic("room"), connection.cluster_id());
        let first = room.append("first").await.unwrap();
        let begin = Position { offset: 0, ..first };
        let resumed = polled(polls, room.resume(id, Some(begin))).await;
        assert!(resumed.as_ref().is_none_or(Result::is_ok), "{resumed:?}");
        sim.settle().await;
        let sent = String::from_utf8_lossy(&peer.read())
            .matches("first")
            .count();
        assert!(sent <= 1);
        if resumed.is_none() {
            connection.leave("room");
            let after = Some(if sent == 1 { first } else { begin });
            room.resume(id, after).await.unwrap();
        }
        room.append("second").await.unwrap();
        sim.sleep(seconds(1)).await;
        let later = String::from_utf8_lossy(&peer.read()).into_owned();
        assert_eq!(sent + later.matches("first").count(), 1, "{later}");
        assert_eq!(later.matches("second").count(), 1, "{later}");
        end(&sim, &server, connection, peer).await;
        resumed.is_some()
    });
}
