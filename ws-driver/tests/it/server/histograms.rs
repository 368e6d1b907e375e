//! What servers and clients count in histograms.

use ws_driver::{
    ConnectConfig, Connection, Histogram, HistogramValues, Histograms, Message, SlowPeer, Upgrade,
    connect_with,
};
use ws_testing::sim::peer::text;
use ws_testing::sim::{ANY, Peer, Server, Sim, echo, seconds, serve};

/// Returns the number of values, and their sum.
fn of(histogram: Histogram) -> (u64, f64) {
    (histogram.count(), histogram.sum())
}

fn url(server: &Server) -> String {
    format!("ws://{}/", server.local_addr())
}

/// A server whose `on_upgrade` takes three seconds, and whose histograms are those of its clients, or others.
async fn server_with(sim: &Sim, histograms: &Histograms) -> Server {
    let clock = sim.clone();
    let builder =
        Server::builder()
            .histograms(histograms.clone())
            .on_upgrade(move |upgrade: Upgrade| {
                let clock = clock.clone();
                async move {
                    clock.sleep(seconds(3)).await;
                    upgrade.accept()
                }
            });
    let server = builder.bind(ANY).await.unwrap();
    serve(sim, &server, echo);
    server
}

/// Both sides count how long the handshake and the connection took, in virtual time, and the sizes of messages, each once,
/// however many fragments they have.
#[test]
fn both_sides_count_what_a_connection_does() {
    Sim::run(async |sim| {
        let (near, far) = (Histograms::new(), Histograms::new());
        let server = server_with(&sim, &near).await;
        let options = ConnectConfig::new().histograms(far.clone());
        let mut connection = connect_with::<Sim>(&url(&server), options).await.unwrap();
        connection.send("four").await.unwrap();
        assert!(connection.recv().await.is_some());
        connection.send(vec![1; 70_000]).await.unwrap();
        assert!(connection.recv().await.is_some());
        for is_last in [false, false, true] {
            let fragment = Message::from(vec![2; 100]);
            connection.send_fragment(fragment, is_last).await.unwrap();
        }
        assert!(connection.recv().await.is_some());
        sim.sleep(seconds(600)).await;
        assert_eq!(near.values().connection_duration.count(), 0);
        connection.close().await;
        sim.settle().await;
        for (who, histograms) in [("server", near), ("client", far)] {
            let HistogramValues {
                connection_duration,
                handshake_duration,
                send_queue_duration,
                received_size,
                sent_size,
                ..
            } = histograms.values();
            assert_eq!(of(handshake_duration), (1, 3.0), "{who}");
            assert_eq!(of(connection_duration), (1, 600.0), "{who}");
            assert_eq!(of(received_size), (3, 70_304.0), "{who}");
            assert_eq!(of(sent_size), (3, 70_304.0), "{who}");
            assert!(send_queue_duration.count() >= 2, "{who}");
            assert_eq!(send_queue_duration.sum(), 0.0, "{who}");
            let sizes = sent_size.buckets().filter(|(_, count)| *count > 0);
            let sizes: Vec<_> = sizes.collect();
            assert_eq!(sizes, [(16.0, 1), (1024.0, 1), (262_144.0, 1)], "{who}");
        }
    });
}

/// Fragments that arrive one by one count as one message, and what nobody received as none.
#[test]
fn a_message_that_arrives_in_fragments_is_one() {
    Sim::run(async |sim| {
        let histograms = Histograms::new();
        let builder = Server::builder()
            .histograms(histograms.clone())
            .receive_fragments(true);
        let server = builder.bind(ANY).await.unwrap();
        serve(&sim, &server, async |mut connection: Connection| {
            while connection.recv_fragment().await.is_some() {}
        });
        let connection = connect_with::<Sim>(&url(&server), ConnectConfig::new()).await;
        let connection = connection.unwrap();
        for is_last in [false, false, true] {
            let fragment = Message::from(vec![2; 5_000]);
            connection.send_fragment(fragment, is_last).await.unwrap();
            sim.settle().await;
        }
        assert_eq!(of(histograms.values().received_size), (1, 15_000.0));
        assert_eq!(histograms.values().sent_size.count(), 0);
    });
}

/// A message that a peer does not take is in the queue for as long. One message is timed at a time.
#[test]
fn the_time_in_the_send_queue_ends_with_the_last_byte() {
    Sim::run(async |sim| {
        let histograms = Histograms::new();
        let builder = Server::builder().histograms(histograms.clone());
        let server = builder.bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let mut peer = Peer::open(&sim, server.local_addr()).await;
        peer.ask(text("at once")).await;
        let waits = || of(histograms.values().send_queue_duration);
        assert_eq!(waits(), (1, 0.0));
        peer.link().to_near.capacity = 4;
        peer.write(&text("first")).await;
        sim.settle().await;
        sim.sleep(seconds(2)).await;
        peer.write(&text("second, which is not timed")).await;
        sim.settle().await;
        sim.sleep(seconds(5)).await;
        assert_eq!(waits(), (1, 0.0));
        peer.link().to_near.capacity = usize::MAX;
        peer.read();
        sim.settle().await;
        assert_eq!(waits(), (2, 7.0));
    });
}

/// A broadcast counts for each receiver, also if its policy keeps it back, and not if the policy drops it.
#[test]
fn a_broadcast_counts_for_each_connection_that_took_it() {
    for (policy, expected) in [(SlowPeer::DropNewest, 20), (SlowPeer::DropOldest, 40)] {
        Sim::run(async |sim| {
            let histograms = Histograms::new();
            let builder = Server::builder()
                .histograms(histograms.clone())
                .slow_peer(policy)
                .send_queue_limit(1_000);
            let server = builder.bind(ANY).await.unwrap();
            serve(&sim, &server, echo);
            let slow = Peer::open(&sim, server.local_addr()).await;
            slow.link().to_near.capacity = 0;
            let fast = Peer::open(&sim, server.local_addr()).await;
            let mut reached = 0;
            for _ in 0..20 {
                reached += server.broadcast(vec![0; 1_000]);
                sim.settle().await;
                fast.read();
            }
            assert!(reached >= expected, "{policy:?} {reached}");
            let sizes = of(histograms.values().sent_size);
            let reached = u32::try_from(reached).unwrap();
            let total = f64::from(reached) * 1_000.0;
            assert_eq!(sizes, (u64::from(reached), total), "{policy:?}");
        });
    }
}

/// Several servers and clients can share histograms; a handshake that failed is in none.
#[test]
fn histograms_can_be_shared() {
    Sim::run(async |sim| {
        let histograms = Histograms::new();
        let server = server_with(&sim, &histograms).await;
        let other = server_with(&sim, &histograms).await;
        let options = ConnectConfig::new().histograms(histograms.clone());
        for server in [&server, &other] {
            let opened = connect_with::<Sim>(&url(server), &options).await;
            opened.unwrap().close().await;
        }
        let refused = options.origin("http://evil.example".parse::<ws_driver::Origin>().unwrap());
        let strict = Server::builder()
            .allow_origins(["http://example.com"])
            .histograms(histograms.clone());
        let strict = strict.bind(ANY).await.unwrap();
        serve(&sim, &strict, echo);
        assert!(connect_with::<Sim>(&url(&strict), refused).await.is_err());
        sim.sleep(seconds(60)).await;
        let values = histograms.values();
        assert_eq!(of(values.handshake_duration), (4, 12.0));
        assert_eq!(values.connection_duration.count(), 4);
    });
}
