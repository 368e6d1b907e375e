//! A simulated runtime: the whole environment of a server, on one thread, in virtual time, the same in
//! every run; and peers that speak to it in bytes.
#![expect(
    missing_docs,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "clippy spares tests, but not their helpers"
)]

mod executor;
mod lent;
mod network;
pub mod peer;
mod pipe;
pub mod random;
mod stream;
mod weather;

use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use ws_driver::{BindConfig, Runtime, Timer};

pub use self::executor::{Sim, SimTimer, TaskId, lock};
pub use self::lent::Lent;
pub use self::network::{CallErrnos, Network, Route, SimListener};
pub use self::peer::Peer;
pub use self::pipe::Pipe;
pub use self::random::Rng;
pub use self::stream::{Errnos, Link, SimStream};

/// A server on the simulated runtime.
pub type Server = ws_driver::Server<Sim>;

/// An address to bind to.
pub const ANY: &str = "127.0.0.1:0";

/// A host that never answers: an address for documentation (RFC 5737).
pub const UNREACHABLE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

impl Runtime for Sim {
    type Stream = SimStream;
    type Listener = SimListener;
    type Timer = SimTimer;

    async fn bind(&self, addr: SocketAddr, options: &BindConfig) -> io::Result<SimListener> {
        if options.reuse_port {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.network().bind(addr)
    }

    fn local_addr(&self, listener: &SimListener) -> io::Result<SocketAddr> {
        Ok(listener.addr)
    }

    async fn accept(&self, listener: &SimListener) -> io::Result<(SimStream, Option<SocketAddr>)> {
        let (stream, addr) = poll_fn(|cx| listener.poll_accept(cx)).await?;
        Ok((stream, Some(addr)))
    }

    fn prepare(&self, stream: &SimStream) -> io::Result<()> {
        stream.prepare()
    }

    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.network().resolve(host, port)
    }

    async fn connect(&self, addr: SocketAddr) -> io::Result<SimStream> {
        if addr.ip() == UNREACHABLE {
            return std::future::pending().await;
        }
        match self.network().route(addr.ip()) {
            Route::Open => {}
            Route::Slow(wait) => {
                self.sleep(wait).await;
                poll_fn(|cx| {
                    if self.sees(cx) {
                        Poll::Ready(())
                    } else {
                        Poll::Pending
                    }
                })
                .await;
            }
            Route::Dead => std::future::pending().await,
        }
        let stream = self.network().connect(addr)?;
        Ok(stream.of_runtime())
    }

    fn timer(&self) -> SimTimer {
        self.timer()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_of_runtime(task);
    }

    fn yield_now(&self, cx: &mut Context<'_>) {
        self.ask_for_look(cx);
    }

    fn now(&self) -> Instant {
        self.now()
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        self.draw(bytes);
    }
}

impl Timer for SimTimer {
    fn set(&mut self, deadline: Instant) {
        self.set_deadline(deadline);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_expired(cx)
    }
}

impl Sim {
    /// Makes all streams that are opened from now on move at most `limit` bytes in each call.
    pub fn chop(&self, limit: usize) {
        self.network().chop(limit);
    }

    /// Lets at most `capacity` bytes be on their way in each direction of streams that are opened from
    /// now on, so that who writes more has to wait for who reads.
    pub fn narrow(&self, capacity: usize) {
        self.network().narrow(capacity);
    }

    /// Gives a name to some addresses.
    pub fn name(&self, host: &'static str, addrs: &[&str]) {
        let addrs = addrs.iter().map(|addr| addr.parse().unwrap());
        self.network().name(host, addrs.collect());
    }

    /// Says how an address is reached.
    pub fn set_route(&self, addr: &str, route: Route) {
        self.network().set_route(addr.parse().unwrap(), route);
    }

    /// Makes a listener's next accept fail.
    pub fn fail_accept(&self, addr: SocketAddr, error: io::Error) {
        self.network().fail_accept(addr, error);
    }
}

/// So many seconds.
pub const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Runs `serve` with a handler as a task of its own.
pub fn serve<H, F>(sim: &Sim, server: &Server, handler: H)
where
    H: Fn(ws_driver::Connection) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let server = server.clone();
    sim.spawn_task(async move { server.serve(handler).await.unwrap() });
}

/// Sends back what it receives.
pub async fn echo(mut connection: ws_driver::Connection) {
    while let Some(message) = connection.recv().await {
        let _ = connection.send(message).await;
    }
}

/// Polls a future once with a waker that wakes nobody, then drops it.
pub fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Lets the other tasks run once.
pub async fn yield_now() {
    let mut is_first = true;
    poll_fn(|cx| {
        if !std::mem::take(&mut is_first) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
