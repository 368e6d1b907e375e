//! The options of a rate limit: token buckets for what a peer sends. Knows nothing of connections, and has no state.

/// A limit of the messages and bytes that arrive on a connection in a second.
///
/// Each rate is a token bucket: it starts with its [burst](Rate::burst), gets back the rate each second, and holds no
/// more than the burst. A message may begin, and a control frame arrive, while each bucket holds one token at least.
/// What arrives takes its tokens even if that takes the bucket below zero. So a message that is longer than the burst passes as well, and the time
/// until the next one is longer by that much.
///
/// - A message, a ping and a pong take one token of [`messages`](Self::messages) each. A message in fragments takes
///   one, and the `fragment_limit` bounds its fragments. A close takes none, because nothing follows it. As many pongs
///   as this endpoint sent pings take none, because they were asked for.
/// - The payloads of these take a token of [`bytes`](Self::bytes) for each byte. A compressed message counts what comes
///   out of it, because that is what costs memory and the application's time, and a few bytes can become a MiB; or what
///   arrived, if that is more. Empty ones take none, so a limit of bytes needs one of messages beside it.
///
/// Only an open connection is limited: from a close on, the `close_timeout` bounds what can follow.
///
/// ```
/// use ws_proto::{ConnectionConfig, Rate, RateExcess, RateLimit};
///
/// let limit = RateLimit::new()
///     .messages(Rate::per_second(20).burst(100))
///     .bytes(Rate::per_second(64 << 10).burst(1 << 20))
///     .excess(RateExcess::Close);
/// let config = ConnectionConfig::new().receive_rate_limit(limit);
/// assert_eq!(config.check(), Ok(()));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimit {
    pub(crate) messages: Option<Rate>,
    pub(crate) bytes: Option<Rate>,
    pub(crate) excess: RateExcess,
}

impl RateLimit {
    /// Starts without a rate; at least one of the two is needed.
    pub const fn new() -> Self {
        Self {
            messages: None,
            bytes: None,
            excess: RateExcess::Wait,
        }
    }

    /// Limits messages, pings and pongs: unlimited.
    #[must_use]
    pub fn messages(mut self, rate: impl Into<Option<Rate>>) -> Self {
        self.messages = rate.into();
        self
    }

    /// Limits the bytes of their payloads: unlimited.
    #[must_use]
    pub fn bytes(mut self, rate: impl Into<Option<Rate>>) -> Self {
        self.bytes = rate.into();
        self
    }

    /// Sets what happens beyond the limit: [`RateExcess::Wait`].
    #[must_use]
    pub const fn excess(mut self, excess: RateExcess) -> Self {
        self.excess = excess;
        self
    }

    /// Returns the rates, in the order in which they are looked at.
    pub(crate) fn rates(self) -> impl Iterator<Item = Rate> {
        self.messages.into_iter().chain(self.bytes)
    }
}

/// A rate and its burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub(crate) per_second: u32,
    pub(crate) burst: u32,
}

impl Rate {
    /// Makes a rate whose burst is what one second allows. Zero is
    /// [refused](crate::ConnectionConfig::check).
    pub const fn per_second(count: u32) -> Self {
        Self {
            per_second: count,
            burst: count,
        }
    }

    /// Sets how much may arrive at once after a time without anything. Zero is
    /// [refused](crate::ConnectionConfig::check).
    ///
    /// While the application is slow, what arrived can wait in the system and then be read at once. With
    /// [`RateExcess::Close`] the burst has to be large enough for that.
    #[must_use]
    pub const fn burst(mut self, count: u32) -> Self {
        self.burst = count;
        self
    }
}

/// What happens when a peer sends more than a [`RateLimit`] allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RateExcess {
    /// Nothing is read until the peer may send again, so TCP slows the peer down. Nothing is lost.
    ///
    /// A close of the peer, too, is seen only after that time. The longest one is that of the longest message at the
    /// rate of bytes. Meanwhile silence does not fail the connection, because nothing is read that could break it.
    #[default]
    Wait,
    /// The connection fails with 1008, and what was too much is not delivered: a message fails it where it begins.
    ///
    /// Within a message that is given out in fragments the connection waits all the same: it would depend on how the
    /// bytes arrived which fragment is too much.
    Close,
}
