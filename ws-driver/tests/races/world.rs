//! The runtime whose tasks the checker schedules, and a client that speaks bytes. Streams are those of
//! the simulated network; before each use of one other tasks get their chance. The clock stands
//! still unless a test lets time pass.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use event_listener::Event;
use futures_io::{AsyncRead, AsyncWrite};
use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler, Scheduler};
use shuttle::sync::atomic::{AtomicBool, Ordering};
use shuttle::{Config, Runner};
use ws_driver::ws_proto::Closed;
use ws_driver::{BindConfig, Connection, ConnectionInfo, Observer, Runtime, Timer};

use ws_testing::sim::peer::{Frame, OK_6455, RFC6455, close};
use ws_testing::sim::{Network, SimListener, SimStream};

pub(crate) type Server = ws_driver::Server<World>;

/// Orders that each scheduler tries of each test, unless RACES_ITERATIONS says otherwise.
const ITERATIONS: usize = 250;

/// The same orders in every run, unless SHUTTLE_RANDOM_SEED says otherwise.
const SEED: u64 = 6455;

/// Bugs that need so many changes of tasks at the wrong places are found with a known probability.
const PCT_DEPTH: usize = 3;

/// What a task needs that handles a request, in debug builds too.
const STACK_LEN: usize = 512 << 10;

thread_local! {
    static CURRENT: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// Runs a test in many orders: at random, with priorities that change, and in depth first order.
pub(crate) fn check<F>(test: fn(World) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let iterations = std::env::var("RACES_ITERATIONS");
    let iterations = iterations.map_or(ITERATIONS, |count| count.parse().unwrap());
    run(RandomScheduler::new_from_seed(SEED, iterations), test);
    run(
        PctScheduler::new_from_seed(SEED, PCT_DEPTH, iterations),
        test,
    );
    run(DfsScheduler::new(Some(iterations), false), test);
}

fn run<F>(scheduler: impl Scheduler + 'static, test: fn(World) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut config = Config::new();
    config.stack_size = STACK_LEN;
    let runner = Runner::new(scheduler, config);
    runner.run(move || {
        let world = World::new();
        CURRENT.set(Some(world.clone()));
        shuttle::future::block_on(when_woken(async {
            test(world.clone()).await;
            world.wait_for_tasks().await;
        }));
        CURRENT.set(None);
    });
}

/// Polls a future when it was woken and not otherwise: the checker polls a task once more after each
/// wake, which would hide many a wake that is lost.
async fn when_woken<F: Future>(future: F) -> F::Output {
    let mut future = Box::pin(future);
    let mut bell: Option<Arc<Bell>> = None;
    poll_fn(|cx| {
        let bell = bell.get_or_insert_with(|| {
            Arc::new(Bell {
                has_rung: std::sync::atomic::AtomicBool::new(true),
                task: cx.waker().clone(),
            })
        });
        if !bell.has_rung.swap(false, Ordering::SeqCst) {
            return Poll::Pending;
        }
        let waker = Waker::from(Arc::clone(bell));
        future.as_mut().poll(&mut Context::from_waker(&waker))
    })
    .await
}

/// Notes that a task was woken. Its atomic is not the checker's, as wakers are called with locks held
/// that the checker does not know.
struct Bell {
    has_rung: std::sync::atomic::AtomicBool,
    task: Waker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.has_rung.store(true, Ordering::SeqCst);
        self.task.wake_by_ref();
    }
}

/// The runtime of one order of a test. Cheap to clone.
#[derive(Clone)]
pub(crate) struct World {
    core: Arc<Core>,
}

struct Core {
    network: Network,
    clock: Mutex<Clock>,
    tasks: Mutex<Vec<shuttle::future::JoinHandle<()>>>,
}

struct Clock {
    now: Instant,
    waiting: Vec<Waker>,
}

impl Default for World {
    /// # Panics
    ///
    /// Panics outside of [`check`].
    fn default() -> Self {
        let current = CURRENT.with_borrow(Clone::clone);
        current.expect("a test is being checked on this thread")
    }
}

impl World {
    fn new() -> Self {
        let clock = Clock {
            now: Instant::now(),
            waiting: Vec::new(),
        };
        let core = Core {
            network: Network::new(None),
            clock: Mutex::new(clock),
            tasks: Mutex::default(),
        };
        Self {
            core: Arc::new(core),
        }
    }

    /// Runs a future as a task, which has to end before the test does.
    pub(crate) fn spawn_task(&self, task: impl Future<Output = ()> + Send + 'static) {
        let task = shuttle::future::spawn(when_woken(task));
        self.core.tasks.lock().unwrap().push(task);
    }

    /// Runs a future as a task; its result can be waited for.
    pub(crate) fn spawned<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send {
        let task = shuttle::future::spawn(when_woken(task));
        async { task.await.unwrap() }
    }

    /// Runs `serve` as a task.
    pub(crate) fn serve<H, F>(&self, server: &Server, handler: H)
    where
        H: Fn(Connection) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let server = server.clone();
        self.spawn_task(async move { server.serve(handler).await.unwrap() });
    }

    /// Lets time pass.
    pub(crate) fn advance(&self, time: Duration) {
        let mut clock = self.core.clock.lock().unwrap();
        clock.now += time;
        let waiting = std::mem::take(&mut clock.waiting);
        drop(clock);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Waits for the end of all tasks: who is left waits for something that never comes.
    pub(crate) async fn wait_for_tasks(&self) {
        while let Some(task) = self.next_task() {
            task.await.unwrap();
        }
    }

    fn next_task(&self) -> Option<shuttle::future::JoinHandle<()>> {
        self.core.tasks.lock().unwrap().pop()
    }
}

impl Runtime for World {
    type Stream = Stream;
    type Listener = SimListener;
    type Timer = WorldTimer;

    async fn bind(&self, addr: SocketAddr, options: &BindConfig) -> io::Result<SimListener> {
        if options.reuse_port {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.core.network.bind(addr)
    }

    fn local_addr(&self, listener: &SimListener) -> io::Result<SocketAddr> {
        Ok(listener.addr)
    }

    async fn accept(&self, listener: &SimListener) -> io::Result<(Stream, Option<SocketAddr>)> {
        let (stream, addr) = poll_fn(|cx| listener.poll_accept(cx)).await?;
        Ok((Stream::new(stream), Some(addr)))
    }

    async fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn connect(&self, _: SocketAddr) -> io::Result<Stream> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn timer(&self) -> WorldTimer {
        WorldTimer {
            world: self.clone(),
            deadline: None,
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_task(task);
    }

    fn now(&self) -> Instant {
        self.core.clock.lock().unwrap().now
    }

    // The checker repeats a run, which must be the same one.
    fn fill_random(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

pub(crate) struct WorldTimer {
    world: World,
    deadline: Option<Instant>,
}

impl Timer for WorldTimer {
    fn set(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut clock = self.world.core.clock.lock().unwrap();
        match self.deadline {
            Some(deadline) if deadline <= clock.now => Poll::Ready(()),
            Some(_) => {
                let is_known = clock
                    .waiting
                    .iter()
                    .any(|waker| waker.will_wake(cx.waker()));
                if !is_known {
                    clock.waiting.push(cx.waker().clone());
                }
                Poll::Pending
            }
            None => Poll::Pending,
        }
    }
}

/// A stream that lets other tasks run before each use.
pub(crate) struct Stream {
    stream: SimStream,
    turn: AtomicBool,
}

impl Stream {
    fn new(stream: SimStream) -> Self {
        Self {
            stream,
            turn: AtomicBool::new(false),
        }
    }

    fn let_others_run(&mut self) -> Pin<&mut SimStream> {
        self.turn.load(Ordering::SeqCst);
        Pin::new(&mut self.stream)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.let_others_run().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.let_others_run().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.let_others_run().poll_write_vectored(cx, slices)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.let_others_run().poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.let_others_run().poll_close(cx)
    }
}

/// A raw client.
pub(crate) struct Client {
    stream: Stream,
    received: Vec<u8>,
}

impl Client {
    /// Opens a stream.
    pub(crate) fn connect(world: &World, addr: SocketAddr) -> Self {
        Self {
            stream: Stream::new(world.core.network.connect(addr).unwrap()),
            received: Vec::new(),
        }
    }

    /// Opens a stream and a connection.
    pub(crate) async fn open(world: &World, addr: SocketAddr) -> Self {
        let mut client = Self::connect(world, addr);
        assert!(client.shake_hands().await, "the server refuses");
        client
    }

    /// Does the opening handshake; tells whether the server agreed.
    pub(crate) async fn shake_hands(&mut self) -> bool {
        self.write(RFC6455).await && self.fill(OK_6455.len()).await && {
            let answer: Vec<_> = self.received.drain(..OK_6455.len()).collect();
            assert_eq!(answer, OK_6455.as_bytes());
            true
        }
    }

    /// The most that the pipe to this client holds.
    pub(crate) fn narrow(&self, capacity: usize) {
        self.link().to_near.capacity = capacity;
    }

    pub(crate) fn link(&self) -> MutexGuard<'_, ws_testing::sim::Link> {
        self.stream.stream.link()
    }

    /// Writes bytes; tells whether the server took them.
    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let mut bytes = bytes.as_ref();
        while !bytes.is_empty() {
            let stream = &mut self.stream;
            match poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, bytes)).await {
                Ok(len) => bytes = &bytes[len..],
                Err(_) => return false,
            }
        }
        true
    }

    /// Reads a frame; `None` at the end of the stream.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        if !self.fill(2).await {
            return None;
        }
        let len = usize::from(self.received[1]);
        assert!(len <= 125, "these tests send short messages");
        assert!(self.fill(2 + len).await, "half a frame");
        let frame: Vec<_> = self.received.drain(..2 + len).collect();
        Some((frame[0], frame[2..].to_vec()))
    }

    /// Reads text messages up to a close; returns them and the close code. `None` for the code
    /// if the stream ends without one.
    pub(crate) async fn texts(&mut self) -> (Vec<String>, Option<u16>) {
        let mut texts = Vec::new();
        while let Some((first_byte, payload)) = self.frame().await {
            match first_byte {
                0x81 => texts.push(String::from_utf8(payload).unwrap()),
                0x88 => return (texts, Some(u16::from_be_bytes([payload[0], payload[1]]))),
                _ => panic!("an unexpected frame: {first_byte:x} {payload:?}"),
            }
        }
        (texts, None)
    }

    /// Reads so many text messages.
    pub(crate) async fn read_texts(&mut self, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.len() < count {
            let (first_byte, payload) = self.frame().await.expect("the stream is open");
            assert_eq!(first_byte, 0x81, "{payload:?}");
            texts.push(String::from_utf8(payload).unwrap());
        }
        texts
    }

    /// Sends a close, or answers one, and waits for the server to end the stream.
    pub(crate) async fn close(mut self, code: u16) {
        self.write(close(code)).await;
        while self.frame().await.is_some() {}
    }

    /// Reads until there are so many bytes; tells whether they came.
    async fn fill(&mut self, len: usize) -> bool {
        while self.received.len() < len {
            let mut buffer = [0; 256];
            let stream = &mut self.stream;
            match poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut buffer)).await {
                Ok(0) | Err(_) => return false,
                Ok(read) => self.received.extend_from_slice(&buffer[..read]),
            }
        }
        true
    }
}

/// Counts the connections of a server, and lets tests wait for a count.
#[derive(Clone, Default)]
pub(crate) struct Census(Arc<(Mutex<Counts>, Event)>);

#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Handlers that were called.
    pub(crate) called: usize,
    /// Handlers that run.
    pub(crate) running: usize,
    /// Streams that have ended and are out of the registry.
    pub(crate) closed: usize,
}

/// Is held by a handler while it runs.
pub(crate) struct Runs(Census);

impl Census {
    /// Counts a handler; its connection is in the registry.
    pub(crate) fn enter(&self) -> Runs {
        self.change(|counts| {
            counts.called += 1;
            counts.running += 1;
        });
        Runs(self.clone())
    }

    pub(crate) fn counts(&self) -> Counts {
        *self.0.0.lock().unwrap()
    }

    /// Waits until the counts are as wanted.
    pub(crate) async fn wait(&self, is_so: impl Fn(Counts) -> bool) {
        loop {
            let changed = self.0.1.listen();
            if is_so(self.counts()) {
                return;
            }
            changed.await;
        }
    }

    /// A handler that receives until the end and does nothing else.
    pub(crate) fn draining(
        &self,
    ) -> impl Fn(Connection) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync + 'static
    {
        let census = self.clone();
        move |mut connection| {
            let runs = census.enter();
            Box::pin(async move {
                while connection.recv().await.is_some() {}
                drop(runs);
            })
        }
    }

    fn change(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.0.0.lock().unwrap());
        self.0.1.notify(usize::MAX);
    }
}

impl Observer for Census {
    fn close(&self, _: &ConnectionInfo, _: &Closed) {
        self.change(|counts| counts.closed += 1);
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        self.0.change(|counts| counts.running -= 1);
    }
}

/// The message that a sender sends after so many.
pub(crate) fn numbered(sender: &str, number: usize) -> String {
    format!("{sender}{number}")
}

/// Asserts that of the messages of a sender the first `count` arrived, each once and in order.
pub(crate) fn assert_in_order(received: &[String], sender: &str, count: usize) {
    let of_sender: Vec<_> = received
        .iter()
        .filter(|text| text.starts_with(sender))
        .cloned()
        .collect();
    let expected: Vec<_> = (0..count).map(|number| numbered(sender, number)).collect();
    assert_eq!(of_sender, expected, "of {received:?}");
}
