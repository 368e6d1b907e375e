//! A server that stands behind something: it tells each client the address that it knows of it, and then echoes, on tokio.
//!
//! ```text
//! cargo run --release -p examples --bin behind-proxy -- --listen 127.0.0.1:9000 --unix /tmp/echo.socket
//! ```
//!
//! `--proxy-protocol` and `--forwarded-for` say which proxies are believed. Sockets that systemd passes on (LISTEN_FDS) are
//! served as well; then no address is needed. The page [Behind a proxy](../../../docs/behind-a-proxy.md) has configurations for
//! HAProxy and nginx, and `examples/systemd` has units.

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use ws_tokio::{Connection, ForwardedFor, ListeningSocket, ProxyProtocol, Server};

/// Tells each client its address, and echoes.
#[derive(Parser)]
struct Options {
    /// An address to listen on; port 0 means any free port. Can be given again.
    #[arg(long, value_name = "ADDR")]
    listen: Vec<SocketAddr>,
    /// The path of a Unix socket to listen on; there must be no such file.
    #[cfg(unix)]
    #[arg(long, value_name = "PATH")]
    unix: Option<PathBuf>,
    /// A proxy that sends a header of the PROXY protocol: an address or a network. Nobody else may connect. Can be given again.
    #[arg(long, value_name = "NETWORK")]
    proxy_protocol: Vec<String>,
    /// A proxy whose X-Forwarded-For is believed: an address or a network. Can be given again.
    #[arg(long, value_name = "NETWORK")]
    forwarded_for: Vec<String>,
}

async fn tell_and_echo(mut connection: Connection) {
    let peer = match connection.peer_addr() {
        Some(addr) => format!("you are {addr}"),
        None => "you have no address".to_owned(),
    };
    let _ = connection.send(peer).await;
    while let Some(message) = connection.recv().await {
        let _ = connection.send(message).await;
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let mut builder = Server::builder();
    for socket in passed_on()? {
        println!("listening on a socket of the parent");
        builder = builder.listener(socket);
    }
    #[cfg(unix)]
    if let Some(path) = &options.unix {
        builder = builder.listener(std::os::unix::net::UnixListener::bind(path)?);
        println!("listening on {}", path.display());
    }
    if !options.proxy_protocol.is_empty() {
        builder = builder.proxy_protocol(ProxyProtocol::required(&options.proxy_protocol)?);
    }
    if !options.forwarded_for.is_empty() {
        builder = builder.forwarded_for(ForwardedFor::proxies(&options.forwarded_for)?);
    }
    let server = match &*options.listen {
        [] => builder.listen().await?,
        addrs => builder.bind(addrs).await?,
    };
    for addr in server.local_addrs() {
        println!("listening on ws://{addr}");
    }
    tokio::select! {
        served = server.serve(tell_and_echo) => served?,
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    let report = server.shutdown(Duration::from_secs(5)).await;
    println!("stopped: {} connections closed", report.closed);
    #[cfg(unix)]
    if let Some(path) = options.unix {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

/// The sockets that the parent has bound, such as systemd.
#[cfg(unix)]
fn passed_on() -> std::io::Result<Vec<ListeningSocket>> {
    let mut passed = listenfd::ListenFd::from_env();
    let mut sockets = Vec::new();
    for place in 0..passed.len() {
        // A socket of the other kind is an error, and stays where it is.
        let tcp = passed.take_tcp_listener(place).ok().flatten();
        sockets.push(match tcp {
            Some(listener) => listener.into(),
            None => match passed.take_unix_listener(place)? {
                Some(listener) => listener.into(),
                None => continue,
            },
        });
    }
    Ok(sockets)
}

#[cfg(not(unix))]
fn passed_on() -> std::io::Result<Vec<ListeningSocket>> {
    Ok(Vec::new())
}
