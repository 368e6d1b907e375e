//! A chat: its page over HTTP and its WebSocket on the same port, for clients of every version.
//!
//! ```text
//! cargo run --release -p examples --bin chat -- --listen 127.0.0.1:8080 --debug
//! ```
//!
//! Then open <http://127.0.0.1:8080/>, in two tabs. The messages on the wire are in `protocol.rs`.
//!
//! With `--cert cert.pem --key key.pem` the address is <https://127.0.0.1:8080/>, and the page opens `wss`.
//! On Unix the signal HUP makes the server reload these files, for later connections.

mod hall;
mod page;
mod protocol;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use tokio::time::MissedTickBehavior;
use ws_tokio::{Answer, Connection, Message, Server, ServerTls, Upgrade};

use crate::hall::{Hall, Seat};
use crate::protocol::{Event, LOBBY, Refusal, Request};

/// A chat server; its page is on the same port.
#[derive(Parser)]
struct Options {
    /// The address to listen on; port 0 means any free port.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: String,
    /// An origin whose pages may connect, such as `http://chat.example`; can be given again. Without
    /// it any may: nothing here depends on cookies or on where a client is.
    #[arg(long, value_name = "ORIGIN")]
    origin: Vec<String>,
    /// A PEM file with the server's certificate and those that lead to its root: speaks TLS.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// A PEM file with the private key of the certificate; it can be the same.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Says what happens.
    #[arg(long)]
    debug: bool,
}

/// Room for the longest text, each character written as two escapes (`\ud83d\udc4b`).
const MESSAGE_LIMIT: usize = 32 << 10;

/// The least time between two messages of one client. Who sends faster has to wait, as they could
/// fill the send queues of all others.
const PACE: Duration = Duration::from_millis(5);

/// How long clients may take to close when the server stops.
const GRACE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> io::Result<()> {
    let options = Options::parse();
    if options.debug {
        let lines = tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG);
        lines.with_writer(io::stderr).init();
    }
    let mut builder = Server::builder()
        .message_limit(MESSAGE_LIMIT)
        .debug(options.debug)
        .on_request(page::answer)
        .on_upgrade(only_at_chat);
    if !options.origin.is_empty() {
        builder = builder.allow_origins(&options.origin);
    }
    let mut scheme = "http";
    if let (Some(cert), Some(key)) = (&options.cert, &options.key) {
        let tls = ServerTls::from_files(cert, key)?;
        builder = builder.tls(tls.clone());
        tokio::spawn(reload_on_hangup(tls));
        scheme = "https";
    }
    let server = builder.bind(&options.listen).await?;
    println!("listening on {scheme}://{}/", server.local_addr());
    let hall = Arc::new(Hall::new(server.clients()));
    let handler = move |connection| attend(connection, Arc::clone(&hall));
    tokio::select! {
        served = server.serve(handler) => return served,
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    let report = server.shutdown(GRACE).await;
    let (closed, aborted) = (report.closed, report.aborted);
    println!("stopped: {closed} connections closed, {aborted} cut off");
    Ok(())
}

/// Reads the certificate again when the signal HUP comes, as after it was renewed.
#[cfg(unix)]
async fn reload_on_hangup(tls: ServerTls) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangups = signal(SignalKind::hangup())?;
    while hangups.recv().await.is_some() {
        match tls.reload() {
            Ok(()) => println!("the certificate was read again"),
            Err(error) => eprintln!("the certificate stays what it was: {error}"),
        }
    }
    Ok(())
}

#[cfg(not(unix))]
async fn reload_on_hangup(_: ServerTls) {}

async fn only_at_chat(upgrade: Upgrade) -> Answer {
    match upgrade.path() {
        "/chat" => upgrade.accept(),
        _ => upgrade.reject(404).body("the chat is at /chat\n"),
    }
}

/// Handles one connection. Whoever joined leaves when this ends, for whatever reason: the seat is
/// dropped.
async fn attend(mut connection: Connection, hall: Arc<Hall>) {
    let mut seat = None;
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while let Some(message) = connection.recv().await {
        pace.tick().await;
        if let Err(refusal) = obey(&message, &connection, &hall, &mut seat) {
            let text = refusal.to_string();
            if connection.send(Event::Error { text: &text }).await.is_err() {
                break;
            }
        }
    }
}

fn obey<'a>(
    message: &Message,
    connection: &Connection,
    hall: &'a Hall,
    seat: &mut Option<Seat<'a>>,
) -> Result<(), Refusal> {
    let text = message.as_text().ok_or(Refusal::NotText)?;
    match (serde_json::from_str(text)?, seat.as_ref()) {
        (Request::Join { name, room }, None) => {
            let room = room.as_deref().unwrap_or(LOBBY);
            *seat = Some(hall.join(connection, &name, room)?);
        }
        (Request::Join { .. }, Some(_)) => return Err(Refusal::JoinedAlready),
        (Request::Enter { room }, Some(seat)) => seat.enter(connection, &room)?,
        (Request::Say { text }, Some(seat)) => seat.say(&text)?,
        (Request::Tell { to, text }, Some(seat)) => seat.tell(&to, &text)?,
        (Request::Enter { .. } | Request::Say { .. } | Request::Tell { .. }, None) => {
            return Err(Refusal::JoinFirst);
        }
    }
    Ok(())
}
