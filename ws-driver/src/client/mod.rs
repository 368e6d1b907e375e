//! The client: opens a connection to a URL.
//!
//! Imports: `util`, `runtime`, `id`, `tls`, `driver`, `handle`.

pub(crate) mod attempts;
mod connect_timeout;
pub(crate) mod error;
pub(crate) mod options;
#[cfg(feature = "proxy")]
pub(crate) mod proxy;
mod reach;

use std::io;
use std::net::SocketAddr;

use futures_io::{AsyncRead, AsyncWrite};
use ws_proto::hooks::PackedResponse;
use ws_proto::{ClientConfig, ClientHandshake, ClientUrl, HandshakeError, HandshakeEvent};

use self::connect_timeout::Patience;
use self::error::{ConnectError, ConnectStage};
use self::options::ConnectConfig;
#[cfg(feature = "proxy")]
use self::proxy::Proxy;
#[cfg(all(feature = "proxy", feature = "rustls"))]
use self::proxy::ProxyError;
use self::reach::reach;
use crate::driver::head::Head;
use crate::driver::opening::Exchange;
use crate::driver::shared_machine::Facts;
use crate::handle::connection::Connection;
use crate::handle::spawn;
use crate::id::ConnectionId;
use crate::runtime::{Runtime, RuntimeRandomness, probe_silent};
use crate::tls::TlsInfo;
#[cfg(all(feature = "proxy", feature = "rustls"))]
use crate::tls::stream::TlsStream;
#[cfg(feature = "rustls")]
use crate::tls::{ClientTls, TlsError};
use crate::util::random::SystemRandomness;

/// Opens a connection to a URL `ws://host[:port]/path` with the default options; with the feature
/// `rustls` also to `wss://`.
///
/// # Errors
///
/// Fails if the URL is invalid, the host cannot be reached or is not whom it should be, the server does
/// not agree, or all that takes too long.
///
/// # Cancel safety
///
/// If the future is dropped, the stream is closed.
pub async fn connect<R: Runtime + Default>(url: &str) -> Result<Connection, ConnectError> {
    connect_with::<R>(url, ConnectConfig::default()).await
}

/// As [`connect`], with options: a [`ClientConfig`] for those of the protocol, such as the version,
/// subprotocols, headers and limits, or [`ConnectConfig`] for all.
///
/// # Errors
///
/// As [`connect`].
///
/// # Cancel safety
///
/// As [`connect`].
pub async fn connect_with<R: Runtime + Default>(
    url: &str,
    options: impl Into<ConnectConfig>,
) -> Result<Connection, ConnectError> {
    let options = options.into();
    let url: ClientUrl = url.parse()?;
    if url.is_secure() && cfg!(not(feature = "rustls")) {
        return Err(ConnectError::TlsUnsupported);
    }
    let runtime = R::default();
    let mut patience = Patience::new(&runtime, options.connect_timeout);
    let (host, port) = (url.host(), url.port());
    #[cfg(feature = "proxy")]
    let (host, port) = match &options.proxy {
        Some(proxy) => (proxy.host(), proxy.port()),
        None => (host, port),
    };
    let (stream, peer_addr) = reach(&runtime, host, port, &mut patience).await?;
    let attempt = Attempt {
        runtime: &runtime,
        url: &url,
        options: &options,
        peer_addr: Some(peer_addr),
        patience,
    };
    let silence = options.client.silence_limits();
    let probe = |stream: &_| probe_silent(&runtime, stream, silence);
    #[cfg(feature = "proxy")]
    if let Some(proxy) = &options.proxy {
        // Boxed, as it is large, and most who connect have no proxy.
        return Box::pin(attempt.open_through(proxy, stream, probe)).await;
    }
    attempt.open_to_server(stream, probe).await
}

/// Opens a connection over a stream that the application made, such as a Unix socket or a tunnel. The URL
/// says what the request asks for; no host is looked up, and no proxy is asked. The options are those of
/// [`connect_with`]; the `connect_timeout` begins here.
///
/// With `wss` the stream is taken for one that is secured already, and nothing is added to it, unless
/// [`ConnectConfig::tls`](ConnectConfig) was called: then TLS is spoken over it.
///
/// The operating system is not asked to probe the server: a connection of a draft, which has no ping,
/// notices that it vanished only by what the stream says.
///
/// # Errors
///
/// Fails if the URL is invalid, the server is not whom it should be or does not agree, or all that takes too
/// long.
///
/// # Cancel safety
///
/// If the future is dropped, the stream is dropped.
pub async fn connect_over<R, S>(
    stream: S,
    url: &str,
    options: impl Into<ConnectConfig>,
) -> Result<Connection, ConnectError>
where
    R: Runtime + Default,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let options = options.into();
    let url = url.parse()?;
    let runtime = R::default();
    let attempt = Attempt {
        runtime: &runtime,
        url: &url,
        options: &options,
        peer_addr: None,
        patience: Patience::new(&runtime, options.connect_timeout),
    };
    #[cfg(feature = "rustls")]
    if let Some(tls) = options.tls.as_ref().filter(|_| url.is_secure()) {
        return attempt.secure(tls, stream, |_| {}).await;
    }
    attempt.open(stream, None, |_| {}).await
}

/// What is wanted of a stream.
struct Attempt<'a, R: Runtime> {
    runtime: &'a R,
    url: &'a ClientUrl,
    options: &'a ConnectConfig,
    peer_addr: Option<SocketAddr>,
    patience: Patience<R>,
}

impl<R: Runtime> Attempt<'_, R> {
    /// As [`open_to_server`](Self::open_to_server), over a stream to a proxy.
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
            let mut stream = self.patience.wait(ConnectStage::Proxy, opening).await?;
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
        self.patience.wait(ConnectStage::Proxy, opening).await
    }

    /// As [`open`](Self::open), inside of TLS if the URL says so.
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

    /// As [`open`](Self::open), inside of TLS.
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
        let stream = self.patience.wait(ConnectStage::Tls, opening).await?;
        let info = Some(stream.info());
        self.open(stream, info, |stream| probe(stream.transport()))
            .await
    }

    /// Does the opening handshake and starts to drive the connection. `probe` makes sure that a silent
    /// peer is noticed where the protocol cannot ping it.
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
        let opened = self.patience.wait(ConnectStage::Handshake, opening).await;
        let (stream, mut handshake) = opened?;
        let response = handshake.response_head();
        let subprotocol = response.and_then(|head| head.subprotocol()).map(Into::into);
        let head = response.map_or(Head::Unknown, |head| {
            Head::of_response(PackedResponse::new(head))
        });
        let early = handshake.take_early();
        let mut machine = handshake.into_connection(runtime.now());
        // Many clients of one server would ping it at once after each broadcast.
        machine.spread_keepalive(&mut RuntimeRandomness(runtime));
        if !machine.version().features().ping {
            probe(&stream);
        }
        let facts = Facts {
            id: ConnectionId::of_client(),
            peer_addr: self.peer_addr,
            tls: tls.map(Box::new),
            version: machine.version(),
            subprotocol,
            head,
        };
        Ok(spawn::start(runtime, stream, early, machine, facts))
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
    let randomness = Box::new(SystemRandomness);
    let mut handshake = ClientHandshake::new(url, config, randomness, runtime.now())?;
    let mut exchange = Exchange::new(runtime.clone(), stream);
    let event = match exchange.next_event(&mut handshake).await {
        Ok(event) => event,
        Err(error) => last_words(&mut exchange, &mut handshake, error).await?,
    };
    match event {
        HandshakeEvent::Open => Ok((exchange.into_stream(), handshake)),
        HandshakeEvent::Failed(error) => Err(ConnectError::Handshake(error)),
        event @ (HandshakeEvent::Request(_) | _) => {
            unreachable!("a client has no other event: {event:?}")
        }
    }
}

/// Looks for what a server said before the stream broke: it can refuse a request, or TLS, and end the stream
/// while we still write. Nothing is waited for.
async fn last_words<R, S>(
    exchange: &mut Exchange<R, S>,
    handshake: &mut ClientHandshake,
    error: io::Error,
) -> Result<HandshakeEvent, ConnectError>
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Unpin,
{
    match exchange.ready_event(handshake).await {
        // The end of the stream is what the error says better.
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
