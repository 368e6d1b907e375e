//! The shutdown of a server. Every connection is asked to close. Those that are still open at the end of the grace are
//! dropped. Each connection counts in one column of the report.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use ws_proto::CloseCode;

use super::shared::SharedServer;
use super::shutdown_phase::ShutdownPhase;
use crate::driver::shared_machine::Standing;
use crate::handle::sender::Sender;
use crate::runtime::{Runtime, Timer, yield_now};
use crate::util::race::race;

/// The result of a [`shutdown`](crate::Server::shutdown). Each connection that was open at the call counts in one
/// of the first three columns, so their sum is the number of those connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Connections that closed within the grace, with a closing handshake if their version has one. A peer
    /// that answered the close but kept the stream open counts here, too.
    pub closed: usize,
    /// Connections that ended within the grace without a closing handshake: the stream broke, or the peer did not
    /// answer within the `close_timeout`.
    pub lost: usize,
    /// Connections that were still open at the end of the grace and were dropped.
    pub aborted: usize,
    /// Messages for the other nodes of a [`Cluster`](crate::Cluster) that were not published: no column of connections.
    /// The server waits a second for the engine to take them, if there is a link.
    pub unpublished: usize,
}

/// Shuts a server down.
pub(super) async fn run<R: Runtime>(shared: &SharedServer<R>, grace: Duration) -> ShutdownReport {
    let mut report = close_all(shared, grace).await;
    let (runtime, cluster) = (&shared.runtime, &shared.cluster.0);
    // Behind the connections, because their handlers may publish that they have gone.
    let end = runtime.now().checked_add(FLUSH_WAIT);
    cluster.leave();
    until(runtime, end, cluster.flushed()).await;
    report.unpublished = cluster.stop();
    report
}

/// Closes all connections.
async fn close_all<R: Runtime>(shared: &SharedServer<R>, grace: Duration) -> ShutdownReport {
    let SharedServer {
        runtime,
        stop,
        clients,
        ..
    } = shared;
    // Read first, because the time to ask many connections to close is a part of the grace.
    let end = runtime.now().checked_add(grace);
    // Before the list is taken: a connection that opens later sees the phase and closes by itself (`task::begin`).
    stop.advance(ShutdownPhase::ShuttingDown);
    let open: Vec<_> = clients.iter().collect();
    let closing = async {
        ask(runtime, &open).await;
        clients.wait_below(1).await;
    };
    if until(runtime, end, closing).await {
        return report(&open, |report| &mut report.lost);
    }
    // Before the abort, because afterwards an aborted connection looks like a lost one.
    let report = report(&open, |report| &mut report.aborted);
    stop.advance(ShutdownPhase::Aborting);
    clients.iter().for_each(|sender| sender.abort());
    let end = runtime.now().checked_add(ABORT_WAIT);
    if !until(runtime, end, clients.wait_below(1)).await {
        tracing::warn!(
            target: "ws",
            "streams were dropped and are still there after {ABORT_WAIT:?}: a handler or an observer keeps \
             its thread busy"
        );
    }
    report
}

/// Asks connections to close, in batches of [`BATCH_LEN`].
async fn ask<R: Runtime>(runtime: &R, open: &[Sender]) {
    for batch in open.chunks(BATCH_LEN) {
        for sender in batch {
            sender.close_now(CloseCode::GOING_AWAY);
        }
        yield_now(runtime).await;
    }
}

/// Counts each connection in one column. `rest` is the column of connections that have not ended.
fn report(open: &[Sender], rest: fn(&mut ShutdownReport) -> &mut usize) -> ShutdownReport {
    let mut report = ShutdownReport::default();
    for sender in open {
        let column = match sender.standing() {
            Standing::Closed => &mut report.closed,
            Standing::Lost => &mut report.lost,
            Standing::Open => rest(&mut report),
        };
        *column += 1;
    }
    report
}

/// Waits for `work`, but not beyond `end`. Returns whether the work is done.
async fn until<R: Runtime>(
    runtime: &R,
    end: Option<Instant>,
    work: impl Future<Output = ()>,
) -> bool {
    let mut timer = runtime.timer();
    if let Some(end) = end {
        timer.set(end);
    }
    let over = poll_fn(|cx| {
        // Reads the clock, too, because the timer of a busy thread expires late.
        let is_late = end.is_some_and(|end| runtime.now() >= end);
        if is_late {
            return Poll::Ready(());
        }
        timer.poll(cx)
    });
    race(pin!(work), over).await.first().is_some()
}

/// The number of connections that are asked to close before the other tasks of the thread run. Without batches the
/// thread would be busy for a long time, and all clients would reconnect at the same moment.
const BATCH_LEN: usize = 256;

/// How long the engine of a cluster has to take what was published.
const FLUSH_WAIT: Duration = Duration::from_secs(1);

/// How long the tasks of aborted connections have to end. Each needs one poll; only application code that blocks its
/// thread takes longer.
const ABORT_WAIT: Duration = Duration::from_secs(1);
