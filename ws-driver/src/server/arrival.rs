//! A stream that has arrived, up to where its opening handshake can begin: for whom its other end speaks, and whether that may have
//! one more. Knows nothing of TLS and of requests.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use futures_io::{AsyncRead, AsyncWrite};
use ws_proto::Role;

#[cfg(feature = "http2")]
use super::http2::Adopt;
use super::proxy_header::{self, ProxyHeader};
use super::reporter::StreamReporter;
use super::shared::SharedServer;
use super::shutdown_phase::ShutdownPhase;
use crate::front::proxy_protocol::ProxyProtocol;
use crate::id::ConnectionId;
use crate::observe::ConnectionInfo;
use crate::registry::Entry;
use crate::runtime::Runtime;

/// A stream that has arrived.
pub(super) struct Arrival<R: Runtime, S> {
    pub(super) entry: Entry,
    pub(super) stream: S,
    pub(super) peer_addr: Option<SocketAddr>,
    /// Lets the system probe a silent peer that the protocol cannot ping.
    pub(super) probe: fn(&SharedServer<R>, &S),
    /// Whether it came by a listening socket of the server, whose options are not for streams of the application.
    pub(super) is_of_port: bool,
    /// Whether it came by a Unix socket of the server, or as one in the test kit.
    pub(super) is_local: bool,
    /// What becomes of the sockets of a session of HTTP/2, where the option `http2` is on.
    #[cfg(feature = "http2")]
    pub(super) adopt: Option<Adopt>,
}

/// The other end of a stream that has arrived.
pub(super) struct Peer<'a> {
    pub(super) addr: Option<SocketAddr>,
    /// The proxies that send a header first, if it may be one of them.
    pub(super) proxies: Option<&'a ProxyProtocol>,
    /// Whether it came by a Unix socket of the server.
    pub(super) is_local: bool,
}

/// A stream whose opening handshake can begin.
pub(super) struct Received<S> {
    pub(super) stream: S,
    /// The first bytes of it, which were read already.
    pub(super) early: Vec<u8>,
    pub(super) arrived: Instant,
    pub(super) reporter: StreamReporter,
}

/// Finds out who is at the other end of a stream, and tells the observers. Returns `None` if the stream was refused, or if the
/// server shuts down.
pub(super) async fn receive<R, S>(
    shared: &Arc<SharedServer<R>>,
    id: ConnectionId,
    mut stream: S,
    peer: Peer<'_>,
    is_plain: bool,
) -> Option<Received<S>>
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Unpin,
{
    if shared.stop.has_reached(ShutdownPhase::ShuttingDown) {
        // Accepted so late that the shutdown does not wait for it.
        return None;
    }
    let arrived = shared.runtime.now();
    // Before the observers are told of the stream, so that they get the address of the client.
    let header = match peer.proxies {
        Some(proxies) => {
            let reading = proxy_header::read(shared, proxies, &mut stream, peer.addr, arrived);
            let stop = &shared.stop;
            stop.unless(ShutdownPhase::ShuttingDown, pin!(reading))
                .await?
        }
        None => Ok(ProxyHeader::default()),
    };
    let client = header.as_ref().ok().and_then(|header| header.client);
    let info = ConnectionInfo {
        id,
        role: Role::Server,
        peer_addr: client.or(peer.addr),
        tls: None,
        version: None,
        http_version: None,
    };
    let observers = shared.settings.observers.clone();
    let mut reporter = StreamReporter::new(observers, info, shared.clients.clone(), arrived);
    reporter.is_local = peer.is_local;
    let admitted = header.and_then(|header| {
        let now = shared.runtime.now();
        let admitted = reporter.admit_stream(&shared.settings, now);
        admitted.map(|()| header.rest)
    });
    match admitted {
        Ok(early) => Some(Received {
            stream,
            early,
            arrived,
            reporter,
        }),
        Err(rejected) => {
            // Before the answer, so that whoever has read it finds it counted.
            reporter.note_rejected(&rejected);
            if is_plain && rejected.is_about_address() {
                refuse_at_once(&mut stream).await;
            }
            None
        }
    }
}

/// Answers a stream before anything of it is read, and does not wait for the peer to take it: whoever opens too many streams is to
/// cost little.
async fn refuse_at_once<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    poll_fn(|cx| {
        // What has arrived is taken first: a stream that is closed with unread bytes is reset, and the answer would be lost.
        let _ = Pin::new(&mut *stream).poll_read(cx, &mut [0; 1024]);
        let _ = Pin::new(&mut *stream).poll_write(cx, TOO_MANY_REQUESTS);
        let _ = Pin::new(&mut *stream).poll_close(cx);
        Poll::Ready(())
    })
    .await;
}

/// RFC 6585 §4.
const TOO_MANY_REQUESTS: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\n\
    Connection: close\r\nContent-Length: 0\r\n\r\n";
