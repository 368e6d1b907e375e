//! A race of two futures in one task.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// The future that ended a [`race`], by its place, with its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Winner<A, B> {
    First(A),
    Second(B),
}

impl<A, B> Winner<A, B> {
    /// Returns the output of the first future if it won.
    pub(crate) fn first(self) -> Option<A> {
        match self {
            Self::First(output) => Some(output),
            Self::Second(_) => None,
        }
    }
}

/// Waits until one of two futures is ready. If both are, the first one wins: `second` is polled only while `first`
/// is pending. So work comes first if a result that is there must not be lost, and a deadline or a stop comes first
/// if work that is always ready must not go on behind it.
///
/// The loser is not polled again and is dropped with the race. One that `pin!` holds in the argument of a call lives
/// until the end of that statement.
///
/// The futures are [`Unpin`], because a future that is moved into a function and pinned there takes its memory twice.
///
/// # Cancel safety
///
/// If the race is dropped before it is ready, both futures are dropped; what that loses is up to them.
pub(crate) fn race<A, B>(
    mut first: A,
    mut second: B,
) -> impl Future<Output = Winner<A::Output, B::Output>> + Unpin
where
    A: Future + Unpin,
    B: Future + Unpin,
{
    poll_fn(move |cx| match Pin::new(&mut first).poll(cx) {
        Poll::Ready(output) => Poll::Ready(Winner::First(output)),
        Poll::Pending => Pin::new(&mut second).poll(cx).map(Winner::Second),
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::{pending, ready};
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    fn poll<T>(future: impl Future<Output = T>) -> Poll<T> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    /// Whichever future is ready ends the race, and the first one if both are.
    #[test]
    fn the_first_future_wins_if_both_are_ready() {
        let both = race(ready(1), ready(2));
        assert_eq!(poll(both), Poll::Ready(Winner::First(1)));
        let late = race(pending::<u8>(), ready(2));
        assert_eq!(poll(late), Poll::Ready(Winner::Second(2)));
        let early = race(ready(1), pending::<u8>());
        assert_eq!(poll(early), Poll::Ready(Winner::First(1)));
        let neither = race(pending::<u8>(), pending::<u8>());
        assert_eq!(poll(neither), Poll::Pending);
    }

    /// The second future is not polled in a poll that ends with the first one, and the race drops both.
    #[test]
    fn the_loser_is_not_polled_and_is_dropped() {
        struct Loser<'a>(&'a Cell<u32>, &'a Cell<u32>);

        impl Future for Loser<'_> {
            type Output = ();

            fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
                self.0.set(self.0.get() + 1);
                Poll::Pending
            }
        }

        impl Drop for Loser<'_> {
            fn drop(&mut self) {
                self.1.set(self.1.get() + 1);
            }
        }

        let (polls, drops) = (Cell::new(0), Cell::new(0));
        let mut turns = 0;
        let first = poll_fn(|_| {
            turns += 1;
            if turns == 3 {
                Poll::Ready(turns)
            } else {
                Poll::Pending
            }
        });
        let mut race = race(first, Loser(&polls, &drops));
        assert_eq!(poll(&mut race), Poll::Pending);
        assert_eq!(poll(&mut race), Poll::Pending);
        assert_eq!(poll(&mut race), Poll::Ready(Winner::First(3)));
        assert_eq!((polls.get(), drops.get()), (2, 0));
        drop(race);
        assert_eq!(drops.get(), 1);
    }
}
