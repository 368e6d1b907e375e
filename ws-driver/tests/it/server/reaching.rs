//! A client reaches a host by whichever of its addresses answers first (RFC 8305).

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ws_driver::{Attempts, ConnectConfig, ConnectError, ConnectStage, connect, connect_with};

use ws_testing::sim::{Route, Server, Sim, echo, seconds, serve};

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Names the addresses, and says how each is reached; `None` is one where nobody listens.
async fn host(sim: &Sim, addrs: &[(&str, Option<Route>)]) {
    let names: Vec<_> = addrs.iter().map(|(addr, _)| *addr).collect();
    sim.name("host.test", &names);
    for (addr, route) in addrs {
        let Some(route) = route else { continue };
        sim.set_route(addr, *route);
        let addr = SocketAddr::new(addr.parse().unwrap(), 80);
        let server = Server::bind(addr).await.unwrap();
        serve(sim, &server, echo);
    }
}

fn tried(attempts: &Attempts) -> Vec<(IpAddr, ErrorKind)> {
    let tried = attempts.tried().iter();
    tried
        .map(|failed| (failed.addr.ip(), failed.error.kind()))
        .collect()
}

/// RFC 8305 §5: the next address is tried after 250 ms, or as soon as one failed; the first stream wins, and
/// the other attempts are given up.
#[test]
fn the_first_address_that_answers_is_taken() {
    let (open, dead, refusing) = (Some(Route::Open), Some(Route::Dead), None);
    let slow = |wait| Some(Route::Slow(ms(wait)));
    for (addrs, reached, after) in [
        (vec![("::1", open), ("127.0.0.1", open)], "::1", 0),
        (vec![("::1", dead), ("127.0.0.1", open)], "127.0.0.1", 250),
        (vec![("127.0.0.1", dead), ("::1", open)], "::1", 250),
        (vec![("::1", refusing), ("127.0.0.1", open)], "127.0.0.1", 0),
        (vec![("::1", slow(249)), ("127.0.0.1", open)], "::1", 249),
        (
            vec![("::1", slow(300)), ("127.0.0.1", slow(100))],
            "::1",
            300,
        ),
        (
            vec![("::1", slow(400)), ("127.0.0.1", slow(100))],
            "127.0.0.1",
            350,
        ),
        // The families alternate, so a network without IPv6 costs one delay, however many there are.
        (
            vec![
                ("::1", dead),
                ("::2", dead),
                ("::3", dead),
                ("127.0.0.1", open),
            ],
            "127.0.0.1",
            250,
        ),
        (
            vec![("::1", dead), ("::2", open), ("127.0.0.1", dead)],
            "::2",
            500,
        ),
        (
            vec![("::1", dead), ("127.0.0.1", refusing), ("127.0.0.2", open)],
            "127.0.0.2",
            250,
        ),
        (vec![("127.0.0.1", slow(25_000))], "127.0.0.1", 25_000),
    ] {
        Sim::run(async |sim| {
            host(&sim, &addrs).await;
            let options = ConnectConfig::new().connect_timeout(None);
            let connected = connect_with::<Sim>("ws://host.test/", options);
            let mut connection = connected.await.unwrap();
            let addr = connection.peer_addr().unwrap();
            assert_eq!(addr, SocketAddr::new(reached.parse().unwrap(), 80));
            assert_eq!(sim.elapsed(), ms(after), "{addrs:?}");
            connection.close().await;
            sim.sleep(seconds(100)).await;
            assert_eq!(sim.set_timers(), 0, "{addrs:?}");
        });
    }
}

/// The error tells each address with its own error, in the type and in the text.
#[test]
fn an_unreachable_host_is_told_with_every_address() {
    Sim::run(async |sim| {
        let addrs = [("::1", Some(Route::Dead)), ("127.0.0.1", None)];
        host(&sim, &addrs).await;
        let options = ConnectConfig::new().connect_timeout(None);
        let error = connect_with::<Sim>("ws://host.test/", options).await;
        let error = error.unwrap_err();
        // Nobody sets a limit, and still each attempt has one.
        assert_eq!(sim.elapsed(), seconds(30));
        let text = error.to_string();
        assert!(
            text.starts_with("cannot connect to \"host.test\", port 80"),
            "{text}"
        );
        assert!(
            text.contains("127.0.0.1:80: connection refused, [::1]:80: no answer"),
            "{text}"
        );
        let ConnectError::Unreachable { attempts, .. } = error else {
            panic!("{error:?}");
        };
        let expected = [
            ("127.0.0.1", ErrorKind::ConnectionRefused),
            ("::1", ErrorKind::TimedOut),
        ];
        assert_eq!(
            tried(&attempts),
            expected.map(|(addr, kind)| (addr.parse().unwrap(), kind))
        );
        assert_eq!(attempts.untried(), 0);
    });
}

/// The `connect_timeout` bounds all attempts together, and its error tells what came of them.
#[test]
fn a_timeout_tells_what_was_tried() {
    Sim::run(async |sim| {
        let dead = Some(Route::Dead);
        host(&sim, &[("::1", dead), ("127.0.0.1", None), ("::2", dead)]).await;
        let error = connect::<Sim>("ws://host.test/").await.unwrap_err();
        assert_eq!(sim.elapsed(), seconds(20));
        let text = error.to_string();
        for part in [
            "option connect_timeout",
            "[::1]:80: no answer",
            "[::2]:80: no answer",
            "127.0.0.1:80: connection refused",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let ConnectError::Timeout {
            stage,
            waited,
            attempts,
        } = error
        else {
            panic!("{error:?}");
        };
        assert_eq!((stage, waited), (ConnectStage::Reach, seconds(20)));
        assert_eq!(attempts.tried().len(), 3);
    });
}

/// A name can have any number of addresses; 16 are tried, and the error says how many were not.
#[test]
fn the_addresses_that_are_tried_are_bounded() {
    Sim::run(async |sim| {
        let addrs: Vec<_> = (1..=40).map(|last| format!("10.0.0.{last}")).collect();
        let addrs: Vec<_> = addrs.iter().map(|addr| (&**addr, None)).collect();
        host(&sim, &addrs).await;
        let error = connect::<Sim>("ws://host.test/").await.unwrap_err();
        assert!(
            error.to_string().ends_with(", and 24 more not tried"),
            "{error}"
        );
        let ConnectError::Unreachable { attempts, .. } = error else {
            panic!("{error:?}");
        };
        assert_eq!((attempts.tried().len(), attempts.untried()), (16, 24));
    });
}

/// A name that does not exist, or that has no address, is told apart from a host that does not answer.
#[test]
fn a_name_without_addresses_is_told() {
    Sim::run(async |sim| {
        sim.name("empty.test", &[]);
        for name in ["unknown.test", "empty.test"] {
            let error = connect::<Sim>(&format!("ws://{name}/")).await.unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
            let ConnectError::Lookup { host, error } = error else {
                panic!("{error:?}");
            };
            assert_eq!((&*host, error.kind()), (name, ErrorKind::NotFound));
        }
    });
}

/// A proxy is reached in the same way.
#[cfg(feature = "proxy")]
#[test]
fn a_proxy_is_reached_by_the_first_address_that_answers() {
    Sim::run(async |sim| {
        let addrs = [("::1", Some(Route::Dead)), ("127.0.0.1", Some(Route::Open))];
        host(&sim, &addrs).await;
        let proxy: ws_driver::Proxy = "http://host.test:80".parse().unwrap();
        let options = ConnectConfig::new().proxy(proxy);
        let error = connect_with::<Sim>("ws://server.test/", options).await;
        // The server at that address is no proxy, and says so.
        assert!(matches!(error, Err(ConnectError::Proxy(_))), "{error:?}");
        assert_eq!(sim.elapsed(), ms(250));
    });
}
