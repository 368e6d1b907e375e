//! The `tracing` span of a connection. Its task runs in the span, so that the log lines of handlers name their
//! connection. Without a subscriber for it, it costs a null pointer.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tracing::Span;
use tracing::field::{Empty, display};
use ws_proto::{ClientUrl, Version};

use crate::id::ConnectionId;

/// The span of a connection, or of a stream that may become one.
///
/// It has the target `ws`, the level `INFO`, the name `connection` and the fields `id` and `peer`. Once the
/// connection is open, it also has `version` and `path`. The query is left out, because it can be secret. That of a client
/// has `host` as well, because `peer` can be the address of a proxy.
#[derive(Clone)]
pub(crate) struct ConnectionSpan(Option<Box<Span>>);

impl ConnectionSpan {
    /// Makes none.
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    pub(crate) fn new(id: ConnectionId, peer_addr: Option<SocketAddr>) -> Self {
        let span = tracing::info_span!(
            target: "ws",
            "connection",
            id = %id,
            peer = peer_addr.map(display),
            version = Empty,
            path = Empty,
        );
        Self((!span.is_disabled()).then(|| Box::new(span)))
    }

    /// Makes the span of a client, for its attempt to open a connection and for the connection.
    pub(crate) fn of_client(id: ConnectionId, url: &ClientUrl) -> Self {
        let span = tracing::info_span!(
            target: "ws",
            "connection",
            id = %id,
            host = url.authority(),
            peer = Empty,
            version = Empty,
            path = Empty,
        );
        Self((!span.is_disabled()).then(|| Box::new(span)))
    }

    /// Makes the span of a request of plain HTTP that a proxy passes on for a client. It stands in that of the stream, which
    /// has no peer, because a proxy may send the requests of many clients on one stream.
    pub(crate) fn of_request(peer_addr: Option<SocketAddr>) -> Self {
        let span = tracing::info_span!(target: "ws", "request", peer = peer_addr.map(display));
        Self((!span.is_disabled()).then(|| Box::new(span)))
    }

    /// Adds the address of a peer that was not known at first.
    pub(crate) fn note_peer(&self, peer_addr: Option<SocketAddr>) {
        if let (Some(span), Some(peer_addr)) = (&self.0, peer_addr) {
            span.record("peer", display(peer_addr));
        }
    }

    /// Adds the fields that are known once the connection is open. The path is made only if the span is enabled.
    pub(crate) fn note_open(&self, version: Version, path: impl FnOnce() -> String) {
        if let Some(span) = &self.0 {
            span.record("version", version.as_str());
            span.record("path", path());
        }
    }

    /// Runs a future in the span.
    pub(crate) fn around<F: Future + Unpin>(self, future: F) -> Spanned<F> {
        Spanned { span: self, future }
    }
}

/// A future that is polled in a span.
pub(crate) struct Spanned<F> {
    span: ConnectionSpan,
    future: F,
}

impl<F: Future + Unpin> Future for Spanned<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Self { span, future } = &mut *self;
        let _entered = span.0.as_ref().map(|span| span.enter());
        Pin::new(future).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::mem::size_of;
    use std::pin::pin;

    use allocation_counter::measure;

    use super::*;

    /// Without a subscriber a span takes no memory but its pointer, and its future is polled unchanged.
    #[test]
    fn a_span_that_nobody_wants_costs_no_memory() {
        assert_eq!(size_of::<ConnectionSpan>(), size_of::<usize>());
        let id = ConnectionId::of_client();
        let addr = SocketAddr::from(([127, 0, 0, 1], 80));
        // Its place in the code is registered once.
        drop(ConnectionSpan::new(id, None));
        let used = measure(|| {
            let span = ConnectionSpan::new(id, Some(addr));
            span.clone()
                .note_open(Version::Rfc6455, || unreachable!("nobody asks for it"));
            let mut future = pin!(span.around(std::future::ready(1)));
            let mut cx = Context::from_waker(std::task::Waker::noop());
            assert_eq!(future.as_mut().poll(&mut cx), Poll::Ready(1));
        });
        assert_eq!(used.count_total, 0);
    }
}
