//! An echo server that serves its counters and histograms to Prometheus, at `/metrics` of its own port, and its counters to
//! people, as a live page at `/dashboard`.
//!
//! ```text
//! cargo run --release -p examples --bin metrics -- --listen 127.0.0.1:9000
//! curl http://127.0.0.1:9000/metrics
//! ```
//!
//! Every client that reaches the port can read the counters. If that is too many, require a header in
//! `answer`, or answer on a second server that listens on an internal address.

use std::io;
use std::sync::{Arc, OnceLock};

use clap::Parser;
use examples::dashboard::{self, Dashboard};
use examples::prometheus;
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode};
use ws_tokio::{Answer, Clients, Connection, Histograms, RequestBody, Server, Upgrade};

/// An echo server with a page for Prometheus and a dashboard.
#[derive(Parser)]
struct Options {
    /// The address to listen on; port 0 means any free port.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9000")]
    listen: String,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let options = Options::parse();
    // The server is there after the service that it is built with.
    let clients = Arc::new(OnceLock::<Clients>::new());
    let asked = Arc::clone(&clients);
    let histograms = Histograms::new();
    let server = Server::builder()
        .histograms(histograms.clone())
        .on_request(move |request| {
            let response = answer(&request, asked.get(), &histograms);
            async { response }
        })
        .on_upgrade(decide)
        .bind(&options.listen)
        .await?;
    clients.get_or_init(|| server.clients());
    println!("listening on http://{}/", server.local_addr());
    let dashboard = Dashboard::watch(&server);
    server
        .serve(move |connection| attend(connection, Arc::clone(&dashboard)))
        .await
}

async fn decide(upgrade: Upgrade) -> Answer {
    match upgrade.path() {
        dashboard::FEED => dashboard::decide(&upgrade),
        _ => upgrade.accept(),
    }
}

async fn attend(connection: Connection, dashboard: Arc<Dashboard>) {
    match connection.request().map(|head| head.path()) {
        Some(dashboard::FEED) => dashboard.attend(connection).await,
        _ => echo(connection).await,
    }
}

fn answer(
    request: &Request<RequestBody>,
    clients: Option<&Clients>,
    histograms: &Histograms,
) -> Response<String> {
    if let (&Method::GET, Some(page)) = (request.method(), dashboard::page(request)) {
        return page;
    }
    let mut response = Response::default();
    match (request.method(), request.uri().path(), clients) {
        (&Method::GET, "/metrics", Some(clients)) => {
            let media_type = http::HeaderValue::from_static(prometheus::MEDIA_TYPE);
            response.headers_mut().insert(CONTENT_TYPE, media_type);
            let body = response.body_mut();
            *body = prometheus::render(&clients.counters());
            *body += &prometheus::render_histograms(&histograms.values());
        }
        (_, "/metrics", Some(_)) => *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED,
        (..) => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    response
}

async fn echo(mut connection: Connection) {
    while let Some(message) = connection.recv().await {
        let _ = connection.send(message).await;
    }
}
