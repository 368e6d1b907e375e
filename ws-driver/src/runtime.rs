//! What the driver needs of an async runtime, and nothing else. An adapter implements it; a
//! simulated runtime for tests does, too.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_io::{AsyncRead, AsyncWrite};
use ws_proto::Randomness;

use crate::util::random::SystemRandomness;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// An async runtime: sockets, timers, tasks and a clock.
///
/// Its value is cheap to clone. Implement [`Default`], too: [`Server::builder`](crate::Server::builder) and
/// [`connect`](crate::connect) make their runtime by it. Streams that it makes have `TCP_NODELAY` set where they are TCP, as
/// the driver writes what belongs together at once; those that it accepts get it by
/// [`prepare`](Self::prepare).
pub trait Runtime: Clone + Send + Sync + 'static {
    /// A byte stream to a peer.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;
    /// A listening socket.
    type Listener: Send + Sync + 'static;
    /// A timer that can be set again and again.
    type Timer: Timer;

    /// Listens on an address; port 0 means any free port. What the options ask for and the runtime
    /// cannot do makes it fail with [`Unsupported`](io::ErrorKind::Unsupported).
    fn bind(
        &self,
        addr: SocketAddr,
        options: &BindConfig,
    ) -> impl Future<Output = io::Result<Self::Listener>> + Send;

    /// Returns the address that a listener is bound to.
    ///
    /// # Errors
    ///
    /// Fails if the operating system does not say.
    fn local_addr(&self, listener: &Self::Listener) -> io::Result<SocketAddr>;

    /// Waits for a stream to arrive, and does nothing more with it: what is to be set is for
    /// [`prepare`](Self::prepare).
    ///
    /// # Errors
    ///
    /// Fails with the error of the system, code included, and if the stream cannot be registered with the reactor.
    /// The server tries again after every code except those of a listener that is closed or does not listen
    /// (`EBADF`, `EFAULT`, `EINVAL`, `ENOTSOCK`). An error without a code ends the server, unless its kind says
    /// that a stream was lost or that memory lacks.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, no stream is lost.
    fn accept(
        &self,
        listener: &Self::Listener,
    ) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;

    /// Sets what a stream that was accepted needs, such as `TCP_NODELAY`. Does nothing by default.
    ///
    /// # Errors
    ///
    /// Fails if the operating system does not agree; the stream is dropped then, and nothing else.
    fn prepare(&self, stream: &Self::Stream) -> io::Result<()> {
        let _ = stream;
        Ok(())
    }

    /// Looks up the addresses of a host's name, the one that the system prefers first (RFC 6724), each
    /// with the port. The driver never asks for what is an address already, and takes turns between IPv6 and IPv4
    /// by itself (RFC 8305).
    ///
    /// # Errors
    ///
    /// Fails if the name cannot be looked up. No addresses at all count as that, too.
    fn resolve(
        &self,
        host: &str,
        port: u16,
    ) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;

    /// Opens a stream to an address. The driver tries several addresses at a time and limits the time of
    /// each, so this needs no timeout.
    ///
    /// # Errors
    ///
    /// Fails if the peer or the system refuses; the driver tells the error with the address.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the attempt is given up.
    fn connect(&self, addr: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Makes the operating system probe a peer that has been silent for `idle`, and break the stream
    /// if it does not answer for `timeout` more. It is asked for on connections whose version has no
    /// ping, draft-75 and draft-76. Does nothing by default.
    ///
    /// # Errors
    ///
    /// Fails if the operating system does not agree; the stream is as good as before.
    fn probe(&self, stream: &Self::Stream, idle: Duration, timeout: Duration) -> io::Result<()> {
        let _ = (stream, idle, timeout);
        Ok(())
    }

    /// Makes a timer; it is not set.
    fn timer(&self) -> Self::Timer;

    /// Runs a future as a task of its own, to its end; nobody waits for it.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);

    /// Has the task run again after the runtime has looked at its sockets and timers, and the tasks that are
    /// ready have had their turn. Tasks that have more to do than one poll may take call it, about once in a
    /// millisecond for each thread.
    ///
    /// By default it only wakes the task. That will do for a runtime that looks at its sockets between any
    /// two polls; for others it lets one busy peer keep all others waiting.
    fn yield_now(&self, cx: &mut Context<'_>) {
        cx.waker().wake_by_ref();
    }

    /// Tells whether the code that calls this runs in a [task](Self::spawn) of this runtime: then other tasks
    /// that are woken now run soon, or are dropped as the runtime ends. A sender elsewhere writes to the stream
    /// itself, because nobody may ever poll the connection's task again. `false` if the runtime cannot tell,
    /// which costs some speed and loses nothing.
    fn is_in_task() -> bool {
        false
    }

    /// Returns the time. Deadlines are set in terms of it.
    fn now(&self) -> Instant;

    /// Fills `bytes` with random bytes, which spread timers. By default the operating system's; a simulated runtime
    /// can have its own, so that a run can be repeated. Keys and masks are not drawn from here.
    fn fill_random(&self, bytes: &mut [u8]) {
        SystemRandomness.fill(bytes);
    }
}

/// What a runtime draws, for timers.
pub(crate) struct RuntimeRandomness<'a, R>(pub(crate) &'a R);

impl<R: Runtime> Randomness for RuntimeRandomness<'_, R> {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_random(bytes);
    }
}

/// How to [listen](Runtime::bind).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct BindConfig {
    /// Whether other listeners that say so, too, can listen on the same port: `SO_REUSEPORT`. The
    /// system shares what arrives between them.
    pub reuse_port: bool,
}

/// Implements [`Runtime::bind`] for TCP; the listener does not block.
///
/// # Errors
///
/// Fails if the operating system does not agree, or cannot do what the options ask for.
pub fn bind_tcp(addr: SocketAddr, options: &BindConfig) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // A server can start again while connections of the one before rest. On Windows the option has
    // another meaning, and this is so without it.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    if options.reuse_port {
        reuse_port(&socket)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos"))))]
fn reuse_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

#[cfg(not(all(unix, not(any(target_os = "solaris", target_os = "illumos")))))]
fn reuse_port(_: &Socket) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Streams that can wait to be accepted. The system lowers it to its own limit, which is for the
/// administrator to set.
const BACKLOG: i32 = 4096;

/// Has a peer probed within these limits, if there are any. If that cannot be done a peer that vanishes
/// is kept for longer, which is no reason to give up one that is there.
pub(crate) fn probe_silent<R: Runtime>(
    runtime: &R,
    stream: &R::Stream,
    limits: Option<(Duration, Duration)>,
) {
    let Some((idle, timeout)) = limits else {
        return;
    };
    if let Err(error) = runtime.probe(stream, idle, timeout) {
        tracing::debug!(target: "ws", "cannot make the system probe a peer: {error}");
    }
}

/// Implements [`Runtime::probe`] for TCP: keepalive probes after `idle`, spread over `timeout`.
///
/// # Errors
///
/// Fails if the operating system does not agree.
pub fn probe_tcp(socket: SockRef<'_>, idle: Duration, timeout: Duration) -> io::Result<()> {
    let keepalive = TcpKeepalive::new()
        .with_time(idle)
        .with_interval(timeout / PROBES)
        .with_retries(PROBES);
    socket.set_tcp_keepalive(&keepalive)
}

/// Probes that go unanswered before a stream is broken: one that is lost alone does no harm.
const PROBES: u32 = 4;

/// A timer of a [`Runtime`].
pub trait Timer: Send + Unpin + 'static {
    /// Sets the timer to a deadline; forgets the one before.
    fn set(&mut self, deadline: Instant);

    /// Is ready once the deadline has passed; wakes the task then. Never ready if it was not set.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}
