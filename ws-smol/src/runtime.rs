//! The smol runtime for the driver: its sockets, timers and tasks.

use std::future::Future;
use std::io::{self, ErrorKind, IoSlice, Read};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixListener;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_io::{AsyncRead, AsyncWrite};
use smol::Async;
#[cfg(unix)]
use ws_driver::tcp_of_unix;
#[cfg(feature = "test-kit")]
use ws_driver::test::{VirtualTime, VirtualTimer};
use ws_driver::{
    BindConfig, ListeningSocket, Runtime, SockRef, SocketReads, Timer, bind_tcp, probe_tcp,
};

/// The smol runtime. Tasks run on its global executor.
#[derive(Clone, Copy, Debug, Default)]
pub struct Smol;

impl Runtime for Smol {
    type Stream = Stream;
    type Listener = Listener;
    type Timer = SmolTimer;

    async fn bind(&self, addr: SocketAddr, options: &BindConfig) -> io::Result<Listener> {
        let listener = Async::new_nonblocking(bind_tcp(addr, options)?)?;
        Ok(Listener(Socket::Tcp(listener)))
    }

    fn listen_on(&self, socket: ListeningSocket) -> io::Result<Listener> {
        Ok(Listener(match socket {
            ListeningSocket::Tcp(listener) => Socket::Tcp(Async::new(listener)?),
            #[cfg(unix)]
            ListeningSocket::Unix(listener) => Socket::Unix(Async::new(listener)?),
            _ => return Err(ErrorKind::Unsupported.into()),
        }))
    }

    fn local_addr(&self, listener: &Listener) -> io::Result<SocketAddr> {
        match &listener.0 {
            Socket::Tcp(listener) => listener.get_ref().local_addr(),
            #[cfg(unix)]
            Socket::Unix(_) => Err(ErrorKind::Unsupported.into()),
        }
    }

    async fn accept(&self, listener: &Listener) -> io::Result<(Stream, Option<SocketAddr>)> {
        match &listener.0 {
            Socket::Tcp(listener) => {
                let (stream, addr) = listener.accept().await?;
                Ok((Stream::new(stream), Some(addr)))
            }
            #[cfg(unix)]
            Socket::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let stream = tcp_of_unix(stream.into_inner()?);
                Ok((Stream::new(Async::new_nonblocking(stream)?), None))
            }
        }
    }

    // Without Nagle's algorithm: the driver joins small messages into one write by itself, and the algorithm would delay
    // the last segment by a round trip.
    fn prepare(&self, stream: &Stream) -> io::Result<()> {
        stream.stream.get_ref().set_nodelay(true)
    }

    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        smol::net::resolve((host, port)).await
    }

    async fn connect(&self, addr: SocketAddr) -> io::Result<Stream> {
        let stream = Stream::new(Async::<TcpStream>::connect(addr).await?);
        self.prepare(&stream)?;
        Ok(stream)
    }

    fn probe(&self, stream: &Stream, idle: Duration, timeout: Duration) -> io::Result<()> {
        probe_tcp(SockRef::from(stream.stream.get_ref()), idle, timeout)
    }

    fn timer(&self) -> SmolTimer {
        SmolTimer {
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
        smol::spawn(task).detach();
    }

    fn yield_now(&self, cx: &mut Context<'_>) {
        // If a future wakes itself, `block_on` polls the sockets without a wait before it polls the future again. If
        // another thread polls them at that moment, that is sufficient, too.
        smol::block_on(smol::future::yield_now());
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

/// A listening socket of smol.
#[derive(Debug)]
pub struct Listener(Socket);

#[derive(Debug)]
enum Socket {
    Tcp(Async<TcpListener>),
    #[cfg(unix)]
    Unix(Async<UnixListener>),
}

/// A TCP stream of smol. To close it ends its write side.
#[derive(Debug)]
pub struct Stream {
    stream: Async<TcpStream>,
    reads: SocketReads,
}

impl Stream {
    fn new(stream: Async<TcpStream>) -> Self {
        Self {
            stream,
            reads: SocketReads::default(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let Self { stream, reads } = &mut *self;
        reads.poll_read(&Smol, cx, buffer.len(), |cx| {
            poll_socket(stream, cx, buffer)
        })
    }
}

impl AsyncWrite for Stream {
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

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.get_ref().shutdown(Shutdown::Write))
    }
}

/// Reads from a socket, or has the reactor wake the task. The same by `Async::poll_read` is a system call more for each
/// wait.
fn poll_socket(
    stream: &Async<TcpStream>,
    cx: &mut Context<'_>,
    buffer: &mut [u8],
) -> Poll<io::Result<usize>> {
    match stream.get_ref().read(buffer) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            // The reactor reports the event first that brought the last bytes, since nobody has asked it since. The
            // socket is empty now, so that is no reason to read again. Then it registers the socket, and an event from
            // before that is seen.
            while stream.poll_readable(cx)?.is_ready() {}
            Poll::Pending
        }
        read => Poll::Ready(read),
    }
}

/// A timer of smol.
#[derive(Debug)]
pub struct SmolTimer {
    /// Made when the timer is first set, because many timers are never set.
    timer: Option<smol::Timer>,
    /// Instead of the other one in a test in virtual time.
    #[cfg(feature = "test-kit")]
    in_test: Option<VirtualTimer>,
}

impl Timer for SmolTimer {
    fn set(&mut self, deadline: Instant) {
        #[cfg(feature = "test-kit")]
        if let Some(timer) = &mut self.in_test {
            timer.set(deadline);
            return;
        }
        match &mut self.timer {
            Some(timer) => timer.set_at(deadline),
            None => self.timer = Some(smol::Timer::at(deadline)),
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

    /// A prepared stream sends small messages without waiting for an acknowledgement.
    #[test]
    fn a_prepared_stream_waits_for_no_acknowledgement() {
        smol::block_on(async {
            let options = BindConfig::default();
            let listener = Smol.bind(([127, 0, 0, 1], 0).into(), &options);
            let listener = listener.await.unwrap();
            let _peer = TcpStream::connect(Smol.local_addr(&listener).unwrap()).unwrap();
            let (stream, _) = Smol.accept(&listener).await.unwrap();
            Smol.prepare(&stream).unwrap();
            assert!(stream.stream.get_ref().nodelay().unwrap());
        });
    }
}
