//! Messages on the standard output, and everything else on the standard error.

use std::fmt::Display;
use std::io::{self, Write};

use clap::ValueEnum;
use examples::hex;
use tokio::io::{AsyncWriteExt, Stdout};
use ws_tokio::Message;

/// How a message is printed.
#[derive(Clone, Copy, ValueEnum)]
pub enum Form {
    /// Text as a line, bytes as a line of `binary` and hexadecimal digits.
    Hex,
    /// The content, and a newline behind it.
    Lines,
    /// The content, and nothing between two messages.
    Raw,
}

/// The standard output. It writes many messages at once, if many are there.
pub struct Output {
    stdout: Stdout,
    form: Form,
    /// How many messages are still to be printed.
    left: Option<u64>,
    bytes: Vec<u8>,
}

impl Output {
    /// Takes `count` messages, or any number.
    pub fn new(form: Form, count: Option<u64>) -> Self {
        Self {
            stdout: tokio::io::stdout(),
            form,
            left: count,
            bytes: Vec::new(),
        }
    }

    /// Adds a message to what is written next.
    pub fn push(&mut self, message: &Message) {
        match (self.form, message.as_text()) {
            (Form::Hex, None) => {
                self.bytes.extend_from_slice(b"binary ");
                self.bytes
                    .extend_from_slice(hex(message.as_bytes()).as_bytes());
                self.bytes.push(b'\n');
            }
            (Form::Hex | Form::Lines, _) => {
                self.bytes.extend_from_slice(message.as_bytes());
                self.bytes.push(b'\n');
            }
            (Form::Raw, _) => self.bytes.extend_from_slice(message.as_bytes()),
        }
        self.left = self.left.map(|left| left.saturating_sub(1));
    }

    /// Returns whether it has taken as many messages as it should.
    pub fn is_done(&self) -> bool {
        self.left == Some(0)
    }

    /// Returns whether to write before the next message.
    pub fn is_full(&self) -> bool {
        self.is_done() || self.bytes.len() >= BATCH_LEN
    }

    /// Writes what was added.
    pub async fn flush(&mut self) -> io::Result<()> {
        self.stdout.write_all(&self.bytes).await?;
        self.stdout.flush().await?;
        self.bytes.clear();
        Ok(())
    }
}

/// From how many bytes on they are written, even if more messages are there.
const BATCH_LEN: usize = 64 << 10;

/// Writes a line to the standard error. `eprintln` would panic if nobody reads it.
pub fn say(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
