//! Which topics have a log.

use std::fmt;
use std::time::Duration;

use ws_proto::Message;

use super::position::LogEvent;
use crate::util::sync::Arc;

const ENTRIES_MAX: u64 = 1_000_000;
const AGE_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Makes a message of an event in a topic.
type Frame = Arc<dyn Fn(&str, &LogEvent) -> Message + Send + Sync>;

/// The options of a log.
#[derive(Clone)]
pub struct LogConfig {
    pub(in crate::cluster) entries: u64,
    pub(in crate::cluster) age: Duration,
    pub(in crate::cluster) frame: Frame,
}

impl LogConfig {
    /// Makes the default options. `frame` makes the message that members get of each event in a topic, whose name it gets, so
    /// that clients learn positions and gaps: a log has no format of its own.
    pub fn new(frame: impl Fn(&str, &LogEvent) -> Message + Send + Sync + 'static) -> Self {
        Self {
            entries: 1000,
            age: Duration::from_secs(5 * 60),
            frame: Arc::new(frame),
        }
    }

    /// Sets how many messages of each topic are kept at least: 1,000. More than a million count as that.
    #[must_use]
    pub fn entries(mut self, entries: u64) -> Self {
        self.entries = entries.min(ENTRIES_MAX);
        self
    }

    /// Sets how long they are kept at least once nothing is appended any more: 5 minutes. More than 30 days count as that.
    #[must_use]
    pub fn age(mut self, age: Duration) -> Self {
        self.age = age.min(AGE_MAX);
        self
    }
}

impl fmt::Debug for LogConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogConfig")
            .field("entries", &self.entries)
            .field("age", &self.age)
            .finish_non_exhaustive()
    }
}

/// The logs of a cluster, by the topics that have them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logs(Vec<(Pattern, LogConfig)>);

/// Names of topics.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Exact(String),
    Prefix(String),
}

impl Logs {
    /// Adds logs. A `*` at the end of a name stands for the rest of any name.
    pub(crate) fn add(&mut self, topics: &str, config: LogConfig) {
        let pattern = match topics.strip_suffix('*') {
            Some(prefix) => Pattern::Prefix(prefix.to_owned()),
            None => Pattern::Exact(topics.to_owned()),
        };
        self.0.push((pattern, config));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the options of the log of a topic, if it has one: the first that fits.
    pub(crate) fn of(&self, topic: &str) -> Option<&LogConfig> {
        let mut fitting = self.0.iter().filter(|(pattern, _)| match pattern {
            Pattern::Exact(name) => name == topic,
            Pattern::Prefix(prefix) => topic.starts_with(prefix),
        });
        fitting.next().map(|(_, config)| config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pattern_that_fits_counts() {
        let mut logs = Logs::default();
        let config = |entries| LogConfig::new(|_, _| Message::from("")).entries(entries);
        logs.add("room/lobby", config(1));
        logs.add("room/*", config(2));
        logs.add("a*b", config(3));
        let entries = |topic| logs.of(topic).map(|config| config.entries);
        assert_eq!(entries("room/lobby"), Some(1));
        assert_eq!(entries("room/"), Some(2));
        assert_eq!(entries("room/7"), Some(2));
        assert_eq!(entries("room"), None);
        assert_eq!(entries("a*b"), Some(3), "elsewhere it is a character");
    }
}
