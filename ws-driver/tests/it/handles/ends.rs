//! The end of the driver, however it comes.

use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use ws_driver::ws_proto::{CloseCause, CloseCode, Closed, SendError, State};
use ws_driver::{ClientConfig, Connection, ConnectionInfo, Observer, Sender, TopicError};

use super::open;
use ws_testing::sim::peer::{RFC6455, text};
use ws_testing::sim::{ANY, Peer, Server, Sim, SimStream, echo, poll_once, seconds, serve};

fn assert_lost(closed: Option<Closed>) {
    let closed = closed.expect("it has ended");
    assert_eq!((closed.code, closed.clean), (1006, false));
    assert_eq!(closed.cause, CloseCause::Disconnected);
}

/// Asserts that each call on a connection returns at once. `flushed` is what a flush returns: an error if something was
/// lost that had been queued before.
fn assert_over(mut connection: Connection, flushed: Result<(), SendError>) {
    let sender = connection.sender();
    assert_eq!(connection.state(), State::Closed);
    assert_eq!(poll_once(connection.recv()), Some(None));
    assert_eq!(poll_once(connection.recv_fragment()), Some(None));
    assert_eq!(
        poll_once(connection.send("x")),
        Some(Err(SendError::Closed))
    );
    assert_eq!(
        poll_once(connection.send_fragment("x", true)),
        Some(Err(SendError::Closed))
    );
    let refused = connection.try_send("x").unwrap_err();
    assert_eq!(refused.reason(), &SendError::Closed);
    assert_eq!(refused.into_message(), "x".into());
    assert_eq!(connection.ping(b""), Err(SendError::Closed));
    assert_eq!(poll_once(connection.flush()), Some(flushed.clone()));
    assert_eq!(poll_once(connection.sender().flush()), Some(flushed));
    assert!(matches!(
        connection.join("topic"),
        Err(TopicError::Closed | TopicError::NoServer)
    ));
    assert_lost(poll_once(connection.close()));
    assert_lost(connection.closed());
    drop(connection);
    assert_sender_is_over(&sender);
}

fn assert_sender_is_over(sender: &Sender) {
    assert_eq!(poll_once(sender.send("x")), Some(Err(SendError::Closed)));
    assert_eq!(sender.begin_close(CloseCode::NORMAL, ""), Ok(()));
    assert_lost(poll_once(sender.wait_closed()));
}

/// The runtime of a connection ends while its handle is kept elsewhere: each call returns at once.
#[test]
fn a_connection_is_over_when_its_runtime_ends() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        let (accepted, _peer) = open(&sim, &server).await;
        serve(&sim, &server, echo);
        let url = format!("ws://{}/", server.local_addr());
        let config = ClientConfig::new();
        let connected = ws_driver::connect_with::<Sim>(&url, &config).await.unwrap();
        assert_eq!(server.clients().len(), 2);
        sim.end_runtime();
        assert_eq!(server.clients().len(), 0);
        assert_over(accepted, Ok(()));
        assert_over(connected, Ok(()));
    });
}

/// Everybody who waits for something is woken when the runtime ends: nobody is asked twice.
#[test]
fn who_waits_is_woken_when_the_runtime_ends() {
    Sim::run(async |sim| {
        let server = Server::builder().send_queue_limit(Some(10));
        let server = server.bind(ANY).await.unwrap();
        let (mut connection, peer) = open(&sim, &server).await;
        peer.link().to_near.capacity = 4;
        connection.send("fills the queue").await.unwrap();
        let woken = Arc::new(Mutex::new(Vec::new()));
        let note = |name| {
            let woken = Arc::clone(&woken);
            move || woken.lock().unwrap().push(name)
        };
        let [closes, flushes, sends] = [(); 3].map(|()| connection.sender());
        let clients = server.clients();
        let (id, noted) = (connection.id(), note("send_wait"));
        sim.spawn_task(async move {
            assert!(clients.send_wait(id, "x").await.is_err());
            noted();
        });
        let noted = note("wait_closed");
        sim.spawn_task(async move {
            assert_lost(Some(closes.wait_closed().await));
            noted();
        });
        let noted = note("flush");
        sim.spawn_task(async move {
            assert_eq!(flushes.flush().await, Err(SendError::Closed));
            noted();
        });
        let noted = note("send");
        sim.spawn_task(async move {
            assert_eq!(sends.send("x").await, Err(SendError::Closed));
            noted();
        });
        let noted = note("recv");
        sim.spawn_task(async move {
            assert_eq!(connection.recv().await, None);
            assert_lost(connection.closed());
            noted();
        });
        sim.settle().await;
        assert!(woken.lock().unwrap().is_empty());
        let begun = sim.elapsed();
        sim.end_runtime();
        sim.settle().await;
        woken.lock().unwrap().sort_unstable();
        let all = ["flush", "recv", "send", "send_wait", "wait_closed"];
        assert_eq!(*woken.lock().unwrap(), all);
        assert_eq!(sim.elapsed(), begun);
    });
}

/// What had arrived before the end is still received.
#[test]
fn what_arrived_before_the_runtime_ended_is_received() {
    Sim::run(async |sim| {
        let server = Server::bind(ANY).await.unwrap();
        let (mut connection, mut peer) = open(&sim, &server).await;
        peer.write(&text("early")).await;
        sim.settle().await;
        sim.end_runtime();
        let received = poll_once(connection.recv()).flatten();
        assert_eq!(received, Some("early".into()));
        assert_eq!(poll_once(connection.recv()), Some(None));
    });
}

#[derive(Clone, Default)]
struct Closes(Arc<Mutex<Vec<Closed>>>);

impl Observer for Closes {
    fn close(&self, _: &ConnectionInfo, closed: &Closed) {
        self.0.lock().unwrap().push(closed.clone());
    }
}

/// With `serve` the handlers go with the runtime; the registry, observers and other handles hear of it, and so
/// does what the handler drops.
#[test]
fn a_server_knows_of_no_connection_when_its_runtime_has_ended() {
    struct Dropped(Sender, Arc<Mutex<Option<Closed>>>);

    impl Drop for Dropped {
        fn drop(&mut self) {
            *self.1.lock().unwrap() = self.0.closed();
        }
    }

    Sim::run(async |sim| {
        let closes = Closes::default();
        let server = Server::builder().observer(closes.clone());
        let server = server.bind(ANY).await.unwrap();
        let found = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&found);
        serve(&sim, &server, move |connection| {
            let dropped = Dropped(connection.sender(), Arc::clone(&slot));
            async move {
                let _connection = connection;
                let _dropped = dropped;
                pending::<()>().await;
            }
        });
        let _open = Peer::open(&sim, server.local_addr()).await;
        let mut opening = Peer::connect(&sim, server.local_addr());
        opening.write(&RFC6455.as_bytes()[..20]).await;
        sim.settle().await;
        assert_eq!(server.counters().opening, 1);
        let sender = server.clients().iter().next().expect("one is open");
        sim.end_runtime();
        assert_eq!(server.clients().len(), 0);
        assert_eq!(server.counters().opening, 0);
        assert_sender_is_over(&sender);
        assert_lost(found.lock().unwrap().take());
        // The open one and the one that was opening: every stream has its end.
        let ends = closes.0.lock().unwrap().clone();
        assert_eq!(ends.len(), 2, "{ends:?}");
        assert!(ends.iter().all(|closed| closed.code == 1006), "{ends:?}");
        // Nobody is left to wait for.
        let report = sim.within(seconds(1), server.shutdown(seconds(60))).await;
        assert_eq!(report, Some(ws_driver::ShutdownReport::default()));
    });
}

/// A stream that panics when it is written to, once it is told to.
struct Fragile {
    stream: SimStream,
    breaks: Arc<AtomicBool>,
}

impl AsyncRead for Fragile {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Fragile {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.breaks.load(Ordering::SeqCst) {
            // A panic that no hook prints.
            std::panic::resume_unwind(Box::new("a stream panics, as this test wants"));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

/// A stream that panics ends its connection, and not the program of whoever sends.
#[test]
fn a_stream_that_panics_ends_its_connection() {
    Sim::run(async |sim| {
        let server = Server::builder().build().unwrap();
        let (near, far) = SimStream::pair();
        server.handle_stream(far, None, echo).await;
        let breaks = Arc::new(AtomicBool::new(false));
        let stream = Fragile {
            stream: near,
            breaks: Arc::clone(&breaks),
        };
        let config = ClientConfig::new();
        let url = "ws://server.example.com/";
        let connected = ws_driver::connect_over::<Sim, _>(stream, url, &config);
        let connection = connected.await.unwrap();
        sim.settle().await;
        breaks.store(true, Ordering::SeqCst);
        assert_eq!(poll_once(connection.send("x")), Some(Ok(())));
        // The message is lost, however late somebody asks.
        assert_over(connection, Err(SendError::Closed));
        sim.settle().await;
        assert_eq!(server.clients().len(), 0);
        assert_eq!(sim.live_tasks(), 0);
    });
}
