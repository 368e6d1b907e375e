//! Sends every message back as it came: text as text, binary as binary, in every version.
//!
//! ```text
//! cargo run --release -p examples --bin echo -- --listen 127.0.0.1:9000 --debug
//! ```

use std::io;

use clap::Parser;
use ws_tokio::{Clients, Connection, Server, Versions};

/// An echo server.
#[derive(Parser)]
struct Options {
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
    /// Threads to run on; 1 means the one that is there. Without it, one for each core.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Sends every message to every client instead of back.
    #[arg(long)]
    broadcast: bool,
    /// Says what happens.
    #[arg(long)]
    debug: bool,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    if options.debug {
        let lines = tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG);
        lines.with_writer(io::stderr).init();
    }
    let mut runtime = match options.threads {
        Some(1) => tokio::runtime::Builder::new_current_thread(),
        Some(_) | None => tokio::runtime::Builder::new_multi_thread(),
    };
    if let Some(threads) = options.threads {
        runtime.worker_threads(threads);
    }
    runtime.enable_all().build()?.block_on(run(options))
}

async fn run(options: Options) -> io::Result<()> {
    let mut builder = Server::builder()
        .versions(options.versions)
        .subprotocols(&options.subprotocol)
        .message_limit(options.max_message)
        .fragment_limit(options.max_fragments)
        .frame_limit(options.max_frame)
        .debug(options.debug);
    if !options.origin.is_empty() {
        builder = builder.allow_origins(&options.origin);
    }
    let server = builder.bind(&options.listen).await?;
    println!("listening on ws://{}/", server.local_addr());
    if options.broadcast {
        let clients = server.clients();
        server
            .serve(move |connection| broadcast(connection, clients.clone()))
            .await
    } else {
        server.serve(echo).await
    }
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
