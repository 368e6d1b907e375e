//! The task of one stream, from accept to its end: TLS if it is on, the opening handshake, plain HTTP if the peer asks
//! for it, and the open connection.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use futures_io::{AsyncRead, AsyncWrite};
#[cfg(feature = "upgrade")]
use ws_proto::HandshakeError;
use ws_proto::hooks::{PackedEvent, poll_packed_event};
use ws_proto::{CloseCode, CloseReason, ServerHandshake, State};

use super::delivery::Delivery;
#[cfg(feature = "upgrade")]
use super::delivery::ToHandler;
use super::http;
use super::reporter::{Ending, StreamReporter};
use super::shared::SharedServer;
use super::shutdown_phase::ShutdownPhase;
use super::transport::Transport;
use super::upgrade::decide::{self, AcceptedUpgrade};
use crate::driver::Driver;
use crate::driver::deadline::DeadlineTimer;
#[cfg(feature = "upgrade")]
use crate::driver::deadline::until;
use crate::driver::head::Head;
use crate::driver::opening::Exchange;
use crate::driver::shared_machine::{Agreed, Facts, SharedMachine};
use crate::handle::connection::Connection;
use crate::id::ConnectionId;
use crate::observe::ConnectionInfo;
use crate::observe::rejected::Rejected;
use crate::observe::span::ConnectionSpan;
use crate::registry::Entry;
use crate::runtime::{Runtime, RuntimeRandomness};

/// Makes the task of a stream. `probe` lets the system probe a silent peer that the protocol cannot ping.
pub(super) fn run<R, S, T, H>(
    shared: Arc<SharedServer<R>>,
    entry: Entry,
    stream: S,
    transport: T,
    peer_addr: Option<SocketAddr>,
    probe: fn(&SharedServer<R>, &S),
    delivery: H,
) -> impl Future<Output = ()> + Send + 'static
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    T: Transport<S>,
    H: Delivery,
{
    let span = ConnectionSpan::new(entry.id, peer_addr);
    let inner = span.clone();
    // Boxed: the handshake, hyper and `on_upgrade` together are much larger than an open connection, and the box is
    // freed when the connection opens.
    span.around(StreamTask::Opening(Box::pin(async move {
        let opened = start(&shared, entry.id, stream, transport, peer_addr).await?;
        let probe = |shared: &_, stream: &_| probe(shared, T::inner(stream));
        Some(begin(&shared, entry, opened, &inner, probe, delivery))
    })))
}

/// An accepted upgrade whose request another HTTP server has read.
#[cfg(feature = "upgrade")]
pub(super) struct Handover {
    pub(super) entry: Entry,
    pub(super) reporter: StreamReporter,
    pub(super) handshake: ServerHandshake,
    pub(super) upgrade: AcceptedUpgrade,
    pub(super) on_upgrade: hyper::upgrade::OnUpgrade,
    pub(super) deadline: Option<Instant>,
}

/// Makes the task of a stream that another HTTP server will release.
#[cfg(feature = "upgrade")]
pub(super) fn take_over<R, H, F>(
    shared: Arc<SharedServer<R>>,
    handover: Handover,
    handler: H,
) -> impl Future<Output = ()> + Send + 'static
where
    R: Runtime,
    H: FnOnce(Connection) -> F + Send + 'static,
    F: Future + Send + 'static,
{
    let span = ConnectionSpan::new(handover.entry.id, handover.reporter.info.peer_addr);
    let inner = span.clone();
    span.around(StreamTask::Opening(Box::pin(async move {
        let Handover {
            entry,
            mut reporter,
            handshake,
            upgrade,
            on_upgrade,
            deadline,
        } = handover;
        // The other server releases the stream only after it has written the 101, and may never do so. The deadline
        // bounds the wait; on a timeout the entry leaves the registry.
        let upgrading = until(&shared.runtime, deadline, on_upgrade);
        let upgrading = shared.stop.unless(ShutdownPhase::ShuttingDown, upgrading);
        let Some(upgraded) = upgrading.await else {
            reporter.note_stopped();
            return None;
        };
        let upgraded = match upgraded {
            Some(Ok(upgraded)) => http::upgraded::UpgradedStream(upgraded),
            unfinished => {
                // The upgrade is accepted, but the connection opens only with its stream.
                let state = State::Handshaking;
                let waited = shared
                    .settings
                    .config
                    .get_handshake_timeout()
                    .unwrap_or_default();
                reporter.note_rejected(&Rejected::Handshake(match unfinished {
                    // hyper cancels an upgrade when the peer has gone. That is usual and not worth a line in the log.
                    Some(Err(error)) if !error.is_canceled() => {
                        tracing::error!(
                            target: "ws",
                            "the HTTP server does not release the stream: {error}"
                        );
                        HandshakeError::Disconnected { state }
                    }
                    Some(_) => HandshakeError::Disconnected { state },
                    None => HandshakeError::Timeout { state, waited },
                }));
                return None;
            }
        };
        let opened = go_on(&shared, upgraded, handshake, Some(upgrade), reporter).await?;
        let delivery = ToHandler(handler);
        Some(begin(&shared, entry, opened, &inner, |_, _| {}, delivery))
    })))
}

/// The opening of a stream, and then its open connection.
///
/// An enum and not an `async` block: the block would reserve memory for both parts, and twice for the second, which
/// moves from a variable into its `await`.
enum StreamTask<O, D> {
    Opening(Pin<Box<O>>),
    Open(D),
}

impl<O, D> Future for StreamTask<O, D>
where
    O: Future<Output = Option<D>>,
    D: Future<Output = ()> + Unpin,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Self::Opening(opening) = &mut *self {
            let Some(driver) = ready!(opening.as_mut().poll(cx)) else {
                return Poll::Ready(());
            };
            *self = Self::Open(driver);
        }
        match &mut *self {
            Self::Opening(_) => unreachable!("it was opened just now"),
            Self::Open(driver) => Pin::new(driver).poll(cx),
        }
    }
}

/// Opens an accepted stream. Returns `None` if it does not become a connection.
async fn start<R, S, T>(
    shared: &Arc<SharedServer<R>>,
    id: ConnectionId,
    stream: S,
    transport: T,
    peer_addr: Option<SocketAddr>,
) -> Option<Opened<T::Stream, R>>
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    T: Transport<S>,
{
    if shared.stop.has_reached(ShutdownPhase::ShuttingDown) {
        // Accepted so late that the shutdown does not wait for it.
        return None;
    }
    let info = ConnectionInfo {
        id,
        peer_addr,
        tls: None,
        version: None,
    };
    let arrived = shared.runtime.now();
    let mut reporter = StreamReporter::new(
        shared.settings.observers.clone(),
        info,
        shared.clients.clone(),
    );
    let opening = transport.open(shared, stream, arrived);
    let opening = shared.stop.unless(ShutdownPhase::ShuttingDown, opening);
    let stream = match opening.await {
        Some(Ok(stream)) => stream,
        Some(Err(rejected)) => {
            reporter.note_rejected(&rejected);
            return None;
        }
        None => {
            reporter.note_stopped();
            return None;
        }
    };
    reporter.info.tls = T::tls(&stream);
    open(shared, stream, arrived, reporter).await
}

/// Makes the connection of a stream whose opening handshake is done, and delivers it to the application.
fn begin<R, S, H>(
    shared: &Arc<SharedServer<R>>,
    entry: Entry,
    opened: Opened<S, R>,
    span: &ConnectionSpan,
    probe: impl FnOnce(&SharedServer<R>, &S),
    delivery: H,
) -> H::Task<R, S>
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    H: Delivery,
{
    let Opened {
        stream,
        timer,
        mut handshake,
        upgrade,
        mut reporter,
    } = opened;
    let peer_addr = reporter.info.peer_addr;
    let AcceptedUpgrade {
        head,
        version,
        subprotocol,
        extensions,
    } = upgrade;
    // The drafts have no ping, so only the probes of TCP notice a peer that has vanished.
    if !version.features().ping {
        probe(shared, &stream);
    }
    // A closure, because the head is unpacked only if the span is enabled.
    span.note_open(version, || head.clone().unpack().path().to_owned());
    let head = if shared.settings.forgets_request_headers {
        head.without_headers()
    } else {
        head
    };
    reporter.note_open(version);
    // Bytes after the request are the first frames of a client that does not wait for the 101.
    let early = handshake.take_early();
    let mut machine = handshake.into_connection(shared.runtime.now());
    // Without it a broadcast that all peers answer would reset all keepalives to the same moment, and all pings would
    // leave at once from then on.
    machine.spread_keepalive(&mut RuntimeRandomness(&shared.runtime));
    let agreed = Agreed {
        tls: reporter.info.tls.clone(),
        subprotocol,
        deflate: machine.has_deflate(),
    };
    let facts = Facts {
        id: entry.id,
        peer_addr,
        version,
        agreed: agreed.boxed(),
        head: Head::of_request(head),
    };
    let machine = SharedMachine::new(facts, machine, Arc::clone(&shared.clock));
    let machine = Arc::new(machine);
    let membership = shared.clients.membership();
    let connection = Connection::new(Arc::clone(&machine), membership, extensions);
    let registration = entry.open(Arc::clone(&machine));
    // After the registration: a shutdown that began earlier may have missed this connection in its list, and then the
    // phase is set by now.
    if shared.stop.has_reached(ShutdownPhase::Aborting) {
        machine.abort();
    } else if shared.stop.has_reached(ShutdownPhase::ShuttingDown) {
        machine.close(CloseCode::GOING_AWAY, CloseReason::EMPTY);
    }
    let watch = reporter.into_open(registration);
    let runtime = shared.runtime.clone();
    let driver = Driver::new(runtime, stream, early, Arc::clone(&machine), watch);
    delivery.begin(driver.with_timer(timer), &machine, connection)
}

/// A stream whose opening handshake is done.
struct Opened<S, R: Runtime> {
    stream: S,
    timer: DeadlineTimer<R>,
    handshake: ServerHandshake,
    upgrade: AcceptedUpgrade,
    reporter: StreamReporter,
}

/// Does the opening handshake. Returns `None` if it does not lead to a connection.
async fn open<R, S>(
    shared: &Arc<SharedServer<R>>,
    stream: S,
    arrived: Instant,
    mut reporter: StreamReporter,
) -> Option<Opened<S, R>>
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let config = Arc::clone(&shared.config);
    let handshake = ServerHandshake::shared(config, arrived);
    reporter.note_state(State::Opening);
    go_on(shared, stream, handshake, None, reporter).await
}

/// Continues an opening handshake. `upgrade` is set if the upgrade is accepted already.
async fn go_on<R, S>(
    shared: &Arc<SharedServer<R>>,
    stream: S,
    mut handshake: ServerHandshake,
    mut upgrade: Option<AcceptedUpgrade>,
    mut reporter: StreamReporter,
) -> Option<Opened<S, R>>
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut exchange = Exchange::new(shared.runtime.clone(), stream);
    // The event of a request that follows plain ones. The gate has taken it before it handed the stream back.
    let mut told = None;
    loop {
        let event = match told.take() {
            Some(event) => event,
            None => {
                let next = exchange.next_event(&mut handshake);
                let next = shared.stop.unless(ShutdownPhase::ShuttingDown, next);
                let Some(event) = next.await else {
                    reporter.note_stopped();
                    return None;
                };
                match event {
                    Ok(event) => event,
                    // A broken stream has ended. The machine knows what an end means at this point.
                    Err(_) => {
                        handshake.handle_eof();
                        poll_packed_event(&mut handshake)?
                    }
                }
            }
        };
        // After a failure `note_rejected` reports the end, so that observers hear of the rejection before the state.
        if !matches!(event, PackedEvent::Failed(_)) {
            reporter.note_state(handshake.state());
        }
        match event {
            PackedEvent::Upgrade(request) => {
                reporter.info.version = Some(request.version());
                let decision = {
                    // Pinned here, because an async function that takes a future and pins it reserves memory for it
                    // twice.
                    let deciding = pin!(decide::decide(shared, request, &reporter.info));
                    let deciding = pin!(exchange.decide(&mut handshake, deciding));
                    shared
                        .stop
                        .unless(ShutdownPhase::ShuttingDown, deciding)
                        .await
                };
                let decision = match decision {
                    Some(Ok(Some(decision))) => decision,
                    // The handshake ended meanwhile, by a timeout for instance, and has an event.
                    Some(Ok(None)) => continue,
                    Some(Err(_)) => {
                        handshake.handle_eof();
                        continue;
                    }
                    None => {
                        reporter.note_stopped();
                        return None;
                    }
                };
                match decide::answer(&mut handshake, decision) {
                    Ok(accepted) => upgrade = Some(accepted),
                    Err(rejected) => {
                        reporter.note_rejected(&rejected);
                        break;
                    }
                }
                reporter.note_state(handshake.state());
            }
            PackedEvent::Http => {
                let received = handshake.into_received();
                let stream = exchange.into_stream();
                // Boxed, because it is large and most streams are upgraded at once.
                let serving = Box::pin(http::serve(shared, stream, received, &mut reporter));
                // `serve` handles `ShuttingDown` itself. In the phase `Aborting` it is dropped, whatever it waits for.
                let next = shared
                    .stop
                    .unless(ShutdownPhase::Aborting, serving)
                    .await??;
                exchange = Exchange::new(shared.runtime.clone(), next.stream);
                handshake = next.request.handshake;
                told = Some(next.request.event);
                // From here on the request is treated like the first one of a stream.
                reporter.expect(Ending::Disconnected);
            }
            PackedEvent::Open => {
                let upgrade = upgrade.expect("a handshake opens after it was accepted");
                let (stream, timer) = exchange.into_parts();
                return Some(Opened {
                    stream,
                    timer,
                    handshake,
                    upgrade,
                    reporter,
                });
            }
            PackedEvent::Failed(error) => {
                reporter.note_rejected(&Rejected::Handshake(error));
                break;
            }
        }
    }
    // The refusal lingers: our side ends, and bytes of the peer are discarded until it ends its side or the deadline
    // passes. A stream that is closed with unread bytes is reset, and the peer would not see the answer. Meanwhile the
    // stream keeps its place in the `connection_limit`, because it costs as much as any other.
    let deadline = handshake.close_deadline(shared.runtime.now());
    let finishing = exchange.finish(handshake.outgoing(), deadline);
    shared
        .stop
        .unless(ShutdownPhase::ShuttingDown, finishing)
        .await;
    None
}
