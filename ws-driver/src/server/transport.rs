//! The transport below an opening handshake: the accepted stream itself, or TLS over it. The TLS handshake runs in
//! the task of the stream, so that a slow peer does not delay the others.
//!
//! The transport is a type parameter of the task and not a trait object. Without TLS no read or write pays for a
//! dispatch, and the task is no larger.

use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

use futures_io::{AsyncRead, AsyncWrite};

use super::shared::SharedServer;
use crate::observe::rejected::Rejected;
use crate::runtime::Runtime;
use crate::tls::TlsInfo;

/// Turns an accepted stream `S` into the stream of its opening handshake.
pub(super) trait Transport<S>: Send + Sync + 'static {
    /// Whether the peer reads what is written to the accepted stream itself.
    const IS_PLAIN: bool;

    /// The stream of the handshake.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Opens a stream that was accepted at `begin`, within the `handshake_timeout`. It takes the bytes that were read already
    /// if they are of the transport, and leaves them to the opening handshake if not.
    fn open<'a, R: Runtime>(
        &'a self,
        shared: &'a SharedServer<R>,
        stream: S,
        early: &mut Vec<u8>,
        begin: Instant,
    ) -> Opened<'a, Self::Stream>;

    /// Returns the accepted stream.
    fn inner(stream: &Self::Stream) -> &S;

    /// Returns what the TLS handshake agreed on; `None` without TLS.
    fn tls(stream: &Self::Stream) -> Option<TlsInfo>;
}

/// The stream of an opening handshake.
pub(super) enum Opened<'a, T> {
    Now(T),
    /// Boxed, so that streams without TLS have no place for it.
    #[cfg_attr(
        not(feature = "rustls"),
        expect(dead_code, reason = "TLS alone makes it")
    )]
    Later(Pin<Box<dyn Future<Output = Result<T, Rejected>> + Send + 'a>>),
}

/// No TLS: the accepted stream as it is.
pub(super) struct Plain;

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Transport<S> for Plain {
    const IS_PLAIN: bool = true;

    type Stream = S;

    fn open<'a, R: Runtime>(
        &'a self,
        _: &'a SharedServer<R>,
        stream: S,
        _: &mut Vec<u8>,
        _: Instant,
    ) -> Opened<'a, S> {
        Opened::Now(stream)
    }

    fn inner(stream: &S) -> &S {
        stream
    }

    fn tls(_: &S) -> Option<TlsInfo> {
        None
    }
}

#[cfg(feature = "rustls")]
mod tls {
    use std::pin::pin;

    use ws_proto::HandshakeError;

    use super::*;
    use crate::driver::deadline::DeadlineTimer;
    use crate::tls::server::refuse_plain_http;
    use crate::tls::stream::TlsStream;
    use crate::tls::{ServerTls, TlsError};
    use crate::util::race::race;

    impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Transport<S> for ServerTls {
        const IS_PLAIN: bool = false;

        type Stream = TlsStream<S>;

        fn open<'a, R: Runtime>(
            &'a self,
            shared: &'a SharedServer<R>,
            stream: S,
            early: &mut Vec<u8>,
            begin: Instant,
        ) -> Opened<'a, TlsStream<S>> {
            let early = std::mem::take(early);
            Opened::Later(Box::pin(handshake(self, shared, stream, early, begin)))
        }

        fn inner(stream: &TlsStream<S>) -> &S {
            stream.transport()
        }

        fn tls(stream: &TlsStream<S>) -> Option<TlsInfo> {
            Some(stream.info())
        }
    }

    /// Does the TLS handshake of an accepted stream.
    async fn handshake<R: Runtime, S: AsyncRead + AsyncWrite + Unpin>(
        tls: &ServerTls,
        shared: &SharedServer<R>,
        stream: S,
        early: Vec<u8>,
        begin: Instant,
    ) -> Result<TlsStream<S>, Rejected> {
        let waited = shared.settings.config.get_handshake_timeout();
        let runtime = &shared.runtime;
        let mut timer = DeadlineTimer::new(runtime);
        if let Some(deadline) = waited.and_then(|wait| begin.checked_add(wait)) {
            timer.set(deadline);
        }
        let opened = race(pin!(tls.open(stream, early)), timer.wait(runtime)).await;
        match opened.first() {
            Some(Ok(stream)) => Ok(stream),
            // A stream without a byte asked for nothing, however it ended: a port scan or a health check. It does
            // not count as a failure of TLS.
            Some(Err((TlsError::Disconnected | TlsError::Io(_), Some(_)))) => {
                Err(Rejected::Handshake(HandshakeError::Empty))
            }
            Some(Err((TlsError::PlainHttp, Some(stream)))) => {
                // The result is ignored: the stream is refused whether or not the peer reads why.
                let _ = race(pin!(refuse_plain_http(stream)), timer.wait(runtime)).await;
                Err(Rejected::Tls(TlsError::PlainHttp))
            }
            Some(Err((error, _))) => Err(Rejected::Tls(error)),
            None => Err(Rejected::Tls(TlsError::Timeout {
                waited: waited.unwrap_or_default(),
            })),
        }
    }
}
