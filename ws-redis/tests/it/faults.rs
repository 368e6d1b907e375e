//! What is promised while the engine and the way to it fail: B1 to B6.

use std::time::{Duration, Instant};

use ws_driver::ClusterHealth;

use crate::engine::Engine;
use crate::host::{Host, on_each_runtime};
use crate::nodes::{Member, Publisher, SECOND, node, settle};
use crate::proxy::{Mode, Proxy};
use crate::trial::Trial;

/// The engine is killed and started again, many times, under load.
async fn a_killed_engine_loses_little_and_all_of_it_is_counted<R: Host>() {
    let mut engine = Engine::start();
    let url = engine.url();
    let mut trial = Trial::<R>::new([&url, &url, &url]).await;
    for _ in 0..4 {
        trial.run(700, SECOND).await;
        engine.kill();
        trial.run(700, SECOND / 2).await;
        engine.run();
        trial.run(700, SECOND / 2).await;
        settle(&trial.nodes).await;
    }
    let missed = trial.check().await;
    // B3: what the engine had acknowledged and not written yet, one batch for each publisher, receiver and kill at most.
    assert!(missed <= 512 * 6 * 4, "{missed}");
    let counters = trial.nodes[0].cluster().counters();
    assert!(counters.connects >= 5, "{counters:?}");
}

/// B3: an engine that stands still and goes on has lost nothing.
async fn a_frozen_engine_loses_nothing<R: Host>() {
    let engine = Engine::start();
    let url = engine.url();
    let mut trial = Trial::<R>::new([&url, &url, &url]).await;
    trial.run(700, SECOND).await;
    engine.freeze();
    trial.run(700, SECOND * 10).await;
    assert!(matches!(
        trial.nodes[0].cluster().health(),
        ClusterHealth::Down { .. }
    ));
    engine.thaw();
    trial.run(700, SECOND).await;
    assert_eq!(trial.check().await, 0);
}

/// Answers that do not come, a network that stands still, connections that break: what is in doubt is published again, and
/// nobody gets it twice.
async fn a_bad_network_loses_what_is_counted<R: Host>() {
    let engine = Engine::start();
    let proxies = [
        Proxy::to(engine.port),
        Proxy::to(engine.port),
        Proxy::to(engine.port),
    ];
    let urls = proxies.each_ref().map(Proxy::url);
    let mut trial = Trial::<R>::new(urls.each_ref().map(|url| &**url)).await;
    for mode in [Mode::KeepAnswers, Mode::Stall, Mode::Refuse] {
        for proxy in &proxies[..2] {
            proxy.set(mode);
            if mode == Mode::Refuse {
                proxy.cut();
            }
        }
        trial.run(700, SECOND * 3).await;
        for proxy in &proxies {
            proxy.set(Mode::Pass);
        }
        trial.run(700, SECOND).await;
        settle(&trial.nodes).await;
    }
    for _ in 0..10 {
        proxies[0].cut();
        proxies[2].cut();
        trial.run(700, SECOND / 2).await;
    }
    trial.check().await;
    let counters = trial.nodes.iter().map(|node| node.cluster().counters());
    let (in_doubt, duplicates) = counters.fold((0, 0), |(doubt, twice), it| {
        (doubt + it.in_doubt, twice + it.duplicates)
    });
    assert!(in_doubt > 0 && duplicates > 0, "nothing was tried");
}

/// B4: what waited during an outage arrives at once, and closes no client that reads.
async fn catching_up_closes_no_client<R: Host>() {
    let mut engine = Engine::start();
    let url = engine.url();
    let mut trial = Trial::<R>::new([&url, &url, &url]).await;
    for _ in 0..2 {
        trial.run(1700, SECOND).await;
        engine.kill();
        trial.run(1700, SECOND * 3 / 2).await;
        engine.run();
        trial.run(1700, SECOND).await;
        settle(&trial.nodes).await;
    }
    trial.check().await;
    for node in &trial.nodes {
        assert_eq!(node.counters().slow_closes, 0);
    }
}

/// B5 and B6: without an engine, memory stays within the queue, and members on this node get messages as before.
async fn without_an_engine_a_node_serves_its_own<R: Host>() {
    let mut engine = Engine::start();
    let nodes = [node::<R>(&engine.url()).await];
    let member = Member::open(&nodes[0], "room").await;
    settle(&nodes).await;
    engine.kill();
    let mut publisher = Publisher::new(nodes[0].cluster(), "room", 1);
    let (mut longest, mut sent) = (Duration::ZERO, 0);
    let begin = Instant::now();
    while begin.elapsed() < SECOND * 5 {
        let before = Instant::now();
        for _ in 0..100 {
            publisher.publish();
            sent += 1;
        }
        longest = longest.max(before.elapsed());
        R::sleep(Duration::from_millis(5)).await;
        assert!(nodes[0].cluster().counters().queued_bytes <= 4 << 20);
    }
    let counters = nodes[0].cluster().counters();
    assert_eq!(counters.dropped + publisher.queued, sent);
    assert!(counters.dropped > 0, "the queue was never full");
    assert!(longest < SECOND / 2, "{longest:?}");
    assert!(member.numbers(1).len() > 10_000);
    assert_eq!(member.closed(), None);
}

on_each_runtime! {
    a_killed_engine_loses_little_and_all_of_it_is_counted;
    a_frozen_engine_loses_nothing;
    a_bad_network_loses_what_is_counted;
    catching_up_closes_no_client;
    without_an_engine_a_node_serves_its_own;
}
