//! Part 3 of the tutorial: the same site behind a proxy that ends TLS, with a health check, and a stop that loses nobody.
//!
//! ```text
//! cargo run -p examples --bin tutorial-deployed -- 127.0.0.1:9000
//! ```

mod site;

use std::env;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::routing::get;
use http::StatusCode;
use ws_tokio::{AddressLimits, ForwardedFor, OriginPolicy, Server};

use crate::site::login::Login;
use crate::site::room::Rooms;

/// How long the health check says no before the port closes: two checks of the proxy.
const NOTICE: Duration = Duration::from_secs(2);

/// How long clients may take to close.
const GRACE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let addr = env::args().nth(1).unwrap_or("127.0.0.1:9000".to_owned());
    let is_stopping = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&is_stopping);
    let health = move || async move {
        if asked.load(Ordering::Relaxed) {
            (StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
        } else {
            (StatusCode::OK, "up\n")
        }
    };

    // The browser speaks TLS with the proxy, so the cookie need never be sent without.
    let login = Login::new("; Secure");
    let server = Server::builder()
        .on_request(login.router().route("/healthz", get(health)))
        .on_upgrade(move |upgrade| login.clone().decide(upgrade))
        .origins(OriginPolicy::SameHost)
        .message_limit(4 << 10)
        .secure(true)
        .forwarded_for(ForwardedFor::proxies(["127.0.0.1", "::1"])?)
        .address_limits(AddressLimits::new().connections(100))
        .bind(&addr)
        .await?;
    println!("listening on http://{}/", server.local_addr());

    let rooms = Arc::new(Rooms::new(server.cluster()));
    let handler = move |connection| {
        let rooms = Arc::clone(&rooms);
        async move { rooms.attend(connection).await }
    };
    let serving = tokio::spawn({
        let server = server.clone();
        async move { server.serve(handler).await }
    });
    told_to_stop().await?;
    is_stopping.store(true, Ordering::Relaxed);
    tokio::time::sleep(NOTICE).await;
    let report = server.shutdown(GRACE).await;
    println!(
        "stopped: {} closed, {} lost, {} aborted",
        report.closed, report.lost, report.aborted
    );
    serving.await??;
    Ok(())
}

/// Waits until the system asks the program to stop, as systemd, Docker and Kubernetes do.
#[cfg(unix)]
async fn told_to_stop() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    signal(SignalKind::terminate())?.recv().await;
    Ok(())
}

#[cfg(not(unix))]
async fn told_to_stop() -> io::Result<()> {
    tokio::signal::ctrl_c().await
}
