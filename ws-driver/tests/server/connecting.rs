//! Clients on the simulated runtime.

use ws_driver::ws_proto::{ClientConfig, Version};

use crate::support::{ANY, Server, Sim, echo, seconds, serve};

/// A client on the same runtime: it opens a connection in each version, and its driver is one task.
#[test]
fn a_client_speaks_every_version() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        for version in Version::ALL {
            let url = format!("ws://{}/demo", server.local_addr());
            let config = ClientConfig::new().version(version);
            let before = sim.spawned();
            let mut connection = ws_driver::connect_with::<Sim>(&url, &config).await.unwrap();
            connection.send("hi").await.unwrap();
            let message = sim.within(seconds(1), connection.recv()).await.unwrap();
            assert_eq!(message.unwrap().as_text(), Some("hi"));
            assert_eq!(sim.spawned() - before, 2, "one on each side");
            let closed = sim.within(seconds(1), connection.close()).await.unwrap();
            assert_eq!(closed.clean, version != Version::Draft75);
            sim.settle().await;
            assert_eq!(server.clients().len(), 0);
            assert_eq!(sim.live_tasks(), 1);
        }
    });
}

/// Without the feature `rustls` a client does not go to a URL `wss` at all, and says so; a stream that it is
/// given for one is taken for one that is secured already.
#[cfg(not(feature = "rustls"))]
#[test]
fn a_client_without_tls_says_so() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let url = format!("wss://{}/demo", server.local_addr());
        let error = ws_driver::connect::<Sim>(&url).await.unwrap_err();
        assert!(
            matches!(error, ws_driver::ConnectError::TlsUnsupported),
            "{error:?}"
        );
        assert!(error.to_string().contains("TLS, which is not built in"));
        sim.settle().await;
        assert_eq!(server.counters().opening, 0);
        let stream = ws_driver::Runtime::connect(&sim, server.local_addr());
        let stream = stream.await.unwrap();
        let config = ClientConfig::new();
        let opened = ws_driver::connect_over::<Sim, _>(stream, &url, &config).await;
        assert!(opened.unwrap().tls().is_none());
    });
}
