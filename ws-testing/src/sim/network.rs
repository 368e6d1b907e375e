//! A network in memory: listeners, and the properties that all its streams share. With a seed each pipe of a
//! stream has its own disturbances (`weather.rs`).

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::executor::lock;
use super::pipe::wake;
use super::random::Rng;
use super::stream::{Link, SimStream};
use super::weather::Weather;

/// The first port of streams and of listeners that do not care.
const FIRST_PORT: u16 = 49152;

/// All listeners.
pub struct Network {
    ports: Mutex<Ports>,
    /// Where weather comes from, and all streams that have one.
    climate: Option<Mutex<Climate>>,
}

struct Climate {
    rng: Rng,
    links: Vec<(SocketAddr, Weak<Mutex<Link>>)>,
}

/// How an address is reached.
#[derive(Clone, Copy, Debug, Default)]
pub enum Route {
    /// At once: a stream if somebody listens, a refusal if not.
    #[default]
    Open,
    /// After a time.
    Slow(Duration),
    /// Not at all: nothing ever answers.
    Dead,
}

#[derive(Default)]
struct Ports {
    names: BTreeMap<&'static str, Vec<IpAddr>>,
    routes: BTreeMap<IpAddr, Route>,
    listening: BTreeMap<SocketAddr, Backlog>,
    used: u16,
    /// The most that one call moves in streams that are opened, if there is a limit.
    chop: Option<usize>,
    /// What the next call fails with.
    errnos: CallErrnos,
    /// The most that is on its way in each direction of streams that are opened, if it is not the usual.
    capacity: Option<usize>,
}

/// Numbers of errors that calls of the network give, once each.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallErrnos {
    pub bind: Option<i32>,
    pub connect: Option<i32>,
    /// That of the next stream that arrives, when it was accepted.
    pub prepare: Option<i32>,
}

type Backlog = Arc<Mutex<Pending>>;

/// What waits to be accepted.
#[derive(Default)]
struct Pending {
    arrived: VecDeque<io::Result<(SimStream, SocketAddr)>>,
    acceptor: Option<Waker>,
}

impl Network {
    pub fn new(rng: Option<Rng>) -> Self {
        let climate = rng.map(|rng| {
            let links = Vec::new();
            Mutex::new(Climate { rng, links })
        });
        Self {
            ports: Mutex::default(),
            climate,
        }
    }

    pub fn bind(&self, mut addr: SocketAddr) -> io::Result<SimListener> {
        let mut ports = lock(&self.ports);
        give(&mut ports.errnos.bind)?;
        if addr.port() == 0 {
            addr.set_port(ports.next());
        }
        if ports.listening.contains_key(&addr) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let backlog = Backlog::default();
        ports.listening.insert(addr, Arc::clone(&backlog));
        Ok(SimListener { addr, backlog })
    }

    pub fn name(&self, host: &'static str, addrs: Vec<IpAddr>) {
        lock(&self.ports).names.insert(host, addrs);
    }

    pub fn set_route(&self, addr: IpAddr, route: Route) {
        lock(&self.ports).routes.insert(addr, route);
    }

    /// Returns the addresses of a name.
    pub fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let ports = lock(&self.ports);
        let addrs = ports.names.get(host).ok_or(io::ErrorKind::NotFound)?;
        let with_port = addrs.iter().map(|addr| SocketAddr::new(*addr, port));
        Ok(with_port.collect())
    }

    pub fn route(&self, addr: IpAddr) -> Route {
        let ports = lock(&self.ports);
        ports.routes.get(&addr).copied().unwrap_or_default()
    }

    /// Opens a stream; it is there at once and waits to be accepted.
    pub fn connect(&self, addr: SocketAddr) -> io::Result<SimStream> {
        give(&mut lock(&self.ports).errnos.connect)?;
        Ok(self.open(addr)?.0)
    }

    /// As `connect`; tells which address the listener sees, too.
    pub fn open(&self, addr: SocketAddr) -> io::Result<(SimStream, SocketAddr)> {
        let mut ports = lock(&self.ports);
        let backlog = ports.listening.get(&addr).map(Arc::clone);
        // The listener is the other one that holds the backlog.
        let backlog = backlog
            .filter(|backlog| Arc::strong_count(backlog) > 2)
            .ok_or(io::ErrorKind::ConnectionRefused)?;
        let peer_addr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), ports.next());
        let (near, far) = SimStream::pair();
        near.link().errnos.prepare = ports.errnos.prepare.take();
        if let Some(climate) = &self.climate {
            lock(climate).take_in(peer_addr, &near);
        }
        if let Some(limit) = ports.chop {
            near.link().chop(limit);
        }
        if let Some(capacity) = ports.capacity {
            let mut link = near.link();
            link.to_far.capacity = capacity;
            link.to_near.capacity = capacity;
        }
        arrive(&backlog, Ok((far.of_runtime(), peer_addr)));
        Ok((near, peer_addr))
    }

    /// Returns the streams that are still held at one end at least, with the address of the one that
    /// connected; with a seed only.
    pub fn links(&self) -> Vec<(SocketAddr, Arc<Mutex<Link>>)> {
        let Some(climate) = &self.climate else {
            return Vec::new();
        };
        let mut climate = lock(climate);
        climate.links.retain(|(_, link)| link.strong_count() > 0);
        let links = climate.links.iter();
        let held = links.filter_map(|(addr, link)| Some((*addr, link.upgrade()?)));
        held.collect()
    }

    /// Makes all streams that are opened from now on move at most `limit` bytes in each call.
    pub fn chop(&self, limit: usize) {
        lock(&self.ports).chop = Some(limit);
    }

    /// Lets at most `capacity` bytes be on their way in each direction of streams that are opened from
    /// now on.
    pub fn narrow(&self, capacity: usize) {
        lock(&self.ports).capacity = Some(capacity);
    }

    /// Makes the next calls fail.
    pub fn fail_calls(&self, change: impl FnOnce(&mut CallErrnos)) {
        change(&mut lock(&self.ports).errnos);
    }

    /// Makes a listener's next accept fail.
    pub fn fail_accept(&self, addr: SocketAddr, error: io::Error) {
        if let Some(backlog) = lock(&self.ports).listening.get(&addr) {
            arrive(backlog, Err(error));
        }
    }
}

impl Climate {
    fn take_in(&mut self, addr: SocketAddr, stream: &SimStream) {
        let mut link = stream.link();
        let Link {
            to_far, to_near, ..
        } = &mut *link;
        for pipe in [to_far, to_near] {
            let (weather, capacity) = Weather::draw(self.rng.fork());
            pipe.weather = Some(Box::new(weather));
            pipe.capacity = capacity;
        }
        self.links.push((addr, Arc::downgrade(&stream.link)));
    }
}

impl Ports {
    fn next(&mut self) -> u16 {
        self.used += 1;
        FIRST_PORT + self.used
    }
}

fn give(errno: &mut Option<i32>) -> io::Result<()> {
    let code = errno.take();
    code.map_or(Ok(()), |code| Err(io::Error::from_raw_os_error(code)))
}

fn arrive(backlog: &Backlog, arrived: io::Result<(SimStream, SocketAddr)>) {
    let mut pending = lock(backlog);
    pending.arrived.push_back(arrived);
    wake(&mut pending.acceptor);
}

/// A listening socket.
pub struct SimListener {
    pub addr: SocketAddr,
    backlog: Backlog,
}

impl SimListener {
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(SimStream, SocketAddr)>> {
        let mut pending = lock(&self.backlog);
        match pending.arrived.pop_front() {
            Some(arrived) => Poll::Ready(arrived),
            None => {
                pending.acceptor = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for SimListener {
    /// Drops what was not accepted.
    fn drop(&mut self) {
        let arrived = std::mem::take(&mut lock(&self.backlog).arrived);
        drop(arrived);
    }
}
