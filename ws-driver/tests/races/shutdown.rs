//! The end of a server, at any time: against streams that arrive, handshakes that are under way,
//! connections that end by themselves, and those who wait for all of it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::world::{Census, Client, Server, World, check};
use ws_testing::sim::ANY;
use ws_testing::sim::peer::RFC6455;

/// No time passes but by `advance`.
const GRACE: Duration = Duration::from_secs(1);

/// `serve` ends at a close, whenever that comes, and so does every `serve` that is called later.
async fn close_and_serve(world: World) {
    let server = Server::bind(ANY).await.unwrap();
    world.serve(&server, async |connection| drop(connection));
    let closer = server.clone();
    let closing = world.spawned(async move { closer.close() });
    world.serve(&server, async |connection| drop(connection));
    closing.await;
}

#[test]
fn serve_ends_at_a_close() {
    check(close_and_serve);
}

/// Clients come at any time of a shutdown. Each is either closed with 1001 or never opened; the
/// report accounts for those that were open; nothing is left, and nobody waits for ever.
async fn shutdown_and_connects(world: World) {
    let server = Server::bind(ANY).await.unwrap();
    let census = Census::default();
    world.serve(&server, census.draining());
    let addr = server.local_addr();
    let mut clients = Vec::new();
    for _ in 0..3 {
        let client = Client::connect(&world, addr);
        clients.push(world.spawned(async move {
            let mut client = client;
            if !client.shake_hands().await {
                return 0;
            }
            let (texts, code) = client.texts().await;
            assert_eq!((texts.len(), code), (0, Some(1001)));
            client.close(1001).await;
            1
        }));
    }
    let stopper = server.clone();
    drop(server);
    let stopping = world.spawned(async move {
        let report = stopper.shutdown(GRACE).await;
        let len = stopper.clients().len();
        (report, len)
    });
    let (report, len) = stopping.await;
    assert_eq!((len, census.counts().running), (0, 0));
    assert_eq!((report.aborted, report.lost), (0, 0), "{report:?}");
    let mut opened = 0;
    for client in clients {
        opened += client.await;
    }
    assert!(report.closed <= opened, "{report:?} of {opened}");
}

#[test]
fn a_shutdown_ends_whoever_comes_at_any_time() {
    check(shutdown_and_connects);
}

/// The grace is over at any time, while peers connect, shake hands slowly or never, answer the close
/// or never: when the shutdown has returned what is left ends without anybody's help, and without
/// any more time.
async fn grace_is_over(world: World) {
    let server = Server::bind(ANY).await.unwrap();
    let census = Census::default();
    world.serve(&server, census.draining());
    let addr = server.local_addr();
    // Each half of a handshake is a task of the server that shutdown has to wait for or end.
    let deaf = Client::connect(&world, addr);
    let half = Client::connect(&world, addr);
    let polite = Client::connect(&world, addr);
    let peers = world.spawned(async move {
        let (mut deaf, mut half, mut polite) = (deaf, half, polite);
        deaf.write(RFC6455).await;
        half.write(&RFC6455[..50]).await;
        if polite.shake_hands().await {
            polite.texts().await;
            polite.close(1001).await;
        }
        (deaf, half)
    });
    let stopper = server.clone();
    let clock = world.clone();
    let stopping = world.spawned(async move {
        let mut stopping = pin!(stopper.shutdown(GRACE));
        poll_fn(|cx| {
            let polled = stopping.as_mut().poll(cx);
            if polled.is_pending() {
                let ticking = clock.clone();
                clock.spawn_task(async move { ticking.advance(GRACE) });
            }
            polled
        })
        .await
    });
    let report = stopping.await;
    drop(server);
    assert!(report.closed + report.lost + report.aborted <= 3);
    let held = peers.await;
    world.wait_for_tasks().await;
    assert_eq!(census.counts().running, 0, "{report:?}");
    drop(held);
}

#[test]
fn nothing_outlives_the_grace() {
    check(grace_is_over);
}

/// Two tasks wait in `accept`, two clients connect, the server closes at any time: whoever waits gets a
/// connection or hears of the close, and each connection is handed out once or closed.
async fn accept_and_close(world: World) {
    let server = Server::bind(ANY).await.unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let acceptors = [(); 2].map(|()| {
        let (server, accepted) = (server.clone(), Arc::clone(&accepted));
        world.spawned(async move {
            while let Some(mut connection) = server.accept().await.unwrap() {
                accepted.fetch_add(1, Ordering::SeqCst);
                connection.send("hello").await.unwrap();
                connection.close().await;
            }
        })
    });
    let addr = server.local_addr();
    let clients = [(); 2].map(|()| {
        let client = Client::connect(&world, addr);
        world.spawned(async move {
            let mut client = client;
            if !client.shake_hands().await {
                return 0;
            }
            let (texts, code) = client.texts().await;
            let code = code.unwrap();
            client.close(code).await;
            // Who came too late to be handed out is told that the server goes away.
            assert_eq!(code, if texts.is_empty() { 1001 } else { 1000 });
            texts.len()
        })
    });
    let closer = server.clone();
    drop(server);
    world.spawned(async move { closer.close() }).await;
    for acceptor in acceptors {
        acceptor.await;
    }
    let mut opened = 0;
    for client in clients {
        opened += client.await;
    }
    assert_eq!(opened, accepted.load(Ordering::SeqCst));
}

#[test]
fn accept_hands_out_each_connection_once_or_closes_it() {
    check(accept_and_close);
}

/// One task accepts one connection after the other, which open at any time: also while it has just seen
/// that none is there.
async fn accept_again(world: World) {
    let server = Server::bind(ANY).await.unwrap();
    let clients = [(); 2].map(|()| {
        let client = Client::connect(&world, server.local_addr());
        world.spawned(async move {
            let mut client = client;
            assert!(client.shake_hands().await);
            assert_eq!(client.texts().await, (Vec::new(), Some(1000)));
            client.close(1000).await;
        })
    });
    for _ in 0..2 {
        drop(server.accept().await.unwrap().unwrap());
    }
    for client in clients {
        client.await;
    }
}

#[test]
fn accept_misses_no_connection() {
    check(accept_again);
}
