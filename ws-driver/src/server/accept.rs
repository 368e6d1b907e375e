//! The accept loop of a server: accepts streams and spawns the task of each.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use futures_io::{AsyncRead, AsyncWrite};
#[cfg(feature = "http2")]
use hyper::upgrade::OnUpgrade;

use super::arrival::Arrival;
use super::delivery::{Delivery, ToAcceptQueue, ToHandler};
#[cfg(feature = "http2")]
use super::http2::{Adopt, Asking};
use super::shared::SharedServer;
use super::shutdown_phase::ShutdownPhase;
use super::task;
use super::transport::Plain;
#[cfg(feature = "http2")]
use super::upgrade::foreign;
use crate::front;
use crate::handle::connection::Connection;
use crate::runtime::{Runtime, probe_silent, sleep};
#[cfg(feature = "test-kit")]
use crate::util::duplex::Duplex;
use crate::util::race::{Winner, race};

pub(super) async fn accept_all<R, H>(shared: &Arc<SharedServer<R>>, delivery: H) -> io::Result<()>
where
    R: Runtime,
    H: Delivery + Clone + Sync,
{
    #[cfg(feature = "http2")]
    let adopt = shared
        .settings
        .http
        .http2
        .then(|| adopt(shared, delivery.clone()));
    let result = loop {
        // The phase comes first: otherwise a listener that always has a stream would never be closed.
        let closed = pin!(shared.stop.wait(ShutdownPhase::Closed));
        match race(closed, pin!(arrive(shared))).await {
            Winner::First(()) => break Ok(()),
            Winner::Second(Err(error)) => break Err(error),
            Winner::Second(Ok(Arrived::BySocket(stream, peer_addr))) => {
                // Entered here and not in the task: the loop may accept the next stream before the task first runs, and
                // the `connection_limit` has to count this one. `accept` has waited for a free place.
                let entry = shared.clients.enter(None).expect("there is no limit");
                let arrival = Arrival {
                    entry,
                    stream,
                    peer_addr,
                    probe: if peer_addr.is_some() {
                        probe
                    } else {
                        |_, _| {}
                    },
                    is_of_port: true,
                    is_local: peer_addr.is_none(),
                    #[cfg(feature = "http2")]
                    adopt: adopt.clone(),
                };
                let (shared_too, delivery) = (Arc::clone(shared), delivery.clone());
                #[cfg(feature = "rustls")]
                if let Some(tls) = shared.settings.tls.clone() {
                    let task = task::run(shared_too, arrival, tls, delivery);
                    shared.runtime.spawn(task);
                    continue;
                }
                let task = task::run(shared_too, arrival, Plain, delivery);
                shared.runtime.spawn(task);
            }
            #[cfg(feature = "test-kit")]
            Winner::Second(Ok(Arrived::InMemory(stream, peer_addr))) => {
                let arrival = Arrival {
                    entry: shared.clients.enter(None).expect("there is no limit"),
                    stream,
                    peer_addr,
                    probe: |_, _| {},
                    // As a stream of the application: a test is not to speak TLS or send a PROXY header first.
                    is_of_port: false,
                    is_local: peer_addr.is_none(),
                    #[cfg(feature = "http2")]
                    adopt: adopt.clone(),
                };
                let task = task::run(Arc::clone(shared), arrival, Plain, delivery.clone());
                shared.runtime.spawn(task);
            }
        }
    };
    // Observers are told of an orderly end, too; then there is no error.
    let error = result.as_ref().err();
    shared
        .settings
        .observers
        .tell(|observer| observer.shutdown(error));
    result
}

/// Makes what answers requests for a WebSocket in sessions of HTTP/2, and spawns the task of each.
#[cfg(feature = "http2")]
fn adopt<R: Runtime, H: Delivery + Clone + Sync>(
    shared: &Arc<SharedServer<R>>,
    delivery: H,
) -> Adopt {
    let shared = Arc::clone(shared);
    Arc::new(move |asking| {
        let (shared, delivery) = (Arc::clone(&shared), delivery.clone());
        Box::pin(async move {
            let Asking {
                mut head,
                body,
                requester,
            } = asking;
            let on_upgrade = head.extensions.remove::<OnUpgrade>();
            match foreign::examine(&shared, &head, on_upgrade, body, requester).await {
                Ok(pending) => pending.open(delivery),
                Err(refused) => refused,
            }
        })
    })
}

/// Waits for an open connection, and accepts streams meanwhile. Returns `None` once the server has closed and no
/// connection is left.
pub(super) async fn accept_one<R: Runtime>(
    shared: &Arc<SharedServer<R>>,
) -> io::Result<Option<Connection>> {
    let opened = pin!(shared.accept_queue.pop());
    let accepting = pin!(accept_all(shared, ToAcceptQueue(Arc::clone(shared))));
    // The queue comes first: while a connection waits in it no stream is accepted, which bounds the queue.
    match race(opened, accepting).await {
        Winner::First(connection) => Ok(Some(connection)),
        Winner::Second(accepted) => accepted.map(|()| shared.accept_queue.pop_last()),
    }
}

/// Takes a stream that the application made. Returns whether it was taken.
pub(super) async fn take<R, S, H, F>(
    shared: &Arc<SharedServer<R>>,
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
    let limit = shared.settings.connection_limit;
    let entering = async {
        // A loop, because another stream can take the free place first.
        loop {
            if let Some(entry) = shared.clients.enter(limit) {
                return entry;
            }
            shared.clients.wait_below(limit.unwrap_or(usize::MAX)).await;
        }
    };
    // The phase comes first: a server that has closed takes no stream, even if it has a free place.
    let closed = pin!(shared.stop.wait(ShutdownPhase::Closed));
    let Winner::Second(entry) = race(closed, pin!(entering)).await else {
        return false;
    };
    // Without TLS, a PROXY header and probes: those options are for the port of the server, and only the application knows
    // whether the stream is a TCP socket.
    let arrival = Arrival {
        entry,
        stream,
        peer_addr: peer_addr.map(front::canonical),
        probe: |_, _| {},
        is_of_port: false,
        is_local: false,
        // One handler cannot serve the sockets of a session.
        #[cfg(feature = "http2")]
        adopt: None,
    };
    let task = task::run(Arc::clone(shared), arrival, Plain, ToHandler(handler));
    shared.runtime.spawn(task);
    true
}

/// Lets the system probe a silent peer that the protocol cannot ping.
fn probe<R: Runtime>(shared: &SharedServer<R>, stream: &R::Stream) {
    probe_silent(
        &shared.runtime,
        stream,
        shared.settings.connection.silence_limits(),
    );
}

/// A stream that was accepted, and the address of its other end.
enum Arrived<R: Runtime> {
    BySocket(R::Stream, Option<SocketAddr>),
    #[cfg(feature = "test-kit")]
    InMemory(Duplex, Option<SocketAddr>),
}

/// Waits for a stream, of a socket or of the test kit.
async fn arrive<R: Runtime>(shared: &SharedServer<R>) -> io::Result<Arrived<R>> {
    let by_socket = pin!(accept(shared));
    #[cfg(feature = "test-kit")]
    let by_socket = {
        let in_memory = pin!(async {
            if let Some(limit) = shared.settings.connection_limit {
                shared.clients.wait_below(limit).await;
            }
            shared.memory_port.pop().await
        });
        match race(in_memory, by_socket).await {
            Winner::First((stream, addr)) => {
                return Ok(Arrived::InMemory(stream, addr.map(front::canonical)));
            }
            Winner::Second(accepted) => std::future::ready(accepted),
        }
    };
    let (stream, addr) = by_socket.await?;
    Ok(Arrived::BySocket(stream, addr))
}

/// Accepts a stream; waits first while the server is at its `connection_limit`.
async fn accept<R: Runtime>(
    shared: &SharedServer<R>,
) -> io::Result<(R::Stream, Option<SocketAddr>)> {
    loop {
        if let Some(limit) = shared.settings.connection_limit {
            shared.clients.wait_below(limit).await;
        }
        let Some(listeners) = &shared.listeners else {
            // The application hands the streams in.
            return std::future::pending().await;
        };
        match listeners.accept(&shared.runtime).await {
            Ok((stream, addr)) => {
                shared.accept_errors.note_accepted();
                let Some(addr) = addr.map(front::canonical) else {
                    // Not TCP, so it has none of the options.
                    return Ok((stream, None));
                };
                match shared.runtime.prepare(&stream) {
                    Ok(()) => return Ok((stream, Some(addr))),
                    // Some systems report an error for a stream that was reset meanwhile. Only that stream is dropped.
                    Err(error) => {
                        tracing::debug!(target: "ws", "a stream from {addr} cannot be prepared: {error}");
                    }
                }
            }
            Err(error) => {
                if let Some(time) = shared.accept_errors.note(error, shared.runtime.now())? {
                    sleep(&shared.runtime, time).await;
                }
            }
        }
    }
}
