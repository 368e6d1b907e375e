//! How a client finds addresses: by a function of the application, and by the zone of an IPv6 address.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use ws_driver::{ConnectConfig, ConnectError, ConnectStage, connect, connect_with};

use ws_testing::sim::{Route, Server, Sim, echo, seconds, serve};

/// Starts a server on an address.
async fn server_at(sim: &Sim, addr: &str) {
    let server = Server::bind(addr.parse::<SocketAddr>().unwrap())
        .await
        .unwrap();
    serve(sim, &server, echo);
}

/// The hosts and ports that a lookup was asked for.
type Asked = Arc<Mutex<Vec<(String, u16)>>>;

/// Options whose lookup finds these addresses, and what it was asked for.
fn finding(addrs: &[&str]) -> (ConnectConfig, Asked) {
    let asked = Asked::default();
    let noted = Arc::clone(&asked);
    let addrs: Vec<SocketAddr> = addrs.iter().map(|addr| addr.parse().unwrap()).collect();
    let options = ConnectConfig::new().resolver(move |host, port| {
        noted.lock().unwrap().push((host, port));
        let addrs = addrs.clone();
        async { Ok(addrs) }
    });
    (options, asked)
}

/// The application looks the name up, and not the system. Its addresses are tried like those of the system (RFC 8305):
/// a dead one costs 250 ms. Their ports count.
#[test]
fn the_application_looks_names_up() {
    Sim::run(async |sim| {
        sim.name("host.test", &["127.0.0.9"]);
        server_at(&sim, "127.0.0.1:8080").await;
        sim.set_route("::1", Route::Dead);
        let (options, asked) = finding(&["[::1]:8080", "127.0.0.1:8080"]);
        let mut connection = connect_with::<Sim>("ws://Host.test:81/", &options)
            .await
            .unwrap();
        assert_eq!(sim.elapsed().as_millis(), 250);
        let addr = "127.0.0.1:8080".parse().unwrap();
        assert_eq!(connection.peer_addr(), Some(addr));
        connection.close().await;
        assert_eq!(*asked.lock().unwrap(), [("host.test".to_owned(), 81)]);
    });
}

/// A resolver that knows no ports returns 0, as those of other libraries do. The port is that of the URL then.
#[test]
fn an_address_without_a_port_gets_that_of_the_url() {
    Sim::run(async |sim| {
        server_at(&sim, "127.0.0.1:81").await;
        let (options, _) = finding(&["127.0.0.1:0"]);
        let mut connection = connect_with::<Sim>("ws://host.test:81/", &options)
            .await
            .unwrap();
        let addr = "127.0.0.1:81".parse().unwrap();
        assert_eq!(connection.peer_addr(), Some(addr));
        connection.close().await;
    });
}

/// An address needs no lookup, so the application is not asked for it.
#[test]
fn an_address_is_not_looked_up() {
    Sim::run(async |sim| {
        sim.name("fe80::1%eth0", &["fe80::1"]);
        let (options, asked) = finding(&[]);
        for (host, addr) in [
            ("127.0.0.1", "127.0.0.1:80"),
            ("[::1]", "[::1]:80"),
            ("[fe80::1%257]", "[fe80::1%7]:80"),
            ("[fe80::1%25eth0]", "[fe80::1]:80"),
        ] {
            server_at(&sim, addr).await;
            let url = format!("ws://{host}/");
            let mut connection = connect_with::<Sim>(&url, &options).await.unwrap();
            assert_eq!(
                connection.peer_addr(),
                Some(addr.parse().unwrap()),
                "{host}"
            );
            connection.close().await;
        }
        assert!(asked.lock().unwrap().is_empty());
    });
}

/// R-C16: the number of a zone is the scope of the socket's address; a name is looked up by the system, together with the
/// address. Errors name the zone.
#[test]
fn a_zone_is_the_scope_of_the_address() {
    Sim::run(async |sim| {
        sim.name("fe80::1%eth0", &["fe80::1"]);
        for (host, tried) in [
            ("fe80::1%257", "[fe80::1%7]:80"),
            ("fe80::1%25eth0", "[fe80::1]:80"),
        ] {
            let error = connect::<Sim>(&format!("ws://[{host}]/"))
                .await
                .unwrap_err();
            let shown = host.replace("%25", "%");
            let text = error.to_string();
            assert!(text.contains(&format!("{shown:?}")), "{text}");
            let ConnectError::Unreachable { host, attempts, .. } = error else {
                panic!("{error:?}");
            };
            assert_eq!(host, shown);
            let addrs: Vec<_> = attempts.tried().iter().map(|failed| failed.addr).collect();
            assert_eq!(addrs, [tried.parse::<SocketAddr>().unwrap()]);
        }
        let error = connect::<Sim>("ws://[fe80::1%25no]/").await.unwrap_err();
        let ConnectError::Lookup { host, .. } = error else {
            panic!("{error:?}");
        };
        assert_eq!(host, "fe80::1%no");
    });
}

/// A lookup that fails, finds nothing or does not end fails as that of the system does.
#[test]
fn a_lookup_of_the_application_can_fail() {
    Sim::run(async |sim| {
        let (empty, _) = finding(&[]);
        let failing =
            ConnectConfig::new().resolver(|_, _| async { Err(io::Error::other("no such tenant")) });
        for (options, kind, says) in [
            (empty, ErrorKind::NotFound, "the name has no address"),
            (failing, ErrorKind::Other, "no such tenant"),
        ] {
            let error = connect_with::<Sim>("ws://host.test/", options)
                .await
                .unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
            let ConnectError::Lookup { host, error } = error else {
                panic!("{error:?}");
            };
            assert_eq!((&*host, error.kind()), ("host.test", kind));
        }
        let endless = ConnectConfig::new().resolver(|_, _| std::future::pending());
        let error = connect_with::<Sim>("ws://host.test/", endless)
            .await
            .unwrap_err();
        let ConnectError::Timeout { stage, waited, .. } = error else {
            panic!("{error:?}");
        };
        assert_eq!((stage, waited), (ConnectStage::Reach, seconds(20)));
        assert_eq!(sim.elapsed(), seconds(20));
    });
}

/// With a proxy the application looks up the proxy, and never the server.
#[cfg(feature = "proxy")]
#[test]
fn a_proxy_is_looked_up_by_the_application() {
    Sim::run(async |sim| {
        server_at(&sim, "127.0.0.1:3128").await;
        let (options, asked) = finding(&["127.0.0.1:3128"]);
        let proxy: ws_driver::Proxy = "http://proxy.test:3128".parse().unwrap();
        let error = connect_with::<Sim>("ws://server.test/", options.proxy(proxy)).await;
        // The server at that address is no proxy, and says so.
        assert!(matches!(error, Err(ConnectError::Proxy(_))), "{error:?}");
        assert_eq!(*asked.lock().unwrap(), [("proxy.test".to_owned(), 3128)]);
    });
}
