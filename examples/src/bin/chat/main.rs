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
//!
//! With `--redis redis://127.0.0.1` the servers of all processes with that URL are one chat. Redis or Valkey carries the
//! messages between them. Who is welcomed is not told who is on other servers: those show when they come, and go.

mod hall;
mod page;
mod protocol;

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use tokio::time::MissedTickBehavior;
use ws_tokio::{
    Answer, ClusterConfig, Connection, JoinError, Message, Redis, Server, ServerTls, Upgrade,
};

use crate::hall::{Hall, Reach, Seat};
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
    /// The engine that connects several servers to one chat.
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// Says what happens.
    #[arg(long)]
    debug: bool,
}

/// Room for the longest text, each character written as two escapes (`\ud83d\udc4b`).
const MESSAGE_LIMIT: usize = 32 << 10;

/// The least time between two messages of one client. Who sends faster has to wait, as they could
/// fill the send queues of all others.
const PACE: Duration = Duration::from_millis(5);

/// How often those who asked are told which rooms there are: a list for all who come and go in that time.
const ROOMS_PERIOD: Duration = Duration::from_secs(1);

/// How long somebody waits for the other servers before they are in a room of this one alone.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long clients may take to close when the server stops.
const GRACE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
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
    let mut reach = Reach::ThisServer;
    if let Some(url) = &options.redis {
        let cluster = ClusterConfig::new().subscribe_timeout(SUBSCRIBE_TIMEOUT);
        builder = builder.backplane(Redis::new(url)?.prefix("chat"));
        builder = builder.cluster(cluster);
        reach = Reach::Cluster;
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
    let hall = Arc::new(Hall::new(server.clients(), server.cluster(), reach));
    tokio::spawn(announce_rooms(Arc::clone(&hall)));
    let handler = move |connection| attend(connection, Arc::clone(&hall));
    tokio::select! {
        served = server.serve(handler) => return Ok(served?),
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

async fn announce_rooms(hall: Arc<Hall>) {
    // Nobody has been told anything yet.
    let mut told = Message::from("");
    let mut tick = tokio::time::interval(ROOMS_PERIOD);
    loop {
        tick.tick().await;
        hall.announce_rooms(&mut told);
    }
}

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
        let text = match obey(&message, &connection, &hall, &mut seat) {
            Ok(None) => continue,
            // From here on nothing that is said on other servers is missed.
            Ok(Some(topic)) => match connection.join_wait(&topic).await {
                Err(JoinError::Backplane(error)) => format!("Only this server is here: {error}."),
                _ => continue,
            },
            Err(refusal) => refusal.to_string(),
        };
        if connection.send(Event::Error { text: &text }).await.is_err() {
            break;
        }
    }
}

/// Does what a message asks for. Returns the topic of a room that was entered.
fn obey<'a>(
    message: &Message,
    connection: &Connection,
    hall: &'a Hall,
    seat: &mut Option<Seat<'a>>,
) -> Result<Option<String>, Refusal> {
    let text = message.as_text().ok_or(Refusal::NotText)?;
    match (serde_json::from_str(text)?, seat.as_ref()) {
        (Request::Join { name, room }, None) => {
            let room = room.as_deref().unwrap_or(LOBBY);
            let joined = seat.insert(hall.join(connection, &name, room)?);
            return Ok(Some(joined.topic()));
        }
        (Request::Join { .. }, Some(_)) => return Err(Refusal::JoinedAlready),
        (Request::Enter { room }, Some(seat)) => {
            seat.enter(connection, &room)?;
            return Ok(Some(seat.topic()));
        }
        (Request::Rooms, Some(seat)) => seat.list_rooms(connection)?,
        (Request::Say { text }, Some(seat)) => seat.say(&text)?,
        (Request::Tell { to, text }, Some(seat)) => seat.tell(&to, &text)?,
        (
            Request::Enter { .. } | Request::Rooms | Request::Say { .. } | Request::Tell { .. },
            None,
        ) => return Err(Refusal::JoinFirst),
    }
    Ok(None)
}
