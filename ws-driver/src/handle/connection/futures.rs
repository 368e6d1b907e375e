//! The futures of [`Connection`](crate::Connection) that are polled for each message. They are types of
//! their own, as the compiler moves a message into and out of an async function several times, which
//! costs as much as to send it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use ws_proto::{Message, SendError};

use super::Connection;
use crate::driver::shared_machine::{Mailbox, Then};

/// The next message; see [`Connection::recv`].
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

/// A message that is being queued; see [`Connection::send`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct SendFuture<'a> {
    mailbox: &'a Mailbox,
    then: Then,
    /// `None` once it was queued, or waits for that.
    message: Option<Message>,
    waiting: Option<Waiting<'a>>,
}

/// Boxed, as it is rare, and large: each future that sends would keep room for it.
type Waiting<'a> = Pin<Box<dyn Future<Output = Result<(), SendError>> + Send + 'a>>;

impl<'a> SendFuture<'a> {
    #[inline]
    pub(crate) fn new(mailbox: &'a Mailbox, message: Message, then: Then) -> Self {
        Self {
            mailbox,
            then,
            message: Some(message),
            waiting: None,
        }
    }

    #[inline(never)]
    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let mailbox = self.mailbox;
        if let Some(message) = self.message.take() {
            match mailbox.send_at_once(message, self.then) {
                Ok(queued) => return Poll::Ready(queued),
                Err(message) => self.waiting = Some(Box::pin(mailbox.send(message))),
            }
        }
        let waiting = self.waiting.as_mut();
        waiting
            .expect("a future is not polled after it was ready")
            .as_mut()
            .poll(cx)
    }
}

impl Future for SendFuture<'_> {
    type Output = Result<(), SendError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        if let Some(message) = &self.message {
            if self.mailbox.send_inline(message, self.then) {
                self.message = None;
                return Poll::Ready(Ok(()));
            }
        }
        self.poll_waiting(cx)
    }
}

impl fmt::Debug for SendFuture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendFuture")
            .field("message", &self.message)
            .finish_non_exhaustive()
    }
}
