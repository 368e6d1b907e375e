//! What the conformance list of our adapters needs of the insides of this crate. It promises nothing: any of it can
//! change or go in any release.

use futures_io::{AsyncRead, AsyncWrite};

use crate::handle::sender::Sender;
use crate::runtime::Runtime;
use crate::server::http::io::HyperIo;
use crate::test::Peer;
#[cfg(feature = "rustls")]
use crate::tls::stream::TlsStream;
#[cfg(feature = "rustls")]
use crate::tls::{ClientTls, ServerTls, TlsError};
use crate::util::duplex;

/// Makes the two ends of a stream in memory.
pub fn duplex() -> (
    impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) {
    duplex::duplex()
}

/// Makes one end of a stream in memory, and a peer that speaks bytes at the other.
pub fn stream_and_peer() -> (impl AsyncRead + AsyncWrite + Send + Unpin + 'static, Peer) {
    let (ours, theirs) = duplex::duplex();
    (ours, Peer::new(theirs))
}

/// Makes a stream for hyper, without a gate and a deadline.
pub fn hyper_io<R, S>(
    runtime: R,
    stream: S,
) -> impl hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    HyperIo::new(runtime, stream, None, None, None)
}

/// Breaks a connection off.
pub fn abort(sender: &Sender) {
    sender.abort();
}

/// A stream inside of TLS.
#[cfg(feature = "rustls")]
pub trait Secured<S>: AsyncRead + AsyncWrite + Send + Unpin {
    /// Returns what the records went over, without an end of TLS.
    fn into_transport(self) -> S;
}

#[cfg(feature = "rustls")]
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Secured<S> for TlsStream<S> {
    fn into_transport(self) -> S {
        self.into_transport()
    }
}

/// Does the client's part of TLS.
///
/// # Errors
///
/// Fails as the handshake of TLS does.
///
/// # Cancel safety
///
/// If the future is dropped before it is ready, the stream is closed.
#[cfg(feature = "rustls")]
pub async fn open_client<S>(
    tls: &ClientTls,
    stream: S,
    host: &str,
) -> Result<impl Secured<S> + use<S>, TlsError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    tls.open(stream, host).await
}

/// Does the server's part of TLS; `None` if there is none with this client.
///
/// # Cancel safety
///
/// If the future is dropped before it is ready, the stream is closed.
#[cfg(feature = "rustls")]
pub async fn open_server<S>(tls: &ServerTls, stream: S) -> Option<impl Secured<S> + use<S>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    tls.open(stream, Vec::new()).await.ok()
}
