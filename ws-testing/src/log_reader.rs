//! A client of a log that knows what it has seen, and notices what is missing that nobody told it.

use std::sync::{Arc, Mutex};

use ws_driver::{LogConfig, LogEvent, Position, Runtime, Sender};

/// A log whose members get the place of each message in front of it, and each gap. [`LogReader`] reads it.
pub fn log() -> LogConfig {
    LogConfig::new(|_, event| match event {
        LogEvent::Start { position } => format!("start {position}").into(),
        LogEvent::Message { position, message } => {
            format!("{position} {}", message.as_text().unwrap()).into()
        }
        LogEvent::Gap { position, missed } => format!("gap {position} {missed:?}").into(),
        other => panic!("{other:?} is not known here"),
    })
}

/// What a client has seen of a log.
#[derive(Debug, Default)]
pub struct Seen {
    pub last: Option<Position>,
    pub messages: Vec<(Position, String)>,
    pub gaps: u64,
    /// What each of its connections was told about the way back: texts that begin with `resumed`.
    pub resumed: Vec<String>,
    /// The number of the connection. What an older one still had counts no more.
    connection: u32,
}

impl Seen {
    /// Takes what arrived, and checks that nothing is missing that no gap tells.
    pub fn note(&mut self, text: &str) {
        if let Some(resumed) = text.strip_prefix("resumed ") {
            self.resumed.push(resumed.to_owned());
            return;
        }
        if text.starts_with("failed ") {
            return;
        }
        if let Some(start) = text.strip_prefix("start ") {
            assert_eq!(self.last, None, "it has a position");
            self.last = Some(start.parse().unwrap());
            return;
        }
        if let Some(gap) = text.strip_prefix("gap ") {
            let position: Position = gap.split(' ').next().unwrap().parse().unwrap();
            assert_ne!(Some(position), self.last, "a gap of nothing");
            self.last = Some(position);
            self.gaps += 1;
            return;
        }
        let (position, message) = text.split_once(' ').unwrap();
        let position: Position = position.parse().unwrap();
        if let Some(last) = self.last {
            let next = Position {
                offset: last.offset + 1,
                ..last
            };
            assert_eq!(position, next, "B8: {text}");
        }
        self.last = Some(position);
        self.messages.push((position, message.to_owned()));
    }
}

/// A client that reads all it gets, goes away and comes back. Its server resumes from the place that the path names.
#[derive(Default)]
pub struct LogReader {
    pub seen: Arc<Mutex<Seen>>,
    sender: Option<Sender>,
}

impl LogReader {
    /// A client that has seen a log up to a place.
    pub fn at(position: Position) -> Self {
        let reader = Self::default();
        reader.seen.lock().unwrap().last = Some(position);
        reader
    }

    /// Connects, and resumes from where it was. Returns whether the server was there.
    pub async fn connect<R: Runtime + Default>(&mut self, addr: std::net::SocketAddr) -> bool {
        let (last, number) = {
            let mut seen = self.seen.lock().unwrap();
            seen.connection += 1;
            (seen.last, seen.connection)
        };
        let path = last.map_or_else(String::new, |last| last.to_string());
        let Ok(mut connection) = ws_driver::connect::<R>(&format!("ws://{addr}/{path}")).await
        else {
            return false;
        };
        self.sender = Some(connection.sender());
        let seen = Arc::clone(&self.seen);
        R::default().spawn(async move {
            while let Some(message) = connection.recv().await {
                let mut seen = seen.lock().unwrap();
                if seen.connection == number {
                    seen.note(message.as_text().unwrap());
                }
            }
        });
        true
    }

    pub async fn leave(&mut self) {
        if let Some(sender) = self.sender.take() {
            let _ = sender.begin_close(ws_driver::CloseCode::NORMAL, "");
            sender.wait_closed().await;
        }
    }

    pub fn is_gone(&self) -> bool {
        let sender = self.sender.as_ref();
        sender.is_none_or(|sender| sender.closed().is_some())
    }

    pub fn texts(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.messages.iter().map(|(_, text)| text.clone()).collect()
    }

    /// What the last connection was told.
    pub fn resumed(&self) -> String {
        let seen = self.seen.lock().unwrap();
        seen.resumed.last().cloned().unwrap_or_default()
    }
}
