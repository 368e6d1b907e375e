//! The code that the echo servers share, except the runtime, which each program starts itself; and the
//! options that the clients share.
//!
//! A server for one runtime takes everything from its adapter, as the chat does from `ws-tokio`. Only
//! code for any runtime, such as this, names `ws-driver`.

#[cfg(doctest)]
mod book;
mod connect;
pub mod dashboard;
mod deflate;
mod hex;
pub mod prometheus;

use std::env;
use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use ws_driver::ws_proto::Versions;
use ws_driver::{Clients, ConfigError, Connection, Runtime, Server, ServerTls};

pub use self::connect::ClientOptions;
pub use self::deflate::DeflateOptions;
pub use self::hex::{from_hex, hex};

/// An echo server: sends every message back as it came, text as text and binary as binary, in every
/// version.
#[derive(Parser)]
pub struct Options {
    /// The address to listen on; port 0 means any free port.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9000")]
    listen: String,
    /// The versions to speak, for instance draft76,rfc6455.
    #[arg(long, value_name = "LIST", default_value = "all")]
    versions: Versions,
    /// An origin that may connect; can be given again. Without it any may.
    #[arg(long, value_name = "ORIGIN")]
    origin: Vec<String>,
    /// A subprotocol to speak; can be given again, best first.
    #[arg(long, value_name = "NAME")]
    subprotocol: Vec<String>,
    /// The longest message that is received.
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20)]
    max_message: usize,
    /// The most fragments of a message.
    #[arg(long, value_name = "COUNT", default_value_t = 4096)]
    max_fragments: usize,
    /// The longest frame that is received.
    #[arg(long, value_name = "BYTES")]
    max_frame: Option<usize>,
    /// How long a client may take for its opening handshake, and for each plain request.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    handshake_timeout: Duration,
    /// How long a client may be silent until it is pinged.
    #[arg(long, value_name = "SECONDS", default_value = "20", value_parser = seconds)]
    keepalive_interval: Duration,
    /// How long nothing may arrive after a ping.
    #[arg(long, value_name = "SECONDS", default_value = "20", value_parser = seconds)]
    pong_timeout: Duration,
    /// How long a client may take nothing of what waits to be written to it.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    stall_timeout: Duration,
    /// How long a message that began may bring less than 4 KiB.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    message_timeout: Duration,
    /// How long a client may take for its part of each step of the closing handshake.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    close_timeout: Duration,
    #[command(flatten)]
    deflate: DeflateOptions,
    /// Threads to run on. Without it, one for each core on tokio and async-std, and one on smol.
    ///
    /// Only tokio takes the number from here. smol and async-std read it from the environment: start
    /// them with SMOL_THREADS=N or ASYNC_STD_THREAD_COUNT=N.
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// A PEM file with the server's certificate and those that lead to its root: speaks TLS.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// A PEM file with the private key of the certificate; it can be the same.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Speaks HTTP/2 on the port, too.
    #[arg(long)]
    http2: bool,
    /// Sends every message to every client instead of back.
    #[arg(long)]
    broadcast: bool,
    /// Says what happens.
    #[arg(long)]
    debug: bool,
}

impl Options {
    /// Returns how many threads to run on, at least one.
    pub fn threads(&self) -> Option<usize> {
        self.threads.map(NonZeroUsize::get)
    }

    /// For a runtime that reads its number of threads from the environment: says so if that is not the
    /// number that was asked for. To set it here would be `unsafe`, as other threads may read it.
    pub fn expect_threads_in(&self, variable: &str) {
        let Some(threads) = self.threads() else {
            return;
        };
        if env::var(variable) != Ok(threads.to_string()) {
            eprintln!("note: to run on {threads} threads, start with {variable}={threads}");
        }
    }
}

/// Reads a time in seconds, such as `0.5`.
///
/// # Errors
///
/// Fails if it is not a number, is negative, or is longer than a `Duration` can be.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "it is not a number")?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// Serves on any runtime, until listening fails.
///
/// # Errors
///
/// Fails if the address cannot be listened on, or an option makes no sense, such as a file without a
/// certificate.
pub async fn serve<R: Runtime + Default>(options: Options) -> io::Result<()> {
    if options.debug {
        let lines = tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG);
        lines.with_writer(io::stderr).init();
    }
    let deflate = options.deflate.deflate().map_err(invalid_input)?;
    let mut builder = Server::<R>::builder()
        .deflate(deflate)
        .versions(options.versions)
        .subprotocols(&options.subprotocol)
        .message_limit(options.max_message)
        .fragment_limit(options.max_fragments)
        .frame_limit(options.max_frame)
        .handshake_timeout(options.handshake_timeout)
        .keepalive_interval(options.keepalive_interval)
        .pong_timeout(options.pong_timeout)
        .stall_timeout(options.stall_timeout)
        .message_timeout(options.message_timeout)
        .close_timeout(options.close_timeout)
        .http2(options.http2)
        .debug(options.debug);
    if !options.origin.is_empty() {
        builder = builder.allow_origins(&options.origin);
    }
    let mut scheme = "ws";
    if let (Some(cert), Some(key)) = (&options.cert, &options.key) {
        builder = builder.tls(ServerTls::from_files(cert, key)?);
        scheme = "wss";
    }
    let server = builder.bind(&options.listen).await?;
    println!("listening on {scheme}://{}/", server.local_addr());
    if options.broadcast {
        let clients = server.clients();
        server
            .serve(move |connection| broadcast(connection, clients.clone()))
            .await
    } else {
        server.serve(echo).await
    }
}

fn invalid_input(error: ConfigError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

async fn echo(mut connection: Connection) {
    while let Some(message) = connection.recv().await {
        if connection.send(message).await.is_err() {
            break;
        }
    }
}

async fn broadcast(mut connection: Connection, clients: Clients) {
    while let Some(message) = connection.recv().await {
        clients.broadcast(message);
    }
}
