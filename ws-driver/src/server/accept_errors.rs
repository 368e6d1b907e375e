//! Classifies the errors of accept: an error is about one stream, is temporary, or ends the server. Decides how long to
//! wait after an error and when to log it.

use std::io;
use std::time::{Duration, Instant};

use crate::util::sync::{Mutex, PoisonError};

/// The cause of an accept error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// One stream, which is gone. The listener still works.
    Stream,
    /// The system or the listener, temporarily.
    Passing,
    /// The listener, permanently.
    Listener,
}

/// The accept errors since a stream was last accepted. They belong to the server and not to a call, because `accept` is
/// called and dropped for each connection.
#[derive(Default)]
pub(super) struct AcceptErrors(Mutex<Recent>);

#[derive(Default)]
struct Recent {
    /// The number of consecutive errors about a stream.
    streams: u32,
    /// The last wait.
    wait: Option<Duration>,
    /// When an error was last logged.
    logged: Option<Instant>,
    /// The errors since then that were not logged.
    left_out: u64,
}

impl AcceptErrors {
    /// Records an error. Returns how long to wait before the next try.
    ///
    /// # Errors
    ///
    /// Returns the error if no further try can succeed.
    pub(super) fn note(&self, error: io::Error, now: Instant) -> io::Result<Option<Duration>> {
        let fault = Fault::of(&error);
        if fault == Fault::Listener {
            return Err(error);
        }
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if fault == Fault::Stream && recent.streams < STREAMS_IN_A_ROW {
            // No wait: a peer that resets its streams must not slow the others down.
            recent.streams += 1;
            drop(recent);
            tracing::debug!(target: "ws", "a stream was lost before it was accepted: {error}");
            return Ok(None);
        }
        let wait = recent
            .wait
            .map_or(FIRST_WAIT, |wait| wait.saturating_mul(2));
        let wait = wait.min(LONGEST_WAIT);
        recent.wait = Some(wait);
        let is_told = recent
            .logged
            .is_none_or(|logged| now.saturating_duration_since(logged) >= LOG_INTERVAL);
        if !is_told {
            recent.left_out = recent.left_out.saturating_add(1);
            return Ok(Some(wait));
        }
        recent.logged = Some(now);
        let left_out = std::mem::take(&mut recent.left_out);
        // The subscriber is code of the application, so it runs without the lock.
        drop(recent);
        tracing::warn!(
            target: "ws",
            "cannot accept: {error}; the next try is in {wait:?}, and {left_out} errors since the last line \
             are not shown"
        );
        Ok(Some(wait))
    }

    /// Records that a stream was accepted: waits begin at [`FIRST_WAIT`] again.
    pub(super) fn note_accepted(&self) {
        // `logged` stays, so that errors that alternate with streams do not flood the log.
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.streams = 0;
        recent.wait = None;
    }
}

impl Fault {
    fn of(error: &io::Error) -> Self {
        let Some(code) = error.raw_os_error() else {
            // An error without a system code is from the runtime: it has ended or does not exist.
            return Self::of_kind(error.kind()).unwrap_or(Self::Listener);
        };
        if LISTENER_CODES.contains(&code) {
            return Self::Listener;
        }
        // Any other system error counts as temporary, because a useless wait costs less than the end of the server.
        Self::of_kind(error.kind()).unwrap_or(Self::Passing)
    }

    /// Classifies an error by its kind. On Linux accept returns the errors that a stream had while it waited, including
    /// network errors, and `EPERM` if a firewall forbids the stream.
    fn of_kind(kind: io::ErrorKind) -> Option<Self> {
        if STREAM_KINDS.contains(&kind) {
            return Some(Self::Stream);
        }
        (kind == io::ErrorKind::OutOfMemory).then_some(Self::Passing)
    }
}

/// The kinds of errors that are about one stream.
const STREAM_KINDS: [io::ErrorKind; 9] = [
    io::ErrorKind::ConnectionAborted,
    io::ErrorKind::ConnectionReset,
    io::ErrorKind::ConnectionRefused,
    io::ErrorKind::Interrupted,
    io::ErrorKind::TimedOut,
    io::ErrorKind::HostUnreachable,
    io::ErrorKind::NetworkUnreachable,
    io::ErrorKind::NetworkDown,
    io::ErrorKind::PermissionDenied,
];

/// The system codes for an invalid listener: EBADF, EFAULT, EINVAL and ENOTSOCK. ENOTSOCK is 38 on the BSDs and 88 on
/// Linux, where 38 is ENOSYS. EOPNOTSUPP is missing, because Linux returns it for a stream, too.
#[cfg(not(windows))]
const LISTENER_CODES: [i32; 5] = [9, 14, 22, 38, 88];

/// The same codes on Windows, and WSANOTINITIALISED.
#[cfg(windows)]
const LISTENER_CODES: [i32; 6] = [6, 10009, 10014, 10022, 10038, 10093];

/// The number of consecutive errors about a stream without a wait, because peers can cause them. More of them point to
/// the network, and immediate tries would keep a thread busy.
const STREAMS_IN_A_ROW: u32 = 64;

/// The first wait after a temporary error. Each wait that follows is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(10);

/// The longest wait. A client waits at most so long once the error is gone.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The minimum time between two lines in the log.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn os(code: i32) -> io::Error {
        io::Error::from_raw_os_error(code)
    }

    /// Each error that Linux documents for accept and for registering a stream: only an invalid listener ends the
    /// server.
    #[cfg(target_os = "linux")]
    #[test]
    fn only_a_listener_that_is_none_ends_the_server() {
        for code in 1..=133 {
            let fault = Fault::of(&os(code));
            let expected = match code {
                // EBADF, EFAULT, EINVAL, ENOSYS, ENOTSOCK
                9 | 14 | 22 | 38 | 88 => Fault::Listener,
                // EPERM, EINTR, EACCES, ENETDOWN, ENETUNREACH, ECONNABORTED, ECONNRESET, ETIMEDOUT,
                // ECONNREFUSED, EHOSTUNREACH
                1 | 4 | 13 | 100 | 101 | 103 | 104 | 110 | 111 | 113 => Fault::Stream,
                // EMFILE, ENFILE, ENOMEM, ENOBUFS, ENOSPC, EPROTO, EOPNOTSUPP and what nobody expects.
                _ => Fault::Passing,
            };
            assert_eq!(fault, expected, "{code}");
        }
        assert_eq!(Fault::of(&io::Error::other("no reactor")), Fault::Listener);
        let aborted = io::ErrorKind::ConnectionAborted;
        assert_eq!(Fault::of(&aborted.into()), Fault::Stream);
    }

    /// The waits grow to their limit, and begin anew once a stream was accepted.
    #[test]
    fn waits_grow_and_end() {
        let errors = AcceptErrors::default();
        let now = Instant::now();
        let wait = || errors.note(os(24), now).unwrap().unwrap();
        let waits: Vec<_> = (0..9).map(|_| wait().as_millis()).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        errors.note_accepted();
        assert_eq!(wait(), FIRST_WAIT);
    }

    /// Errors about one stream cost no wait, unless there is nothing else.
    #[test]
    fn errors_of_streams_that_do_not_end_are_waited_after() {
        let errors = AcceptErrors::default();
        let now = Instant::now();
        for _ in 0..STREAMS_IN_A_ROW {
            assert_eq!(errors.note(os(103), now).unwrap(), None);
        }
        assert_eq!(errors.note(os(103), now).unwrap(), Some(FIRST_WAIT));
        errors.note_accepted();
        assert_eq!(errors.note(os(103), now).unwrap(), None);
    }
}
