//! The logs of topics: a stream for the entries of each, and a hash for its position. The scripts say how.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use redis::Script;
use ws_driver::{Channel, LogAppend, LogEntry, LogRange, LogRead, Position, Question, Runtime};

use crate::questions::{Asker, Broken, KEPT, millis};

/// The most bytes of a part of a log, if it has more than one entry.
const READ_LEN: usize = 256 << 10;

static APPEND: LazyLock<Script> = LazyLock::new(|| script(include_str!("scripts/append.lua")));
static READ_LOG: LazyLock<Script> = LazyLock::new(|| script(include_str!("scripts/read_log.lua")));
static LOG_ENDS: LazyLock<Script> = LazyLock::new(|| script(include_str!("scripts/log_ends.lua")));

fn script(rest: &str) -> Script {
    let begin = include_str!("scripts/log.lua");
    Script::new(&format!("{begin}{rest}"))
}

impl<R: Runtime> Asker<'_, R> {
    pub(crate) async fn append(
        &self,
        question: Question<LogAppend, Option<Position>>,
    ) -> Result<(), Broken> {
        let Some(run) = &self.run else {
            question.refuse(NO_RUN);
            return Ok(());
        };
        let asked = question.asked();
        let (channel, asked_len) = (Channel::Topic(Arc::clone(&asked.topic)), asked.entry.len());
        let mut append = APPEND.prepare_invoke();
        let [meta, stream] = self.log_keys(&asked.topic);
        append
            .key(meta)
            .key(stream)
            .arg(run)
            .arg(millis(kept(asked.age)));
        append.arg(self.redis.channel_name(&channel));
        append.arg(&asked.head[..]).arg(&asked.entry[..]);
        append.arg(asked.entries).arg(millis(asked.age));
        let before = asked.asked_before.map(millis);
        append.arg(before.map_or_else(String::new, |before| before.to_string()));
        let mut connection = self.connection.clone();
        let asking = append.invoke_async::<Vec<u64>>(&mut connection);
        self.give(
            question,
            "the log",
            asked_len,
            asking,
            |position| match *position {
                [epoch, offset] => Some(Position { epoch, offset }),
                _ => None,
            },
        )
        .await
    }

    pub(crate) async fn read_log(
        &self,
        question: Question<LogRead, LogRange>,
    ) -> Result<(), Broken> {
        let Some(run) = &self.run else {
            question.refuse(NO_RUN);
            return Ok(());
        };
        let _reading = self.log_reads.acquire().await;
        let asked = question.asked();
        let mut read = READ_LOG.prepare_invoke();
        let [meta, stream] = self.log_keys(&asked.topic);
        read.key(meta).key(stream).arg(run).arg(millis(KEPT));
        if let Some(Position { epoch, offset }) = asked.after {
            read.arg(epoch).arg(offset).arg(asked.limit).arg(READ_LEN);
        }
        let mut connection = self.connection.clone();
        let asking = read.invoke_async::<(u64, u64, Vec<(u64, Vec<u8>)>)>(&mut connection);
        self.give(
            question,
            "the log",
            0,
            asking,
            |(epoch, offset, entries)| {
                let entries = entries.into_iter().map(|(offset, entry)| LogEntry {
                    offset,
                    entry: entry.into(),
                });
                LogRange {
                    end: Position { epoch, offset },
                    entries: entries.collect(),
                }
            },
        )
        .await
    }

    pub(crate) async fn read_log_ends(
        &self,
        question: Question<Arc<[Arc<str>]>, Vec<Position>>,
    ) -> Result<(), Broken> {
        let Some(run) = &self.run else {
            question.refuse(NO_RUN);
            return Ok(());
        };
        let mut read = LOG_ENDS.prepare_invoke();
        for topic in question.asked().iter() {
            let [meta, stream] = self.log_keys(topic);
            read.key(meta).key(stream);
        }
        read.arg(run).arg(millis(KEPT));
        let mut connection = self.connection.clone();
        let asking = read.invoke_async::<Vec<(u64, u64)>>(&mut connection);
        self.give(question, "the log", 0, asking, |ends| {
            let ends = ends
                .into_iter()
                .map(|(epoch, offset)| Position { epoch, offset });
            ends.collect()
        })
        .await
    }

    /// The keys of the position and of the entries of a log.
    fn log_keys(&self, topic: &str) -> [String; 2] {
        ["m:", "l:"].map(|kind| self.redis.key(&format!("{kind}{topic}")))
    }
}

/// Without it, entries that a replica did not have would be lost without notice.
const NO_RUN: &str = "a log needs the id of the engine's run, which the command INFO tells";

/// How long the position of a log is kept behind the last entry: longer than any entry.
fn kept(age: Duration) -> Duration {
    KEPT.max(age.saturating_mul(4))
}
