//! An echo server on a Unix socket, on tokio: the program accepts streams, and the server does the rest.
//!
//! ```text
//! cargo run --release -p examples --bin unix -- --listen /run/echo.socket
//! ```
//!
//! Any client that takes a stream can connect, such as `ws_tokio::connect_over`, or a proxy in front.

use std::io;
use std::path::PathBuf;

use clap::Parser;

/// An echo server on a Unix socket.
#[derive(Parser)]
struct Options {
    /// The path to listen at; there must be no such file.
    #[arg(long, value_name = "PATH")]
    listen: PathBuf,
}

#[cfg(unix)]
#[tokio::main]
async fn main() -> io::Result<()> {
    use std::time::Duration;

    use tokio::net::UnixListener;
    use ws_tokio::{Connection, Server, Stream};

    async fn echo(mut connection: Connection) {
        while let Some(message) = connection.recv().await {
            let _ = connection.send(message).await;
        }
    }

    let options = Options::parse();
    let listener = UnixListener::bind(&options.listen)?;
    println!("listening on {}", options.listen.display());
    let server = Server::builder().build().map_err(io::Error::other)?;
    let serving = async {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // It may be about one stream, or file descriptors lack for now.
                    eprintln!("cannot accept: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            // Waits while there are too many; here there is no limit.
            server.handle_stream(Stream::new(stream), None, echo).await;
        }
    };
    tokio::select! {
        () = serving => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    let report = server.shutdown(Duration::from_secs(5)).await;
    println!("stopped: {} connections closed", report.closed);
    std::fs::remove_file(&options.listen)
}

#[cfg(not(unix))]
fn main() -> io::Result<()> {
    let Options { listen } = Options::parse();
    eprintln!(
        "there are no Unix sockets here to listen at {}",
        listen.display()
    );
    Err(io::ErrorKind::Unsupported.into())
}
