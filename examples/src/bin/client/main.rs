//! Sends each line of the standard input and prints each message that arrives, in any version.
//!
//! ```text
//! cargo run --release -p examples --bin client -- ws://127.0.0.1:9000/ --version draft76
//! cargo run --release -p examples --bin client -- wss://localhost:9000/ --ca root.pem
//! ```

use std::error::Error;
use std::io;
use std::pin::pin;
use std::process::ExitCode;

use clap::Parser;
use examples::{ClientOptions, hex};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use ws_tokio::ws_proto::redact_url;
use ws_tokio::{CloseCause, CloseCode, Closed, Connection, Proxy, Sender, connect_with};

/// A pipe to a WebSocket server: lines go out, messages come in.
#[derive(Parser)]
struct Options {
    /// Where to connect: `ws://host[:port]/path` or `wss://…`.
    url: String,
    /// A proxy to go through: `http://[user:password@]host:port`, `https://…` or `socks5h://…`.
    #[arg(long, value_name = "URL")]
    proxy: Option<Proxy>,
    #[command(flatten)]
    connect: ClientOptions,
}

/// The longest line that is sent, in bytes: as much as our servers take by default.
const LINE_LIMIT: u64 = 1 << 20;

fn main() -> io::Result<ExitCode> {
    let options = Options::parse();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build()?;
    let result = runtime.block_on(run(options));
    // The thread that waits for a line cannot be interrupted; it shall not keep us from ending.
    runtime.shutdown_background();
    Ok(match result {
        Ok(closed) if closed.cause == CloseCause::Handshake => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    })
}

async fn run(options: Options) -> Result<Closed, Box<dyn Error>> {
    let url = &options.url;
    let connect = options.connect.connect_options()?.proxy(options.proxy);
    let connected = connect_with(url, connect).await;
    let mut connection = connected.map_err(|error| format!("{}: {error}", redact_url(url)))?;
    let version = connection.version();
    match connection.subprotocol() {
        Some(name) => eprintln!("connected: {version}, subprotocol {name}"),
        None => eprintln!("connected: {version}, no subprotocol"),
    }
    let response = connection.response();
    if let Some(terms) = response.and_then(|head| head.header("Sec-WebSocket-Extensions")) {
        eprintln!("compressed: {terms}");
    }
    let talked = talk(&mut connection).await;
    let closed = connection.close().await;
    eprintln!("ended: {closed}");
    talked?;
    Ok(closed)
}

/// Sends and prints at the same time: a server that waits for us to read would otherwise wait for
/// ever, and we for it. Returns when the connection has ended, or fails before.
async fn talk(connection: &mut Connection) -> Result<(), String> {
    let mut sending = pin!(send_lines(connection.sender()));
    let mut printing = pin!(print_messages(connection));
    let printed = tokio::select! {
        printed = &mut printing => printed,
        sent = &mut sending => {
            sent.map_err(|error| format!("cannot read a line: {error}"))?;
            printing.await
        }
    };
    printed.map_err(|error| format!("cannot print a message: {error}"))
}

/// Sends lines to the end of the standard input and begins to close, behind the last of them.
async fn send_lines(sender: Sender) -> io::Result<()> {
    let mut stdin = BufReader::new(tokio::io::stdin());
    loop {
        let mut line = String::new();
        let mut limited = (&mut stdin).take(LINE_LIMIT);
        limited.read_line(&mut line).await?;
        if line.is_empty() {
            return sender
                .begin_close(CloseCode::NORMAL, "")
                .map_err(io::Error::other);
        }
        if limited.limit() == 0 && !line.ends_with('\n') {
            let problem = format!("it is longer than {LINE_LIMIT} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        let text = line.lines().next().unwrap_or_default();
        if sender.send(text).await.is_err() {
            // The connection has ended; how, is told in the end.
            return Ok(());
        }
    }
}

/// Prints messages until there are no more.
async fn print_messages(connection: &mut Connection) -> io::Result<()> {
    let mut stdout = tokio::io::stdout();
    while let Some(message) = connection.recv().await {
        let line = match message.as_text() {
            Some(text) => format!("{text}\n"),
            None => format!("binary {}\n", hex(message.as_bytes())),
        };
        stdout.write_all(line.as_bytes()).await?;
        stdout.flush().await?;
    }
    Ok(())
}
