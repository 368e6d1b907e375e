//! A peer that a test plays byte by byte, inside of TLS or not.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use ws_driver::rustls::pki_types::pem::PemObject as _;
use ws_driver::rustls::pki_types::{CertificateDer, ServerName};
use ws_driver::{ClientTls, ConnectConfig, ServerBuilder, ServerTls, rustls};
use ws_testing::certificates::Authority;

use ws_testing::sim::{ANY, Peer, Server, Sim, seconds, serve};

/// What the streams of a test go through.
pub(crate) enum Layer {
    Tcp,
    Tls {
        server: ServerTls,
        /// What [`Caller`] and [`connect_with`](ws_driver::connect_with) trust.
        client: Arc<rustls::ClientConfig>,
        trust: ClientTls,
    },
}

impl Layer {
    /// All that there are.
    pub(crate) fn all() -> [Self; 2] {
        let authority = Authority::new("an authority");
        let pems = authority.certify(&["localhost", "127.0.0.1"]);
        let trust = ClientTls::roots_from_pem(authority.root().as_bytes());
        let server = ServerTls::from_pem(pems.certificate.as_bytes(), pems.key.as_bytes());
        let mut roots = rustls::RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(authority.root().as_bytes());
        roots.add(root.unwrap()).unwrap();
        let provider = rustls::crypto::ring::default_provider();
        let client = rustls::ClientConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tls = Self::Tls {
            server: server.unwrap(),
            client: client.into(),
            trust: trust.unwrap(),
        };
        [Self::Tcp, tls]
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Tls { .. } => "TLS",
        }
    }

    /// Serves with these options and a handler.
    pub(crate) async fn serve<H, F>(
        &self,
        sim: &Sim,
        builder: ServerBuilder<Sim>,
        handler: H,
    ) -> Server
    where
        H: Fn(ws_driver::Connection) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let builder = match self {
            Self::Tcp => builder,
            Self::Tls { server, .. } => builder.tls(server.clone()),
        };
        let server = builder.bind(ANY).await.unwrap();
        serve(sim, &server, handler);
        server
    }

    /// Returns a URL of an address, and options that trust who is there.
    pub(crate) fn url(&self, addr: SocketAddr) -> (String, ConnectConfig) {
        match self {
            Self::Tcp => (format!("ws://{addr}/"), ConnectConfig::new()),
            Self::Tls { trust, .. } => {
                let options = ConnectConfig::new().tls(trust.clone());
                (format!("wss://{addr}/"), options)
            }
        }
    }

    /// Opens a stream, and TLS on it.
    pub(crate) async fn connect(&self, sim: &Sim, server: &Server) -> Caller {
        let mut caller = self.call(sim, server);
        if caller.session.is_some() {
            for _ in 0..10 {
                caller.write(b"").await;
                sim.settle().await;
                caller.read();
            }
            assert!(!caller.session.as_ref().unwrap().is_handshaking());
        }
        caller
    }

    /// Opens a stream, and says nothing yet.
    pub(crate) fn call(&self, sim: &Sim, server: &Server) -> Caller {
        let mut caller = Caller {
            sim: sim.clone(),
            peer: Peer::connect(sim, server.local_addr()),
            session: None,
        };
        if let Self::Tls { client, .. } = self {
            let name = ServerName::try_from("localhost").unwrap();
            let session = rustls::ClientConnection::new(Arc::clone(client), name);
            caller.session = Some(Box::new(session.unwrap()));
        }
        caller
    }
}

/// One end of a stream, the other being a server's.
pub(crate) struct Caller {
    sim: Sim,
    pub(crate) peer: Peer,
    session: Option<Box<rustls::ClientConnection>>,
}

impl Caller {
    /// Writes bytes; there must be room for them.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let Some(session) = &mut self.session else {
            return self.peer.write(bytes).await;
        };
        session.writer().write_all(bytes).unwrap();
        let mut records = Vec::new();
        while session.wants_write() {
            session.write_tls(&mut records).unwrap();
        }
        self.peer.write(&records).await;
    }

    /// Takes what has arrived.
    pub(crate) fn read(&mut self) -> Vec<u8> {
        let bytes = self.peer.read();
        let Some(session) = &mut self.session else {
            return bytes;
        };
        let (mut rest, mut plaintext) = (&*bytes, Vec::new());
        while !rest.is_empty() {
            if session.read_tls(&mut rest).unwrap() == 0 {
                break;
            }
            session.process_new_packets().unwrap();
            // At the end, or if there is no more, that is an error.
            let _ = session.reader().read_to_end(&mut plaintext);
        }
        plaintext
    }

    /// Writes bytes, waits until nothing happens any more, and takes what came back.
    pub(crate) async fn ask(&mut self, bytes: impl AsRef<[u8]>) -> String {
        self.write(bytes.as_ref()).await;
        self.sim.settle().await;
        String::from_utf8_lossy(&self.read()).into_owned()
    }

    /// Tells whether the server has dropped its end.
    pub(crate) fn is_gone(&self) -> bool {
        self.peer.link().to_far.is_unread
    }

    /// Returns after how many seconds the server drops its end, if it does within the limit. `each` is
    /// done before each second.
    pub(crate) async fn gone_after(&mut self, limit: u64, each: impl AsyncFn(&mut Self)) -> u64 {
        for passed in 0..limit {
            if self.is_gone() {
                return passed;
            }
            each(self).await;
            self.sim.sleep(seconds(1)).await;
            self.sim.settle().await;
        }
        assert!(self.is_gone(), "still here after {limit} s");
        limit
    }
}

/// Does nothing while a second passes.
pub(crate) async fn nothing(_: &mut Caller) {}
