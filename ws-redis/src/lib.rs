//! Redis, or Valkey, as the engine of a cluster of WebSocket servers: a [`Backplane`] that moves the messages between the
//! nodes.
//!
//! ```no_run
//! # use ws_redis::Redis;
//! # fn shop() -> Result<Redis, Box<dyn std::error::Error>> {
//! let redis = Redis::new("redis://user:secret@redis.internal:6379/2")?.prefix("shop");
//! # Ok(redis)
//! # }
//! ```
//!
//! Pass it to `ServerBuilder::backplane`. Applications use the feature `redis` of their adapter instead of this crate.
//!
//! It needs Redis 6 or later, or any Valkey, because it speaks RESP3. Each node has two connections: one for commands, one
//! for its subscriptions. All channels begin with the [prefix](Redis::prefix), so several applications can share one
//! engine. Channels of Redis belong to no database: the number of a URL does not separate two applications.
//!
//! Who may publish under the prefix speaks to every client of every node, so the engine belongs inside the trust
//! boundary. This ACL is enough for a node (Redis 6.2 or later, which has rules for channels):
//!
//! ```text
//! ACL SETUSER ws on >secret resetchannels &shop:* resetkeys ~shop:* -@all +publish +subscribe +unsubscribe +pubsub|numsub +hello +select +role +info +evalsha +script|load +time +zadd +zrem +zscore +zrange +zrangebyscore +hset +hget +hmget +hincrby +hkeys +hdel +xadd +xrange +xrevrange +del +exists +pexpire
//! ```
//!
//! Its keys are `PREFIX:leases`, `PREFIX:nodes`, for each node `PREFIX:p:NODE`, and for each topic with a log `PREFIX:m:TOPIC` and
//! `PREFIX:l:TOPIC`. They vanish with the nodes, within a day at most. A policy that evicts keys can make nodes and people vanish for seconds, so set `maxmemory-policy noeviction`.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod io;
mod link;
mod logs;
mod questions;
mod url;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ws_driver::{Backoff, Backplane, Channel, Runtime, Seat};

use self::link::Link;
pub use self::url::RedisUrlError;
use self::url::Target;

/// Compiles the program of README.md with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

/// A Redis or a Valkey that connects the nodes of a cluster.
///
/// This ACL is enough for a node with the prefix `shop`; without one it is `ws`:
///
/// ```text
/// ACL SETUSER ws on >secret resetchannels &shop:* resetkeys ~shop:* -@all +publish +subscribe +unsubscribe +pubsub|numsub +hello +select +role +info +evalsha +script|load +time +zadd +zrem +zscore +zrange +zrangebyscore +hset +hget +hmget +hincrby +hkeys +hdel +xadd +xrange +xrevrange +del +exists +pexpire
/// ```
#[derive(Clone)]
pub struct Redis {
    target: Arc<Target>,
    /// What channels begin with, before a colon. It has no colon itself.
    channel_prefix: Arc<str>,
    #[cfg(feature = "rustls")]
    tls: Option<ws_driver::ClientTls>,
}

/// The pauses between attempts to connect are below a bound that doubles from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The prefix of a program that sets none.
const DEFAULT_PREFIX: &str = "ws";

impl Redis {
    /// Takes the URL of an engine: `redis://[user[:password]@]host[:port][/database]`, or `rediss://` for TLS. `valkey://`
    /// and `valkeys://` mean the same. The port is 6379 if it is not set. User and password are percent-decoded.
    ///
    /// # Errors
    ///
    /// Fails if the URL is malformed, or has a part that means nothing here. The error does not repeat the URL, because
    /// that has a password in it.
    pub fn new(url: &str) -> Result<Self, RedisUrlError> {
        Ok(Self {
            target: Arc::new(Target::parse(url)?),
            channel_prefix: DEFAULT_PREFIX.into(),
            #[cfg(feature = "rustls")]
            tls: None,
        })
    }

    /// Sets what all channels begin with, before a colon: `ws`. Servers with the same prefix are one cluster. A colon in it
    /// is written as `%3A` and a percent sign as `%25`, so that no channel of `shop` is one of `shop:t`.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        self.channel_prefix = prefix.replace('%', "%25").replace(':', "%3A").into();
        self
    }

    fn channel_name(&self, channel: &Channel) -> String {
        format!("{}:{channel}", self.channel_prefix)
    }

    /// A key of this cluster. It has no place for a colon before its name, either.
    fn key(&self, name: &str) -> String {
        format!("{}:{name}", self.channel_prefix)
    }

    /// Sets how the certificate of a `rediss://` engine is checked: against the public roots by default.
    #[cfg(feature = "rustls")]
    #[must_use]
    pub fn tls(mut self, tls: ws_driver::ClientTls) -> Self {
        self.tls = Some(tls);
        self
    }
}

impl<R: Runtime> Backplane<R> for Redis {
    async fn run(self, runtime: R, seat: Seat) {
        let seat = Arc::new(seat);
        let linking = async {
            let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
            loop {
                let begin = runtime.now();
                let error = match Link::open(&self, &runtime, &seat).await {
                    Ok(link) => {
                        seat.link_up();
                        let error = link.serve(&self, &runtime, &seat).await;
                        backoff.note_ended(runtime.now() - begin);
                        error
                    }
                    Err(error) => error,
                };
                seat.link_down(&error);
                let mut random = [0; 4];
                runtime.fill_random(&mut random);
                let pause = backoff.next_pause(u32::from_le_bytes(random));
                link::sleep(&runtime, pause).await;
            }
        };
        // Of no use after a stop.
        let _: Option<()> = seat.unless_stopped(linking).await;
    }
}

impl fmt::Debug for Redis {
    /// Without the user and the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("target", &self.target)
            .field("channel_prefix", &self.channel_prefix)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two clusters on one engine have no channel in common, whatever their prefixes and topics are called.
    #[test]
    fn prefixes_do_not_reach_into_each_other() {
        let redis = |prefix| Redis::new("redis://host").unwrap().prefix(prefix);
        let names = ["shop", "shop:t", "shop%3At", "", ":", "%"];
        let prefixes = names.map(|name| redis(name).channel_prefix);
        for (place, prefix) in prefixes.iter().enumerate() {
            assert!(!prefix.contains(':'), "{prefix}");
            assert!(!prefixes[..place].contains(prefix), "{prefix}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let shown = format!(
            "{:?}",
            Redis::new("redis://me:hunter2@host:7000/3").unwrap()
        );
        assert!(
            shown.contains("redis://host:7000/3") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}
