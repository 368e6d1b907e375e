//! Who gets a connection that a server has opened: a handler in the connection's own task, or whoever
//! [accepts](super::Server::accept) it, while its driver has the task.

use std::future::{Future, Pending};
use std::sync::Arc;

use futures_io::{AsyncRead, AsyncWrite};

use super::reporter::OpenWitness;
use super::shared::Shared;
use crate::driver::Driver;
use crate::driver::shared_driver::DriverTask;
use crate::driver::shared_machine::SharedMachine;
use crate::handle::connection::Connection;
use crate::handle::spawn;
use crate::runtime::Runtime;

/// Takes a connection, and makes what runs as its task.
pub(super) trait Host: Send + 'static {
    type Handler: Future + Send + 'static;
    type Task<R, S>: Future<Output = ()> + Unpin + Send + 'static
    where
        R: Runtime,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    fn begin<R, S>(
        self,
        driver: Driver<R, S, Self::Handler, OpenWitness>,
        machine: &SharedMachine,
        connection: Connection,
    ) -> Self::Task<R, S>
    where
        R: Runtime,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static;
}

/// Runs a handler in the task of the connection.
#[derive(Clone)]
pub(super) struct Handle<H>(pub(super) H);

impl<H, F> Host for Handle<H>
where
    H: FnOnce(Connection) -> F + Send + 'static,
    F: Future + Send + 'static,
{
    type Handler = F;
    type Task<R, S>
        = Driver<R, S, F, OpenWitness>
    where
        R: Runtime,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    fn begin<R, S>(
        self,
        driver: Driver<R, S, F, OpenWitness>,
        _: &SharedMachine,
        connection: Connection,
    ) -> Driver<R, S, F, OpenWitness>
    where
        R: Runtime,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        driver.with_handler(|| self.0(connection))
    }
}

/// Hands the connection out.
pub(super) struct HandOut<R: Runtime>(pub(super) Arc<Shared<R>>);

impl<R: Runtime> Clone for HandOut<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<Q: Runtime> Host for HandOut<Q> {
    type Handler = Pending<()>;
    type Task<R, S>
        = DriverTask<Driver<R, S, Pending<()>, OpenWitness>>
    where
        R: Runtime,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    fn begin<R, S>(
        self,
        driver: Driver<R, S, Pending<()>, OpenWitness>,
        machine: &SharedMachine,
        connection: Connection,
    ) -> Self::Task<R, S>
    where
        R: Runtime,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        // Shared before anybody has the connection, as who has it may send and go.
        let runtime = driver.runtime().clone();
        let task = spawn::share(&runtime, driver, machine);
        self.0.opened.push(connection);
        task
    }
}
