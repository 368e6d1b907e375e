//! TLS on the simulated runtime: whole connections over a network that chops and delays as a seed says,
//! and the promises about time, which must mean the same as without TLS.

use std::sync::{Arc, Mutex};

use ws_driver::rustls::pki_types::pem::PemObject as _;
use ws_driver::rustls::pki_types::{CertificateDer, ServerName};
use ws_driver::ws_proto::{CloseCause, Closed, ConnectionConfig, ProtocolError, Version};
use ws_driver::{
    ClientConfig, ClientTls, ConnectConfig, ConnectionInfo, Observer, ServerTls, connect_with,
    rustls,
};
use ws_testing::certificates::Authority;
use ws_testing::sim::{ANY, Peer, Server, Sim, echo, seconds, serve};

/// Makes the process have a default for its cryptography that can do nothing, as an application might have
/// another than ours: no test here works if it is asked. (Where it has none, the adapters' tests are.)
fn spoil_the_default() {
    let ring = rustls::crypto::ring::default_provider();
    let useless = rustls::crypto::CryptoProvider {
        cipher_suites: Vec::new(),
        kx_groups: Vec::new(),
        ..ring
    };
    // Another test may have done it.
    let _ = useless.install_default();
}

/// A server's TLS for an address of the simulated network, and who trusts it.
fn tls() -> (ServerTls, ClientTls) {
    spoil_the_default();
    let authority = Authority::new("an authority");
    let pems = authority.certify(&["127.0.0.1"]);
    let tls = ServerTls::from_pem(pems.certificate.as_bytes(), pems.key.as_bytes());
    let trust = ClientTls::roots_from_pem(authority.root().as_bytes());
    (tls.unwrap(), trust.unwrap())
}

fn url(server: &Server) -> String {
    format!("wss://{}/", server.local_addr())
}

/// Whatever the network and the order of tasks are, what is sent comes back, in each version, and the end is
/// clean where the version has one.
#[test]
fn any_network_carries_it() {
    let (tls, trust) = tls();
    for seed in 0..40 {
        Sim::run_seeded(seed, async |sim| {
            let builder = Server::builder().tls(tls.clone()).handshake_timeout(None);
            let server = builder.bind(ANY).await.unwrap();
            serve(&sim, &server, echo);
            for version in Version::ALL {
                let config = ClientConfig::new().version(version).handshake_timeout(None);
                let options = ConnectConfig::from(config).tls(trust.clone());
                let options = options.connect_timeout(None);
                let mut connection = connect_with::<Sim>(&url(&server), options).await.unwrap();
                for len in [0, 1, 16_000, 40_000] {
                    let message = "x".repeat(len);
                    connection.send(&*message).await.unwrap();
                    let back = connection.recv().await;
                    let back = back.as_ref().and_then(|message| message.as_text());
                    assert_eq!(back, Some(&*message), "seed {seed}, {version}");
                }
                let closed = connection.close().await;
                assert_eq!(
                    closed.clean,
                    version != Version::Draft75,
                    "seed {seed}, {version}: {closed}"
                );
            }
            server.close();
        });
    }
}

/// A peer that takes nothing is given up after the stall timeout, as without TLS (60 s, up to 90): what
/// waits in the session of TLS does not count as taken. In each version, the drafts having no ping.
#[test]
fn a_peer_that_takes_nothing_is_given_up() {
    let (tls, trust) = tls();
    for version in Version::ALL {
        Sim::run(async |sim| {
            let builder = Server::builder().tls(tls.clone()).keepalive_interval(None);
            let server = builder.bind(ANY).await.unwrap();
            serve(&sim, &server, async |connection| {
                while connection.send("x".repeat(10_000)).await.is_ok() {}
            });
            // It never receives, so its driver stops to read.
            let connection = ConnectionConfig::new().keepalive_interval(None);
            let config = ClientConfig::new().version(version).connection(connection);
            let options = ConnectConfig::from(config).tls(trust.clone());
            let connection = connect_with::<Sim>(&url(&server), options).await.unwrap();
            sim.settle().await;
            let start = sim.now();
            let sender = server.clients().iter().next().unwrap();
            sim.sleep(seconds(59)).await;
            assert_eq!(sender.closed(), None, "{version}");
            let closed = sender.wait_closed().await;
            let waited = sim.now() - start;
            assert!(waited <= seconds(91), "{version}: {waited:?}");
            let CloseCause::Failed(ProtocolError::WriteStalled { .. }) = closed.cause else {
                panic!("{version}: {closed}");
            };
            drop(connection);
        });
    }
}

/// A handshake of TLS that trickles is over in time: the timeout is for all of it, not for each read.
#[test]
fn a_trickle_is_over_in_time() {
    let (tls, _) = tls();
    Sim::run(async |sim| {
        let server = Server::builder().tls(tls.clone()).bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let mut peer = Peer::connect(&sim, server.local_addr());
        // The beginning of a record of 512 bytes, a byte each second.
        for byte in [22, 3, 1, 2, 0, 1, 0, 1, 252] {
            peer.write(&[byte]).await;
            sim.sleep(seconds(1)).await;
        }
        assert!(!peer.has_ended());
        sim.sleep(seconds(2)).await;
        assert!(peer.has_ended());
        assert_eq!(sim.live_tasks(), 1);
    });
}

/// The handshake of TLS and the opening handshake have one timeout together: who takes most of it for the
/// first has little left for the second.
#[test]
fn both_handshakes_have_one_timeout() {
    let authority = Authority::new("an authority");
    let pems = authority.certify(&["localhost"]);
    let tls = ServerTls::from_pem(pems.certificate.as_bytes(), pems.key.as_bytes()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    let root = authority.root();
    roots
        .add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap())
        .unwrap();
    let provider = rustls::crypto::ring::default_provider();
    let config = rustls::ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let mut session = rustls::ClientConnection::new(config.into(), name).unwrap();
    Sim::run(async |sim| {
        let server = Server::builder().tls(tls).bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let mut peer = Peer::connect(&sim, server.local_addr());
        sim.sleep(seconds(8)).await;
        for _ in 0..10 {
            let mut records = Vec::new();
            while session.wants_write() {
                session.write_tls(&mut records).unwrap();
            }
            peer.write(&records).await;
            sim.settle().await;
            let records = peer.read();
            let mut rest = &records[..];
            while !rest.is_empty() {
                session.read_tls(&mut rest).unwrap();
                session.process_new_packets().unwrap();
            }
        }
        assert!(!session.is_handshaking());
        sim.sleep(seconds(1)).await;
        assert!(!peer.has_ended(), "there is a second left");
        sim.sleep(seconds(2)).await;
        assert!(!peer.read().is_empty(), "it is answered with a 408");
        assert!(peer.has_ended(), "it began anew");
    });
}

/// A handshake of TLS that is reset leaves a trace: it is counted if it had begun, and its stream has its end
/// either way.
#[test]
fn a_reset_in_the_handshake_of_tls_is_told() {
    let (tls, _) = tls();
    // The first bytes of a record of the handshake, or nothing.
    for (sent, rejected) in [(&b"\x16\x03\x01"[..], 1), (b"", 0)] {
        Sim::run(async |sim| {
            let ends = Ends::default();
            let builder = Server::builder().tls(tls.clone()).observer(ends.clone());
            let server = builder.bind(ANY).await.unwrap();
            serve(&sim, &server, echo);
            let mut peer = Peer::connect(&sim, server.local_addr());
            peer.ask(sent).await;
            peer.link().reset();
            sim.settle().await;
            let rejections = server.counters().rejections;
            assert_eq!(
                (rejections.disconnected, rejections.total()),
                (rejected, rejected)
            );
            let causes = std::mem::take(&mut *ends.0.lock().unwrap());
            let cause = match rejected {
                0 => CloseCause::NoUpgrade,
                _ => CloseCause::Rejected,
            };
            assert_eq!(causes, [cause]);
        });
    }
}

/// Notes why each stream ended.
#[derive(Clone, Default)]
struct Ends(Arc<Mutex<Vec<CloseCause>>>);

impl Observer for Ends {
    fn close(&self, _: &ConnectionInfo, closed: &Closed) {
        self.0.lock().unwrap().push(closed.cause.clone());
    }
}
