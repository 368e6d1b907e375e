//! The client: opens a connection to a URL.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use futures_io::{AsyncRead, AsyncWrite};
use ws_proto::{
    ClientConfig, ClientHandshake, ClientUrl, ConfigError, HandshakeError, HandshakeEvent,
};

use crate::connection::Connection;
use crate::detached;
use crate::exchange::Exchange;
use crate::head::Head;
use crate::id::ConnectionId;
use crate::mailbox::Facts;
use crate::random::SystemRandomness;
use crate::runtime::{Runtime, probe_silent};

/// Opens a connection to a URL `ws://host[:port]/path` with the default options.
///
/// # Errors
///
/// Fails if the URL is none, the host cannot be reached, or the server does not agree.
///
/// # Cancel safety
///
/// If the future is dropped, the stream is closed.
pub async fn connect<R: Runtime + Default>(url: &str) -> Result<Connection, ConnectError> {
    connect_with::<R>(url, &ClientConfig::default()).await
}

/// As [`connect`], with options: the version, subprotocols, headers, limits.
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
    config: &ClientConfig,
) -> Result<Connection, ConnectError> {
    let url: ClientUrl = url.parse()?;
    if url.is_secure() {
        return Err(ConnectError::TlsUnsupported);
    }
    let runtime = R::default();
    let (stream, peer_addr) = runtime.connect(url.host(), url.port()).await?;
    let probe = |stream: &_| probe_silent(&runtime, stream, config.silence_limits());
    start(&runtime, stream, Some(peer_addr), &url, config, probe).await
}

/// Opens a connection over a stream that the application made, such as a Unix socket or a tunnel. The URL
/// says what the request asks for; no host is looked up. With `wss` the stream is taken for one that is
/// secured already: nothing is added to it.
///
/// The operating system is not asked to probe the server: a connection of a draft, which has no ping,
/// notices that it vanished only by what the stream says.
///
/// # Errors
///
/// Fails if the URL is none or the server does not agree.
///
/// # Cancel safety
///
/// If the future is dropped, the stream is dropped.
pub async fn connect_over<R, S>(
    stream: S,
    url: &str,
    config: &ClientConfig,
) -> Result<Connection, ConnectError>
where
    R: Runtime + Default,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    start(&R::default(), stream, None, &url.parse()?, config, |_| {}).await
}

/// Does the opening handshake over a stream and starts to drive the connection.
async fn start<R, S>(
    runtime: &R,
    stream: S,
    peer_addr: Option<SocketAddr>,
    url: &ClientUrl,
    config: &ClientConfig,
    probe: impl FnOnce(&S),
) -> Result<Connection, ConnectError>
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (stream, mut handshake) = open(runtime, stream, url, config).await?;
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
        peer_addr,
        version: machine.version(),
        subprotocol,
        head,
    };
    Ok(detached::start(runtime, stream, early, machine, facts))
}

/// Does the opening handshake.
async fn open<R, S>(
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
    match exchange.next_event(&mut handshake).await? {
        HandshakeEvent::Open => Ok((exchange.into_stream(), handshake)),
        HandshakeEvent::Failed(error) => Err(ConnectError::Handshake(error)),
        event @ (HandshakeEvent::Request(_) | _) => {
            unreachable!("a client has no other event: {event:?}")
        }
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
    /// The server did not agree, or took too long.
    Handshake(HandshakeError),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::TlsUnsupported => {
                f.write_str("wss needs TLS, which is not built in; ws is supported")
            }
            Self::Io(error) => write!(f, "cannot connect: {error}"),
            Self::Handshake(error) => write!(f, "opening handshake failed: {error}"),
        }
    }
}

impl std::error::Error for ConnectError {
    /// Returns what is behind the cause, as the text of the cause is part of this one's.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(error) => error.source(),
            Self::TlsUnsupported => None,
            Self::Io(error) => error.source(),
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
