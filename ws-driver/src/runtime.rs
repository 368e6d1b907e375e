//! The interface that the driver needs of an async runtime, and nothing else. Adapters implement it, and so does the
//! simulated runtime of the tests.

use std::future::{Future, poll_fn};
use std::io;
#[cfg(unix)]
use std::net::TcpStream;
use std::net::{SocketAddr, TcpListener};
#[cfg(unix)]
use std::os::fd::OwnedFd;
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_io::{AsyncRead, AsyncWrite};
use ws_proto::Randomness;

use crate::util::random::SystemRandomness;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// An async runtime: sockets, timers, tasks and a clock.
///
/// Its value is cheap to clone. Implement [`Default`], too, because [`Server::builder`](crate::Server::builder) and
/// [`connect`](crate::connect) make their runtime with it. TCP streams have `TCP_NODELAY` set, because the driver
/// writes at once what belongs together: [`connect`](Self::connect) sets it by itself, and [`prepare`](Self::prepare)
/// sets it on streams that were accepted.
pub trait Runtime: Clone + Send + Sync + 'static {
    /// A byte stream to a peer.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;
    /// A listening socket.
    type Listener: Send + Sync + 'static;
    /// A timer that can be set again and again.
    type Timer: Timer;

    /// Listens on an address; port 0 means any free port.
    ///
    /// # Errors
    ///
    /// Fails if the operating system does not allow it, and with [`Unsupported`](io::ErrorKind::Unsupported) if the
    /// runtime cannot do something that the options ask for.
    fn bind(
        &self,
        addr: SocketAddr,
        options: &BindConfig,
    ) -> impl Future<Output = io::Result<Self::Listener>> + Send;

    /// Takes over a listening socket that exists, and makes it non-blocking. By default it fails.
    ///
    /// # Errors
    ///
    /// Fails if the operating system or the reactor refuses the socket, and with
    /// [`Unsupported`](io::ErrorKind::Unsupported) if the runtime cannot listen on its kind.
    fn listen_on(&self, socket: ListeningSocket) -> io::Result<Self::Listener> {
        let _ = socket;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Returns the address that a listener is bound to.
    ///
    /// # Errors
    ///
    /// Fails if the operating system does not return the address.
    fn local_addr(&self, listener: &Self::Listener) -> io::Result<SocketAddr>;

    /// Waits for a stream to arrive, and sets no options on it: [`prepare`](Self::prepare) does that. A stream that is not
    /// TCP, such as that of a Unix socket, has no address.
    ///
    /// # Errors
    ///
    /// Fails with the error of the system, including its code, and if the stream cannot be registered with the
    /// reactor. The server tries again after every code except the codes of a listener that is closed or does not
    /// listen (`EBADF`, `EFAULT`, `EINVAL`, `ENOTSOCK`). An error without a code ends the server, unless its kind
    /// says that a stream was lost or that memory is exhausted.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, no stream is lost.
    fn accept(
        &self,
        listener: &Self::Listener,
    ) -> impl Future<Output = io::Result<(Self::Stream, Option<SocketAddr>)>> + Send;

    /// Sets the options of a TCP stream that was accepted, such as `TCP_NODELAY`. Does nothing by default.
    ///
    /// # Errors
    ///
    /// Fails if the operating system refuses. The stream is dropped then, and the server goes on.
    fn prepare(&self, stream: &Self::Stream) -> io::Result<()> {
        let _ = stream;
        Ok(())
    }

    /// Looks up the addresses of a host name, each with the port, in the system's order of preference (RFC 6724). The
    /// driver never calls it with an address, except one with the name of an interface, such as `fe80::1%eth0` (RFC 4007
    /// §11), whose number belongs in the result. It alternates between IPv6 and IPv4 by itself (RFC 8305).
    ///
    /// # Errors
    ///
    /// Fails if the name cannot be looked up. An empty list counts as an error, too.
    fn resolve(
        &self,
        host: &str,
        port: u16,
    ) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;

    /// Opens a stream to an address. It needs no timeout, because the driver tries several addresses at a time and
    /// limits the time of each.
    ///
    /// # Errors
    ///
    /// Fails if the peer or the system refuses. The driver reports the error together with the address.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the attempt ends.
    fn connect(&self, addr: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Makes the operating system probe a peer that has been silent for `idle`, and break the stream if the peer does
    /// not answer for another `timeout`. The driver uses it for versions without a ping, which are draft-75 and
    /// draft-76. Does nothing by default.
    ///
    /// # Errors
    ///
    /// Fails if the operating system refuses. The stream is used without probes then.
    fn probe(&self, stream: &Self::Stream, idle: Duration, timeout: Duration) -> io::Result<()> {
        let _ = (stream, idle, timeout);
        Ok(())
    }

    /// Makes a timer that is not set.
    fn timer(&self) -> Self::Timer;

    /// Runs a future to its end in a task of its own. No other task waits for it.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);

    /// Has the task run again after the runtime has looked at its sockets and timers, and after the tasks that are
    /// ready have run. Tasks that have more to do than one poll may take call it, about once in a millisecond for
    /// each thread.
    ///
    /// By default it only wakes the task. That is enough for a runtime that looks at its sockets between any two
    /// polls. With other runtimes one busy peer would keep all others waiting.
    fn yield_now(&self, cx: &mut Context<'_>) {
        cx.waker().wake_by_ref();
    }

    /// Returns whether the calling code runs in a [task](Self::spawn) of this runtime. If so, other tasks that are
    /// woken now run soon, or are dropped when the runtime ends. A sender outside of the tasks writes to the stream
    /// by itself, because the connection's task may never be polled again. A runtime that cannot know returns
    /// `false`, which costs some speed and loses nothing.
    fn is_in_task() -> bool {
        false
    }

    /// Returns the current time. Deadlines are set by this clock.
    fn now(&self) -> Instant;

    /// Fills `bytes` with random bytes, which spread timers. By default they come from the operating system. A
    /// simulated runtime can have its own, so that a run can be repeated. Keys and masks never come from here.
    fn fill_random(&self, bytes: &mut [u8]) {
        SystemRandomness.fill(bytes);
    }
}

/// Waits for a time by the clock of a runtime. Adapters have it without the runtime, such as `ws_tokio::sleep`.
///
/// # Cancel safety
///
/// If the future is dropped before it is ready, the timer is dropped, and nothing is lost.
pub async fn sleep<R: Runtime>(runtime: &R, time: Duration) {
    let mut timer = runtime.timer();
    timer.set(runtime.now() + time);
    poll_fn(|cx| timer.poll(cx)).await;
}

/// Lets the other tasks of the thread run, and the runtime look at its sockets.
pub(crate) async fn yield_now<R: Runtime>(runtime: &R) {
    let mut has_waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_waited, true) {
            return Poll::Ready(());
        }
        runtime.yield_now(cx);
        Poll::Pending
    })
    .await;
}

/// The random bytes of a runtime, for timers.
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
    /// Whether several listeners with this option can listen on the same port: `SO_REUSEPORT`. The system shares the
    /// streams that arrive between them.
    pub reuse_port: bool,
}

/// A listening socket that exists: one that the application has bound, or that the program got from its parent, as from
/// systemd. See [`ServerBuilder::listener`](crate::ServerBuilder::listener).
#[derive(Debug)]
#[non_exhaustive]
pub enum ListeningSocket {
    /// A TCP socket.
    Tcp(TcpListener),
    /// A Unix socket. Its file stays when the server ends.
    #[cfg(unix)]
    Unix(UnixListener),
}

impl From<TcpListener> for ListeningSocket {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

#[cfg(unix)]
impl From<UnixListener> for ListeningSocket {
    fn from(listener: UnixListener) -> Self {
        Self::Unix(listener)
    }
}

/// Gives a stream of a Unix socket the type of a TCP stream, for [`Runtime::accept`]: it is read, written and shut down by the
/// same calls of the system. So a runtime needs one type of stream, and those of TCP do not pay for a choice. What is of TCP alone
/// fails: its addresses, and options such as `TCP_NODELAY`.
#[cfg(unix)]
pub fn tcp_of_unix(stream: UnixStream) -> TcpStream {
    OwnedFd::from(stream).into()
}

/// Makes a TCP listener that does not block, for [`Runtime::bind`].
///
/// # Errors
///
/// Fails if the operating system refuses, or if it cannot do something that the options ask for.
pub fn bind_tcp(addr: SocketAddr, options: &BindConfig) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // A server can start again while connections of its predecessor are in TIME_WAIT. Windows allows that without the
    // option, which means something else there.
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

/// Streams that can wait to be accepted. Large, because the system lowers it to its own limit, which the
/// administrator sets.
const BACKLOG: i32 = 4096;

/// Has the system probe a peer within these limits, if there are any.
pub(crate) fn probe_silent<R: Runtime>(
    runtime: &R,
    stream: &R::Stream,
    limits: Option<(Duration, Duration)>,
) {
    let Some((idle, timeout)) = limits else {
        return;
    };
    if let Err(error) = runtime.probe(stream, idle, timeout) {
        // A peer that vanishes is kept for longer then. That is no reason to close a connection that works.
        tracing::debug!(target: "ws", "cannot make the system probe a peer: {error}");
    }
}

/// Sets the keepalive of a TCP socket, for [`Runtime::probe`]: probes begin after `idle` and are spread over `timeout`.
///
/// # Errors
///
/// Fails if the operating system refuses.
pub fn probe_tcp(socket: SockRef<'_>, idle: Duration, timeout: Duration) -> io::Result<()> {
    let keepalive = TcpKeepalive::new()
        .with_time(idle)
        .with_interval(timeout / PROBES)
        .with_retries(PROBES);
    socket.set_tcp_keepalive(&keepalive)
}

/// Unanswered probes that break a stream. There are several, because a single probe can be lost.
const PROBES: u32 = 4;

/// A timer of a [`Runtime`].
pub trait Timer: Send + Unpin + 'static {
    /// Sets the timer to a deadline, instead of the one before.
    fn set(&mut self, deadline: Instant);

    /// Is ready once the deadline has passed, and wakes the task for that. It is never ready if no deadline was set.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}
