//! The futures of [`Connection`](crate::Connection) that are polled for each message.
//!
//! They are structs and not async functions, because the compiler moves a message into and out of an async function
//! several times. Those moves cost as much as the send itself.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use ws_proto::{Message, SendError};

use super::Connection;
use crate::driver::shared_machine::{CapacityWait, Draft, IfOpen, SharedMachine, Then};

/// Waits for the next message; see [`Connection::recv`].
#[must_use = "futures do nothing unless they are awaited"]
#[derive(Debug)]
pub struct RecvFuture<'a> {
    connection: &'a mut Connection,
}

impl<'a> RecvFuture<'a> {
    #[inline]
    pub(crate) fn new(connection: &'a mut Connection) -> Self {
        Self { connection }
    }
}

impl Future for RecvFuture<'_> {
    type Output = Option<Message>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.connection.poll_recv(cx)
    }
}

/// Queues a message; see [`Connection::send`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct SendFuture<'a> {
    machine: &'a SharedMachine,
    draft: Draft,
    then: Then,
    wait: CapacityWait,
}

impl<'a> SendFuture<'a> {
    #[inline]
    pub(crate) fn new(machine: &'a SharedMachine, message: Message, then: Then) -> Self {
        Self {
            machine,
            draft: Draft::new(message),
            then,
            wait: CapacityWait::default(),
        }
    }
}

impl Future for SendFuture<'_> {
    type Output = Result<(), SendError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let Self {
            machine,
            draft,
            then,
            wait,
        } = &mut *self;
        // Refused and not awaited if a message is open: only this handle can finish that message, so the wait would
        // never end.
        machine.poll_send(cx, draft, IfOpen::Refuse, *then, wait)
    }
}

impl fmt::Debug for SendFuture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendFuture")
            // Not the message, which can be long or a secret.
            .field("len", &self.draft.message().map(Message::len))
            .finish_non_exhaustive()
    }
}
