//! What is counted for each connection and for a server: plain numbers that are read at any time.

use std::fmt;

use ws_proto::{CloseCause, ProtocolError, Version};

/// What was counted on one connection so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionCounters {
    /// Messages that arrived, those included that the application did not take.
    pub messages_received: u64,
    /// Bytes of payload in them.
    pub bytes_received: u64,
    /// Messages that were queued to be written.
    pub messages_sent: u64,
    /// Bytes of payload in them.
    pub bytes_sent: u64,
    /// Messages that were dropped by [`DropNewest`](crate::SlowPeer::DropNewest) or
    /// [`DropOldest`](crate::SlowPeer::DropOldest), or were still kept back when the connection closed.
    pub messages_dropped: u64,
    /// Pings that were queued to be written, those of the keepalive included; the drafts have none.
    pub pings_sent: u64,
    /// Pings of the peer; each is answered without being asked for.
    pub pings_received: u64,
    /// Bytes that wait to be written now; see
    /// [`buffered_amount`](crate::Connection::buffered_amount).
    pub buffered_amount: usize,
}

/// What was counted on all connections of a server so far, those that have ended included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerCounters {
    /// Connections that are open now.
    pub open: VersionCounts,
    /// Connections that were ever opened: those that are open, and those that were
    /// [closed](Self::closes).
    pub opened: VersionCounts,
    /// Upgrades that were refused, and opening handshakes that failed: what an
    /// [`Observer::rejected`](crate::Observer::rejected) is told.
    pub rejected: u64,
    /// Messages that arrived, those included that the application did not take.
    pub messages_received: u64,
    /// Bytes of payload in them.
    pub bytes_received: u64,
    /// Messages that were queued to be written; a broadcast counts once for each connection that took
    /// it.
    pub messages_sent: u64,
    /// Bytes of payload in them.
    pub bytes_sent: u64,
    /// Messages that were dropped by [`DropNewest`](crate::SlowPeer::DropNewest) or
    /// [`DropOldest`](crate::SlowPeer::DropOldest), or were still kept back when the connection closed.
    pub messages_dropped: u64,
    /// Connections that a policy closed as they were too slow: [`Close`](crate::SlowPeer::Close).
    pub slow_closes: u64,
    /// Connections that have ended.
    pub closes: CloseCounts,
    /// Bytes that wait to be written now, on all open connections.
    pub buffered_amount: usize,
}

/// Numbers of connections, by version.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct VersionCounts([u64; Version::ALL.len()]);

impl VersionCounts {
    /// Returns the number of those in one version.
    pub fn of(&self, version: Version) -> u64 {
        self.iter()
            .find(|(other, _)| *other == version)
            .map_or(0, |(_, count)| count)
    }

    /// Returns the number of all.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Iterates over the versions, oldest first, and their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (Version, u64)> {
        Version::ALL.into_iter().zip(self.0)
    }

    pub(crate) fn note(&mut self, version: Version) {
        for (other, count) in Version::ALL.into_iter().zip(&mut self.0) {
            *count += u64::from(other == version);
        }
    }
}

impl fmt::Debug for VersionCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Numbers of connections that have ended, by the class of their close code.
///
/// The code is the one that the peer sent, or the one that it was sent because of what it did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseCounts {
    /// 1000 and 1001: the purpose is fulfilled, or one side goes away; and closes without a code, as
    /// all are in the drafts.
    pub normal: u64,
    /// 1002, 1003 and 1007 to 1010: one side broke a rule, or sent what the other cannot take.
    pub protocol: u64,
    /// 1011 to 1014: one side failed, or had too much to do.
    pub failure: u64,
    /// 1006: there was no closing handshake. The stream ended, the peer vanished, or it did not answer
    /// a close in time.
    pub abnormal: u64,
    /// 3000 to 4999: what the application means by it.
    pub application: u64,
    /// Any other code.
    pub other: u64,
}

impl CloseCounts {
    /// Returns the number of all.
    pub fn total(&self) -> u64 {
        let Self {
            normal,
            protocol,
            failure,
            abnormal,
            application,
            other,
        } = self;
        normal + protocol + failure + abnormal + application + other
    }

    /// Counts an end, by its code and its cause; `None` is one that nobody saw, as the task was
    /// dropped.
    pub(crate) fn note(&mut self, end: Option<(u16, &CloseCause)>) {
        let code = match end {
            // It is told 1011, but it is the peer that has vanished.
            None
            | Some((
                _,
                CloseCause::Failed(
                    ProtocolError::PongTimeout { .. } | ProtocolError::WriteStalled { .. },
                ),
            )) => 1006,
            Some((_, CloseCause::Failed(error))) => error.close_code().get(),
            Some((code, _)) => code,
        };
        let count = match code {
            1000 | 1001 | 1005 => &mut self.normal,
            1002 | 1003 | 1007..=1010 => &mut self.protocol,
            1011..=1014 => &mut self.failure,
            1006 => &mut self.abnormal,
            3000..=4999 => &mut self.application,
            _ => &mut self.other,
        };
        *count += 1;
    }
}

/// What is counted of a connection under the lock of its mailbox.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) messages_received: u64,
    pub(crate) bytes_received: u64,
    pub(crate) messages_sent: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) messages_dropped: u64,
    pub(crate) slow_closes: u64,
}

impl Tally {
    /// Counts a message that was queued, or a fragment of one: the last makes it a message.
    pub(crate) fn note_sent(&mut self, len: usize, last: bool) {
        self.messages_sent += u64::from(last);
        self.bytes_sent += count(len);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        let Self {
            messages_received,
            bytes_received,
            messages_sent,
            bytes_sent,
            messages_dropped,
            slow_closes,
        } = other;
        self.messages_received += messages_received;
        self.bytes_received += bytes_received;
        self.messages_sent += messages_sent;
        self.bytes_sent += bytes_sent;
        self.messages_dropped += messages_dropped;
        self.slow_closes += slow_closes;
    }
}

/// What the connections of a server that have ended leave behind, and what never was one.
#[derive(Clone, Copy, Default)]
pub(crate) struct Totals {
    pub(crate) opened: VersionCounts,
    pub(crate) rejected: u64,
    pub(crate) closes: CloseCounts,
    pub(crate) ended: Tally,
}

/// A length as what is counted.
pub(crate) fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Every code that can be seen has its class, and each end is counted once.
    #[test]
    fn ends_are_counted_by_the_class_of_their_code() {
        let mut counts = CloseCounts::default();
        let mut note = |code, cause| counts.note(Some((code, &cause)));
        for code in [
            1000, 1001, 1002, 1003, 1004, 1005, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014,
            3000, 4000, 4999,
        ] {
            note(code, CloseCause::Handshake);
        }
        note(1006, CloseCause::Disconnected);
        note(1006, CloseCause::CloseTimeout);
        note(1006, CloseCause::Failed(ProtocolError::InvalidUtf8));
        let waited = Duration::from_secs(20);
        note(
            1006,
            CloseCause::Failed(ProtocolError::PongTimeout { waited }),
        );
        let buffered = 1;
        let stalled = ProtocolError::WriteStalled { waited, buffered };
        note(1006, CloseCause::Failed(stalled));
        counts.note(None);
        let expected = CloseCounts {
            normal: 3,
            protocol: 7,
            failure: 4,
            abnormal: 5,
            application: 3,
            other: 1,
        };
        assert_eq!(counts, expected);
        assert_eq!(counts.total(), 23);
    }

    /// A version's number is found under its name, and the total is the sum.
    #[test]
    fn versions_are_counted_apart() {
        let mut counts = VersionCounts::default();
        for version in [Version::Rfc6455, Version::Draft75, Version::Rfc6455] {
            counts.note(version);
        }
        assert_eq!(counts.of(Version::Draft75), 1);
        assert_eq!(counts.of(Version::Draft76), 0);
        assert_eq!(counts.of(Version::Rfc6455), 2);
        assert_eq!(counts.total(), 3);
        assert_eq!(
            format!("{counts:?}"),
            "{Draft75: 1, Draft76: 0, Rfc6455: 2}"
        );
    }
}
