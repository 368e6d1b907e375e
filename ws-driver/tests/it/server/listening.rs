//! A server listens on every address that it was told, as a name can have several.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use ws_testing::sim::peer::{OK_6455, RFC6455};
use ws_testing::sim::{Peer, Server, Sim, echo, serve};

/// Both of `localhost`.
fn both(port: u16) -> [SocketAddr; 2] {
    let ipv6 = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    [ipv6, SocketAddr::from((Ipv4Addr::LOCALHOST, port))]
}

/// A client of either family is served, on the same port.
#[test]
fn a_server_listens_on_every_address() {
    Sim::run(async |sim| {
        let server = Server::bind(&both(0)[..]).await.unwrap();
        serve(&sim, &server, echo);
        let [ipv6, ipv4] = server.local_addrs() else {
            panic!("{:?}", server.local_addrs());
        };
        assert_eq!((ipv6.port(), *ipv6), (ipv4.port(), server.local_addr()));
        assert!(ipv6.is_ipv6() && ipv4.is_ipv4());
        Peer::open(&sim, *ipv6).await;
        Peer::open(&sim, *ipv4).await;
    });
}

/// A port that is free at one address and taken at another is not chosen.
#[test]
fn a_port_is_chosen_that_is_free_at_every_address() {
    Sim::run(async |_| {
        // The port that the simulated system chooses next.
        let taken = SocketAddr::from((Ipv4Addr::LOCALHOST, 49153));
        let _other = Server::bind(taken).await.unwrap();
        let server = Server::bind(&both(0)[..]).await.unwrap();
        let ports = [0, 1].map(|index| server.local_addrs()[index].port());
        assert_eq!(ports, [49154; 2]);
    });
}

/// An address that somebody else listens on is an error, not half a server, and nothing is left of it.
#[test]
fn an_address_in_use_is_an_error() {
    Sim::run(async |_| {
        let first = Server::bind("127.0.0.1:4000").await.unwrap();
        let error = Server::bind(&both(4000)[..]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains("127.0.0.1:4000"), "{error}");
        drop(first);
    });
}

/// An address at which many streams arrive does not starve another one.
#[test]
fn the_addresses_take_turns() {
    Sim::run(async |sim| {
        let server = Server::builder().connection_limit(2);
        let server = server.bind(&both(4000)[..]).await.unwrap();
        let [busy, quiet] = *server.local_addrs() else {
            panic!("{:?}", server.local_addrs());
        };
        let _busy: Vec<_> = (0..4).map(|_| Peer::connect(&sim, busy)).collect();
        let mut quiet = Peer::connect(&sim, quiet);
        serve(&sim, &server, echo);
        assert_eq!(quiet.ask(RFC6455).await, OK_6455.as_bytes());
    });
}
