//! The task of one stream, from accept to its end: TLS if it is on, the opening handshake, plain HTTP if the peer asks
//! for it, and the open connection.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
#[cfg(feature = "upgrade")]
use std::time::Instant;

use futures_io::{AsyncRead, AsyncWrite};
#[cfg(feature = "upgrade")]
use ws_proto::HandshakeError;
use ws_proto::hooks::{PackedEvent, PackedUpgrade, poll_packed_event};
use ws_proto::{CloseCode, CloseReason, Rejection, ServerHandshake, State};

use super::arrival::{self, Arrival, Peer, Received};
use super::delivery::Delivery;
use super::http;
#[cfg(feature = "http2")]
use super::http2::{self, Adopt};
use super::reporter::{Ending, StreamReporter};
use super::shared::SharedServer;
use super::shutdown_phase::ShutdownPhase;
use super::transport::{Opened, Transport};
use super::upgrade::decide::{self, AcceptedUpgrade, Decision};
use crate::driver::Driver;
#[cfg(feature = "upgrade")]
use crate::driver::deadline::until;
use crate::driver::head::Head;
use crate::driver::opening::Exchange;
use crate::driver::shared_machine::{Agreed, Facts, SharedMachine};
use crate::handle::connection::Connection;
use crate::id::ConnectionId;
use crate::observe::rejected::Rejected;
use crate::observe::span::ConnectionSpan;
use crate::registry::Entry;
use crate::runtime::{Runtime, RuntimeRandomness};

/// Makes the task of a stream.
pub(super) fn run<R, S, T, H>(
    shared: Arc<SharedServer<R>>,
    arrival: Arrival<R, S>,
    transport: T,
    delivery: H,
) -> impl Future<Output = ()> + Send + 'static
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    T: Transport<S>,
    H: Delivery,
{
    let Arrival {
        entry,
        stream,
        peer_addr,
        probe,
        is_of_port,
        is_local,
        #[cfg(feature = "http2")]
        adopt,
    } = arrival;
    let proxies = shared.settings.proxy_protocol.clone();
    let proxies = proxies.filter(|_| is_of_port);
    // A field of a span is set once, when it is known who the client is.
    let is_named_first = proxies.is_some();
    let is_named_by_request = shared.settings.forwarded_for.is_some();
    let is_known = !is_named_first && !is_named_by_request;
    let span = ConnectionSpan::new(entry.id, peer_addr.filter(|_| is_known));
    let inner = span.clone();
    // Boxed: the handshake, hyper and `on_upgrade` together are much larger than an open connection, and the box is
    // freed when the connection opens.
    span.around(StreamTask::Opening(Box::pin(async move {
        let proxies = proxies.as_deref();
        let peer = Peer {
            addr: peer_addr,
            proxies,
            is_local,
        };
        let mut opening = start(&shared, entry.id, stream, transport, peer).await?;
        #[cfg(feature = "http2")]
        if adopt.is_some() {
            opening.handshake.allow_http2();
        }
        if is_named_first && !is_named_by_request {
            inner.note_peer(opening.reporter.info.peer_addr);
        }
        loop {
            // Boxed, both kinds of HTTP, because they are large and most streams are upgraded at once.
            match opening.advance(&shared).await? {
                Stage::Open => break,
                Stage::Http => opening = Box::pin(opening.serve_http(&shared)).await?,
                #[cfg(feature = "http2")]
                Stage::Http2 => {
                    let adopt = adopt.expect("only then it was allowed");
                    Box::pin(opening.serve_http2(&shared, adopt)).await;
                    return None;
                }
            }
        }
        if is_named_by_request {
            inner.note_peer(opening.reporter.info.peer_addr);
        }
        let probe = |shared: &_, stream: &_| probe(shared, T::inner(stream));
        Some(begin(&shared, entry, opening, &inner, probe, delivery))
    })))
}

/// An accepted upgrade whose request another HTTP server has read.
#[cfg(feature = "upgrade")]
pub(super) struct Handover {
    // Before the entry, because whoever waits for the place waits for the observers.
    pub(super) reporter: StreamReporter,
    pub(super) entry: Entry,
    pub(super) handshake: ServerHandshake,
    pub(super) upgrade: AcceptedUpgrade,
    pub(super) on_upgrade: hyper::upgrade::OnUpgrade,
    pub(super) deadline: Option<Instant>,
}

/// Makes the task of a stream that another HTTP server, or a session of HTTP/2, will release.
#[cfg(feature = "upgrade")]
pub(super) fn take_over<R, H>(
    shared: Arc<SharedServer<R>>,
    handover: Handover,
    delivery: H,
) -> impl Future<Output = ()> + Send + 'static
where
    R: Runtime,
    H: Delivery,
{
    let span = ConnectionSpan::new(handover.entry.id, handover.reporter.info.peer_addr);
    let inner = span.clone();
    span.around(StreamTask::Opening(Box::pin(async move {
        let Handover {
            entry,
            mut reporter,
            #[cfg(feature = "http2")]
            mut handshake,
            #[cfg(not(feature = "http2"))]
            handshake,
            upgrade,
            on_upgrade,
            deadline,
        } = handover;
        // The other server releases the stream only after it has written the 101, and may never do so. The deadline
        // bounds the wait; on a timeout the entry leaves the registry.
        let upgrading = pin!(until(&shared.runtime, deadline, on_upgrade));
        let upgrading = shared.stop.unless(ShutdownPhase::ShuttingDown, upgrading);
        let Some(upgraded) = upgrading.await else {
            reporter.note_stopped();
            return None;
        };
        #[cfg_attr(
            not(feature = "http2"),
            expect(unused_mut, reason = "only a stream of HTTP/2 is read before")
        )]
        let mut upgraded = match upgraded {
            Some(Ok(upgraded)) => {
                let http_version = reporter.info.http_version;
                let http_version = http_version.unwrap_or(::http::Version::HTTP_11);
                http::upgraded::UpgradedStream::new(upgraded, http_version)
            }
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
        #[cfg(feature = "http2")]
        if reporter.info.http_version == Some(::http::Version::HTTP_2) {
            let now = shared.runtime.now();
            let is_open = upgraded.take_early(|early| handshake.handle_read(now, early));
            if !is_open.await {
                let state = State::Handshaking;
                reporter
                    .note_rejected(&Rejected::Handshake(HandshakeError::Disconnected { state }));
                return None;
            }
        }
        let mut opening = Opening {
            exchange: Exchange::new(shared.runtime.clone(), upgraded),
            handshake,
            upgrade: Some(upgrade),
            told: None,
            reporter,
        };
        match opening.advance(&shared).await? {
            Stage::Open => {}
            Stage::Http => unreachable!("the request is an upgrade"),
            #[cfg(feature = "http2")]
            Stage::Http2 => unreachable!("the request is an upgrade"),
        }
        Some(begin(&shared, entry, opening, &inner, |_, _| {}, delivery))
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

/// Begins to open an accepted stream. Returns `None` if it has no transport for an opening handshake.
async fn start<R, S, T>(
    shared: &Arc<SharedServer<R>>,
    id: ConnectionId,
    stream: S,
    transport: T,
    peer: Peer<'_>,
) -> Option<Opening<T::Stream, R>>
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    T: Transport<S>,
{
    let Received {
        stream,
        mut early,
        arrived,
        mut reporter,
    } = arrival::receive(shared, id, stream, peer, T::IS_PLAIN).await?;
    let opened = match transport.open(shared, stream, &mut early, arrived) {
        Opened::Now(stream) => Some(Ok(stream)),
        Opened::Later(opening) => {
            let stop = &shared.stop;
            Box::pin(stop.unless(ShutdownPhase::ShuttingDown, opening)).await
        }
    };
    let stream = match opened {
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
    reporter.note_state(State::Opening);
    let mut handshake = ServerHandshake::shared(Arc::clone(&shared.config), arrived);
    if !early.is_empty() {
        handshake.handle_read(shared.runtime.now(), &early);
    }
    Some(Opening {
        exchange: Exchange::new(shared.runtime.clone(), stream),
        handshake,
        upgrade: None,
        told: None,
        reporter,
    })
}

/// Makes the connection of a stream whose opening handshake is done, and delivers it to the application.
fn begin<R, S, H>(
    shared: &Arc<SharedServer<R>>,
    entry: Entry,
    opening: Opening<S, R>,
    span: &ConnectionSpan,
    probe: impl FnOnce(&SharedServer<R>, &S),
    delivery: H,
) -> H::Task<R, S>
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    H: Delivery,
{
    let Opening {
        exchange,
        mut handshake,
        upgrade,
        told: _,
        mut reporter,
    } = opening;
    let (stream, timer) = exchange.into_parts();
    let upgrade = upgrade.expect("a handshake opens after it was accepted");
    let peer_addr = reporter.info.peer_addr;
    let http_version = reporter
        .info
        .http_version
        .unwrap_or(::http::Version::HTTP_11);
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
    let now = shared.runtime.now();
    let mut machine = handshake.into_connection(now);
    // Without it a broadcast that all peers answer would reset all keepalives to the same moment, and all pings would
    // leave at once from then on.
    machine.spread_keepalive(&mut RuntimeRandomness(&shared.runtime));
    let agreed = Agreed {
        tls: reporter.info.tls.clone(),
        subprotocol,
        deflate: machine.has_deflate(),
        measured: reporter.measured(&shared.settings, now),
    };
    let facts = Facts {
        id: entry.id,
        peer_addr,
        version,
        http_version,
        agreed: agreed.boxed(),
        head: Head::of_request(head),
    };
    let machine = SharedMachine::new(facts, machine, shared.clock.clone());
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

/// A stream in its opening handshake.
struct Opening<S, R: Runtime> {
    exchange: Exchange<R, S>,
    handshake: ServerHandshake,
    /// Set once the upgrade is accepted.
    upgrade: Option<AcceptedUpgrade>,
    /// The event of a request that follows plain ones. The gate has taken it before it handed the stream back.
    told: Option<Box<PackedEvent>>,
    reporter: StreamReporter,
}

/// Where an opening handshake has led.
enum Stage {
    Open,
    /// To a request that is not an upgrade.
    Http,
    /// To a session of HTTP/2.
    #[cfg(feature = "http2")]
    Http2,
}

/// What comes next after an event of the machine.
enum Step {
    /// The next event.
    Event,
    /// The application decides about an upgrade.
    Ask(PackedUpgrade),
    End(Stage),
    /// The stream was refused, and lingers.
    Linger,
}

// The methods take a reference, because an async function that takes a value and changes it reserves memory for it twice.
impl<S, R> Opening<S, R>
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    /// Goes on until the connection is open or a request is not an upgrade. Returns `None` if the stream has ended
    /// before.
    #[expect(
        clippy::manual_async_fn,
        reason = "an async fn keeps two places for each argument"
    )]
    fn advance(&mut self, shared: &SharedServer<R>) -> impl Future<Output = Option<Stage>> + Send {
        async move {
            loop {
                let event = match self.told.take() {
                    Some(event) => *event,
                    None => self.next_event(shared).await?,
                };
                let mut step = self.handle_event(shared, event);
                // Boxed, both the question and the lingering: most servers do not ask, most streams are not refused, and
                // each would make all handshakes larger. At this size the allocator gives each the memory of the one before.
                if let Step::Ask(request) = step {
                    step = Box::pin(self.ask(shared, request)).await?;
                }
                match step {
                    Step::Event | Step::Ask(_) => {}
                    Step::End(stage) => return Some(stage),
                    Step::Linger => {
                        Box::pin(self.linger(shared)).await;
                        return None;
                    }
                }
            }
        }
    }

    fn handle_event(&mut self, shared: &SharedServer<R>, event: PackedEvent) -> Step {
        // After a failure `note_rejected` reports the end, so that observers hear of the rejection before the state.
        if !matches!(event, PackedEvent::Failed(_)) {
            self.reporter.note_state(self.handshake.state());
        }
        match event {
            PackedEvent::Upgrade(request) => {
                self.reporter.info.version = Some(request.version());
                // The checks let an upgrade pass in no other version.
                self.reporter.info.http_version = Some(::http::Version::HTTP_11);
                if shared.settings.forwarded_for.is_some() {
                    let unpacked = request.clone().unpack();
                    let headers = unpacked.head().headers();
                    self.reporter.note_forwarded(&shared.settings, headers);
                    let now = shared.runtime.now();
                    if let Err(rejected) = self.reporter.admit_request(&shared.settings, now) {
                        return self.refuse_busy(&rejected);
                    }
                }
                if shared.settings.on_upgrade.is_some() {
                    Step::Ask(request)
                } else {
                    self.answer(Decision::accept(request))
                }
            }
            PackedEvent::Http => Step::End(Stage::Http),
            #[cfg(feature = "http2")]
            PackedEvent::Http2 => Step::End(Stage::Http2),
            #[cfg(not(feature = "http2"))]
            PackedEvent::Http2 => unreachable!("it was not allowed"),
            PackedEvent::Open => Step::End(Stage::Open),
            PackedEvent::Failed(error) => {
                // Its headers are not looked at, and the request before can have been another client's.
                self.reporter.forget_client();
                self.refuse(&Rejected::Handshake(error))
            }
        }
    }

    fn answer(&mut self, decision: Decision) -> Step {
        match decide::answer(&mut self.handshake, decision) {
            Ok(accepted) => {
                self.upgrade = Some(accepted);
                self.reporter.note_state(self.handshake.state());
                Step::Event
            }
            Err(rejected) => self.refuse(&rejected),
        }
    }

    /// Refuses a request because the client has too many connections, or opens them too fast.
    fn refuse_busy(&mut self, rejected: &Rejected) -> Step {
        let rejection = Rejection::new(::http::StatusCode::TOO_MANY_REQUESTS);
        let rejection = rejection.header("Retry-After", "1");
        let rejected_it = rejection.and_then(|rejection| self.handshake.reject(rejection));
        rejected_it.expect("429 can reject a request that is pending");
        self.refuse(rejected)
    }

    fn refuse(&mut self, rejected: &Rejected) -> Step {
        self.reporter.note_rejected(rejected);
        Step::Linger
    }

    /// Waits for the next event. Returns `None` if the stream has ended without one, or the server shuts down.
    async fn next_event(&mut self, shared: &SharedServer<R>) -> Option<PackedEvent> {
        let next = {
            let next = pin!(self.exchange.next_event(&mut self.handshake));
            let stop = &shared.stop;
            stop.unless(ShutdownPhase::ShuttingDown, next).await
        };
        match next {
            Some(Ok(event)) => Some(event),
            // A broken stream has ended. The machine knows what an end means at this point.
            Some(Err(_)) => {
                self.handshake.handle_eof();
                poll_packed_event(&mut self.handshake)
            }
            None => {
                self.reporter.note_stopped();
                None
            }
        }
    }

    /// Asks the application. The next step is an event if the handshake ends before it has decided. Returns `None` if the
    /// server shuts down.
    async fn ask(&mut self, shared: &SharedServer<R>, request: PackedUpgrade) -> Option<Step> {
        let decision = {
            let deciding = pin!(decide::decide(shared, request, &self.reporter.info));
            let deciding = pin!(self.exchange.decide(&mut self.handshake, deciding));
            let stop = &shared.stop;
            stop.unless(ShutdownPhase::ShuttingDown, deciding).await
        };
        match decision {
            Some(Ok(Some(decision))) => Some(self.answer(decision)),
            Some(Ok(None)) => Some(Step::Event),
            Some(Err(_)) => {
                self.handshake.handle_eof();
                Some(Step::Event)
            }
            None => {
                self.reporter.note_stopped();
                None
            }
        }
    }

    /// Lets a refusal linger: our side ends, and bytes of the peer are discarded until it ends its side or the deadline
    /// passes. A stream that is closed with unread bytes is reset, and the peer would not see the answer. Meanwhile the
    /// stream keeps its place in the `connection_limit`, because it costs as much as any other.
    async fn linger(&mut self, shared: &SharedServer<R>) {
        let deadline = self.handshake.close_deadline(shared.runtime.now());
        let finishing = pin!(self.exchange.finish(self.handshake.outgoing(), deadline));
        let stop = &shared.stop;
        stop.unless(ShutdownPhase::ShuttingDown, finishing).await;
    }

    /// Serves HTTP/2 until the session ends.
    #[cfg(feature = "http2")]
    async fn serve_http2(self, shared: &Arc<SharedServer<R>>, adopt: Adopt) {
        let received = self.handshake.into_received();
        let (stream, reporter) = (self.exchange.into_stream(), self.reporter);
        http2::serve(shared, stream, received, adopt, reporter).await;
    }

    /// Serves plain HTTP until a request is not plain. It is treated like the first one of a stream then. Returns `None`
    /// if there is no such request.
    async fn serve_http(self, shared: &Arc<SharedServer<R>>) -> Option<Self> {
        let received = self.handshake.into_received();
        let (stream, mut reporter) = (self.exchange.into_stream(), self.reporter);
        let next = {
            let serving = pin!(http::serve(shared, stream, received, &mut reporter));
            // `serve` handles `ShuttingDown` itself. In the phase `Aborting` it is dropped, whatever it waits for.
            shared
                .stop
                .unless(ShutdownPhase::Aborting, serving)
                .await??
        };
        reporter.expect(Ending::Disconnected);
        // The handshake of this request, and not what came before on the stream.
        reporter.began = shared.runtime.now();
        Some(Self {
            exchange: Exchange::new(shared.runtime.clone(), next.stream),
            handshake: next.request.handshake,
            upgrade: None,
            told: Some(Box::new(next.request.event)),
            reporter,
        })
    }
}
