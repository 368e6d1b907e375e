//! The tokio runtime for the driver: its sockets, timers and tasks.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_io::{AsyncRead, AsyncWrite};
use tokio::io::ReadBuf;
#[cfg(unix)]
use tokio::net::UnixListener;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Sleep;
#[cfg(unix)]
use ws_driver::tcp_of_unix;
use ws_driver::{BindConfig, ListeningSocket, Runtime, SockRef, Timer, bind_tcp, probe_tcp};

/// The tokio runtime. Every function of this crate must be called inside one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tokio;

impl Runtime for Tokio {
    type Stream = Stream;
    type Listener = Listener;
    type Timer = TokioTimer;

    async fn bind(&self, addr: SocketAddr, options: &BindConfig) -> io::Result<Listener> {
        let listener = TcpListener::from_std(bind_tcp(addr, options)?)?;
        Ok(Listener(Socket::Tcp(listener)))
    }

    fn listen_on(&self, socket: ListeningSocket) -> io::Result<Listener> {
        Ok(Listener(match socket {
            ListeningSocket::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                Socket::Tcp(TcpListener::from_std(listener)?)
            }
            #[cfg(unix)]
            ListeningSocket::Unix(listener) => {
                listener.set_nonblocking(true)?;
                Socket::Unix(UnixListener::from_std(listener)?)
            }
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
                Ok((Stream(stream), Some(addr)))
            }
            #[cfg(unix)]
            Socket::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let stream = tcp_of_unix(stream.into_std()?);
                Ok((Stream(TcpStream::from_std(stream)?), None))
            }
        }
    }

    // Without Nagle's algorithm: the driver joins small messages into one write by itself, and the algorithm would delay
    // the last segment by a round trip.
    fn prepare(&self, stream: &Stream) -> io::Result<()> {
        stream.0.set_nodelay(true)
    }

    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }

    async fn connect(&self, addr: SocketAddr) -> io::Result<Stream> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(Stream(stream))
    }

    fn probe(&self, stream: &Stream, idle: Duration, timeout: Duration) -> io::Result<()> {
        probe_tcp(SockRef::from(&stream.0), idle, timeout)
    }

    fn timer(&self) -> TokioTimer {
        TokioTimer { sleep: None }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(task);
    }

    fn yield_now(&self, cx: &mut Context<'_>) {
        // One poll is enough: tokio keeps the waker and wakes it after it has polled its sockets.
        if pin!(tokio::task::yield_now()).poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }

    // With the default `false` every send would write by itself, also in tasks where other tasks will run soon.
    fn is_in_task() -> bool {
        tokio::task::try_id().is_some()
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

/// A listening socket of tokio.
#[derive(Debug)]
pub struct Listener(Socket);

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

/// A stream of tokio with the traits of futures-io. It is a TCP stream, or a stream that the application made
/// for [`Server::handle_stream`](ws_driver::Server::handle_stream) or [`connect_over`](crate::connect_over).
#[derive(Debug)]
pub struct Stream<T = TcpStream>(T);

impl<T> Stream<T> {
    /// Wraps a stream of tokio.
    pub fn new(stream: T) -> Self {
        Self(stream)
    }

    /// Returns the stream of tokio.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T: tokio::io::AsyncRead + Unpin> AsyncRead for Stream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

impl<T: tokio::io::AsyncWrite + Unpin> AsyncWrite for Stream<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let stream = &mut self.0;
        unlimited(cx, |cx| Pin::new(&mut *stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = &mut self.0;
        unlimited(cx, |cx| {
            Pin::new(&mut *stream).poll_write_vectored(cx, slices)
        })
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Writes without tokio's budget for cooperation. A send may write in the task of the caller, which may have spent its
/// budget and may end right afterwards; then the message would not be written. The driver has bounds of its own.
fn unlimited<T>(cx: &mut Context<'_>, write: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    pin!(tokio::task::unconstrained(poll_fn(write))).poll(cx)
}

/// A timer of tokio.
#[derive(Debug)]
pub struct TokioTimer {
    /// Made when the timer is first set, because many timers are never set.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer for TokioTimer {
    fn set(&mut self, deadline: Instant) {
        let deadline = deadline.into();
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(deadline),
            None => self.sleep = Some(Box::pin(tokio::time::sleep_until(deadline))),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A prepared stream sends small messages without waiting for an acknowledgement.
    #[tokio::test]
    async fn a_prepared_stream_waits_for_no_acknowledgement() {
        let options = BindConfig::default();
        let listener = Tokio.bind(([127, 0, 0, 1], 0).into(), &options);
        let listener = listener.await.unwrap();
        let addr = Tokio.local_addr(&listener).unwrap();
        let _peer = std::net::TcpStream::connect(addr).unwrap();
        let (stream, _) = Tokio.accept(&listener).await.unwrap();
        Tokio.prepare(&stream).unwrap();
        assert!(stream.0.nodelay().unwrap());
    }

    /// The operating system probes a silent peer, which connections of the drafts need because they have no ping.
    #[tokio::test]
    async fn a_silent_peer_is_probed_by_the_system() {
        let options = BindConfig::default();
        let listener = Tokio.bind(([127, 0, 0, 1], 0).into(), &options);
        let listener = listener.await.unwrap();
        let addr = Tokio.local_addr(&listener).unwrap();
        let stream = Tokio.connect(addr).await.unwrap();
        let socket = SockRef::from(&stream.0);
        assert!(!socket.keepalive().unwrap());
        let second = Duration::from_secs(1);
        Tokio.probe(&stream, 20 * second, 20 * second).unwrap();
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), 20 * second);
        let interval = socket.tcp_keepalive_interval().unwrap();
        assert_eq!(
            interval * socket.tcp_keepalive_retries().unwrap(),
            20 * second
        );
    }
}
