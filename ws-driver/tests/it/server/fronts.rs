//! What proxies in front of a server say of their clients.

use std::sync::{Arc, Mutex};

use ws_driver::{
    AddressLimits, Connection, ConnectionInfo, ForwardedFor, Observer, ProxyProtocol, Rejected,
};
use ws_testing::sim::peer::{OK_6455, RFC6455, frames};
use ws_testing::sim::{ANY, Peer, Server, Sim, seconds, serve};

use super::page::PLAIN;

const V1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 8080 80\r\n";
const V2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0f\xc0\x00\x02\x07\xc6\x33\x64\x01\x1f\x90\x00\x50\x04\x00\x00";
/// A health check of the proxy.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

/// The address of the simulated peers.
const PEERS: &str = "127.0.0.1";

async fn tell_peer(mut connection: Connection) {
    let peer = connection.peer_addr().unwrap();
    let _ = connection.send(peer.to_string()).await;
    while connection.recv().await.is_some() {}
}

/// Writes down of whom it is told.
#[derive(Clone, Default)]
struct Addresses(Arc<Mutex<Vec<String>>>);

impl Addresses {
    fn note(&self, event: &str, info: &ConnectionInfo) {
        let addr = info.peer_addr.unwrap();
        let addr = if addr.ip().is_loopback() {
            "the peer".to_owned()
        } else {
            addr.to_string()
        };
        self.0.lock().unwrap().push(format!("{event} {addr}"));
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Observer for Addresses {
    fn stream(&self, info: &ConnectionInfo) {
        self.note("stream", info);
    }

    fn connection(&self, info: &ConnectionInfo) {
        self.note("connection", info);
    }

    fn request(&self, info: &ConnectionInfo, _: &http::request::Parts) {
        self.note("request", info);
    }

    fn rejected(&self, info: &ConnectionInfo, reason: &Rejected) {
        self.note(&format!("rejected ({reason})"), info);
    }

    fn close(&self, info: &ConnectionInfo, _: &ws_driver::Closed) {
        self.note("close", info);
    }
}

async fn start(sim: &Sim, proxies: ProxyProtocol) -> (Server, Addresses) {
    let addresses = Addresses::default();
    let server = Server::builder()
        .proxy_protocol(proxies)
        .observer(addresses.clone());
    let server = server.bind(ANY).await.unwrap();
    serve(sim, &server, tell_peer);
    (server, addresses)
}

/// Checks that a connection opened, and whom its handler saw.
fn check_answer(answer: &[u8], peer: &str) {
    let rest = answer.strip_prefix(OK_6455.as_bytes());
    let rest = rest.unwrap_or_else(|| panic!("{}", answer.escape_ascii()));
    let frames = frames(rest);
    let (_, text) = &frames[0];
    let text = String::from_utf8_lossy(text);
    assert!(text.starts_with(peer), "{text}");
}

/// However the bytes come, the client of the header is the peer, and all that follows the header is the stream. Observers
/// know the client from the beginning.
#[test]
fn a_header_is_read_in_any_chopping() {
    for limit in [1, 2, 3, 7, 16, 50, 1000] {
        for (header, client) in [
            (V1, "192.0.2.7:8080"),
            (V2, "192.0.2.7:8080"),
            (LOCAL, PEERS),
        ] {
            Sim::run(async |sim| {
                sim.chop(limit);
                let proxies = ProxyProtocol::required([PEERS]).unwrap();
                let (server, addresses) = start(&sim, proxies).await;
                let mut peer = Peer::connect(&sim, server.local_addr());
                let answer = peer.ask([header, RFC6455.as_bytes()].concat()).await;
                check_answer(&answer, client);
                let client = if client == PEERS { "the peer" } else { client };
                let expected = ["stream", "connection"].map(|event| format!("{event} {client}"));
                assert_eq!(addresses.take(), expected);

                // Plain HTTP behind it, too, which does not fit into the first read.
                let mut peer = Peer::connect(&sim, server.local_addr());
                let answer = peer.ask([header, PLAIN.as_bytes()].concat()).await;
                assert!(answer.starts_with(b"HTTP/1.1 426 "));
                let expected = ["stream", "request"].map(|event| format!("{event} {client}"));
                assert_eq!(addresses.take(), expected);
            });
        }
    }
}

/// What is no header where one is required, or none of a proxy, is refused without an answer, and counted. Nothing is left.
#[test]
fn a_required_header_is_required() {
    let cases: [(&str, &[u8], &str); 5] = [
        (PEERS, RFC6455.as_bytes(), "begins with \"GET /chat"),
        (PEERS, b"\x16\x03\x01\x02\x00", "begins with \"\\x16\\x03"),
        (
            PEERS,
            b"PROXY TCP4 192.0.2.7\r\n",
            "malformed: \"PROXY TCP4 192.0.2.7\\r\\n\"",
        ),
        (
            PEERS,
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
            "65551 bytes, and 4096 are allowed",
        ),
        ("192.0.2.0/24", V1, "is none of the proxies"),
    ];
    for (proxies, bytes, reason) in cases {
        Sim::run(async |sim| {
            let proxies = ProxyProtocol::required([proxies]).unwrap();
            let (server, addresses) = start(&sim, proxies).await;
            let mut peer = Peer::connect(&sim, server.local_addr());
            assert_eq!(peer.ask(bytes).await, b"");
            assert!(peer.has_ended());
            let lines = addresses.take();
            assert!(lines[1].contains(reason), "{lines:?}");
            assert_eq!(
                [&*lines[0], &*lines[2]],
                ["stream the peer", "close the peer"]
            );
            assert_eq!(server.counters().rejections.proxy_protocol, 1);
            assert_eq!(sim.live_tasks(), 1);
        });
    }
}

/// Where it is optional, streams without it are served, also of a proxy; and a header of somebody else is no request.
#[test]
fn an_optional_header_is_optional() {
    Sim::run(async |sim| {
        let (server, _) = start(&sim, ProxyProtocol::optional([PEERS]).unwrap()).await;
        for (header, client) in [(V1, "192.0.2.7:8080"), (b"", PEERS)] {
            let mut peer = Peer::connect(&sim, server.local_addr());
            let answer = peer.ask([header, RFC6455.as_bytes()].concat()).await;
            check_answer(&answer, client);
        }
        let (server, _) = start(&sim, ProxyProtocol::optional(["192.0.2.1"]).unwrap()).await;
        check_answer(
            &Peer::connect(&sim, server.local_addr()).ask(RFC6455).await,
            PEERS,
        );
        for header in [V1, V2] {
            let mut peer = Peer::connect(&sim, server.local_addr());
            let answer = peer.ask([header, RFC6455.as_bytes()].concat()).await;
            assert!(
                answer.starts_with(b"HTTP/1.1 400 "),
                "{}",
                answer.escape_ascii()
            );
        }
    });
}

/// The header has the time of the opening handshake, and the request what is left of it. An end without a byte is no
/// rejection, and a shutdown does not wait.
#[test]
fn a_header_has_a_deadline() {
    Sim::run(async |sim| {
        let proxies = ProxyProtocol::required([PEERS]).unwrap();
        let (server, addresses) = start(&sim, proxies).await;
        for (first, later) in [(&b""[..], &b""[..]), (&V1[..20], b""), (b"", V1)] {
            let mut peer = Peer::connect(&sim, server.local_addr());
            peer.ask(first).await;
            sim.sleep(seconds(9)).await;
            peer.ask(later).await;
            assert!(!peer.has_ended());
            sim.sleep(seconds(1)).await;
            sim.settle().await;
            peer.read();
            assert!(peer.has_ended(), "{}", later.escape_ascii());
        }
        assert_eq!(server.counters().rejections.timeout, 3);
        addresses.take();

        for bytes in [b"", LOCAL] {
            let mut peer = Peer::connect(&sim, server.local_addr());
            peer.ask(bytes).await;
            peer.end().await;
            sim.settle().await;
            assert_eq!(addresses.take(), ["stream the peer", "close the peer"]);
        }
        let mut peer = Peer::connect(&sim, server.local_addr());
        peer.ask(&V2[..14]).await;
        peer.end().await;
        sim.settle().await;
        assert_eq!(server.counters().rejections.disconnected, 1);

        let mut peer = Peer::connect(&sim, server.local_addr());
        peer.ask(&V1[..9]).await;
        let begin = sim.now();
        server.shutdown(seconds(5)).await;
        assert_eq!(sim.now(), begin);
        assert!(peer.has_ended());
    });
}

/// The header of a request is believed for that request, on a stream that carries those of many clients.
#[test]
fn each_request_names_its_own_client() {
    Sim::run(async |sim| {
        let addresses = Addresses::default();
        let server = Server::builder().forwarded_for(ForwardedFor::hops(1));
        let server = server.observer(addresses.clone()).bind(ANY).await.unwrap();
        serve(&sim, &server, tell_peer);
        let mut peer = Peer::connect(&sim, server.local_addr());
        for (line, client) in [
            ("X-Forwarded-For: 192.0.2.8\r\n", "192.0.2.8:0"),
            ("", "the peer"),
            ("X-Forwarded-For: 192.0.2.9, 192.0.2.10\r\n", "192.0.2.10:0"),
        ] {
            let request = PLAIN.replacen("\r\n", &format!("\r\n{line}"), 1);
            assert!(peer.ask(request).await.starts_with(b"HTTP/1.1 426 "));
            assert_eq!(
                addresses.take().last().unwrap(),
                &format!("request {client}")
            );
        }
        let request = RFC6455.replacen("\r\n", "\r\nX-Forwarded-For: 192.0.2.7\r\n", 1);
        check_answer(&peer.ask(request).await, "192.0.2.7:0");
        assert_eq!(addresses.take(), ["connection 192.0.2.7:0"]);
        drop(peer);
        sim.settle().await;
        assert_eq!(addresses.take(), ["close 192.0.2.7:0"]);
    });
}

/// Opens a connection; tells whether it was not refused.
async fn open(sim: &Sim, server: &Server, request: &str) -> (Peer, bool) {
    let mut peer = Peer::connect(sim, server.local_addr());
    let answer = peer.ask(request).await;
    let is_refused = answer.starts_with(b"HTTP/1.1 429 Too Many Requests\r\n");
    assert!(
        is_refused || answer.starts_with(OK_6455.as_bytes()),
        "{}",
        answer.escape_ascii()
    );
    (peer, !is_refused)
}

/// An address that has as many streams as it may gets a 429, and another place as soon as one of them ends, however it ends: also
/// those that never become a connection.
#[test]
fn an_address_has_so_many_connections() {
    Sim::run(async |sim| {
        let limits = AddressLimits::new().connections(2);
        let server = Server::builder()
            .address_limits(limits)
            .bind(ANY)
            .await
            .unwrap();
        serve(&sim, &server, tell_peer);
        let (one, is_open) = open(&sim, &server, RFC6455).await;
        assert!(is_open);
        let silent = Peer::connect(&sim, server.local_addr());
        sim.settle().await;
        let (refused, is_open) = open(&sim, &server, RFC6455).await;
        assert!(!is_open && refused.has_ended());
        assert_eq!(server.counters().rejections.address, 1);
        drop(silent);
        sim.settle().await;
        let (_two, is_open) = open(&sim, &server, RFC6455).await;
        assert!(is_open);
        assert!(!open(&sim, &server, RFC6455).await.1);
        drop(one);
        sim.settle().await;
        assert!(open(&sim, &server, RFC6455).await.1);
    });
}

/// An address opens streams at its rate, and refusals do not use it up.
#[test]
fn an_address_opens_connections_at_a_rate() {
    Sim::run(async |sim| {
        let limits = AddressLimits::new().handshakes_per_second(2);
        let server = Server::builder()
            .address_limits(limits)
            .bind(ANY)
            .await
            .unwrap();
        serve(&sim, &server, tell_peer);
        let mut opened = Vec::new();
        for _ in 0..6 {
            opened.push(open(&sim, &server, RFC6455).await.1);
        }
        assert_eq!(opened, [true, true, false, false, false, false]);
        sim.sleep(seconds(1)).await;
        assert!(open(&sim, &server, RFC6455).await.1);
    });
}

/// Behind a proxy the clients are counted and not the proxy, by the header before the stream or by that of the request.
#[test]
fn clients_behind_a_proxy_are_counted_apart() {
    Sim::run(async |sim| {
        let limits = AddressLimits::new().connections(1);
        let builder = Server::builder().address_limits(limits.clone());
        let builder = builder.forwarded_for(ForwardedFor::proxies([PEERS]).unwrap());
        let server = builder.bind(ANY).await.unwrap();
        serve(&sim, &server, tell_peer);
        let of = |client: &str| {
            RFC6455.replacen("\r\n", &format!("\r\nX-Forwarded-For: {client}\r\n"), 1)
        };
        let (one, is_open) = open(&sim, &server, &of("192.0.2.1")).await;
        assert!(is_open);
        assert!(!open(&sim, &server, &of("192.0.2.1")).await.1);
        let (_two, is_open) = open(&sim, &server, &of("192.0.2.2")).await;
        assert!(is_open);
        drop(one);
        sim.settle().await;
        assert!(open(&sim, &server, &of("192.0.2.1")).await.1);

        let builder = Server::builder().address_limits(limits);
        let builder = builder.proxy_protocol(ProxyProtocol::required([PEERS]).unwrap());
        let server = builder.bind(ANY).await.unwrap();
        serve(&sim, &server, tell_peer);
        let v1 = String::from_utf8_lossy(V1).into_owned();
        let (_one, is_open) = open(&sim, &server, &format!("{v1}{RFC6455}")).await;
        assert!(is_open);
        assert!(!open(&sim, &server, &format!("{v1}{RFC6455}")).await.1);
        let other = v1.replace("192.0.2.7", "192.0.2.8");
        assert!(open(&sim, &server, &format!("{other}{RFC6455}")).await.1);
    });
}

/// Requests of plain HTTP count for the client that they name, once for each client in a row; and an upgrade that breaks a rule is
/// nobody's but the proxy's, whoever has used the stream before.
#[test]
fn plain_requests_count_for_their_clients() {
    Sim::run(async |sim| {
        let addresses = Addresses::default();
        let limits = AddressLimits::new().handshakes_per_second(1);
        let builder = Server::builder()
            .address_limits(limits)
            .allow_origins(["http://good.example"]);
        let builder = builder.forwarded_for(ForwardedFor::proxies([PEERS]).unwrap());
        let server = builder.observer(addresses.clone()).bind(ANY).await.unwrap();
        serve(&sim, &server, tell_peer);
        let mut peer = Peer::connect(&sim, server.local_addr());
        let of =
            |client: &str| PLAIN.replacen("\r\n", &format!("\r\nX-Forwarded-For: {client}\r\n"), 1);
        for (client, status) in [
            ("192.0.2.1", "426"),
            ("192.0.2.1", "426"),
            ("192.0.2.2", "426"),
            ("192.0.2.1", "429"),
            ("192.0.2.3", "426"),
        ] {
            let answer = peer.ask(of(client)).await;
            assert!(
                answer.starts_with(format!("HTTP/1.1 {status} ").as_bytes()),
                "{client}"
            );
        }
        assert_eq!(server.counters().rejections.address, 1);
        addresses.take();
        let answer = peer.ask(RFC6455).await;
        assert!(
            answer.starts_with(b"HTTP/1.1 403 "),
            "{}",
            answer.escape_ascii()
        );
        let lines = addresses.take();
        assert!(
            lines[0].starts_with("rejected") && lines[0].ends_with("the peer"),
            "{lines:?}"
        );
    });
}
