//! A server of hyper's own on async-std, by smol-hyper, and ours behind it.
#![allow(
    clippy::unwrap_used,
    reason = "clippy spares tests, but not their helpers"
)]

use std::convert::Infallible;
use std::time::Duration;

use async_std::net::TcpListener;
use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use smol_hyper::rt::FuturesIo;
use ws_async_std::{AnswerBody, Connection, Server, Stream, connect, is_upgrade};

type Answer = Response<Either<Full<Bytes>, AnswerBody>>;

/// A request that hyper read becomes a connection, which is in the registry of ours.
#[test]
fn a_hyper_server_hands_its_upgrades_over() {
    async_std::task::block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let server = Server::builder().build().unwrap();
        let ours = server.clone();
        let serving = async move {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(|request| answer(&ours, request));
            let connection = http1::Builder::new()
                .serve_connection(FuturesIo::new(Stream::from(stream)), service);
            connection.with_upgrades().await.unwrap();
        };
        async_std::task::spawn(serving);
        let mut connection = connect(&format!("ws://{addr}/")).await.unwrap();
        connection.send("hi").await.unwrap();
        assert_eq!(connection.recv().await.unwrap().as_text(), Some("hi"));
        assert_eq!(server.broadcast("all"), 1);
        assert_eq!(connection.recv().await.unwrap().as_text(), Some("all"));
        // Not only when the server gives up to wait for the end of our side of the stream.
        let closing = async_std::future::timeout(Duration::from_secs(5), connection.close());
        assert!(closing.await.unwrap().clean);
    });
}

async fn answer(server: &Server, mut request: Request<Incoming>) -> Result<Answer, Infallible> {
    if is_upgrade(request.headers()) {
        let response = server.handle_request(&mut request, None, echo).await;
        return Ok(response.map(Either::Right));
    }
    Ok(Response::new(Either::Left(Full::from("the page"))))
}

async fn echo(mut connection: Connection) {
    while let Some(message) = connection.recv().await {
        let _ = connection.send(message).await;
    }
}
