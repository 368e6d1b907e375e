//! The listening sockets of a server: one for each address, and those that existed. A client reaches the server by whichever
//! address of a name it tries first.

use std::future::poll_fn;
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::task::Poll;

use crate::runtime::{BindConfig, ListeningSocket, Runtime};
use crate::util::sync::atomic::{AtomicUsize, Ordering};

/// The listening sockets of a server, at least one.
pub(crate) struct Listeners<R: Runtime> {
    sockets: Vec<R::Listener>,
    /// Counts the calls of `accept`; chooses the socket that is polled first.
    turn: AtomicUsize,
}

impl<R: Runtime> Listeners<R> {
    /// Listens on sockets that exist, and on all addresses: on the same port if the system chooses it. Skips an address that
    /// this machine does not have, as long as there is another. Returns the addresses, too.
    pub(super) async fn start(
        runtime: &R,
        existing: Vec<ListeningSocket>,
        addrs: Vec<SocketAddr>,
        options: &BindConfig,
    ) -> io::Result<(Self, Vec<SocketAddr>)> {
        let (mut sockets, mut local_addrs) = (Vec::new(), Vec::new());
        for socket in existing {
            match &socket {
                ListeningSocket::Tcp(listener) => local_addrs.push(listener.local_addr()?),
                #[cfg(unix)]
                ListeningSocket::Unix(_) => {}
            }
            sockets.push(runtime.listen_on(socket)?);
        }
        if sockets.is_empty() || !addrs.is_empty() {
            let (more, bound) = Self::bind(runtime, addrs, options).await?;
            sockets.extend(more);
            local_addrs.extend(bound);
        }
        let turn = AtomicUsize::new(0);
        Ok((Self { sockets, turn }, local_addrs))
    }

    async fn bind(
        runtime: &R,
        addrs: Vec<SocketAddr>,
        options: &BindConfig,
    ) -> io::Result<(Vec<R::Listener>, Vec<SocketAddr>)> {
        let mut tries = 0;
        loop {
            match bind_all(runtime, &addrs, options).await {
                // The port that the system chose at one address is taken at another. A new try gets another port.
                Err(Failed::Chosen(_)) if tries < CHOICE_LIMIT => tries += 1,
                Err(Failed::Chosen(error) | Failed::Other(error)) => return Err(error),
                Ok(bound) => return Ok(bound),
            }
        }
    }

    /// Waits for a stream to arrive at any of the sockets.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, no stream is lost.
    pub(super) async fn accept(&self, runtime: &R) -> io::Result<(R::Stream, Option<SocketAddr>)> {
        // The usual case needs no allocation.
        if let [only] = &*self.sockets {
            return runtime.accept(only).await;
        }
        // Round robin, so that a socket that is always ready does not starve the others.
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % self.sockets.len();
        let (later, sooner) = self.sockets.split_at(first);
        let accepting = sooner.iter().chain(later);
        let mut accepting: Vec<_> = accepting
            .map(|socket| Box::pin(runtime.accept(socket)))
            .collect();
        poll_fn(|cx| {
            let mut polled = accepting.iter_mut().map(|accept| accept.as_mut().poll(cx));
            polled.find(Poll::is_ready).unwrap_or(Poll::Pending)
        })
        .await
    }
}

/// Why the server does not listen on all addresses.
enum Failed {
    /// The port that the system chose for one address is taken at another.
    Chosen(io::Error),
    /// Anything else.
    Other(io::Error),
}

async fn bind_all<R: Runtime>(
    runtime: &R,
    addrs: &[SocketAddr],
    options: &BindConfig,
) -> Result<(Vec<R::Listener>, Vec<SocketAddr>), Failed> {
    let (mut sockets, mut bound) = (Vec::new(), Vec::<SocketAddr>::new());
    let mut missing = None;
    let mut chosen = None;
    for addr in addrs {
        let wanted = match chosen.filter(|_| addr.port() == 0) {
            Some(port) => SocketAddr::new(addr.ip(), port),
            None => *addr,
        };
        // A resolver can return an address twice. The second bind would fail with "address in use".
        if bound.contains(&wanted) {
            continue;
        }
        let socket = match runtime.bind(wanted, options).await {
            Ok(socket) => socket,
            Err(error) if is_missing(&error) => {
                // A name such as localhost can have an address of a family that is switched off on this machine.
                tracing::warn!(target: "ws", "not listening on {wanted}: {error}");
                missing = Some(named(wanted, addrs, error));
                continue;
            }
            Err(error) if is_covered(wanted, &bound, &error) => continue,
            Err(error) if wanted != *addr => {
                return Err(Failed::Chosen(named(wanted, addrs, error)));
            }
            Err(error) => return Err(Failed::Other(named(wanted, addrs, error))),
        };
        let local_addr = runtime.local_addr(&socket).map_err(Failed::Other)?;
        if addr.port() == 0 {
            chosen = Some(local_addr.port());
        }
        sockets.push(socket);
        bound.push(local_addr);
    }
    if !sockets.is_empty() {
        return Ok((sockets, bound));
    }
    Err(Failed::Other(missing.unwrap_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "no address to listen on")
    })))
}

/// Returns whether a socket of this server already serves an address. On most systems a socket that listens on `::`
/// accepts the streams for all IPv4 addresses, too.
fn is_covered(wanted: SocketAddr, bound: &[SocketAddr], error: &io::Error) -> bool {
    let every = SocketAddr::from((Ipv6Addr::UNSPECIFIED, wanted.port()));
    error.kind() == io::ErrorKind::AddrInUse && wanted.is_ipv4() && bound.contains(&every)
}

/// Returns whether this machine lacks an address or its whole family. The codes are EAFNOSUPPORT on Linux, on macOS and
/// the BSDs, and on Windows, because `ErrorKind` has no name for it.
fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || matches!(error.raw_os_error(), Some(97 | 47 | 10047))
}

/// Adds the address to an error if there are several. With one address the error stays as the system gave it, with
/// its number.
fn named(addr: SocketAddr, addrs: &[SocketAddr], error: io::Error) -> io::Error {
    if addrs.len() == 1 {
        return error;
    }
    io::Error::new(error.kind(), format!("cannot listen on {addr}: {error}"))
}

/// How many more ports are tried until one is free at all addresses.
const CHOICE_LIMIT: usize = 8;
