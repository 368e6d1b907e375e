//! The standard input as messages: lines of text, lines of bytes, or bytes as they come.
//!
//! A thread reads it, because a read of a terminal or a pipe cannot be interrupted. It knows nothing of
//! connections: what one connection did not take is there for the next one.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::mem;
use std::thread;
use std::vec;

use tokio::sync::mpsc::{Receiver, Sender, channel};
use ws_tokio::Message;

/// How the standard input is cut into messages.
#[derive(Clone, Copy)]
pub enum Framing {
    /// A line is a text message.
    Text { limit: usize },
    /// A line is a binary message.
    Lines { limit: usize },
    /// What one read returns is a binary message.
    Chunks,
}

/// The messages of the standard input, in order.
pub struct Input {
    batches: Receiver<Vec<Result<Message, InputError>>>,
    batch: vec::IntoIter<Result<Message, InputError>>,
    /// What was read and no connection has taken.
    pending: Option<Message>,
    has_ended: bool,
}

impl Input {
    /// Begins to read.
    pub fn start(framing: Framing) -> io::Result<Self> {
        let (sender, batches) = channel(QUEUE_LEN);
        let thread = thread::Builder::new().name("stdin".to_owned());
        thread.spawn(move || read_all(framing, &sender))?;
        Ok(Self {
            batches,
            batch: Vec::new().into_iter(),
            pending: None,
            has_ended: false,
        })
    }

    /// Waits for the next message, and returns it until [`take`](Self::take) is called. Returns `None` at the
    /// end. It can be dropped at any time.
    pub async fn peek(&mut self) -> Result<Option<&Message>, InputError> {
        while self.pending.is_none() && !self.has_ended {
            if let Some(message) = self.batch.next() {
                self.pending = Some(message.inspect_err(|_| self.has_ended = true)?);
            } else if let Some(batch) = self.batches.recv().await {
                self.batch = batch.into_iter();
            } else {
                self.has_ended = true;
            }
        }
        Ok(self.pending.as_ref())
    }

    /// Removes the message that `peek` returned, because it is sent.
    pub fn take(&mut self) {
        self.pending = None;
    }

    /// Reads no more.
    pub fn end(&mut self) {
        self.pending = None;
        self.has_ended = true;
    }

    /// Returns whether nothing is left, as far as is known.
    pub fn has_ended(&self) -> bool {
        self.has_ended && self.pending.is_none()
    }
}

/// Why the standard input is not what it should be. All messages before are sent.
pub enum InputError {
    Read(io::Error),
    TooLong { line: u64, limit: usize },
    NotUtf8 { line: u64, at: usize },
    Nul { line: u64, at: usize },
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => write!(f, "cannot read the standard input: {error}"),
            Self::TooLong { line, limit } => write!(
                f,
                "line {line} of the standard input is longer than {limit} bytes (option --max-line)"
            ),
            Self::NotUtf8 { line, at } => write!(
                f,
                "line {line} of the standard input is not UTF-8 from byte {at} on (option --binary sends bytes)"
            ),
            Self::Nul { line, at } => write!(
                f,
                "line {line} of the standard input has a NUL as byte {at}, so it is not text (option --binary \
                 sends bytes)"
            ),
        }
    }
}

/// How many batches are read ahead. Each has at most a chunk, or lines of that length and one more.
const QUEUE_LEN: usize = 2;

/// The longest chunk, and how much is read at once.
const CHUNK_LEN: usize = 64 << 10;

fn read_all(framing: Framing, sender: &Sender<Vec<Result<Message, InputError>>>) {
    let mut stdin = BufReader::with_capacity(CHUNK_LEN, io::stdin().lock());
    let mut batch = Vec::new();
    for line in 1.. {
        let message = read(&mut stdin, framing, line).transpose();
        let is_last = !matches!(message, Some(Ok(_)));
        batch.extend(message);
        // Lines that were read at once are handed over at once, because each time wakes a thread.
        let has_line = match framing {
            Framing::Text { .. } | Framing::Lines { .. } => stdin.buffer().contains(&b'\n'),
            Framing::Chunks => false,
        };
        if has_line && !is_last {
            continue;
        }
        if sender.blocking_send(mem::take(&mut batch)).is_err() || is_last {
            return;
        }
    }
}

/// Reads one message; `None` at the end.
fn read(
    stdin: &mut impl BufRead,
    framing: Framing,
    line: u64,
) -> Result<Option<Message>, InputError> {
    match framing {
        Framing::Text { limit } => {
            let Some(mut bytes) = read_line(stdin, limit)? else {
                return Ok(None);
            };
            if bytes.ends_with(b"\r") {
                bytes.pop();
            }
            if bytes.len() > limit {
                return Err(InputError::TooLong { line, limit });
            }
            if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
                return Err(InputError::Nul { line, at: at + 1 });
            }
            let text = String::from_utf8(bytes).map_err(|error| InputError::NotUtf8 {
                line,
                at: error.utf8_error().valid_up_to() + 1,
            })?;
            Ok(Some(text.into()))
        }
        Framing::Lines { limit } => match read_line(stdin, limit)? {
            Some(bytes) if bytes.len() > limit => Err(InputError::TooLong { line, limit }),
            bytes => Ok(bytes.map(Message::from)),
        },
        Framing::Chunks => read_chunk(stdin),
    }
}

/// Reads a line without its newline, or as much of a longer one as shows that it is too long.
fn read_line(stdin: &mut impl BufRead, limit: usize) -> Result<Option<Vec<u8>>, InputError> {
    let mut bytes = Vec::new();
    // Room for a carriage return and a newline, and so for one byte too many.
    let room = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(2);
    let mut limited = stdin.take(room);
    limited
        .read_until(b'\n', &mut bytes)
        .map_err(InputError::Read)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.ends_with(b"\n") {
        bytes.pop();
    }
    Ok(Some(bytes))
}

fn read_chunk(stdin: &mut impl BufRead) -> Result<Option<Message>, InputError> {
    loop {
        match stdin.fill_buf() {
            Ok([]) => return Ok(None),
            Ok(bytes) => {
                let message = Message::from(bytes);
                let len = bytes.len();
                stdin.consume(len);
                return Ok(Some(message));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(InputError::Read(error)),
        }
    }
}
