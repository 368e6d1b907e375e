//! An HTTP server of hyper, for the peers whose documentation shows them behind one.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use support::Start;
use tokio::io::{AsyncRead, AsyncWrite};

/// The answer to an upgrade, and what becomes of the connection.
pub type Upgrading<F> = (Response<Empty<Bytes>>, F);

/// Serves upgrades, for ever, inside of TLS if the server was started so: `upgrade` answers a request and returns what to do once that is sent.
///
/// # Errors
///
/// Fails if the port cannot be listened on, or the certificate cannot be read.
pub async fn serve_upgrades<U, F>(start: &Start, upgrade: U) -> io::Result<()>
where
    U: Fn(&mut Request<Incoming>) -> Option<Upgrading<F>> + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let upgrade = Arc::new(upgrade);
    match start.is_tls() {
        true => {
            let serve = move |stream| serve_stream(stream, Arc::clone(&upgrade));
            crate::accept_all_tls(start.acceptor()?, serve).await
        }
        false => crate::accept_all(move |stream| serve_stream(stream, Arc::clone(&upgrade))).await,
    }
}

async fn serve_stream<S, U, F>(stream: S, upgrade: Arc<U>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    U: Fn(&mut Request<Incoming>) -> Option<Upgrading<F>>,
    F: Future<Output = ()> + Send + 'static,
{
    let service = service_fn(move |mut request| {
        let response = match upgrade(&mut request) {
            Some((response, life)) => {
                tokio::spawn(life);
                response
            }
            None => refuse(),
        };
        async { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // Clients end with a reset, which is an error here.
    let _ = connection.with_upgrades().await;
}

fn refuse() -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}
