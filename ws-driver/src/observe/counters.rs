//! The counters of each connection and of a server: plain numbers that can be read at any time.

use std::fmt;

use ws_proto::{CloseCause, HandshakeError, ProtocolError, Version};

use crate::front::proxy_protocol::ProxyProtocolError;
use crate::observe::rejected::Rejected;
#[cfg(feature = "rustls")]
use crate::tls::TlsError;

/// The counters of one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionCounters {
    /// Messages that arrived, including messages that the application did not take.
    pub messages_received: u64,
    /// Bytes of payload in the messages that arrived.
    pub bytes_received: u64,
    /// Messages that were queued to be written.
    pub messages_sent: u64,
    /// Bytes of payload in the messages that were queued, and in the fragments of a message that is not complete.
    pub bytes_sent: u64,
    /// Messages that [`DropNewest`](crate::SlowPeer::DropNewest) or [`DropOldest`](crate::SlowPeer::DropOldest)
    /// dropped, and messages that were still kept back when the connection closed.
    pub messages_dropped: u64,
    /// Pings that were queued to be written, including pings of the keepalive. The drafts have no pings.
    pub pings_sent: u64,
    /// Pings of the peer. They are answered automatically.
    pub pings_received: u64,
    /// Bytes that wait to be written now; see
    /// [`buffered_amount`](crate::Connection::buffered_amount).
    pub buffered_amount: usize,
}

/// The counters of a server, over all of its connections, including connections that have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerCounters {
    /// Connections that are open now.
    pub open: VersionCounts,
    /// Streams that are being opened now, and streams with plain HTTP on them.
    pub opening: usize,
    /// All connections that were opened: open ones, and [closed](Self::closes) ones.
    pub opened: VersionCounts,
    /// Upgrades that were refused, and opening handshakes that failed. Each is a call of
    /// [`Observer::rejected`](crate::Observer::rejected).
    pub rejected: u64,
    /// The same, by their reasons.
    pub rejections: RejectionCounts,
    /// Handlers that panicked.
    pub panics: u64,
    /// Messages that arrived, including messages that the application did not take.
    pub messages_received: u64,
    /// Bytes of payload in the messages that arrived.
    pub bytes_received: u64,
    /// Messages that were queued to be written. A broadcast counts once for each connection that took it.
    pub messages_sent: u64,
    /// Bytes of payload in the messages that were queued, and in the fragments of a message that is not complete.
    pub bytes_sent: u64,
    /// Messages that [`DropNewest`](crate::SlowPeer::DropNewest) or [`DropOldest`](crate::SlowPeer::DropOldest)
    /// dropped, and messages that were still kept back when the connection closed.
    pub messages_dropped: u64,
    /// Connections that the policy [`Close`](crate::SlowPeer::Close) closed because their peers read too slowly.
    pub slow_closes: u64,
    /// Connections that have ended, by their close codes.
    pub closes: CloseCounts,
    /// Bytes that wait to be written now, on all open connections.
    pub buffered_amount: usize,
}

/// Numbers of connections, by version.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct VersionCounts([u64; Version::ALL.len()]);

impl VersionCounts {
    /// Returns the number of connections in one version.
    pub fn of(&self, version: Version) -> u64 {
        self.iter()
            .find(|(other, _)| *other == version)
            .map_or(0, |(_, count)| count)
    }

    /// Returns the sum of all numbers.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Iterates over the versions, oldest first, and their numbers of connections.
    pub fn iter(&self) -> impl Iterator<Item = (Version, u64)> + use<> {
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

/// Numbers of upgrades that were refused and of opening handshakes that failed, by the class of their reason. There
/// are only these classes, and no peer can add one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RejectionCounts {
    /// The request broke a rule of HTTP or of its version.
    pub malformed: u64,
    /// The head was over the option `head_limit` or `header_limit`.
    pub too_large: u64,
    /// The version is not enabled, or the request does not say clearly which one it means; option `versions`.
    pub version: u64,
    /// The origin is not allowed; option `origins`.
    pub origin: u64,
    /// The host is not allowed; option `hosts`.
    pub host: u64,
    /// A client of a draft insisted on a subprotocol that the server does not have.
    pub subprotocol: u64,
    /// The handshake took longer than the option `handshake_timeout`.
    pub timeout: u64,
    /// The stream ended too early, or broke.
    pub disconnected: u64,
    /// `on_upgrade` refused the request, or the handler of a request that another HTTP server read dropped it.
    pub application: u64,
    /// The server had closed or shut down. Or there were too many connections, for a request that another HTTP server
    /// read.
    pub unavailable: u64,
    /// The other HTTP server that read the request could not hand its stream over, or read the request in HTTP/2 or
    /// HTTP/3.
    pub no_upgrade: u64,
    /// The handshake of TLS failed, for another reason than a timeout or an early end.
    pub tls: u64,
    /// The stream did not begin with a usable header of the PROXY protocol; option `proxy_protocol`.
    pub proxy_protocol: u64,
    /// The address of the peer has too many connections, or opens them too fast; option `address_limits`.
    pub address: u64,
}

impl RejectionCounts {
    /// Returns the sum of all numbers.
    pub fn total(&self) -> u64 {
        self.iter().map(|(_, count)| count).sum()
    }

    /// Iterates over the names of the classes and their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        let Self {
            malformed,
            too_large,
            version,
            origin,
            host,
            subprotocol,
            timeout,
            disconnected,
            application,
            unavailable,
            no_upgrade,
            tls,
            proxy_protocol,
            address,
        } = *self;
        [
            ("malformed", malformed),
            ("too_large", too_large),
            ("version", version),
            ("origin", origin),
            ("host", host),
            ("subprotocol", subprotocol),
            ("timeout", timeout),
            ("disconnected", disconnected),
            ("application", application),
            ("unavailable", unavailable),
            ("no_upgrade", no_upgrade),
            ("tls", tls),
            ("proxy_protocol", proxy_protocol),
            ("address", address),
        ]
        .into_iter()
    }

    pub(crate) fn note(&mut self, reason: &Rejected) {
        let count = match reason {
            Rejected::Handshake(error) => match error {
                HandshakeError::HeadTooLarge { .. } | HandshakeError::TooManyHeaders { .. } => {
                    &mut self.too_large
                }
                HandshakeError::UnsupportedVersion { .. }
                | HandshakeError::DisabledVersion { .. }
                | HandshakeError::NoVersion { .. }
                | HandshakeError::UnclearVersion { .. } => &mut self.version,
                HandshakeError::OriginRefused { .. } => &mut self.origin,
                HandshakeError::HostRefused { .. } => &mut self.host,
                HandshakeError::SubprotocolRefused { .. } => &mut self.subprotocol,
                HandshakeError::Timeout { .. } => &mut self.timeout,
                HandshakeError::Empty | HandshakeError::Disconnected { .. } => {
                    &mut self.disconnected
                }
                HandshakeError::NotHttp { .. }
                | HandshakeError::MalformedHead { .. }
                | HandshakeError::HttpVersion { .. }
                | HandshakeError::MissingHeader { .. }
                | HandshakeError::DuplicateHeader { .. }
                | HandshakeError::InvalidHeader { .. }
                | HandshakeError::Method { .. }
                | HandshakeError::InvalidTarget { .. }
                | HandshakeError::Body
                | HandshakeError::InvalidKey { .. }
                | HandshakeError::MissingOrigin
                | _ => &mut self.malformed,
            },
            Rejected::Application { .. } | Rejected::Dropped => &mut self.application,
            Rejected::ConnectionLimit { .. } | Rejected::Closed => &mut self.unavailable,
            Rejected::NoUpgrade | Rejected::ExtendedConnect => &mut self.no_upgrade,
            Rejected::AddressConnections { .. } | Rejected::AddressHandshakes { .. } => {
                &mut self.address
            }
            Rejected::ProxyProtocol(error) => match error {
                ProxyProtocolError::Timeout { .. } => &mut self.timeout,
                ProxyProtocolError::Disconnected => &mut self.disconnected,
                ProxyProtocolError::Untrusted { .. }
                | ProxyProtocolError::Missing { .. }
                | ProxyProtocolError::Malformed { .. }
                | ProxyProtocolError::TooLong { .. } => &mut self.proxy_protocol,
            },
            #[cfg(feature = "rustls")]
            Rejected::Tls(error) => match error {
                TlsError::Timeout { .. } => &mut self.timeout,
                TlsError::Disconnected | TlsError::Io(_) => &mut self.disconnected,
                TlsError::Certificate { .. }
                | TlsError::Refused { .. }
                | TlsError::PlainHttp
                | TlsError::NotTls { .. }
                | TlsError::InvalidServerName { .. }
                | TlsError::Other(_) => &mut self.tls,
            },
        };
        *count += 1;
    }
}

/// The close codes that are counted one by one: the codes of RFC 6455 §7.4.1 and its registry.
const CODES: [(u16, &str); 15] = [
    (1000, "1000"),
    (1001, "1001"),
    (1002, "1002"),
    (1003, "1003"),
    (1005, "1005"),
    (1006, "1006"),
    (1007, "1007"),
    (1008, "1008"),
    (1009, "1009"),
    (1010, "1010"),
    (1011, "1011"),
    (1012, "1012"),
    (1013, "1013"),
    (1014, "1014"),
    (1015, "1015"),
];

/// The other close codes, in ranges, so that no peer can make the table longer.
const RANGES: [&str; 3] = ["3000-3999", "4000-4999", "other"];

/// Numbers of connections that have ended, by the class of their close code.
///
/// The code is the one that the peer sent, or the one that our side sent because of what the peer did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseCounts {
    /// 1000 and 1001: the purpose is fulfilled, or one side goes away. Closes without a code count here, too; in the
    /// drafts no close has one.
    pub normal: u64,
    /// 1002, 1003 and 1007 to 1010: one side broke a rule, or sent something that the other side cannot take.
    pub protocol: u64,
    /// 1011 to 1014: one side failed, or had too much to do.
    pub failure: u64,
    /// 1006: there was no closing handshake. The stream ended, the peer vanished, or the peer did not answer a close in
    /// time.
    pub abnormal: u64,
    /// 3000 to 4999: the application decides what they mean.
    pub application: u64,
    /// Any other code.
    pub other: u64,
    /// By code, then by range.
    codes: [u64; CODES.len() + RANGES.len()],
}

impl CloseCounts {
    /// Returns the sum of all numbers.
    pub fn total(&self) -> u64 {
        let Self {
            normal,
            protocol,
            failure,
            abnormal,
            application,
            other,
            codes: _,
        } = self;
        normal + protocol + failure + abnormal + application + other
    }

    /// Iterates over close codes and their numbers: `1000` to `1015`, where `1005` is a close without a code, and the
    /// ranges `3000-3999`, `4000-4999` and `other`. There are only these, and no peer can add one.
    pub fn codes(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        let known = CODES.into_iter().map(|(_, name)| name);
        known.chain(RANGES).zip(self.codes)
    }

    /// Counts an end by its code and its cause. `None` means that the task was dropped, so that no end was seen.
    pub(crate) fn note(&mut self, end: Option<(u16, &CloseCause)>) {
        let code = match end {
            // Our close says 1011, but the cause is that the peer has vanished.
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
        let known = CODES.iter().position(|(known, _)| *known == code);
        let place = known.unwrap_or(match code {
            3000..=3999 => CODES.len(),
            4000..=4999 => CODES.len() + 1,
            _ => CODES.len() + 2,
        });
        self.codes[place] += 1;
    }
}

/// The counters of a connection that are kept under the lock of its shared machine. The machine itself counts what it
/// receives.
#[derive(Clone, Copy, Default)]
pub(crate) struct SentTally {
    pub(crate) messages_sent: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) messages_dropped: u64,
}

impl SentTally {
    /// Counts a message that was queued, or a fragment of one. The last fragment counts as the message.
    pub(crate) fn note_sent(&mut self, len: usize, last: bool) {
        self.messages_sent += u64::from(last);
        self.bytes_sent += count(len);
    }
}

/// The counters of a connection that go into those of its server.
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

/// The counters of connections that have ended, and of streams that never became one.
#[derive(Clone, Copy, Default)]
pub(crate) struct Totals {
    pub(crate) opened: VersionCounts,
    pub(crate) rejections: RejectionCounts,
    pub(crate) panics: u64,
    pub(crate) closes: CloseCounts,
    pub(crate) ended: Tally,
}

/// Converts a length for a counter.
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
            codes: [1, 1, 1, 1, 1, 5, 2, 1, 1, 1, 1, 1, 1, 1, 0, 1, 2, 1],
        };
        assert_eq!(counts, expected);
        assert_eq!(counts.total(), 23);
        assert_eq!(counts.codes().map(|(_, count)| count).sum::<u64>(), 23);
        assert_eq!(counts.codes().nth(5), Some(("1006", 5)));
        assert_eq!(counts.codes().last(), Some(("other", 1)));
    }

    /// Whatever code a peer makes up, the table stays as long as it is, and nothing is counted twice.
    #[test]
    fn no_code_makes_the_table_longer() {
        let mut counts = CloseCounts::default();
        for code in 0..=u16::MAX {
            counts.note(Some((code, &CloseCause::Handshake)));
        }
        assert_eq!(counts.total(), 65536);
        let table: Vec<_> = counts.codes().collect();
        assert_eq!(table.len(), 18);
        assert_eq!(table[15], ("3000-3999", 1000));
        assert_eq!(table[16], ("4000-4999", 1000));
        assert_eq!(table.iter().map(|(_, count)| count).sum::<u64>(), 65536);
    }

    /// Each reason has one class, and the classes add up.
    #[test]
    fn rejections_are_counted_by_the_class_of_their_reason() {
        let mut counts = RejectionCounts::default();
        let enabled = Version::Rfc6455.into();
        let (state, waited) = (ws_proto::State::Opening, Duration::from_secs(10));
        let (limit, status) = (1, ::http::StatusCode::PAYMENT_REQUIRED);
        let (origin, offered) = (String::from("null"), String::from("chat"));
        let host = String::from("rebound.example");
        for reason in [
            Rejected::Handshake(HandshakeError::Body),
            Rejected::Handshake(HandshakeError::HeadTooLarge { limit }),
            Rejected::Handshake(HandshakeError::NoVersion { enabled }),
            Rejected::Handshake(HandshakeError::OriginRefused {
                origin: origin.into(),
            }),
            Rejected::Handshake(HandshakeError::HostRefused { host }),
            Rejected::Handshake(HandshakeError::SubprotocolRefused {
                offered: offered.into(),
            }),
            Rejected::Handshake(HandshakeError::Timeout { state, waited }),
            Rejected::Handshake(HandshakeError::Disconnected { state }),
            Rejected::Application { status },
            Rejected::Dropped,
            Rejected::ConnectionLimit { limit },
            Rejected::Closed,
            Rejected::NoUpgrade,
            Rejected::ExtendedConnect,
            Rejected::ProxyProtocol(ProxyProtocolError::Missing { first: Vec::new() }),
            Rejected::AddressConnections { limit },
            Rejected::AddressHandshakes { limit: 1 },
            #[cfg(feature = "rustls")]
            Rejected::Tls(TlsError::PlainHttp),
            #[cfg(feature = "rustls")]
            Rejected::Tls(TlsError::Timeout { waited }),
            #[cfg(feature = "rustls")]
            Rejected::Tls(TlsError::Disconnected),
            #[cfg(feature = "rustls")]
            Rejected::Tls(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into()),
        ] {
            counts.note(&reason);
        }
        let table: Vec<_> = counts.iter().map(|(_, count)| count).collect();
        // One more in each of three classes with TLS, and a stream that broke beside one that ended.
        let tls = u64::from(cfg!(feature = "rustls"));
        let (late, gone) = (1 + tls, 1 + 2 * tls);
        assert_eq!(table, [1, 1, 1, 1, 1, 1, late, gone, 2, 2, 2, tls, 1, 2]);
        assert_eq!(counts.total(), 17 + 4 * tls);
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
