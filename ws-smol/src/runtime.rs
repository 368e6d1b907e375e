//! The smol runtime for the driver: its sockets, timers and tasks.

use std::future::Future;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_io::{AsyncRead, AsyncWrite};
use smol::Async;
use ws_driver::{BindConfig, Runtime, SockRef, Timer, bind_tcp, probe_tcp};

/// The smol runtime. Tasks run on its global executor.
#[derive(Clone, Copy, Debug, Default)]
pub struct Smol;

impl Runtime for Smol {
    type Stream = Stream;
    type Listener = Async<TcpListener>;
    type Timer = SmolTimer;

    async fn bind(&self, addr: SocketAddr, options: &BindConfig) -> io::Result<Async<TcpListener>> {
        Async::new_nonblocking(bind_tcp(addr, options)?)
    }

    fn local_addr(&self, listener: &Async<TcpListener>) -> io::Result<SocketAddr> {
        listener.get_ref().local_addr()
    }

    async fn accept(&self, listener: &Async<TcpListener>) -> io::Result<(Stream, SocketAddr)> {
        let (stream, addr) = listener.accept().await?;
        Ok((Stream::new(stream), addr))
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
        SmolTimer { timer: None }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        smol::spawn(task).detach();
    }

    fn yield_now(&self, cx: &mut Context<'_>) {
        // If a future wakes itself, `block_on` polls the sockets without a wait before it polls the future again. If
        // another thread polls them at that moment, that is sufficient, too.
        smol::block_on(smol::future::yield_now());
        cx.waker().wake_by_ref();
    }

    fn now(&self) -> Instant {
        Instant::now()
    }
}

/// A TCP stream of smol.
///
/// After a read that did not fill its buffer, the socket is empty. So the next read asks the reactor first
/// and saves a useless system call for each wait.
#[derive(Debug)]
pub struct Stream {
    stream: Async<TcpStream>,
    /// Whether the last read has emptied the socket.
    is_drained: bool,
}

impl Stream {
    fn new(stream: Async<TcpStream>) -> Self {
        Self {
            stream,
            is_drained: false,
        }
    }

    /// Writes as soon as the socket takes any bytes. Tries before it asks the reactor, because a socket is nearly always
    /// writable.
    fn poll_write_with(
        &self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match write(self.stream.get_ref()) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(self.stream.poll_writable(cx))?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            // Asks the reactor once for each wait, and tries the socket when the task runs again. The reactor takes a new
            // event for an old one if another thread was waiting for events when the socket was registered. While one
            // peer keeps this thread busy, that is nearly always the case.
            if std::mem::take(&mut self.is_drained) {
                ready!(self.stream.poll_readable(cx))?;
            }
            match self.stream.get_ref().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.is_drained = true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => {
                    self.is_drained = matches!(read, Ok(len) if len > 0 && len < buffer.len());
                    return Poll::Ready(read);
                }
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |mut stream| stream.write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |mut stream| stream.write_vectored(slices))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.get_ref().shutdown(Shutdown::Write))
    }
}

/// A timer of smol.
#[derive(Debug)]
pub struct SmolTimer {
    /// Made when the timer is first set, because many timers are never set.
    timer: Option<smol::Timer>,
}

impl Timer for SmolTimer {
    fn set(&mut self, deadline: Instant) {
        match &mut self.timer {
            Some(timer) => timer.set_at(deadline),
            None => self.timer = Some(smol::Timer::at(deadline)),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
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
