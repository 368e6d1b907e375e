//! The async-std runtime for the driver: its sockets and tasks, and the timers of its reactor.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
#[cfg(unix)]
use std::os::unix::net::UnixListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

#[cfg(unix)]
use async_io::Async;
use async_std::net::{TcpListener, TcpStream, ToSocketAddrs};
#[cfg(unix)]
use async_std::os::unix::net::UnixStream;
use futures_io::{AsyncRead, AsyncWrite};
#[cfg(unix)]
use ws_driver::tcp_of_unix;
#[cfg(feature = "test-kit")]
use ws_driver::test::{VirtualTime, VirtualTimer};
use ws_driver::{
    BindConfig, ListeningSocket, Runtime, SockRef, SocketReads, Timer, bind_tcp, probe_tcp,
};

/// The async-std runtime. Tasks run on its global executor.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsyncStd;

impl Runtime for AsyncStd {
    type Stream = Stream;
    type Listener = Listener;
    type Timer = AsyncStdTimer;

    async fn bind(&self, addr: SocketAddr, options: &BindConfig) -> io::Result<Listener> {
        let listener = registered(bind_tcp(addr, options)?)?;
        Ok(Listener(Socket::Tcp(listener)))
    }

    fn listen_on(&self, socket: ListeningSocket) -> io::Result<Listener> {
        Ok(Listener(match socket {
            ListeningSocket::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                Socket::Tcp(registered(listener)?)
            }
            #[cfg(unix)]
            ListeningSocket::Unix(listener) => Socket::Unix(Async::new(listener)?),
            _ => return Err(io::ErrorKind::Unsupported.into()),
        }))
    }

    fn local_addr(&self, listener: &Listener) -> io::Result<SocketAddr> {
        match &listener.0 {
            Socket::Tcp(listener) => listener.local_addr(),
            #[cfg(unix)]
            Socket::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    async fn accept(&self, listener: &Listener) -> io::Result<(Stream, Option<SocketAddr>)> {
        match &listener.0 {
            Socket::Tcp(listener) => {
                let (stream, addr) = listener.accept().await?;
                Ok((stream.into(), Some(addr)))
            }
            #[cfg(unix)]
            Socket::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let stream = tcp_of_unix(stream.into_inner()?);
                let stream: TcpStream = registered(stream)?;
                Ok((stream.into(), None))
            }
        }
    }

    // Without Nagle's algorithm: the driver joins small messages into one write by itself, and the algorithm would delay
    // the last segment by a round trip.
    fn prepare(&self, stream: &Stream) -> io::Result<()> {
        stream.stream.set_nodelay(true)
    }

    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok((host, port).to_socket_addrs().await?.collect())
    }

    async fn connect(&self, addr: SocketAddr) -> io::Result<Stream> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(stream.into())
    }

    fn probe(&self, stream: &Stream, idle: Duration, timeout: Duration) -> io::Result<()> {
        probe_tcp(SockRef::from(&stream.stream), idle, timeout)
    }

    fn timer(&self) -> AsyncStdTimer {
        AsyncStdTimer {
            timer: None,
            #[cfg(feature = "test-kit")]
            in_test: VirtualTime::current().map(|time| time.timer()),
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        #[cfg(feature = "test-kit")]
        if let Some(time) = VirtualTime::current() {
            time.spawn(task);
            return;
        }
        async_std::task::spawn(task);
    }

    fn yield_now(&self, cx: &mut Context<'_>) {
        // If a future wakes itself, `block_on` polls the sockets without a wait before it polls the future again. If
        // another thread polls them at that moment, that is sufficient, too.
        async_io::block_on(async_std::task::yield_now());
        cx.waker().wake_by_ref();
    }

    fn now(&self) -> Instant {
        #[cfg(feature = "test-kit")]
        if let Some(time) = VirtualTime::current() {
            return time.now();
        }
        Instant::now()
    }
}

/// Gives a socket to the reactor. async-std panics if that fails, as it does when the system has no room for another watch; then the
/// socket is lost, and not the task that accepts.
fn registered<F, T: From<F>>(socket: F) -> io::Result<T> {
    let registering = AssertUnwindSafe(|| T::from(socket));
    catch_unwind(registering).map_err(|_| {
        let lost = "the reactor cannot watch the socket";
        io::Error::new(io::ErrorKind::ConnectionAborted, lost)
    })
}

/// A listening socket of async-std.
#[derive(Debug)]
pub struct Listener(Socket);

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(Async<UnixListener>),
}

/// A stream of async-std: a TCP stream, or a Unix stream that the application made. To close it ends its
/// write side.
#[derive(Debug)]
pub struct Stream<T = TcpStream> {
    stream: T,
    reads: SocketReads,
}

impl<T> Stream<T> {
    fn new(stream: T) -> Self {
        Self {
            stream,
            reads: SocketReads::default(),
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::new(stream)
    }
}

#[cfg(unix)]
impl From<UnixStream> for Stream<UnixStream> {
    fn from(stream: UnixStream) -> Self {
        Self::new(stream)
    }
}

/// Ends the write side of a socket, which is another method for each kind of socket.
trait ShutDown {
    fn shut_down_write(&self) -> io::Result<()>;
}

impl ShutDown for TcpStream {
    fn shut_down_write(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

#[cfg(unix)]
impl ShutDown for UnixStream {
    fn shut_down_write(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Stream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let Self { stream, reads } = &mut *self;
        reads.poll_read(&AsyncStd, cx, buffer.len(), |cx| {
            Pin::new(stream).poll_read(cx, buffer)
        })
    }
}

impl<T: AsyncWrite + ShutDown + Unpin> AsyncWrite for Stream<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Not the `poll_close` of async-std, which only flushes: the peer would see the end only when the stream is
        // dropped, but it waits for that end first.
        Poll::Ready(self.stream.shut_down_write())
    }
}

/// A timer of async-std's reactor.
#[derive(Debug)]
pub struct AsyncStdTimer {
    /// Made when the timer is first set, because many timers are never set.
    timer: Option<async_io::Timer>,
    /// Instead of the other one in a test in virtual time.
    #[cfg(feature = "test-kit")]
    in_test: Option<VirtualTimer>,
}

impl Timer for AsyncStdTimer {
    fn set(&mut self, deadline: Instant) {
        #[cfg(feature = "test-kit")]
        if let Some(timer) = &mut self.in_test {
            timer.set(deadline);
            return;
        }
        match &mut self.timer {
            Some(timer) => timer.set_at(deadline),
            None => self.timer = Some(async_io::Timer::at(deadline)),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        #[cfg(feature = "test-kit")]
        if let Some(timer) = &mut self.in_test {
            return timer.poll(cx);
        }
        match &mut self.timer {
            Some(timer) => Pin::new(timer).poll(cx).map(drop),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket that the reactor cannot watch is an error, though async-std panics: the accept loop goes on.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_socket_that_cannot_be_watched_is_an_error() {
        // epoll watches no regular files.
        let file = std::fs::File::open(file!().replace("ws-async-std/", "")).unwrap();
        let socket = std::net::TcpListener::from(std::os::fd::OwnedFd::from(file));
        let error = AsyncStd.listen_on(socket.into()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    }

    /// A prepared stream sends small messages without waiting for an acknowledgement.
    #[test]
    fn a_prepared_stream_waits_for_no_acknowledgement() {
        async_std::task::block_on(async {
            let options = BindConfig::default();
            let listener = AsyncStd.bind(([127, 0, 0, 1], 0).into(), &options);
            let listener = listener.await.unwrap();
            let addr = AsyncStd.local_addr(&listener).unwrap();
            let _peer = std::net::TcpStream::connect(addr).unwrap();
            let (stream, _) = AsyncStd.accept(&listener).await.unwrap();
            AsyncStd.prepare(&stream).unwrap();
            assert!(stream.stream.nodelay().unwrap());
        });
    }
}
