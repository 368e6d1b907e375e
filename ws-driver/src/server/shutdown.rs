//! The end of a server: every connection is asked to close and waited for, what is left is dropped and waited
//! for, too, and each goes into one column of the report.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use ws_proto::CloseCode;

use super::shared::Shared;
use super::shutdown_phase::Phase;
use crate::driver::shared_machine::Standing;
use crate::handle::sender::Sender;
use crate::runtime::{Runtime, Timer};
use crate::util::race::race;

/// What came of a [`shutdown`](crate::Server::shutdown): each connection that was open when it was called is
/// in one column, so that their sum is how many there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Connections that closed within the grace, with a closing handshake where their version has one. A peer
    /// that answered the close and kept the stream open counts here, too.
    pub closed: usize,
    /// Connections that ended within the grace without a closing handshake: the stream broke, or the peer did not
    /// answer within the `close_timeout`.
    pub lost: usize,
    /// Connections that were still open at the end of the grace, and were dropped.
    pub aborted: usize,
}

/// Shuts a server down.
pub(super) async fn run<R: Runtime>(shared: &Shared<R>, grace: Duration) -> ShutdownReport {
    let Shared {
        runtime,
        stop,
        clients,
        ..
    } = shared;
    // Taken first, since asking many connections to close takes a part of the grace.
    let end = runtime.now().checked_add(grace);
    stop.advance(Phase::ShuttingDown);
    let open: Vec<_> = clients.iter().collect();
    let closing = async {
        ask(&open).await;
        clients.wait_below(1).await;
    };
    if until(runtime, end, closing).await {
        return report(&open, |report| &mut report.lost);
    }
    let report = report(&open, |report| &mut report.aborted);
    stop.advance(Phase::Aborting);
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

/// Asks connections to close, not all at once.
async fn ask(open: &[Sender]) {
    for batch in open.chunks(BATCH_LEN) {
        for sender in batch {
            sender.begin_close(CloseCode::GOING_AWAY);
        }
        let_others_run().await;
    }
}

/// Puts each connection into one column; `rest` is that of those without an account of their end.
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

/// Waits for `work`, but not beyond `end`; tells whether it is done.
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
        // The clock is asked, too, since the timer of a thread that is busy runs out late.
        let is_late = end.is_some_and(|end| runtime.now() >= end);
        if is_late {
            return Poll::Ready(());
        }
        timer.poll(cx)
    });
    race(pin!(work), over).await.first().is_some()
}

/// Lets the other tasks of the thread have a turn.
async fn let_others_run() {
    let mut has_waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Connections that are asked to close before the other tasks of the thread run: all at once would keep a
/// thread busy for long, and make all clients come back at once.
const BATCH_LEN: usize = 256;

/// How long the tasks of what was dropped have to end: each needs one poll. Only code of the application that
/// blocks its thread takes longer.
const ABORT_WAIT: Duration = Duration::from_secs(1);
