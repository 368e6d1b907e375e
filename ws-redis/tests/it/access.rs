//! Users, passwords and permissions of an engine.

use ws_driver::{ClientTls, ClusterConfig, ClusterHealth, Server};
use ws_redis::Redis;
use ws_testing::certificates::Authority;

use crate::engine::Engine;
use crate::host::{Host, on_each_runtime};
use crate::nodes::{Member, Publisher, SECOND, node, node_with, settle};

/// The ACL line of the documentation is enough for a node, under its prefix and nowhere else.
async fn the_documented_permissions_are_enough<R: Host>() {
    let engine = Engine::start();
    let docs = include_str!("../../src/lib.rs");
    let line = docs
        .lines()
        .find_map(|line| line.strip_prefix("//! ACL SETUSER "))
        .unwrap();
    assert_eq!(
        engine.ask(&format!("ACL SETUSER {line}")).unwrap(),
        "+OK\r\n"
    );
    let url = format!("redis://ws:secret@127.0.0.1:{}/1", engine.port);
    let shop = || Redis::new(&url).unwrap().prefix("shop");
    let nodes = [
        node_with::<R>(shop(), ClusterConfig::new()).await,
        node_with(shop(), ClusterConfig::new()).await,
    ];
    let member = Member::open(&nodes[1], "room").await;
    settle(&nodes).await;
    Publisher::new(nodes[0].cluster(), "room", 1).publish();
    settle(&nodes).await;
    assert_eq!(member.numbers(1), [1]);
    let sender = nodes[1].clients().iter().next().unwrap();
    sender.track("room", "anna").unwrap();
    R::sleep(SECOND * 2).await;
    assert_eq!(nodes[0].cluster().nodes().await.unwrap().len(), 2);
    let presence = nodes[0].cluster().topic("room").presence().await;
    assert_eq!(presence.unwrap().len(), 1);

    // Another prefix is another cluster, and not allowed to this user.
    let other = node_with::<R>(
        Redis::new(&url).unwrap().prefix("bank"),
        ClusterConfig::new(),
    )
    .await;
    R::sleep(SECOND).await;
    let ClusterHealth::Down { error, .. } = other.cluster().health() else {
        panic!("{:?}", other.cluster().health());
    };
    assert!(error.contains("NOPERM"), "{error}");
}

/// A password that is wrong, or missing, is said without the password.
async fn a_wrong_password_is_said_without_it<R: Host>() {
    let engine = Engine::with_options(&["--requirepass", "hunter1"]);
    for (url, words) in [
        (
            format!("redis://:hunter2@127.0.0.1:{}", engine.port),
            "WRONGPASS",
        ),
        (
            format!("redis://me:hunter2@127.0.0.1:{}", engine.port),
            "WRONGPASS",
        ),
        (format!("redis://127.0.0.1:{}", engine.port), "NOAUTH"),
    ] {
        let node: Server<R> = node(&url).await;
        R::sleep(SECOND / 2).await;
        let ClusterHealth::Down { error, .. } = node.cluster().health() else {
            panic!("{:?}", node.cluster().health());
        };
        assert!(
            error.contains(words) && !error.contains("hunter"),
            "{error}"
        );
    }
}

/// Inside of TLS nodes do the same; a certificate that nobody is told to trust is an error that says so.
async fn nodes_speak_tls<R: Host>() {
    let authority = Authority::new("an authority");
    let pems = authority.certify(&["localhost"]);
    let engine = Engine::with_tls(&pems.certificate, &pems.key);
    let url = format!("rediss://localhost:{}", engine.tls_port);
    let trusting = || {
        let tls = ClientTls::roots_from_pem(authority.root().as_bytes()).unwrap();
        Redis::new(&url).unwrap().tls(tls)
    };
    let nodes = [
        node_with::<R>(trusting(), ClusterConfig::new()).await,
        node_with(trusting(), ClusterConfig::new()).await,
    ];
    let member = Member::open(&nodes[1], "room").await;
    settle(&nodes).await;
    let mut publisher = Publisher::new(nodes[0].cluster(), "room", 1);
    (0..1000).for_each(|_| publisher.publish());
    settle(&nodes).await;
    assert_eq!(member.numbers(1).len(), 1000);

    let distrusting: Server<R> = node(&url).await;
    R::sleep(SECOND).await;
    let ClusterHealth::Down { error, .. } = distrusting.cluster().health() else {
        panic!("{:?}", distrusting.cluster().health());
    };
    assert!(
        error.contains("TLS") && error.contains("certificate"),
        "{error}"
    );
}

on_each_runtime! {
    nodes_speak_tls;
    the_documented_permissions_are_enough;
    a_wrong_password_is_said_without_it;
}
