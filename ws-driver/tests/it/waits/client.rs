//! The waits of a client, from its connect to the end of its stream.

use ws_driver::ws_proto::{ConnectionConfig, HandshakeError};
use ws_driver::{ClientConfig, ConnectConfig, ConnectError, ConnectStage, Proxy, connect_with};

use super::caller::Layer;
use ws_testing::sim::{ANY, Server, Sim, UNREACHABLE, echo, seconds};

/// A host that cannot be reached, be it the server or the proxy, is given up after the `connect_timeout`.
#[test]
fn a_host_that_is_not_reached_is_given_up_after_the_connect_timeout() {
    let direct = ConnectConfig::new();
    let proxy: Proxy = format!("http://{UNREACHABLE}:1").parse().unwrap();
    for (host, options) in [
        (UNREACHABLE.to_string(), direct.clone()),
        ("127.0.0.1".to_owned(), direct.proxy(proxy)),
    ] {
        for scheme in ["ws", "wss"] {
            Sim::run(async |sim| {
                let url = format!("{scheme}://{host}/");
                let error = connect_with::<Sim>(&url, options.clone()).await;
                let Err(ConnectError::Timeout { stage, .. }) = error else {
                    panic!("{error:?}");
                };
                assert_eq!(stage, ConnectStage::Reach);
                assert_eq!(sim.elapsed(), seconds(20));
            });
        }
    }
}

/// A server, or a proxy, that accepts and says nothing is given up after the `connect_timeout`, at the stage
/// that it got to: TLS, the proxy, TLS with the proxy.
#[test]
fn a_silent_host_is_given_up_after_the_connect_timeout() {
    let cases = [
        ("wss", None, ConnectStage::Tls),
        ("ws", Some("http"), ConnectStage::Proxy),
        ("wss", Some("http"), ConnectStage::Proxy),
        ("ws", Some("socks5h"), ConnectStage::Proxy),
        ("ws", Some("https"), ConnectStage::Proxy),
    ];
    for (scheme, proxy, expected) in cases {
        Sim::run(async |sim| {
            // Nobody accepts what arrives here.
            let server = Server::bind(ANY).await.unwrap();
            let addr = server.local_addr();
            let mut options = ConnectConfig::new();
            if let Some(proxy) = proxy {
                let proxy: Proxy = format!("{proxy}://{addr}").parse().unwrap();
                options = options.proxy(proxy);
            }
            let url = format!("{scheme}://{addr}/");
            let error = connect_with::<Sim>(&url, options).await.unwrap_err();
            let ConnectError::Timeout { stage, .. } = error else {
                panic!("{scheme}, {proxy:?}: {error}");
            };
            assert_eq!(stage, expected, "{scheme}, {proxy:?}");
            assert_eq!(sim.elapsed(), seconds(20), "{scheme}, {proxy:?}");
            assert_eq!(sim.live_tasks(), 0, "{scheme}, {proxy:?}");
        });
    }
}

/// A proxy that speaks TLS and then says nothing is given up in time, too.
#[test]
fn a_proxy_that_is_silent_inside_of_tls_is_given_up_after_the_connect_timeout() {
    let [_, layer] = Layer::all();
    Sim::run(async |sim| {
        let builder = Server::builder().on_request(async |_| {
            std::future::pending::<()>().await;
            http::Response::new(String::new())
        });
        let server = layer.serve(&sim, builder, echo).await;
        let (_, options) = layer.url(server.local_addr());
        let proxy: Proxy = format!("https://{}", server.local_addr()).parse().unwrap();
        let options = options.proxy(proxy);
        let error = connect_with::<Sim>("ws://127.0.0.1:9/", options).await;
        let Err(ConnectError::Timeout { stage, .. }) = error else {
            panic!("{error:?}");
        };
        assert_eq!(stage, ConnectStage::Proxy);
        assert_eq!(sim.elapsed(), seconds(20));
    });
}

/// A server that does not answer the request is given up after the client's `handshake_timeout`; without
/// that, after the `connect_timeout`.
#[test]
fn an_answer_that_does_not_come_is_given_up_after_the_handshake_timeout() {
    for layer in Layer::all() {
        for (timeout, expected) in [(Some(seconds(10)), 10), (None, 20)] {
            Sim::run(async |sim| {
                let builder = Server::builder().handshake_timeout(None);
                let builder = builder.on_upgrade(async |upgrade: ws_driver::Upgrade| {
                    std::future::pending::<()>().await;
                    upgrade.accept()
                });
                let server = layer.serve(&sim, builder, echo).await;
                let (url, options) = layer.url(server.local_addr());
                let options = options.client(ClientConfig::new().handshake_timeout(timeout));
                let error = connect_with::<Sim>(&url, options).await.unwrap_err();
                let is_expected = match (&error, timeout) {
                    (ConnectError::Handshake(HandshakeError::Timeout { .. }), timeout) => {
                        timeout.is_some()
                    }
                    (ConnectError::Timeout { stage, .. }, None) => {
                        *stage == ConnectStage::Handshake
                    }
                    (_, _) => false,
                };
                assert!(is_expected, "{}: {error}", layer.name());
                assert_eq!(sim.elapsed(), seconds(expected), "{}", layer.name());
            });
        }
    }
}

/// A server that answers no close, whether it takes it or not, is left after the `close_timeout`, each of the
/// two waits that can come being that long; then nothing is left of the client.
#[test]
fn the_end_of_a_client_has_the_close_timeout() {
    for layer in Layer::all() {
        for has_room in [true, false] {
            Sim::run(async |sim| {
                sim.narrow(4000);
                let builder = Server::builder()
                    .close_timeout(None)
                    .stall_timeout(None)
                    .keepalive_interval(None)
                    .message_limit(None)
                    .receive_queue_limit(100);
                // It takes nothing.
                let server = layer
                    .serve(&sim, builder, async |_connection| {
                        std::future::pending().await
                    })
                    .await;
                let (url, options) = layer.url(server.local_addr());
                let config = ConnectionConfig::new().stall_timeout(None);
                let config = ClientConfig::new().connection(config);
                let mut connection = connect_with::<Sim>(&url, options.client(config))
                    .await
                    .unwrap();
                let tasks = sim.live_tasks();
                connection.send("first").await.unwrap();
                if !has_room {
                    for _ in 0..20 {
                        connection.try_send("x".repeat(5000)).unwrap();
                    }
                }
                sim.settle().await;
                let begin = sim.now();
                let closed = connection.close().await;
                let waited = sim.now() - begin;
                assert!(!closed.clean, "{}, {has_room}", layer.name());
                assert!(
                    (seconds(10)..=seconds(20)).contains(&waited),
                    "{}, {has_room}: {waited:?}",
                    layer.name()
                );
                drop(connection);
                sim.sleep(seconds(20) - waited).await;
                sim.settle().await;
                assert!(
                    sim.live_tasks() < tasks,
                    "{}, {has_room}: its driver is left",
                    layer.name()
                );
            });
        }
    }
}
