//! The accept loop.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};

use super::host::{HandOut, Handle, Host};
use super::shared::Shared;
use super::shutdown_phase::Phase;
use super::task;
use super::transport::Plain;
use crate::handle::connection::Connection;
use crate::runtime::{Runtime, Timer, probe_silent};
use crate::util::race::{Winner, race};

pub(super) async fn accept_all<R, H>(shared: &Arc<Shared<R>>, host: H) -> io::Result<()>
where
    R: Runtime,
    H: Host + Clone,
{
    let result = loop {
        // The stop comes first: a listener that always has a stream would otherwise never be closed.
        let closed = pin!(shared.stop.wait(Phase::Closed));
        match race(closed, pin!(accept(shared))).await {
            Winner::First(()) => break Ok(()),
            Winner::Second(Err(error)) => break Err(error),
            Winner::Second(Ok((stream, addr))) => {
                // Entered here, as the next stream may be accepted before the task first runs.
                let entry = shared.clients.enter(None).expect("there is no limit");
                let (shared_too, host) = (Arc::clone(shared), host.clone());
                #[cfg(feature = "rustls")]
                if let Some(tls) = shared.options.tls.clone() {
                    let life = task::run(shared_too, entry, stream, tls, Some(addr), probe, host);
                    shared.runtime.spawn(life);
                    continue;
                }
                let life = task::run(shared_too, entry, stream, Plain, Some(addr), probe, host);
                shared.runtime.spawn(life);
            }
        }
    };
    let error = result.as_ref().err();
    shared
        .options
        .observers
        .tell(|observer| observer.shutdown(error));
    result
}

/// Waits for an open connection, and accepts streams meanwhile; `None` once the server has closed and
/// no connection is left to hand out.
pub(super) async fn accept_one<R: Runtime>(
    shared: &Arc<Shared<R>>,
) -> io::Result<Option<Connection>> {
    let opened = pin!(shared.opened.pop());
    let accepting = pin!(accept_all(shared, HandOut(Arc::clone(shared))));
    match race(opened, accepting).await {
        Winner::First(connection) => Ok(Some(connection)),
        Winner::Second(accepted) => accepted.map(|()| shared.opened.pop_last()),
    }
}

/// Takes a stream that the application made; tells whether it did.
pub(super) async fn take<R, S, H, F>(
    shared: &Arc<Shared<R>>,
    stream: S,
    peer_addr: Option<SocketAddr>,
    handler: H,
) -> bool
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    H: FnOnce(Connection) -> F + Send + 'static,
    F: Future + Send + 'static,
{
    let limit = shared.options.connection_limit;
    let entering = async {
        loop {
            if let Some(entry) = shared.clients.enter(limit) {
                return entry;
            }
            shared.clients.wait_below(limit.unwrap_or(usize::MAX)).await;
        }
    };
    // The stop comes first: a server that has closed takes no stream, although it has room for it.
    let closed = pin!(shared.stop.wait(Phase::Closed));
    let Winner::Second(entry) = race(closed, pin!(entering)).await else {
        return false;
    };
    let life = task::run(
        Arc::clone(shared),
        entry,
        stream,
        Plain,
        peer_addr,
        |_, _| {},
        Handle(handler),
    );
    shared.runtime.spawn(life);
    true
}

/// Makes sure that a silent peer is noticed where the protocol cannot ping it.
fn probe<R: Runtime>(shared: &Shared<R>, stream: &R::Stream) {
    probe_silent(
        &shared.runtime,
        stream,
        shared.options.connection.silence_limits(),
    );
}

/// Accepts a stream; waits while there is no room for one.
async fn accept<R: Runtime>(shared: &Shared<R>) -> io::Result<(R::Stream, SocketAddr)> {
    loop {
        if let Some(limit) = shared.options.connection_limit {
            shared.clients.wait_below(limit).await;
        }
        let Some(listeners) = &shared.listeners else {
            // Streams are handed in by the application.
            return std::future::pending().await;
        };
        match listeners.accept(&shared.runtime).await {
            Ok((stream, addr)) => {
                shared.trouble.pass();
                match shared.runtime.prepare(&stream) {
                    Ok(()) => return Ok((stream, addr)),
                    // Some systems say so of a stream that was reset meanwhile; it is dropped.
                    Err(error) => {
                        tracing::debug!(target: "ws", "a stream from {addr} cannot be prepared: {error}");
                    }
                }
            }
            Err(error) => {
                if let Some(time) = shared.trouble.note(error, shared.runtime.now())? {
                    wait(&shared.runtime, time).await;
                }
            }
        }
    }
}

async fn wait<R: Runtime>(runtime: &R, time: Duration) {
    let mut timer = runtime.timer();
    timer.set(runtime.now() + time);
    poll_fn(|cx| timer.poll(cx)).await;
}
