//! The bytes of a scripted proxy before and after it is asked for a tunnel.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

/// Hands bytes on in both directions until both have ended.
///
/// # Errors
///
/// Fails if one of the streams breaks.
pub async fn join<L, R>(mut left: L, mut right: R) -> io::Result<()>
where
    L: AsyncRead + AsyncWrite + Unpin,
    R: AsyncRead + AsyncWrite + Unpin,
{
    let (mut there, mut back) = (Hose::default(), Hose::default());
    poll_fn(|cx| {
        let is_there_done = there.poll(cx, &mut left, &mut right)?.is_ready();
        let is_back_done = back.poll(cx, &mut right, &mut left)?.is_ready();
        if is_there_done && is_back_done {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    })
    .await
}

/// One direction.
#[derive(Default)]
struct Hose {
    rest: Vec<u8>,
    read_ended: bool,
    closed: bool,
}

impl Hose {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<Poll<()>> {
        loop {
            if self.closed {
                return Ok(Poll::Ready(()));
            }
            if !self.rest.is_empty() {
                match Pin::new(&mut *to).poll_write(cx, &self.rest)? {
                    Poll::Ready(len) => drop(self.rest.drain(..len)),
                    Poll::Pending => return Ok(Poll::Pending),
                }
            } else if self.read_ended {
                match Pin::new(&mut *to).poll_close(cx)? {
                    Poll::Ready(()) => self.closed = true,
                    Poll::Pending => return Ok(Poll::Pending),
                }
            } else {
                let mut buffer = [0; 4096];
                match Pin::new(&mut *from).poll_read(cx, &mut buffer)? {
                    Poll::Ready(0) => self.read_ended = true,
                    Poll::Ready(len) => self.rest.extend_from_slice(&buffer[..len]),
                    Poll::Pending => return Ok(Poll::Pending),
                }
            }
        }
    }
}
