//! What takes connections, and is no engine or a broken one: bytes without sense, and silence.

use std::time::Duration;

use ws_driver::{ClusterConfig, Server};
use ws_redis::Redis;

use crate::engine::Engine;
use crate::host::{Host, on_each_runtime};
use crate::nodes::{Member, Publisher, SECOND, down, node, node_with, settle};
use crate::proxy::{Mode, Proxy};
use crate::trial::Trial;

/// What a node gets instead of an answer to its greeting.
const NONSENSE: [&[u8]; 16] = [
    b"",
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    &[0xff; 1000],
    b"\r\n\r\n",
    b"-\r\n",
    b"-ERR no\r\n-ERR no\r\n",
    b"$-7\r\n$x\r\n",
    b":99999999999999999999\r\n",
    b"$9223372036854775807\r\n",
    b"*2147483647\r\n",
    b"%9223372036854775807\r\n",
    b"|-1\r\n",
    b">0\r\n>1\r\n:1\r\n",
    b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
    b"+OK\r\n+OK\r\n+OK\r\n+OK\r\n",
];

/// Nonsense and silence are links that are down, and say why; members here are served, and an engine in its place is taken.
async fn nonsense_is_no_engine<R: Host>() {
    let engine = Engine::start();
    let mut nodes: Vec<Server<R>> = Vec::new();
    let mut proxies = Vec::new();
    let mut members = Vec::new();
    for bytes in NONSENSE {
        let proxy = Proxy::to(engine.port);
        proxy.set(Mode::Talk(bytes));
        let config = ClusterConfig::new().subscribe_timeout(Duration::from_millis(10));
        let redis = Redis::new(&proxy.url()).unwrap();
        let node = node_with(redis, config).await;
        members.push(Member::without_an_engine(&node, "room").await);
        nodes.push(node);
        proxies.push(proxy);
    }
    let cluster = |place: usize| nodes[place].cluster();
    let mut publishers: Vec<_> = (0..nodes.len())
        .map(|place| Publisher::new(cluster(place), "room", 1))
        .collect();
    for place in 0..nodes.len() {
        let why = down(&nodes[place]).await;
        assert!(!why.is_empty() && why.len() < 500, "{place}: {why}");
        publishers[place].publish();
    }
    R::sleep(SECOND / 5).await;
    for member in &members {
        assert_eq!(member.numbers(1), [1], "members here are served");
    }
    for proxy in &proxies {
        proxy.set(Mode::Pass);
    }
    settle(&nodes).await;
    // What waited was published, to those who were there before.
    let before: Vec<_> = nodes.iter().map(|node| node.cluster().counters()).collect();
    assert!(before.iter().all(|it| (it.published, it.dropped) == (1, 0)));
    publishers.iter_mut().for_each(Publisher::publish);
    settle(&nodes).await;
    let others = u64::try_from(nodes.len()).unwrap() - 1;
    for (place, node) in nodes.iter().enumerate() {
        let counters = node.cluster().counters();
        assert_eq!(
            counters.received - before[place].received,
            others,
            "{place}"
        );
        assert_eq!((counters.missed, counters.malformed), (0, 0), "{place}");
        assert_eq!(members[place].closed(), None);
    }
}

/// Bytes without sense in between break the link: what is lost is counted, and nothing comes twice.
async fn nonsense_on_a_link_costs_what_is_counted<R: Host>() {
    let engine = Engine::start();
    let proxies = [Proxy::to(engine.port), Proxy::to(engine.port)];
    let urls = proxies.each_ref().map(Proxy::url);
    let mut trial = Trial::<R>::new([&urls[0], &urls[1], &engine.url()]).await;
    for bytes in &NONSENSE[1..] {
        proxies[0].interject(bytes);
        trial.run(700, SECOND / 4).await;
    }
    // What only begins an answer takes the next ones into it. It is cut at the latest when no answer has come for a second.
    trial.run(700, SECOND * 2).await;
    trial.check().await;
    let connects = trial
        .nodes
        .iter()
        .map(|node| node.cluster().counters().connects);
    let connects: Vec<_> = connects.collect();
    assert!(connects[0] > 4 && connects[1] == 1, "{connects:?}");
}

/// An answer in place of the greeting that does not end is not kept without an end.
async fn an_endless_answer_takes_no_endless_memory<R: Host>() {
    let engine = Engine::start();
    for head in [&b"$4000000000\r\n"[..], b"+"] {
        let proxy = Proxy::to(engine.port);
        proxy.set(Mode::Flood(head, 256 << 20));
        let before = resident();
        let nodes: [Server<R>; 1] = [node(&proxy.url()).await];
        let mut most = 0;
        for _ in 0..100 {
            most = most.max(resident().saturating_sub(before));
            R::sleep(SECOND / 20).await;
        }
        assert!(most < 96 << 20, "{} MiB", most >> 20);
        down(&nodes[0]).await;
        proxy.set(Mode::Pass);
        settle(&nodes).await;
    }
}

/// The memory of this process, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line
        .and_then(|line| line.split_whitespace().next())
        .unwrap();
    kib.parse::<usize>().unwrap() << 10
}

on_each_runtime! {
    an_endless_answer_takes_no_endless_memory;
    nonsense_is_no_engine;
    nonsense_on_a_link_costs_what_is_counted;
}
