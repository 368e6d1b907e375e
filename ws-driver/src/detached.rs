//! A connection whose driver runs as a task of its own: what `connect` and the test kit hand out.

use std::future::Pending;
use std::sync::Arc;

use futures_io::{AsyncRead, AsyncWrite};
use ws_proto::{Connection as Machine, State};

use crate::connection::Connection;
use crate::driver::{self, Watch};
use crate::mailbox::{Facts, Mailbox};
use crate::runtime::Runtime;

/// Starts to drive a connection.
pub(crate) fn start<R, S>(runtime: &R, stream: S, machine: Machine, facts: Facts) -> Connection
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let clock = runtime.clone();
    let mailbox = Arc::new(Mailbox::new(facts, machine, Arc::new(move || clock.now())));
    let connection = Connection::new(Arc::clone(&mailbox), http::Extensions::new());
    let no_handler = None::<Pending<()>>;
    runtime.spawn(driver::drive(
        runtime.clone(),
        stream,
        mailbox,
        no_handler,
        Unwatched,
    ));
    connection
}

/// Nobody looks on.
struct Unwatched;

impl Watch for Unwatched {
    fn stirred(&mut self, _: State) {}
    fn ended(&mut self, _: &Mailbox) {}
    fn panicked(&mut self, _: &Mailbox) {}
}
