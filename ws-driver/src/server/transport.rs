//! What lies between the streams that arrive and their opening handshakes: nothing, or TLS. It is
//! opened in the task of the stream, so that no peer can keep another waiting.

use std::future::Future;
use std::time::Instant;

use futures_io::{AsyncRead, AsyncWrite};

use super::shared::Shared;
use crate::observe::rejected::Rejected;
use crate::runtime::Runtime;
use crate::tls::TlsInfo;

/// What a stream `S` is opened with before its opening handshake.
pub(super) trait Layer<S>: Send + Sync + 'static {
    /// The stream of the handshake.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Opens a stream, as long as the deadline of its opening handshake allows.
    fn open<R: Runtime>(
        &self,
        shared: &Shared<R>,
        stream: S,
        begin: Instant,
    ) -> impl Future<Output = Result<Self::Stream, Rejected>> + Send;

    /// Returns the stream that was opened with it.
    fn transport(stream: &Self::Stream) -> &S;

    /// Returns what TLS was agreed on.
    fn tls(stream: &Self::Stream) -> Option<TlsInfo>;
}

/// Nothing.
pub(super) struct Plain;

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Layer<S> for Plain {
    type Stream = S;

    async fn open<R: Runtime>(&self, _: &Shared<R>, stream: S, _: Instant) -> Result<S, Rejected> {
        Ok(stream)
    }

    fn transport(stream: &S) -> &S {
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

    impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Layer<S> for ServerTls {
        type Stream = TlsStream<S>;

        async fn open<R: Runtime>(
            &self,
            shared: &Shared<R>,
            stream: S,
            begin: Instant,
        ) -> Result<TlsStream<S>, Rejected> {
            let waited = shared.options.config.get_handshake_timeout();
            let runtime = &shared.runtime;
            let mut timer = DeadlineTimer::new(runtime);
            if let Some(deadline) = waited.and_then(|wait| begin.checked_add(wait)) {
                timer.set(deadline);
            }
            let opened = race(pin!(self.open(stream)), timer.wait(runtime)).await;
            match opened.first() {
                Some(Ok(stream)) => Ok(stream),
                // A stream that brought nothing asked for nothing, whichever way it ended.
                Some(Err((TlsError::Disconnected | TlsError::Io(_), Some(_)))) => {
                    Err(Rejected::Handshake(HandshakeError::Empty))
                }
                Some(Err((TlsError::PlainHttp, Some(stream)))) => {
                    // Whether the peer takes it, changes nothing.
                    let _ = race(pin!(refuse_plain_http(stream)), timer.wait(runtime)).await;
                    Err(Rejected::Tls(TlsError::PlainHttp))
                }
                Some(Err((error, _))) => Err(Rejected::Tls(error)),
                None => Err(Rejected::Tls(TlsError::Timeout {
                    waited: waited.unwrap_or_default(),
                })),
            }
        }

        fn transport(stream: &TlsStream<S>) -> &S {
            stream.transport()
        }

        fn tls(stream: &TlsStream<S>) -> Option<TlsInfo> {
            Some(stream.info())
        }
    }
}
