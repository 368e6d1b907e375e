//! The life of one stream, from accept to the end, in one task: TLS if there is any, the opening
//! handshake, plain HTTP if that is what comes, the open connection.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use futures_io::{AsyncRead, AsyncWrite};
use ws_proto::{CloseCode, HandshakeEvent, Request, ServerHandshake, State};

use super::layer::Layer;
use super::negotiate::{self, Ticket};
use super::shared::Shared;
use super::stop::Phase;
use crate::connection::Connection;
use crate::driver::{self, Driver};
use crate::exchange::Exchange;
use crate::head::Head;
use crate::http;
use crate::mailbox::{Facts, Mailbox};
use crate::observer::{ConnectionInfo, OpenWitness, Rejected, Witness};
use crate::registry::Entry;
use crate::runtime::Runtime;

/// Makes the task of a stream. Its first half is boxed, so that the memory of the opening handshake
/// goes back when the connection opens.
pub(super) fn run<R, S, L, H, F>(
    shared: Arc<Shared<R>>,
    entry: Entry,
    stream: S,
    layer: L,
    peer_addr: Option<SocketAddr>,
    probe: fn(&Shared<R>, &S),
    handler: Arc<H>,
) -> impl Future<Output = ()> + Send + 'static
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    L: Layer<S>,
    H: Fn(Connection) -> F + Send + Sync + 'static,
    F: Future + Send + 'static,
{
    Life::Opening(Box::pin(start(
        shared, entry, stream, layer, peer_addr, probe, handler,
    )))
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

/// Does the opening handshake; returns what drives the connection if there is one in the end.
async fn start<R, S, L, H, F>(
    shared: Arc<Shared<R>>,
    entry: Entry,
    stream: S,
    layer: L,
    peer_addr: Option<SocketAddr>,
    probe: fn(&Shared<R>, &S),
    handler: Arc<H>,
) -> Option<Driver<R, L::Stream, F, Registered>>
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    L: Layer<S>,
    H: Fn(Connection) -> F + Send + Sync + 'static,
    F: Future + Send + 'static,
{
    if shared.stop.has_reached(Phase::ShuttingDown) {
        // It was accepted too late for the shutdown to wait for it.
        return None;
    }
    let info = ConnectionInfo {
        id: entry.id,
        peer_addr,
        tls: None,
        version: None,
    };
    let begin = shared.runtime.now();
    let mut witness = Witness::new(
        shared.options.observers.clone(),
        info,
        shared.clients.clone(),
    );
    let stream = match or_stop(&shared, layer.open(&shared, stream, begin)).await? {
        Ok(stream) => stream,
        Err(rejected) => {
            rejected.inspect(|rejected| witness.note_rejected(rejected));
            return None;
        }
    };
    witness.info.tls = L::tls(&stream);
    let Opened {
        stream,
        timer,
        mut handshake,
        ticket,
        mut witness,
    } = open(&shared, stream, begin, witness).await?;
    let Ticket {
        head,
        version,
        subprotocol,
        extensions,
    } = ticket;
    if !version.features().ping {
        probe(&shared, L::transport(&stream));
    }
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
    let machine = handshake.into_connection(shared.runtime.now());
    let mailbox = Mailbox::new(facts, machine, Arc::clone(&shared.clock));
    let mailbox = Arc::new(mailbox.in_registry(&entry.registry));
    let connection = Connection::new(Arc::clone(&mailbox), extensions);
    entry.open(connection.sender());
    // It may have come too late for the shutdown to see it.
    if shared.stop.has_reached(Phase::Aborting) {
        mailbox.abort();
    } else if shared.stop.has_reached(Phase::ShuttingDown) {
        let closing = mailbox.close(CloseCode::GOING_AWAY, "");
        debug_assert!(
            closing.is_ok(),
            "a close without a reason cannot be refused"
        );
    }
    let watch = Registered {
        witness: witness.into_open(Arc::clone(&mailbox)),
        entry: Some(entry),
    };
    let runtime = shared.runtime.clone();
    let driver = Driver::new(runtime, stream, early, mailbox, watch).with_timer(timer);
    Some(driver.with_handler(|| handler(connection)))
}

/// A stream whose opening handshake is done.
struct Opened<S, T> {
    stream: S,
    timer: T,
    handshake: ServerHandshake,
    ticket: Ticket,
    witness: Witness,
}

/// Does the opening handshake; `None` if there is no connection in the end.
async fn open<R, S>(
    shared: &Arc<Shared<R>>,
    stream: S,
    begin: Instant,
    mut witness: Witness,
) -> Option<Opened<S, R::Timer>>
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let config = Arc::clone(&shared.config);
    let mut handshake = ServerHandshake::shared(config, begin);
    let mut exchange = Exchange::new(shared.runtime.clone(), stream);
    let mut ticket = None;
    witness.note_state(State::Opening);
    loop {
        let event = or_stop(shared, exchange.next_event(&mut handshake))
            .await?
            .ok()?;
        if !matches!(event, HandshakeEvent::Failed(_)) {
            witness.note_state(handshake.state());
        }
        match event {
            HandshakeEvent::Request(Request::Upgrade(request)) => {
                witness.info.version = Some(request.version());
                let decision = {
                    // Pinned here: who is handed a future to pin it keeps room for it twice.
                    let deciding = pin!(negotiate::decide(shared, request, &witness.info));
                    let deciding = pin!(exchange.decide(&mut handshake, deciding));
                    or_stop(shared, deciding).await?.ok()?
                };
                let Some(decision) = decision else {
                    continue;
                };
                match negotiate::answer(&mut handshake, decision) {
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
                let upgraded = serving.await?;
                exchange = Exchange::new(shared.runtime.clone(), upgraded.stream);
                handshake = upgraded.handshake;
                ticket = Some(upgraded.ticket);
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
    or_stop(shared, exchange.finish(handshake.outgoing(), deadline)).await;
    None
}

/// Gives `work` up when the server shuts down.
async fn or_stop<R: Runtime, T>(shared: &Shared<R>, work: impl Future<Output = T>) -> Option<T> {
    let mut stop = pin!(shared.stop.wait(Phase::ShuttingDown));
    let mut work = pin!(work);
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending => stop.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// Keeps a connection in the registry as long as its stream is open, and tells the observers.
struct Registered {
    witness: OpenWitness,
    entry: Option<Entry>,
}

impl driver::Watch for Registered {
    fn stirred(&mut self, state: State) {
        self.witness.note_state(state);
    }

    fn ended(&mut self, _: &Mailbox) {
        self.entry = None;
        self.witness.note_end();
    }

    fn panicked(&mut self, _: &Mailbox) {
        self.witness.note_panic();
    }
}
