//! How a future is polled so many times and then dropped, and what the cases have in common.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use ws_driver::Connection;

use ws_testing::sim::peer::{Frame, close, frames};
use ws_testing::sim::{Peer, Server, Sim, seconds, yield_now};

/// More polls than any case needs.
const POLL_LIMIT: usize = 500;

/// How often a future is dropped before it may go to its end.
pub(super) const DROPS: usize = 3;

/// Polls a future `polls` times, each other task once in between, then drops it.
pub(super) async fn polled<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    polled_while(polls, future, |_| {}).await
}

/// As [`polled`]; does something after each poll.
pub(super) async fn polled_while<T>(
    polls: usize,
    future: impl Future<Output = T>,
    mut meanwhile: impl FnMut(usize),
) -> Option<T> {
    let mut future = pin!(future);
    for poll in 0..polls {
        let ready = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(output) = ready {
            return Some(output);
        }
        yield_now().await;
        meanwhile(poll);
    }
    None
}

/// Runs a case with 0, 1, 2, … polls, until it says that nothing was dropped any more. That has to
/// take `least` polls: otherwise the case shows nothing.
pub(super) fn at_every_poll<F: Future<Output = bool>>(
    least: usize,
    case: impl Fn(Sim, usize) -> F,
) {
    for polls in 0..POLL_LIMIT {
        if Sim::run(|sim| case(sim, polls)) {
            assert!(polls >= least, "it was ready after {polls} polls");
            return;
        }
    }
    panic!("it is not ready after {POLL_LIMIT} polls");
}

/// Opens a connection and takes it at the server.
pub(super) async fn open(sim: &Sim, server: &Server) -> (Connection, Peer) {
    let peer = Peer::open(sim, server.local_addr());
    let server = server.clone();
    let accepted = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&accepted);
    sim.spawn_task(async move {
        let connection = server.accept().await.unwrap();
        *slot.lock().unwrap() = connection;
    });
    let peer = peer.await;
    let connection = accepted.lock().unwrap().take().expect("it is open");
    (connection, peer)
}

/// Asserts that a server has nothing left: no connection, no task.
pub(super) async fn assert_nothing_left(sim: &Sim, server: &Server) {
    assert_nothing_left_but(0, sim, server).await;
}

/// The same, where tasks of the test go on.
pub(super) async fn assert_nothing_left_but(tasks: u64, sim: &Sim, server: &Server) {
    sim.sleep(seconds(1)).await;
    assert_eq!(server.clients().len(), 0);
    assert_eq!(sim.live_tasks(), tasks);
}

/// Closes from the peer's side, and asserts that nothing is left then.
pub(super) async fn finish(sim: &Sim, server: &Server, connection: Connection, mut peer: Peer) {
    drop(connection);
    peer.link().chop(usize::MAX);
    peer.link().to_near.capacity = usize::MAX;
    peer.ask(close(1000)).await;
    peer.end().await;
    assert_nothing_left(sim, server).await;
}

/// Reads bytes as they come, until `len` have.
pub(super) async fn read(sim: &Sim, peer: &Peer, len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..10_000 {
        bytes.extend(peer.read());
        if bytes.len() >= len {
            return bytes;
        }
        sim.sleep(Duration::from_micros(1)).await;
    }
    panic!("{} bytes of {len} arrived", bytes.len());
}

pub(super) fn numbered(number: usize) -> String {
    format!("message {number}")
}

pub(super) fn texted(message: impl AsRef<[u8]>) -> Frame {
    (0x81, message.as_ref().to_vec())
}

/// Reads what the server sends up to a close and answers that; returns the frames.
pub(super) async fn answer_close(sim: &Sim, peer: &mut Peer) -> Vec<Frame> {
    let mut bytes = Vec::new();
    for _ in 0..5000 {
        bytes.extend(peer.read());
        let is_whole = bytes.len() >= 4 && bytes[bytes.len() - 4..][..2] == [0x88, 2];
        if is_whole {
            let code = [bytes[bytes.len() - 2], bytes[bytes.len() - 1]];
            peer.write(&close(u16::from_be_bytes(code))).await;
            peer.end().await;
            break;
        }
        yield_now().await;
    }
    sim.sleep(seconds(1)).await;
    bytes.extend(peer.read());
    frames(&bytes)
}

/// Runs a peer as a task; tells what it returns.
pub(super) fn spawned<T: Send + 'static>(
    sim: &Sim,
    task: impl Future<Output = T> + Send + 'static,
) -> Arc<Mutex<Option<T>>> {
    let told = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&told);
    sim.spawn_task(async move {
        let output = task.await;
        *slot.lock().unwrap() = Some(output);
    });
    told
}
