//! Connections whose driver runs as a task of its own: those of clients and of the test kit.

use std::future::Pending;
use std::sync::Arc;
use std::task::Context;

use bytes::Bytes;
use futures_io::{AsyncRead, AsyncWrite};
use ws_proto::{Connection as Machine, State};

use super::connection::Connection;
use crate::driver::fairness;
use crate::driver::shared_driver::{Drive, DriverTask};
use crate::driver::shared_machine::{Clock, Facts, SharedMachine};
use crate::driver::{Driver, Watch};
use crate::observe::span::ConnectionSpan;
use crate::registry::membership::Membership;
use crate::runtime::Runtime;

/// Starts to drive a connection. `unread` are bytes that were read from the stream before.
pub(crate) fn start<R, S>(
    runtime: &R,
    stream: S,
    unread: Bytes,
    machine: Machine,
    facts: Facts,
) -> Connection
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let span = ConnectionSpan::none();
    start_watched(runtime, stream, unread, machine, facts, span, |_| Unwatched)
}

/// Starts to drive a connection in a span, with something that watches it.
pub(crate) fn start_watched<R, S, W>(
    runtime: &R,
    stream: S,
    unread: Bytes,
    machine: Machine,
    facts: Facts,
    span: ConnectionSpan,
    watch: impl FnOnce(&Arc<SharedMachine>) -> W,
) -> Connection
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    W: Watch + Send + 'static,
{
    let clock = runtime.clone();
    let machine = Arc::new(SharedMachine::new(
        facts,
        machine,
        Clock::new(move || clock.now()),
    ));
    // A client has no registry, so it can join no topic.
    let connection = Connection::new(
        Arc::clone(&machine),
        Membership::default(),
        http::Extensions::new(),
    );
    // Without a handler, because the caller gets the connection.
    let driver: Driver<_, _, Pending<()>, _> = Driver::new(
        runtime.clone(),
        stream,
        unread,
        Arc::clone(&machine),
        watch(&machine),
    );
    runtime.spawn(span.around(share(runtime, driver, &machine)));
    connection
}

/// Makes the task of a driver that is shared with the handles of its connection, so that a send can write by itself.
pub(crate) fn share<R, D>(runtime: &R, driver: D, machine: &SharedMachine) -> DriverTask<D>
where
    R: Runtime,
    D: Drive + Send + 'static,
{
    let task = DriverTask::new(driver);
    let runtime = runtime.clone();
    let give_way = move |cx: &mut Context<'_>| fairness::give_way(&runtime, cx);
    machine.share_driver(task.writer(), R::is_in_task, Box::new(give_way));
    task
}

/// Reports nothing: a connection that was opened elsewhere has no observers.
struct Unwatched;

impl Watch for Unwatched {
    fn note_state(&mut self, _: State) {}
    fn ended(&mut self) {}
    fn panicked(&mut self) {}
}
