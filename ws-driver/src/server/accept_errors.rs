//! What an error of accept means: whether it is about one stream, passes, or ends the server; how long to wait
//! after it; and when to say so.

use std::io;
use std::time::{Duration, Instant};

use crate::util::sync::{Mutex, PoisonError};

/// What an error of accept is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// One stream, which is gone; the listener is as good as before.
    Stream,
    /// The system or the listener, for now.
    Passing,
    /// The listener, for good.
    Listener,
}

/// The errors of accept since a stream was last accepted. They are the server's, and not a call's, since
/// `accept` is called and dropped for each connection.
#[derive(Default)]
pub(super) struct Trouble(Mutex<Recent>);

#[derive(Default)]
struct Recent {
    /// Errors that were about one stream, one after the other.
    streams: u32,
    /// How long the last wait was.
    wait: Option<Duration>,
    /// When a line was last logged, and how many errors had none since.
    logged: Option<Instant>,
    left_out: u64,
}

impl Trouble {
    /// Notes an error; returns how long to wait before the next try.
    ///
    /// # Errors
    ///
    /// Gives the error back if no try can succeed any more.
    pub(super) fn note(&self, error: io::Error, now: Instant) -> io::Result<Option<Duration>> {
        let fault = Fault::of(&error);
        if fault == Fault::Listener {
            return Err(error);
        }
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if fault == Fault::Stream && recent.streams < STREAMS_IN_A_ROW {
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
        drop(recent);
        tracing::warn!(
            target: "ws",
            "cannot accept: {error}; the next try is in {wait:?}, and {left_out} errors since the last line \
             are not shown"
        );
        Ok(Some(wait))
    }

    /// Notes that a stream was accepted.
    pub(super) fn pass(&self) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.streams = 0;
        recent.wait = None;
    }
}

impl Fault {
    fn of(error: &io::Error) -> Self {
        let Some(code) = error.raw_os_error() else {
            return Self::of_kind(error.kind()).unwrap_or(
                // What has no code of the system is from the runtime: it has ended, or is not there.
                Self::Listener,
            );
        };
        if LISTENER_CODES.contains(&code) {
            return Self::Listener;
        }
        // Whatever else the system says may pass, as a server is worth more than a wait that was in vain.
        Self::of_kind(error.kind()).unwrap_or(Self::Passing)
    }

    /// Linux gives accept the errors that a stream had while it waited, those of the network included, and
    /// says `EPERM` where a firewall forbids the stream.
    fn of_kind(kind: io::ErrorKind) -> Option<Self> {
        if STREAM_KINDS.contains(&kind) {
            return Some(Self::Stream);
        }
        (kind == io::ErrorKind::OutOfMemory).then_some(Self::Passing)
    }
}

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

/// What the system says of a listener that is none (any more): EBADF, EFAULT, EINVAL, and ENOTSOCK, which is
/// 38 on the BSDs and 88 on Linux, where 38 is ENOSYS. EOPNOTSUPP is not here, as Linux says so of a stream,
/// too.
#[cfg(not(windows))]
const LISTENER_CODES: [i32; 5] = [9, 14, 22, 38, 88];

/// The same of Windows, and WSANOTINITIALISED.
#[cfg(windows)]
const LISTENER_CODES: [i32; 6] = [6, 10009, 10014, 10022, 10038, 10093];

/// Errors about one stream, one after the other, that are not waited after: peers can cause them. More than
/// that are the network's, and to try at once would keep a thread busy.
const STREAMS_IN_A_ROW: u32 = 64;

/// The first wait after an error that may pass; each that follows is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(10);

/// The longest wait: nobody who connects waits much longer than that once the error has passed.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The least time between two lines in the log.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn os(code: i32) -> io::Error {
        io::Error::from_raw_os_error(code)
    }

    /// Each error that Linux names for accept, and those of registering a stream: only what says that the
    /// listener is none ends the server.
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
        let trouble = Trouble::default();
        let now = Instant::now();
        let wait = || trouble.note(os(24), now).unwrap().unwrap();
        let waits: Vec<_> = (0..9).map(|_| wait().as_millis()).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        trouble.pass();
        assert_eq!(wait(), FIRST_WAIT);
    }

    /// Errors about one stream cost no wait, unless there is nothing else.
    #[test]
    fn errors_of_streams_that_do_not_end_are_waited_after() {
        let trouble = Trouble::default();
        let now = Instant::now();
        for _ in 0..STREAMS_IN_A_ROW {
            assert_eq!(trouble.note(os(103), now).unwrap(), None);
        }
        assert_eq!(trouble.note(os(103), now).unwrap(), Some(FIRST_WAIT));
        trouble.pass();
        assert_eq!(trouble.note(os(103), now).unwrap(), None);
    }
}
