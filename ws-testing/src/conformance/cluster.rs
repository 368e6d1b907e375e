//! Several servers as one cluster, by the backplane in memory.

use ws_driver::{
    ClusterConfig, ClusterHealth, ClusterSendError, Connection, MemoryBackplane, Resumed, Runtime,
    Server, connect,
};
use ws_proto::Version;

use crate::log_reader::{LogReader, log};

use super::support::{Host, client, ms, serve, sleep, text, until, url};

/// Three nodes, whose connections join the topic `room`, and say so.
async fn nodes<R: Runtime + Default>() -> [Host<R>; 3] {
    let backplane = MemoryBackplane::new();
    let node = async || {
        let builder = Server::builder().backplane(backplane.clone());
        serve(builder, async |mut connection: Connection| {
            assert_eq!(connection.join_wait("room").await, Ok(true));
            connection.send("joined").await.unwrap();
            while connection.recv().await.is_some() {}
        })
        .await
    };
    [node().await, node().await, node().await]
}

/// `cluster.broadcast`: reaches every connection of every node, in every version.
pub async fn cluster_broadcast_reaches_all_nodes<R: Runtime + Default>() {
    let nodes = nodes::<R>().await;
    for version in Version::ALL {
        let mut clients = Vec::new();
        for node in &nodes {
            let mut connection = client(node, version).await;
            assert_eq!(text(&mut connection).await, "joined");
            clients.push(connection);
        }
        let published = nodes[0].cluster().broadcast("to all");
        assert_eq!((published.local, published.remote), (1, Ok(())));
        for connection in &mut clients {
            assert_eq!(text(connection).await, "to all");
        }
        for mut connection in clients {
            connection.close().await;
        }
        until::<R>(|| nodes.iter().all(|node| node.clients().is_empty())).await;
    }
}

/// `cluster.topic`: what each node publishes arrives in its order, once, on every node.
pub async fn cluster_topics_reach_all_nodes_in_order<R: Runtime + Default>() {
    let nodes = nodes::<R>().await;
    let mut clients = Vec::new();
    for node in &nodes {
        let mut connection = connect::<R>(&url(node)).await.unwrap();
        assert_eq!(text(&mut connection).await, "joined");
        clients.push(connection);
    }
    for number in 0..1000 {
        for (place, node) in nodes.iter().enumerate() {
            let published = node
                .cluster()
                .topic("room")
                .broadcast(format!("{place} {number}"));
            assert_eq!((published.local, published.remote), (1, Ok(())));
        }
        if number % 100 == 0 {
            sleep::<R>(ms(1)).await;
        }
    }
    for connection in &mut clients {
        let mut next = [0; 3];
        while next != [1000; 3] {
            let text = text(connection).await;
            let (place, number) = text.split_once(' ').unwrap();
            let place: usize = place.parse().unwrap();
            assert_eq!(number, next[place].to_string());
            next[place] += 1;
        }
    }
    for node in &nodes {
        let counters = node.cluster().counters();
        assert_eq!(
            (counters.received, counters.missed, counters.duplicates),
            (2000, 0, 0)
        );
    }
}

/// `connection.join_wait`: what other nodes publish from then on arrives.
pub async fn join_wait_misses_nothing<R: Runtime + Default>() {
    let nodes = nodes::<R>().await;
    for round in 0..50 {
        let mut connection = connect::<R>(&url(&nodes[round % 2])).await.unwrap();
        assert_eq!(text(&mut connection).await, "joined");
        nodes[2]
            .cluster()
            .topic("room")
            .broadcast(format!("{round}"));
        // A message of an earlier round can reach this node late, and then its new member, too.
        let mut seen = text(&mut connection).await;
        while seen.parse::<usize>().unwrap() < round {
            seen = text(&mut connection).await;
        }
        assert_eq!(seen, round.to_string());
        connection.close().await;
    }
}

/// The end of a server ends its part of the cluster, with what it published before delivered.
pub async fn a_cluster_ends_with_its_servers<R: Runtime + Default>() {
    let nodes = nodes::<R>().await;
    let mut connection = connect::<R>(&url(&nodes[1])).await.unwrap();
    assert_eq!(text(&mut connection).await, "joined");
    let cluster = nodes[0].cluster();
    until::<R>(|| cluster.health() == ClusterHealth::Up).await;
    for number in 0..100 {
        assert_eq!(
            cluster.topic("room").broadcast(format!("{number}")).remote,
            Ok(())
        );
    }
    let report = nodes[0].shutdown(ms(1000)).await;
    assert_eq!(report.unpublished, 0);
    for number in 0..100 {
        assert_eq!(text(&mut connection).await, number.to_string());
    }
    assert!(matches!(cluster.health(), ClusterHealth::Ended { .. }));
}

/// `cluster.send`, `send_wait`: reach one connection of any node, and say what happened.
pub async fn cluster_sends_reach_one_connection<R: Runtime + Default>() {
    let nodes = nodes::<R>().await;
    let mut connection = connect::<R>(&url(&nodes[1])).await.unwrap();
    assert_eq!(text(&mut connection).await, "joined");
    let cluster = nodes[0].cluster();
    let id = nodes[1].clients().iter().next().unwrap().cluster_id();
    until::<R>(|| cluster.send(id, "first").is_ok()).await;
    assert_eq!(text(&mut connection).await, "first");
    assert_eq!(cluster.send_wait(id, "second").await, Ok(()));
    assert_eq!(text(&mut connection).await, "second");
    connection.close().await;
    until::<R>(|| nodes[1].clients().is_empty()).await;
    let gone = Err(ClusterSendError::NoSuchClient { id });
    assert_eq!(cluster.send_wait(id, "third").await, gone);
}

/// `cluster.nodes`, `connection.track`, `topic.presence`: who is there, on all nodes.
pub async fn cluster_presence<R: Runtime + Default>() {
    let nodes = nodes::<R>().await;
    let mut connection = connect::<R>(&url(&nodes[1])).await.unwrap();
    assert_eq!(text(&mut connection).await, "joined");
    let sender = nodes[1].clients().iter().next().unwrap();
    assert_eq!(sender.track("room", "anna"), Ok(()));
    let topic = nodes[0].cluster().topic("room");
    let shown = async |count| loop {
        let listing = topic.presence().await.unwrap();
        if listing.len() == count {
            return listing;
        }
        sleep::<R>(ms(20)).await;
    };
    let listing = shown(1).await;
    assert_eq!(
        (listing[0].id, &*listing[0].data),
        (sender.cluster_id(), &b"anna"[..])
    );
    connection.close().await;
    shown(0).await;
    while nodes[0].cluster().nodes().await.unwrap().len() < 3 {
        sleep::<R>(ms(20)).await;
    }
    nodes[1].shutdown(ms(1000)).await;
    assert_eq!(nodes[0].cluster().nodes().await.unwrap().len(), 2);
}

/// `topic.append`, `topic.resume`: who comes back gets what it missed, on any node.
pub async fn cluster_logs<R: Runtime + Default>() {
    let backplane = MemoryBackplane::new();
    let mut nodes = Vec::new();
    for _ in 0..2 {
        let config = ClusterConfig::new().log("room", log());
        let builder = Server::<R>::builder()
            .backplane(backplane.clone())
            .cluster(config);
        let node = serve(
            builder,
            async |mut connection: Connection| {
                while connection.recv().await.is_some() {}
            },
        );
        nodes.push(node.await);
    }
    let (mut reader, mut last) = (LogReader::default(), None);
    for (number, node) in nodes.iter().enumerate() {
        assert!(reader.connect::<R>(node.local_addr()).await);
        until::<R>(|| node.clients().len() == 1).await;
        let id = node.clients().iter().next().unwrap().cluster_id();
        let resumed = node.cluster().topic("room").resume(id, last).await;
        assert!(
            matches!(resumed, Ok(Resumed::Complete { .. })),
            "{resumed:?}"
        );
        let text = |part| format!("{number}.{part}");
        let appended = node.cluster().topic("room").append(text(1)).await;
        last = Some(appended.unwrap());
        until::<R>(|| reader.texts().last() == Some(&text(1))).await;
        reader.leave().await;
        nodes[0]
            .cluster()
            .topic("room")
            .append(text(2))
            .await
            .unwrap();
    }
    assert_eq!(reader.texts(), ["0.1", "0.2", "1.1"]);
}
