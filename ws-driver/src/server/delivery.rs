//! How the application gets an open connection: by a handler that runs in the connection's own task, or by
//! [`accept`](super::Server::accept). In the second case only the driver runs in that task.

use std::future::{Future, Pending};
use std::sync::Arc;

use futures_io::{AsyncRead, AsyncWrite};

use super::reporter::ConnectionReporter;
use super::shared::SharedServer;
use crate::driver::Driver;
use crate::driver::shared_driver::DriverTask;
use crate::driver::shared_machine::SharedMachine;
use crate::handle::connection::Connection;
use crate::handle::spawn;
use crate::runtime::Runtime;

/// Gives a connection to the application, and makes the future that runs as the task of the connection.
pub(super) trait Delivery: Send + 'static {
    type Handler: Future + Send + 'static;
    type Task<R, S>: Future<Output = ()> + Unpin + Send + 'static
    where
        R: Runtime,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    fn begin<R, S>(
        self,
        driver: Driver<R, S, Self::Handler, ConnectionReporter>,
        machine: &SharedMachine,
        connection: Connection,
    ) -> Self::Task<R, S>
    where
        R: Runtime,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static;
}

/// Runs a handler in the task of the connection. A message needs no channel and no switch between tasks.
#[derive(Clone)]
pub(super) struct ToHandler<H>(pub(super) H);

impl<H, F> Delivery for ToHandler<H>
where
    H: FnOnce(Connection) -> F + Send + 'static,
    F: Future + Send + 'static,
{
    type Handler = F;
    type Task<R, S>
        = Driver<R, S, F, ConnectionReporter>
    where
        R: Runtime,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    fn begin<R, S>(
        self,
        driver: Driver<R, S, F, ConnectionReporter>,
        _: &SharedMachine,
        connection: Connection,
    ) -> Driver<R, S, F, ConnectionReporter>
    where
        R: Runtime,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        driver.with_handler(|| self.0(connection))
    }
}

/// Queues the connection for `accept`.
pub(super) struct ToAcceptQueue<R: Runtime>(pub(super) Arc<SharedServer<R>>);

impl<R: Runtime> Clone for ToAcceptQueue<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<Q: Runtime> Delivery for ToAcceptQueue<Q> {
    type Handler = Pending<()>;
    type Task<R, S>
        = DriverTask<Driver<R, S, Pending<()>, ConnectionReporter>>
    where
        R: Runtime,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    fn begin<R, S>(
        self,
        driver: Driver<R, S, Pending<()>, ConnectionReporter>,
        machine: &SharedMachine,
        connection: Connection,
    ) -> Self::Task<R, S>
    where
        R: Runtime,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        // Before the application gets the connection: it may send and then end the program at once, and its send can
        // write only through the shared driver.
        let runtime = driver.runtime().clone();
        let task = spawn::share(&runtime, driver, machine);
        self.0.accept_queue.push(connection);
        task
    }
}
