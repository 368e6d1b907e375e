//! The channels of a backplane: where a node publishes, and what it subscribes to.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::id::cluster::NodeId;

/// A channel of a backplane. Its text is what a backplane puts behind its prefix: `all`, `n:NODE` or `t:TOPIC`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// Every node subscribes to it.
    All,
    /// The node of that id subscribes to it.
    Node(NodeId),
    /// The nodes with members of that topic subscribe to it. The name is any text of at most
    /// [`TOPIC_NAME_LIMIT`](crate::TOPIC_NAME_LIMIT) bytes.
    Topic(Arc<str>),
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Node(node) => write!(f, "n:{node}"),
            Self::Topic(name) => write!(f, "t:{name}"),
        }
    }
}

/// Error from parsing a [`Channel`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseChannelError(());

impl fmt::Display for ParseChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a channel, which is `all`, `n:NODE` or `t:TOPIC`")
    }
}

impl std::error::Error for ParseChannelError {}

impl FromStr for Channel {
    type Err = ParseChannelError;

    fn from_str(text: &str) -> Result<Self, ParseChannelError> {
        if text == "all" {
            return Ok(Self::All);
        }
        match text.split_once(':') {
            Some(("t", name)) => Ok(Self::Topic(name.into())),
            Some(("n", node)) => node
                .parse()
                .map(Self::Node)
                .map_err(|_| ParseChannelError(())),
            _ => Err(ParseChannelError(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_reads_back_from_what_it_displays() {
        let names = ["", "room/1", "all", "t:t:", "n:0", "\0 \u{1F600}{}"];
        let topics = names.map(|name| Channel::Topic(name.into()));
        for channel in topics
            .into_iter()
            .chain([Channel::All, Channel::Node(NodeId(77))])
        {
            assert_eq!(channel.to_string().parse(), Ok(channel));
        }
        for text in ["", "al", "all ", "x:1", "n:", "n:77", "t"] {
            assert!(text.parse::<Channel>().is_err(), "{text:?}");
        }
    }
}
