//! The client: opens a connection to a URL.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use ws_proto::{
    ClientConfig, ClientHandshake, ClientUrl, ConfigError, HandshakeError, HandshakeEvent,
};

use crate::connect_options::ConnectOptions;
use crate::connection::Connection;
use crate::detached;
use crate::exchange::Exchange;
use crate::head::Head;
use crate::id::ConnectionId;
use crate::mailbox::Facts;
#[cfg(feature = "proxy")]
use crate::proxy::ProxyError;
use crate::random::SystemRandomness;
use crate::runtime::{Runtime, Timer, probe_silent};
#[cfg(feature = "rustls")]
use crate::tls::TlsError;
use crate::tls::TlsInfo;

/// Opens a connection to a URL `ws://host[:port]/path` with the default options; with the feature
/// `rustls` also to `wss://`.
///
/// # Errors
///
/// Fails if the URL is none, the host cannot be reached or is not whom it should be, the server does
/// not agree, or all that takes too long.
///
/// # Cancel safety
///
/// If the future is dropped, the stream is closed.
pub async fn connect<R: Runtime + Default>(url: &str) -> Result<Connection, ConnectError> {
    connect_with::<R>(url, ConnectOptions::default()).await
}

/// As [`connect`], with options: a [`ClientConfig`] for those of the protocol, such as the version,
/// subprotocols, headers and limits, or [`ConnectOptions`] for all.
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
    options: impl Into<ConnectOptions>,
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
    let reaching = async { Ok(runtime.connect(host, port).await?) };
    #[cfg_attr(
        not(feature = "proxy"),
        expect(unused_mut, reason = "a proxy changes it")
    )]
    let (mut stream, peer_addr) = patience.wait(ConnectStage::Reach, reaching).await?;
    #[cfg(feature = "proxy")]
    if let Some(proxy) = &options.proxy {
        let opening = async { Ok(proxy.open(&mut stream, url.host(), url.port()).await?) };
        patience.wait(ConnectStage::Proxy, opening).await?;
    }
    let attempt = Attempt {
        runtime: &runtime,
        url: &url,
        config: &options.client,
        peer_addr,
    };
    #[cfg(feature = "rustls")]
    if url.is_secure() {
        let tls = options.tls.unwrap_or_default();
        let opening = async { Ok(tls.open(stream, url.host()).await?) };
        let stream = patience.wait(ConnectStage::Tls, opening).await?;
        let info = Some(stream.info());
        let probe = |stream: &_| attempt.probe(stream);
        let opening = attempt.open(stream, info, |stream| probe(stream.transport()));
        return patience.wait(ConnectStage::Handshake, opening).await;
    }
    let opening = attempt.open(stream, None, |stream| attempt.probe(stream));
    patience.wait(ConnectStage::Handshake, opening).await
}

/// A stream to a server, and what is wanted of it.
struct Attempt<'a, R> {
    runtime: &'a R,
    url: &'a ClientUrl,
    config: &'a ClientConfig,
    peer_addr: SocketAddr,
}

impl<R: Runtime> Attempt<'_, R> {
    /// Does the opening handshake and starts to drive the connection. `probe` makes sure that a silent
    /// peer is noticed where the protocol cannot ping it.
    async fn open<S>(
        &self,
        stream: S,
        tls: Option<TlsInfo>,
        probe: impl Fn(&S),
    ) -> Result<Connection, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let runtime = self.runtime;
        let (stream, mut handshake) = self.handshake(stream).await?;
        let response = handshake.response_head();
        let subprotocol = response.and_then(|head| head.subprotocol()).map(Into::into);
        let head = response.map_or(Head::Unknown, |head| Head::of_response(head.pack()));
        let early = handshake.take_early();
        let machine = handshake.into_connection(runtime.now());
        if !machine.version().features().ping {
            probe(&stream);
        }
        let facts = Facts {
            id: ConnectionId::of_client(),
            peer_addr: Some(self.peer_addr),
            tls: tls.map(Box::new),
            version: machine.version(),
            subprotocol,
            head,
        };
        Ok(detached::start(runtime, stream, early, machine, facts))
    }

    async fn handshake<S>(&self, stream: S) -> Result<(S, ClientHandshake), ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (url, config) = (self.url, self.config);
        let (randomness, now) = (Box::new(SystemRandomness), self.runtime.now());
        let mut handshake = ClientHandshake::new(url, config, randomness, now)?;
        let mut exchange = Exchange::new(self.runtime.clone(), stream);
        match exchange.next_event(&mut handshake).await? {
            HandshakeEvent::Open => Ok((exchange.into_stream(), handshake)),
            HandshakeEvent::Failed(error) => Err(ConnectError::Handshake(error)),
            event @ (HandshakeEvent::Request(_) | _) => {
                unreachable!("a client has no other event: {event:?}")
            }
        }
    }

    fn probe(&self, stream: &R::Stream) {
        probe_silent(self.runtime, stream, self.config.silence_limits());
    }
}

/// Waits for one stage after the other, but not for longer than the `connect_timeout` in all.
struct Patience<R: Runtime> {
    timer: R::Timer,
    timeout: Option<Duration>,
}

impl<R: Runtime> Patience<R> {
    fn new(runtime: &R, timeout: Option<Duration>) -> Self {
        let mut timer = runtime.timer();
        if let Some(deadline) = timeout.and_then(|wait| runtime.now().checked_add(wait)) {
            timer.set(deadline);
        }
        Self { timer, timeout }
    }

    async fn wait<T>(
        &mut self,
        stage: ConnectStage,
        work: impl Future<Output = Result<T, ConnectError>>,
    ) -> Result<T, ConnectError> {
        let mut work = pin!(work);
        let waited = self.timeout.unwrap_or_default();
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => self
                .timer
                .poll(cx)
                .map(|()| Err(ConnectError::Timeout { stage, waited })),
        })
        .await
    }
}

/// How far a client is on its way to an open connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectStage {
    /// The host's name is looked up, and the stream is opened.
    Reach,
    /// A tunnel is asked of the proxy.
    Proxy,
    /// The handshake of TLS.
    Tls,
    /// The opening handshake.
    Handshake,
}

impl fmt::Display for ConnectStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Reach => "reaching the host",
            Self::Proxy => "asking the proxy for a tunnel",
            Self::Tls => "the handshake of TLS",
            Self::Handshake => "the opening handshake",
        })
    }
}

/// Why a client could not open a connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL or an option makes no sense.
    Config(ConfigError),
    /// The URL begins with `wss`, but TLS is not built in.
    TlsUnsupported,
    /// The host could not be reached, or the stream broke.
    Io(io::Error),
    /// The proxy opened no tunnel.
    #[cfg(feature = "proxy")]
    Proxy(ProxyError),
    /// There is no TLS with the server: for instance, its certificate is not trusted.
    #[cfg(feature = "rustls")]
    Tls(TlsError),
    /// The server did not agree, or took too long.
    Handshake(HandshakeError),
    /// All of it took longer than the `connect_timeout`.
    Timeout {
        /// How far it got.
        stage: ConnectStage,
        /// The timeout.
        waited: Duration,
    },
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::TlsUnsupported => f.write_str(
                "wss needs TLS, which is not built in (feature rustls); ws is supported",
            ),
            Self::Io(error) => write!(f, "cannot connect: {error}"),
            #[cfg(feature = "proxy")]
            Self::Proxy(error) => write!(f, "no tunnel to the server: {error}"),
            #[cfg(feature = "rustls")]
            Self::Tls(error) => write!(f, "no TLS with the server: {error}"),
            Self::Handshake(error) => write!(f, "opening handshake failed: {error}"),
            Self::Timeout { stage, waited } => write!(
                f,
                "no connection after {waited:?}; it got to {stage} (option connect_timeout)"
            ),
        }
    }
}

impl std::error::Error for ConnectError {
    /// Returns what is behind the cause, as the text of the cause is part of this one's.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(error) => error.source(),
            Self::TlsUnsupported | Self::Timeout { .. } => None,
            Self::Io(error) => error.source(),
            #[cfg(feature = "proxy")]
            Self::Proxy(error) => error.source(),
            #[cfg(feature = "rustls")]
            Self::Tls(error) => error.source(),
            Self::Handshake(error) => error.source(),
        }
    }
}

impl From<ConfigError> for ConnectError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

#[cfg(feature = "proxy")]
impl From<ProxyError> for ConnectError {
    fn from(error: ProxyError) -> Self {
        Self::Proxy(error)
    }
}

#[cfg(feature = "rustls")]
impl From<TlsError> for ConnectError {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}
