//! A server that is built on hyper, with an echo at `/echo`: hyper reads the requests, and a request for an
//! upgrade becomes one of our connections.
//!
//! ```text
//! cargo run --release -p examples --bin hyper -- --listen 127.0.0.1:8081
//! ```

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use ws_tokio::{AnswerBody, Connection, Server};

/// A hyper server with a WebSocket.
#[derive(Parser)]
struct Options {
    /// The address to listen on; port 0 means any free port.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081")]
    listen: String,
}

/// How long clients may take to close when the server stops.
const GRACE: Duration = Duration::from_secs(5);

/// How long to wait after an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A page of this program, or an answer of the WebSocket server.
type Answer = Response<Either<Full<Bytes>, AnswerBody>>;

#[tokio::main]
async fn main() -> io::Result<()> {
    let options = Options::parse();
    let listener = TcpListener::bind(&options.listen).await?;
    println!("listening on http://{}/", listener.local_addr()?);
    // Its options, its registry and its shutdown, without a port of its own.
    let server = Server::builder().build().map_err(io::Error::other)?;
    let serving = async {
        loop {
            let (stream, peer_addr) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // It may be about one stream, or file descriptors lack for now.
                    eprintln!("cannot accept: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            if stream.set_nodelay(true).is_err() {
                // It was reset meanwhile.
                continue;
            }
            let server = server.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| answer(&server, request, peer_addr));
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    // Clients of draft-75 know no other.
                    .title_case_headers(true)
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades();
                if let Err(error) = connection.await {
                    eprintln!("{peer_addr}: {error}");
                }
            });
        }
    };
    tokio::select! {
        () = serving => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    let report = server.shutdown(GRACE).await;
    println!("stopped: {} connections closed", report.closed);
    Ok(())
}

async fn answer(
    server: &Server,
    mut request: Request<Incoming>,
    peer_addr: SocketAddr,
) -> Result<Answer, Infallible> {
    let response = match request.uri().path() {
        "/echo" => {
            let answer = server.handle_request(&mut request, peer_addr, echo).await;
            return Ok(answer.map(Either::Right));
        }
        "/" => Response::new("the WebSocket is at /echo\n"),
        _ => {
            let mut response = Response::new("404 Not Found\n\nthe WebSocket is at /echo\n");
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    };
    Ok(response.map(|text| Either::Left(Full::from(text))))
}

async fn echo(mut connection: Connection) {
    while let Some(message) = connection.recv().await {
        let _ = connection.send(message).await;
    }
}
