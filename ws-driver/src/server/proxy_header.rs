//! Reads the header of the PROXY protocol from a stream that has arrived, before anything else is done with it.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::time::Instant;

use futures_io::AsyncRead;
use ws_proto::HandshakeError;

use super::shared::SharedServer;
use crate::driver::deadline::DeadlineTimer;
use crate::front::proxy_protocol::{Parsed, ProxyProtocol, ProxyProtocolError, parse, shown};
use crate::observe::rejected::Rejected;
use crate::runtime::Runtime;
use crate::util::race::race;

/// What a stream begins with.
#[derive(Default)]
pub(super) struct ProxyHeader {
    /// The client, if the proxy speaks for one whose address it knows.
    pub(super) client: Option<SocketAddr>,
    /// The bytes behind it that were read already.
    pub(super) rest: Vec<u8>,
}

/// Bytes that are asked for at a time. A header has less than a hundred, but for facts about TLS.
const READ_LEN: usize = 512;

/// Reads the header of a stream that was accepted at `begin`, within the `handshake_timeout`.
pub(super) async fn read<R, S>(
    shared: &SharedServer<R>,
    proxies: &ProxyProtocol,
    stream: &mut S,
    peer: Option<SocketAddr>,
    begin: Instant,
) -> Result<ProxyHeader, Rejected>
where
    R: Runtime,
    S: AsyncRead + Unpin,
{
    if !proxies.trusts(peer) {
        return match peer.filter(|_| proxies.is_required()) {
            Some(addr) => Err(refused(ProxyProtocolError::Untrusted { addr })),
            None => Ok(ProxyHeader::default()),
        };
    }
    let runtime = &shared.runtime;
    let mut timer = DeadlineTimer::new(runtime);
    let waited = shared.settings.config.get_handshake_timeout();
    if let Some(deadline) = waited.and_then(|wait| begin.checked_add(wait)) {
        timer.set(deadline);
    }
    let reading = pin!(read_to_end(stream, proxies.is_required()));
    let read = race(reading, timer.wait(runtime)).await;
    read.first().unwrap_or_else(|| {
        let waited = waited.unwrap_or_default();
        Err(refused(ProxyProtocolError::Timeout { waited }))
    })
}

/// Reads to the end of the header, or to where it shows that there is none.
async fn read_to_end<S: AsyncRead + Unpin>(
    stream: &mut S,
    is_required: bool,
) -> Result<ProxyHeader, Rejected> {
    let mut received = Vec::new();
    loop {
        match parse(&received).map_err(refused)? {
            Parsed::Header { len, client } => {
                let rest = received.split_off(len);
                return Ok(ProxyHeader { client, rest });
            }
            Parsed::Other if is_required => {
                let first = shown(&received);
                return Err(refused(ProxyProtocolError::Missing { first }));
            }
            Parsed::Other => {
                let (client, rest) = (None, received);
                return Ok(ProxyHeader { client, rest });
            }
            Parsed::Incomplete => {}
        }
        let mut buffer = [0; READ_LEN];
        let read = poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut buffer)).await;
        match read {
            Ok(len @ 1..) => received.extend_from_slice(&buffer[..len]),
            // A stream without a byte asked for nothing: a port scan, or a health check.
            Ok(0) | Err(_) if received.is_empty() => {
                return Err(Rejected::Handshake(HandshakeError::Empty));
            }
            Ok(0) | Err(_) => return Err(refused(ProxyProtocolError::Disconnected)),
        }
    }
}

fn refused(error: ProxyProtocolError) -> Rejected {
    Rejected::ProxyProtocol(error)
}
