//! The life of one stream, from accept to the end, in one task: TLS if there is any, the opening
//! handshake, plain HTTP if that is what comes, the open connection.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use futures_io::{AsyncRead, AsyncWrite};
#[cfg(feature = "upgrade")]
use ws_proto::HandshakeError;
use ws_proto::{CloseCode, CloseReason, HandshakeEvent, Request, ServerHandshake, State};

#[cfg(feature = "upgrade")]
use super::host::Handle;
use super::host::Host;
use super::http;
use super::reporter::{Ending, Witness};
use super::shared::Shared;
use super::shutdown_phase::Phase;
use super::transport::Layer;
use super::upgrade::decide::{self, Ticket};
use crate::driver::Driver;
use crate::driver::deadline::DeadlineTimer;
#[cfg(feature = "upgrade")]
use crate::driver::deadline::until;
use crate::driver::head::Head;
use crate::driver::opening::Exchange;
use crate::driver::shared_machine::{Facts, SharedMachine};
use crate::handle::connection::Connection;
use crate::id::ConnectionId;
use crate::observe::ConnectionInfo;
use crate::observe::rejected::Rejected;
use crate::observe::span::ConnectionSpan;
use crate::registry::Entry;
use crate::runtime::{Runtime, RuntimeRandomness};

/// Makes the task of a stream. Its first half is boxed, so that the memory of the opening handshake
/// goes back when the connection opens.
pub(super) fn run<R, S, L, H>(
    shared: Arc<Shared<R>>,
    entry: Entry,
    stream: S,
    layer: L,
    peer_addr: Option<SocketAddr>,
    probe: fn(&Shared<R>, &S),
    host: H,
) -> impl Future<Output = ()> + Send + 'static
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    L: Layer<S>,
    H: Host,
{
    let span = ConnectionSpan::new(entry.id, peer_addr);
    let inner = span.clone();
    span.around(Life::Opening(Box::pin(async move {
        let opened = start(&shared, entry.id, stream, layer, peer_addr).await?;
        let probe = |shared: &_, stream: &_| probe(shared, L::transport(stream));
        Some(begin(&shared, entry, opened, &inner, probe, host))
    })))
}

/// An upgrade that was accepted on a request that another HTTP server read.
#[cfg(feature = "upgrade")]
pub(super) struct Handover {
    pub(super) entry: Entry,
    pub(super) witness: Witness,
    pub(super) handshake: ServerHandshake,
    pub(super) ticket: Ticket,
    pub(super) on_upgrade: hyper::upgrade::OnUpgrade,
    pub(super) deadline: Option<Instant>,
}

/// Makes the task of a stream that another HTTP server will give up.
#[cfg(feature = "upgrade")]
pub(super) fn take_over<R, H, F>(
    shared: Arc<Shared<R>>,
    handover: Handover,
    handler: H,
) -> impl Future<Output = ()> + Send + 'static
where
    R: Runtime,
    H: FnOnce(Connection) -> F + Send + 'static,
    F: Future + Send + 'static,
{
    let span = ConnectionSpan::new(handover.entry.id, handover.witness.info.peer_addr);
    let inner = span.clone();
    span.around(Life::Opening(Box::pin(async move {
        let Handover {
            entry,
            mut witness,
            handshake,
            ticket,
            on_upgrade,
            deadline,
        } = handover;
        let upgrading = until(&shared.runtime, deadline, on_upgrade);
        let Some(upgraded) = shared.stop.unless(Phase::ShuttingDown, upgrading).await else {
            witness.note_stopped();
            return None;
        };
        let upgraded = match upgraded {
            Some(Ok(upgraded)) => http::upgraded::UpgradedStream(upgraded),
            unfinished => {
                // Accepted, but not open before the stream is here.
                let state = State::Handshaking;
                let waited = shared
                    .options
                    .config
                    .get_handshake_timeout()
                    .unwrap_or_default();
                witness.note_rejected(&Rejected::Handshake(match unfinished {
                    Some(Err(error)) if !error.is_canceled() => {
                        tracing::error!(
                            target: "ws",
                            "the HTTP server does not give the stream up: {error}"
                        );
                        HandshakeError::Disconnected { state }
                    }
                    Some(_) => HandshakeError::Disconnected { state },
                    None => HandshakeError::Timeout { state, waited },
                }));
                return None;
            }
        };
        let opened = go_on(&shared, upgraded, handshake, Some(ticket), witness).await?;
        let host = Handle(handler);
        Some(begin(&shared, entry, opened, &inner, |_, _| {}, host))
    })))
}

/// One thing after the other. An `async` block would keep room for both, and for the second twice.
enum Life<O, D> {
    Opening(Pin<Box<O>>),
    Open(D),
}

impl<O, D> Future for Life<O, D>
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

/// Opens a stream that has arrived; `None` if there is no connection in the end.
async fn start<R, S, L>(
    shared: &Arc<Shared<R>>,
    id: ConnectionId,
    stream: S,
    layer: L,
    peer_addr: Option<SocketAddr>,
) -> Option<Opened<L::Stream, R>>
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    L: Layer<S>,
{
    if shared.stop.has_reached(Phase::ShuttingDown) {
        // It was accepted too late for the shutdown to wait for it.
        return None;
    }
    let info = ConnectionInfo {
        id,
        peer_addr,
        tls: None,
        version: None,
    };
    let arrived = shared.runtime.now();
    let mut witness = Witness::new(
        shared.options.observers.clone(),
        info,
        shared.clients.clone(),
    );
    let opening = layer.open(shared, stream, arrived);
    let stream = match shared.stop.unless(Phase::ShuttingDown, opening).await {
        Some(Ok(stream)) => stream,
        Some(Err(rejected)) => {
            witness.note_rejected(&rejected);
            return None;
        }
        None => {
            witness.note_stopped();
            return None;
        }
    };
    witness.info.tls = L::tls(&stream);
    open(shared, stream, arrived, witness).await
}

/// Makes a connection of a stream whose opening handshake is done, and gives it to its host.
fn begin<R, S, H>(
    shared: &Arc<Shared<R>>,
    entry: Entry,
    opened: Opened<S, R>,
    span: &ConnectionSpan,
    probe: impl FnOnce(&Shared<R>, &S),
    host: H,
) -> H::Task<R, S>
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    H: Host,
{
    let Opened {
        stream,
        timer,
        mut handshake,
        ticket,
        mut witness,
    } = opened;
    let peer_addr = witness.info.peer_addr;
    let Ticket {
        head,
        version,
        subprotocol,
        extensions,
    } = ticket;
    if !version.features().ping {
        probe(shared, &stream);
    }
    span.note_open(version, || head.unpack().path().to_owned());
    witness.note_open(version);
    let facts = Facts {
        id: entry.id,
        peer_addr,
        tls: witness.info.tls.clone().map(Box::new),
        version,
        subprotocol,
        head: Head::of_request(head),
    };
    let early = handshake.take_early();
    let mut machine = handshake.into_connection(shared.runtime.now());
    // One broadcast that all answer would have all pinged at once from then on.
    machine.spread_keepalive(&mut RuntimeRandomness(&shared.runtime));
    let machine = SharedMachine::new(facts, machine, Arc::clone(&shared.clock));
    let machine = Arc::new(machine);
    let membership = shared.clients.membership();
    let connection = Connection::new(Arc::clone(&machine), membership, extensions);
    let registration = entry.open(Arc::clone(&machine));
    // It may have come too late for the shutdown to see it.
    if shared.stop.has_reached(Phase::Aborting) {
        machine.abort();
    } else if shared.stop.has_reached(Phase::ShuttingDown) {
        machine.close(CloseCode::GOING_AWAY, CloseReason::EMPTY);
    }
    let watch = witness.into_open(registration);
    let runtime = shared.runtime.clone();
    let driver = Driver::new(runtime, stream, early, Arc::clone(&machine), watch);
    host.begin(driver.with_timer(timer), &machine, connection)
}

/// A stream whose opening handshake is done.
struct Opened<S, R: Runtime> {
    stream: S,
    timer: DeadlineTimer<R>,
    handshake: ServerHandshake,
    ticket: Ticket,
    witness: Witness,
}

/// Does the opening handshake; `None` if there is no connection in the end.
async fn open<R, S>(
    shared: &Arc<Shared<R>>,
    stream: S,
    arrived: Instant,
    mut witness: Witness,
) -> Option<Opened<S, R>>
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let config = Arc::clone(&shared.config);
    let handshake = ServerHandshake::shared(config, arrived);
    witness.note_state(State::Opening);
    go_on(shared, stream, handshake, None, witness).await
}

/// Goes on with an opening handshake, which may have been accepted already.
async fn go_on<R, S>(
    shared: &Arc<Shared<R>>,
    stream: S,
    mut handshake: ServerHandshake,
    mut ticket: Option<Ticket>,
    mut witness: Witness,
) -> Option<Opened<S, R>>
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut exchange = Exchange::new(shared.runtime.clone(), stream);
    // What was asked for behind plain requests, and told before the stream came back.
    let mut told = None;
    loop {
        let event = match told.take() {
            Some(event) => event,
            None => {
                let next = exchange.next_event(&mut handshake);
                let Some(event) = shared.stop.unless(Phase::ShuttingDown, next).await else {
                    witness.note_stopped();
                    return None;
                };
                match event {
                    Ok(event) => event,
                    // A stream that broke has ended, and the machine tells what that means.
                    Err(_) => {
                        handshake.handle_eof();
                        handshake.poll_event()?
                    }
                }
            }
        };
        if !matches!(event, HandshakeEvent::Failed(_)) {
            witness.note_state(handshake.state());
        }
        match event {
            HandshakeEvent::Request(Request::Upgrade(request)) => {
                witness.info.version = Some(request.version());
                let decision = {
                    // Pinned here: who is handed a future to pin it keeps room for it twice.
                    let deciding = pin!(decide::decide(shared, request, &witness.info));
                    let deciding = pin!(exchange.decide(&mut handshake, deciding));
                    shared.stop.unless(Phase::ShuttingDown, deciding).await
                };
                let decision = match decision {
                    Some(Ok(Some(decision))) => decision,
                    // The machine has an event.
                    Some(Ok(None)) => continue,
                    Some(Err(_)) => {
                        handshake.handle_eof();
                        continue;
                    }
                    None => {
                        witness.note_stopped();
                        return None;
                    }
                };
                match decide::answer(&mut handshake, decision) {
                    Ok(accepted) => ticket = Some(accepted),
                    Err(rejected) => {
                        witness.note_rejected(&rejected);
                        break;
                    }
                }
                witness.note_state(handshake.state());
            }
            HandshakeEvent::Request(Request::Http) => {
                let received = handshake.into_received();
                let stream = exchange.into_stream();
                // Boxed, as it is large and most streams never come here.
                let serving = Box::pin(http::serve(shared, stream, received, &mut witness));
                // Given up as a whole, whatever it waits for, when what is left is dropped.
                let next = shared.stop.unless(Phase::Aborting, serving).await??;
                exchange = Exchange::new(shared.runtime.clone(), next.stream);
                handshake = next.request.handshake;
                told = Some(next.request.event);
                // From here on it is as if it came first.
                witness.expect(Ending::Disconnected);
            }
            HandshakeEvent::Open => {
                let ticket = ticket.expect("a handshake opens after it was accepted");
                let (stream, timer) = exchange.into_parts();
                return Some(Opened {
                    stream,
                    timer,
                    handshake,
                    ticket,
                    witness,
                });
            }
            HandshakeEvent::Failed(error) => {
                witness.note_rejected(&Rejected::Handshake(error));
                break;
            }
            event @ (HandshakeEvent::Request(_) | _) => {
                unreachable!("no other event exists: {event:?}")
            }
        }
    }
    let deadline = handshake.close_deadline(shared.runtime.now());
    let finishing = exchange.finish(handshake.outgoing(), deadline);
    shared.stop.unless(Phase::ShuttingDown, finishing).await;
    None
}
