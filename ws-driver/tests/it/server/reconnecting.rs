//! A client that connects again.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use ws_driver::{
    CloseCode, ConnectConfig, ConnectError, HandshakeError, Reconnector, Upgrade, Version, Versions,
};
use ws_testing::sim::{ANY, Server, Sim, echo, seconds, serve};

const SEEDS: u64 = 20;

fn url(server: &Server) -> String {
    format!("ws://{}/", server.local_addr())
}

/// A server that is out for two minutes is found again in time, and has few attempts to refuse meanwhile.
#[test]
fn a_server_that_comes_back_is_found() {
    for seed in 0..SEEDS {
        Sim::run_seeded(seed, async |sim| {
            let is_out = Arc::new(AtomicBool::new(false));
            let asked = Arc::clone(&is_out);
            let builder = Server::builder().on_upgrade(move |upgrade: Upgrade| {
                let is_out = asked.load(Ordering::Relaxed);
                async move {
                    if is_out {
                        upgrade.reject(503)
                    } else {
                        upgrade.accept()
                    }
                }
            });
            let server = builder.bind(ANY).await.unwrap();
            serve(&sim, &server, echo);
            let reconnector = Reconnector::<Sim>::new(url(&server), ConnectConfig::new());
            let mut reconnector = reconnector.unwrap();
            let mut connection = reconnector.connect().await.unwrap();
            sim.sleep(seconds(10)).await;

            is_out.store(true, Ordering::Relaxed);
            let clients = server.clients();
            clients.iter().for_each(|client| {
                client.begin_close(CloseCode::GOING_AWAY, "").unwrap();
            });
            assert!(connection.recv().await.is_none());
            let gone = sim.now();
            let later = sim.clone();
            sim.spawn_task(async move {
                later.sleep(seconds(120)).await;
                is_out.store(false, Ordering::Relaxed);
            });
            let mut connection = reconnector.connect().await.unwrap();
            let took = sim.now() - gone;
            assert!(took >= seconds(120) && took < seconds(151), "{took:?}");
            let attempts = server.counters().rejected;
            assert!((6..40).contains(&attempts), "{attempts}");
            connection.send("again").await.unwrap();
            assert_eq!(connection.recv().await.unwrap().as_text(), Some("again"));
        });
    }
}

/// A server that accepts and closes at once is not called without a pause, and the pauses grow.
#[test]
fn a_server_that_closes_at_once_is_not_stormed() {
    Sim::run_seeded(1, async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, async |_connection| {});
        let mut reconnector = Reconnector::<Sim>::new(url(&server), ConnectConfig::new()).unwrap();
        let begin = sim.now();
        for _ in 0..20 {
            let mut connection = reconnector.connect().await.unwrap();
            assert!(connection.recv().await.is_none());
        }
        let took = sim.now() - begin;
        assert!(took > seconds(60), "{took:?}");
    });
}

/// What would fail again is not tried again: a server that refuses, and a version that it does not speak.
#[test]
fn what_is_not_transient_is_an_error_at_once() {
    Sim::run_seeded(1, async |sim| {
        for status in [401, 403, 404, 426] {
            let refuse = move |upgrade: Upgrade| async move { upgrade.reject(status) };
            let server = Server::builder()
                .on_upgrade(refuse)
                .bind(ANY)
                .await
                .unwrap();
            serve(&sim, &server, echo);
            let mut reconnector =
                Reconnector::<Sim>::new(url(&server), ConnectConfig::new()).unwrap();
            let error = reconnector.connect().await.unwrap_err();
            assert!(!error.is_transient(), "{error}");
            assert_eq!(server.counters().rejected, 1, "{status}");
        }
        let server = Server::builder().versions(Versions::from(Version::Draft76));
        let server = server.bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let mut reconnector = Reconnector::<Sim>::new(url(&server), ConnectConfig::new()).unwrap();
        assert!(reconnector.connect().await.is_err());
        assert!(Reconnector::<Sim>::new("http://", ConnectConfig::new()).is_err());
    });
}

/// A server says when to come back, in seconds or by a date, and is asked for no sooner.
#[test]
fn a_server_says_when_to_come_back() {
    for (value, least) in [
        ("7", 7),
        (" 7 ", 7),
        ("soon", 0),
        ("-7", 0),
        ("+7", 0),
        // A number that fits nowhere is a long time, of which 5 minutes are waited.
        ("99999999999999999999999", 300),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0),
    ] {
        Sim::run_seeded(3, async |sim| {
            let busy = move |upgrade: Upgrade| async move {
                upgrade.reject(503).header("Retry-After", value)
            };
            let server = Server::builder().on_upgrade(busy).bind(ANY).await.unwrap();
            serve(&sim, &server, echo);
            let attempts = NonZeroU32::new(3).unwrap();
            let reconnector = Reconnector::<Sim>::new(url(&server), ConnectConfig::new());
            let mut reconnector = reconnector.unwrap().attempt_limit(attempts);
            let begin = sim.now();
            let error = reconnector.connect().await.unwrap_err();
            assert!(error.is_transient());
            let took = sim.now() - begin;
            assert!(
                took >= seconds(2 * least) && took < seconds(2 * least + 3),
                "{took:?}"
            );
            assert_eq!(server.counters().rejected, 3);
            if value.contains("GMT") {
                assert_eq!(error.retry_after(), Some(seconds(0)));
            }
        });
    }
}

/// The limit counts failures in a row, and a call behind it begins anew.
#[test]
fn attempts_are_limited() {
    Sim::run_seeded(1, async |sim| {
        let attempts = NonZeroU32::new(4).unwrap();
        let options = ConnectConfig::new().connect_timeout(seconds(1));
        let reconnector = Reconnector::<Sim>::new("ws://127.0.0.1:1/", options).unwrap();
        let mut reconnector = reconnector
            .attempt_limit(attempts)
            .longest_pause(seconds(1));
        for _ in 0..2 {
            let begin = sim.now();
            let error = reconnector.connect().await.unwrap_err();
            assert!(
                matches!(error, ConnectError::Unreachable { .. }),
                "{error:?}"
            );
            assert!(sim.now() - begin < seconds(4 * 2));
        }
        let shown = format!("{reconnector:?}");
        assert!(shown.contains("attempt_limit"), "{shown}");
    });
}

/// The classes of errors, by their meaning.
#[test]
fn an_error_says_whether_it_may_pass() {
    let state = ws_driver::State::Opening;
    for (error, is_transient) in [
        (HandshakeError::Empty, true),
        (HandshakeError::Disconnected { state }, true),
        (HandshakeError::Body, false),
        (HandshakeError::WrongChallengeResponse, false),
    ] {
        assert_eq!(error.is_transient(), is_transient, "{error}");
        assert_eq!(ConnectError::Handshake(error).is_transient(), is_transient);
    }
    let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    assert!(ConnectError::from(reset).is_transient());
    assert!(!ConnectError::TlsUnsupported.is_transient());
}
