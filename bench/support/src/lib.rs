//! What all measured servers share: their arguments, the raw echo that is the ceiling, and the control
//! over standard input: a line there asks for the allocations so far, and its end ends the server.
//!
//! Knows nothing of WebSockets.

mod allocations;
mod control;
mod raw;
#[cfg(feature = "tls")]
mod tls;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

pub use self::raw::{PollRead, PollWrite, echo};

/// What a server does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Sends it back.
    Echo,
    /// Sends it to every connection.
    Broadcast,
    /// Sends it to the connection that it names.
    ById,
    /// Sends it to the members of the topic that it names.
    Topics,
    /// Sends it to the members of the topic that it names, on every node of the cluster.
    ClusterTopics,
    /// Sends it to every connection of every node of the cluster.
    ClusterBroadcast,
}

#[derive(Parser)]
struct Options {
    /// What to do with a message.
    #[arg(long, value_enum, default_value = "echo")]
    mode: Mode,
    /// The form in which a peer is used, where there is more than one.
    #[arg(long)]
    batch: bool,
    /// Keep the contexts of compression.
    #[arg(long)]
    contexts: bool,
    /// Be a node of a cluster with nobody else in it.
    #[arg(long)]
    node: bool,
    /// Be a node of the cluster that this Redis connects.
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// A certificate in PEM: speak TLS.
    #[arg(long, requires = "key")]
    cert: Option<PathBuf>,
    /// Its key.
    #[arg(long, requires = "cert")]
    key: Option<PathBuf>,
}

/// Files with a certificate and its key.
#[derive(Clone, Debug)]
pub struct Pem {
    /// The certificate.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// How this server was started.
#[derive(Clone, Debug)]
pub struct Start {
    /// What to do with a message.
    pub mode: Mode,
    /// Whether to answer all messages that are ready with one flush.
    pub batch: bool,
    /// Whether to compress with contexts, in a server that compresses.
    pub contexts: bool,
    /// Whether to be a node of a cluster with nobody else in it.
    pub node: bool,
    redis: Option<String>,
    pem: Option<Pem>,
}

impl Start {
    /// Reads the arguments, and starts to listen to standard input.
    pub fn new() -> Self {
        let options = Options::parse();
        control::listen();
        let pem = options.cert.zip(options.key);
        Self {
            mode: options.mode,
            batch: options.batch,
            contexts: options.contexts,
            node: options.node,
            redis: options.redis,
            pem: pem.map(|(certificate, key)| Pem { certificate, key }),
        }
    }

    /// Ends the program if it was asked for something that it does not do.
    pub fn expect(self, modes: &[Mode], may_batch: bool) -> Self {
        if !modes.contains(&self.mode) || (self.batch && !may_batch) {
            eprintln!("this server has no such mode: {self:?}");
            std::process::exit(2);
        }
        self
    }

    /// Returns the URL of the Redis of a server that needs one.
    ///
    /// # Errors
    ///
    /// Fails if it was started without one.
    pub fn redis(&self) -> io::Result<&str> {
        let redis = self.redis.as_deref();
        redis.ok_or_else(|| io::Error::other("this server needs --redis"))
    }

    /// Whether to speak TLS.
    pub fn is_tls(&self) -> bool {
        self.pem.is_some()
    }

    /// Returns the certificate of a server that speaks TLS.
    ///
    /// # Errors
    ///
    /// Fails if it was started without one.
    pub fn pem(&self) -> io::Result<Pem> {
        let pem = self.pem.clone();
        pem.ok_or_else(|| io::Error::other("this server needs --cert and --key"))
    }
}

impl Default for Start {
    fn default() -> Self {
        Self::new()
    }
}

/// Where a server listens: any free port.
pub const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Says where the server listens, once it does.
pub fn announce(addr: SocketAddr) {
    println!("listening on {addr}");
}
