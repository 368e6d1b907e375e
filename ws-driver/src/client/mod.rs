//! The client: opens a connection to a URL.
//!
//! Imports: `util`, `runtime`, `id`, `tls`, `observe`, `driver`, `handle`.

pub(crate) mod attempts;
pub(crate) mod config;
mod connect_timeout;
pub(crate) mod error;
#[cfg(feature = "proxy")]
pub(crate) mod proxy;
mod reach;
pub(crate) mod reconnect;
mod reporter;
pub(crate) mod request;
mod resolver;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures_io::{AsyncRead, AsyncWrite};
use ws_proto::hooks::PackedResponse;
use ws_proto::{ClientConfig, ClientHandshake, ClientUrl, HandshakeError, HandshakeEvent};

use self::config::ConnectConfig;
use self::connect_timeout::ConnectTimer;
use self::error::{ConnectError, ConnectStage};
#[cfg(feature = "proxy")]
use self::proxy::Proxy;
#[cfg(all(feature = "proxy", feature = "rustls"))]
use self::proxy::ProxyError;
use self::reach::{Target, reach};
use self::reporter::ConnectReporter;
use self::request::{ClientRequest, IntoClientRequest};
use crate::driver::head::Head;
use crate::driver::opening::Exchange;
use crate::driver::shared_machine::{Agreed, Facts, Measured};
use crate::handle::connection::Connection;
use crate::handle::spawn;
use crate::id::ConnectionId;
#[cfg(feature = "proxy")]
use crate::observe::connecting::ConnectEvent;
use crate::observe::span::ConnectionSpan;
use crate::runtime::{Runtime, RuntimeRandomness, probe_silent};
use crate::tls::TlsInfo;
#[cfg(all(feature = "proxy", feature = "rustls"))]
use crate::tls::stream::TlsStream;
#[cfg(feature = "rustls")]
use crate::tls::{ClientTls, TlsError};
use crate::util::random::SystemRandomness;

/// Opens a connection to a URL `ws://host[:port]/path` with the default options. With the feature `rustls`
/// it also opens `wss://`. [`IntoClientRequest`] lists what can be passed beside text, such as an `http::Request`.
///
/// # Errors
///
/// Fails if the URL or the request is invalid, the host cannot be reached or its certificate is not trusted, the server
/// refuses the connection, or a timeout expires.
///
/// # Cancel safety
///
/// If the future is dropped, the stream is closed.
pub async fn connect<R: Runtime + Default>(
    request: impl IntoClientRequest,
) -> Result<Connection, ConnectError> {
    connect_with::<R>(request, ConnectConfig::default()).await
}

/// Opens a connection to a URL with options. Pass a [`ClientConfig`] for the options of the protocol, such
/// as the version, subprotocols, headers and limits, or a [`ConnectConfig`] for all options. The headers of a
/// request are sent in addition to those of the options.
///
/// # Errors
///
/// Fails as [`connect`] does.
///
/// # Cancel safety
///
/// If the future is dropped, the stream is closed.
pub async fn connect_with<R: Runtime + Default>(
    request: impl IntoClientRequest,
    options: impl Into<ConnectConfig>,
) -> Result<Connection, ConnectError> {
    let (url, options) = prepare(request, options)?;
    // Before the lookup: no byte leaves for a URL that cannot be opened.
    if url.is_secure() && cfg!(not(feature = "rustls")) {
        return Err(ConnectError::TlsUnsupported);
    }
    let (span, mut reporter) = watched(&url, &options);
    let opening = async {
        let opened = dial::<R>(&url, &options, &span, &mut reporter).await;
        opened.inspect_err(|error| reporter.note_failed(error))
    };
    span.clone().around(pin!(opening)).await
}

/// Makes the span of an attempt to connect, and its reporter.
fn watched(url: &ClientUrl, options: &ConnectConfig) -> (ConnectionSpan, ConnectReporter) {
    let id = ConnectionId::of_client();
    let span = ConnectionSpan::of_client(id, url);
    (span, ConnectReporter::new(id, url, options))
}

/// Reaches the server of a URL, or the proxy, and opens the connection.
async fn dial<R: Runtime + Default>(
    url: &ClientUrl,
    options: &ConnectConfig,
    span: &ConnectionSpan,
    reporter: &mut ConnectReporter,
) -> Result<Connection, ConnectError> {
    let runtime = R::default();
    let mut connect_timer = ConnectTimer::new(&runtime, options.connect_timeout);
    let reached = url;
    #[cfg(feature = "proxy")]
    let reached = options.proxy.as_ref().map_or(reached, Proxy::addr);
    let target = Target {
        host: reached.host(),
        zone: reached.zone(),
        port: reached.port(),
    };
    let resolver = options.resolver.as_ref();
    let (stream, peer_addr) =
        reach(&runtime, target, resolver, &mut connect_timer, reporter).await?;
    let mut attempt = Attempt {
        runtime: &runtime,
        url,
        options,
        peer_addr: Some(peer_addr),
        connect_timer,
        reached: runtime.now(),
        span,
        reporter,
    };
    attempt.note_stream();
    let silence = options.client.silence_limits();
    let probe = |stream: &_| probe_silent(&runtime, stream, silence);
    #[cfg(feature = "proxy")]
    if let Some(proxy) = &options.proxy {
        // Boxed, because it is large and most clients have no proxy.
        return Box::pin(attempt.open_through(proxy, stream, probe)).await;
    }
    attempt.open_to_server(stream, probe).await
}

/// Opens a stream to a host, a name or an address without brackets, for something else than WebSockets, such as a
/// [`Backplane`](crate::Backplane). Of several addresses the first that answers is used (RFC 8305).
///
/// # Errors
///
/// Fails if the name cannot be looked up, no address answers, or the timeout expires.
///
/// # Cancel safety
///
/// If the future is dropped, all attempts are.
pub async fn connect_stream<R: Runtime>(
    runtime: &R,
    host: &str,
    port: u16,
    timeout: Duration,
) -> Result<R::Stream, ConnectError> {
    let mut connect_timer = ConnectTimer::new(runtime, Some(timeout));
    let zone = None;
    let target = Target { host, zone, port };
    let reporter = ConnectReporter::silent();
    let (stream, _) = reach(runtime, target, None, &mut connect_timer, &reporter).await?;
    Ok(stream)
}

/// Opens a connection over a stream that the application made, such as a Unix socket or a tunnel. The URL
/// determines only the request: no host is looked up, and no proxy is used. The options are those of
/// [`connect_with`]. The `connect_timeout` begins here. [`ConnectConfig::peer_addr`] tells the connection its peer.
///
/// With `wss` the client assumes that the stream is secured already. It speaks TLS over the stream only if
/// [`ConnectConfig::tls`](ConnectConfig) was called.
///
/// The operating system is not asked to probe the server. The drafts have no ping, so a connection of a
/// draft notices that the server has vanished only by an error of the stream.
///
/// # Errors
///
/// Fails if the URL is invalid, the certificate of the server is not trusted, the server refuses the
/// connection, or a timeout expires.
///
/// # Cancel safety
///
/// If the future is dropped, the stream is dropped.
pub async fn connect_over<R, S>(
    stream: S,
    request: impl IntoClientRequest,
    options: impl Into<ConnectConfig>,
) -> Result<Connection, ConnectError>
where
    R: Runtime + Default,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (url, options) = prepare(request, options)?;
    let (span, mut reporter) = watched(&url, &options);
    let opening = async {
        let opened = open_over::<R, S>(stream, &url, &options, &span, &mut reporter).await;
        opened.inspect_err(|error| reporter.note_failed(error))
    };
    span.clone().around(pin!(opening)).await
}

/// Opens the connection over a stream of the application.
async fn open_over<R, S>(
    stream: S,
    url: &ClientUrl,
    options: &ConnectConfig,
    span: &ConnectionSpan,
    reporter: &mut ConnectReporter,
) -> Result<Connection, ConnectError>
where
    R: Runtime + Default,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let runtime = R::default();
    let mut attempt = Attempt {
        runtime: &runtime,
        url,
        options,
        peer_addr: options.peer_addr,
        connect_timer: ConnectTimer::new(&runtime, options.connect_timeout),
        reached: runtime.now(),
        span,
        reporter,
    };
    attempt.note_stream();
    #[cfg(feature = "rustls")]
    if let Some(tls) = options.tls.as_ref().filter(|_| url.is_secure()) {
        return attempt.secure(tls, stream, |_| {}).await;
    }
    attempt.open(stream, None, |_| {}).await
}

/// Takes a request into the options. All that is wrong with either is an error here, before a byte leaves.
fn prepare(
    request: impl IntoClientRequest,
    options: impl Into<ConnectConfig>,
) -> Result<(ClientUrl, ConnectConfig), ConnectError> {
    let ClientRequest { url, headers } = request.into_client_request()?;
    let mut options = options.into();
    options.client = options.client.headers(&headers)?;
    Ok((url, options))
}

/// One attempt to open a connection. Its steps are generic over the stream, so that TLS and a tunnel can be nested in
/// any order: `wss` through an `https` proxy is a `TlsStream` over a `TlsStream`.
struct Attempt<'a, R: Runtime> {
    runtime: &'a R,
    url: &'a ClientUrl,
    options: &'a ConnectConfig,
    peer_addr: Option<SocketAddr>,
    connect_timer: ConnectTimer<R>,
    /// When the stream was open.
    reached: Instant,
    span: &'a ConnectionSpan,
    reporter: &'a mut ConnectReporter,
}

impl<R: Runtime> Attempt<'_, R> {
    /// Notes that there is a stream, to the server or to a proxy.
    fn note_stream(&mut self) {
        self.span.note_peer(self.peer_addr);
        self.reporter.note_stream(self.peer_addr);
    }

    /// Opens the connection over a stream to a proxy.
    #[cfg(feature = "proxy")]
    async fn open_through<S>(
        mut self,
        proxy: &Proxy,
        mut stream: S,
        probe: impl FnOnce(&S),
    ) -> Result<Connection, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        #[cfg(feature = "rustls")]
        if proxy.is_secure() {
            let tls = self.options.tls.clone().unwrap_or_default();
            let opening = async {
                let opened = tls.open(stream, proxy.host()).await;
                Ok(opened.map_err(ProxyError::Tls)?)
            };
            let mut stream = self
                .connect_timer
                .wait(ConnectStage::Proxy, opening)
                .await?;
            self.ask(proxy, &mut stream).await?;
            let probe = |stream: &TlsStream<S>| probe(stream.transport());
            return self.open_to_server(stream, probe).await;
        }
        self.ask(proxy, &mut stream).await?;
        self.open_to_server(stream, probe).await
    }

    /// Asks a proxy for a tunnel.
    #[cfg(feature = "proxy")]
    async fn ask<S>(&mut self, proxy: &Proxy, stream: &mut S) -> Result<(), ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (host, port) = (self.url.host(), self.url.port());
        let opening = async { Ok(proxy.open(stream, host, port).await?) };
        self.connect_timer
            .wait(ConnectStage::Proxy, opening)
            .await?;
        self.reporter.note(|| ConnectEvent::Tunnelled {
            proxy_host: proxy.host(),
            proxy_port: proxy.port(),
        });
        Ok(())
    }

    /// Opens the connection over a stream to the server, with TLS if the URL begins with `wss`.
    async fn open_to_server<S>(
        self,
        stream: S,
        probe: impl FnOnce(&S),
    ) -> Result<Connection, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        #[cfg(feature = "rustls")]
        if self.url.is_secure() {
            let tls = self.options.tls.clone().unwrap_or_default();
            return self.secure(&tls, stream, probe).await;
        }
        self.open(stream, None, probe).await
    }

    /// Opens the connection with TLS over a stream to the server.
    #[cfg(feature = "rustls")]
    async fn secure<S>(
        mut self,
        tls: &ClientTls,
        stream: S,
        probe: impl FnOnce(&S),
    ) -> Result<Connection, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let opening = async { Ok(tls.open(stream, self.url.host()).await?) };
        let stream = self.connect_timer.wait(ConnectStage::Tls, opening).await?;
        let info = stream.info();
        self.reporter.note_tls(&info);
        self.open(stream, Some(info), |stream| probe(stream.transport()))
            .await
    }

    /// Does the opening handshake and starts to drive the connection. `probe` lets the system probe a silent
    /// server that the protocol cannot ping.
    async fn open<S>(
        mut self,
        stream: S,
        tls: Option<TlsInfo>,
        probe: impl FnOnce(&S),
    ) -> Result<Connection, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let runtime = self.runtime;
        let opening = handshake(runtime, stream, self.url, &self.options.client);
        let opened = self
            .connect_timer
            .wait(ConnectStage::Handshake, opening)
            .await;
        let (stream, mut handshake) = opened?;
        let response = handshake.response_head();
        let subprotocol = response.and_then(|head| head.subprotocol()).map(Into::into);
        let head = response.map_or(Head::UNKNOWN, |head| {
            Head::of_response(PackedResponse::new(head))
        });
        let early = handshake.take_early();
        let mut machine = handshake.into_connection(runtime.now());
        // Each broadcast resets the keepalives of all clients of a server to the same moment. Without this they would
        // all ping it at once.
        machine.spread_keepalive(&mut RuntimeRandomness(runtime));
        if !machine.version().features().ping {
            probe(&stream);
        }
        let agreed = Agreed {
            tls,
            subprotocol,
            deflate: machine.has_deflate(),
            measured: self
                .options
                .histograms
                .as_ref()
                .map(|histograms| Measured::new(histograms, self.reached, runtime.now())),
        };
        let version = machine.version();
        self.span.note_open(version, || {
            let resource = self.url.resource();
            let path = resource.split_once('?').map_or(resource, |(path, _)| path);
            path.to_owned()
        });
        let facts = Facts {
            id: self.reporter.id(),
            peer_addr: self.peer_addr,
            version,
            http_version: http::Version::HTTP_11,
            agreed: agreed.boxed(),
            head,
        };
        let (span, reporter) = (self.span.clone(), self.reporter);
        Ok(spawn::start_watched(
            runtime,
            stream,
            early,
            machine,
            facts,
            span,
            |machine| reporter.open(version, machine),
        ))
    }
}

/// Does the opening handshake.
async fn handshake<R, S>(
    runtime: &R,
    stream: S,
    url: &ClientUrl,
    config: &ClientConfig,
) -> Result<(S, ClientHandshake), ConnectError>
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Unpin,
{
    // From the system and not from the runtime, because keys and masks must be unpredictable (RFC 6455 §10.3).
    let randomness = Box::new(SystemRandomness);
    let mut handshake = ClientHandshake::new(url, config, randomness, runtime.now())?;
    let mut exchange = Exchange::new(runtime.clone(), stream);
    let event = match exchange.next_event(&mut handshake).await {
        Ok(event) => event,
        Err(error) => last_answer(&mut exchange, &mut handshake, error).await?,
    };
    match event {
        HandshakeEvent::Open => Ok((exchange.into_stream(), handshake)),
        HandshakeEvent::Failed(error) => Err(ConnectError::Handshake(error)),
        event @ (HandshakeEvent::Request(_) | _) => {
            unreachable!("a client has no other event: {event:?}")
        }
    }
}

/// Looks for an answer that arrived before the stream broke. A server can refuse a request, or TLS, and end the stream
/// while the client still writes. Does not wait.
async fn last_answer<R, S>(
    exchange: &mut Exchange<R, S>,
    handshake: &mut ClientHandshake,
    error: io::Error,
) -> Result<HandshakeEvent, ConnectError>
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Unpin,
{
    match exchange.ready_event(handshake).await {
        // The error of the write describes a broken stream better than the end that the read found.
        Ok(
            Some(HandshakeEvent::Failed(
                HandshakeError::Empty | HandshakeError::Disconnected { .. },
            ))
            | None,
        ) => Err(error.into()),
        Ok(Some(event)) => Ok(event),
        #[cfg(feature = "rustls")]
        Err(reading) => Err(match TlsError::of_stream(reading) {
            Ok(refused) => ConnectError::Tls(refused),
            Err(_) => error.into(),
        }),
        #[cfg(not(feature = "rustls"))]
        Err(_) => Err(error.into()),
    }
}
