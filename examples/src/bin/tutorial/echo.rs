//! Part 1 of the tutorial: a page, and a WebSocket that sends every message back, on one port.
//!
//! ```text
//! cargo run -p examples --bin tutorial-echo
//! ```

use std::env;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response};
use ws_tokio::{Connection, RequestBody, Server};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let addr = env::args().nth(1).unwrap_or("127.0.0.1:8080".to_owned());
    let server = Server::builder().on_request(page).bind(&addr).await?;
    println!("listening on http://{}/", server.local_addr());
    server.serve(echo).await
}

async fn echo(mut connection: Connection) {
    println!("{} has come", connection.id());
    while let Some(message) = connection.recv().await {
        if connection.send(message).await.is_err() {
            break;
        }
    }
    if let Some(closed) = connection.closed() {
        println!("{} has gone: {closed}", connection.id());
    }
}

async fn page(_: Request<RequestBody>) -> Response<String> {
    let mut response = Response::new(include_str!("page/echo.html").to_owned());
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, html);
    response
}
