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
    /// How many of the bytes are written.
    written: usize,
}

impl Output {
    /// Takes `count` messages, or any number.
    pub fn new(form: Form, count: Option<u64>) -> Self {
        Self {
            stdout: tokio::io::stdout(),
            form,
            left: count,
            bytes: Vec::new(),
            written: 0,
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

    /// Returns how many bytes wait to be written.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Writes some of what was added, if there is any. It can be dropped at any time.
    pub async fn write_some(&mut self) -> io::Result<()> {
        let rest = &self.bytes[self.written..];
        if !rest.is_empty() {
            self.written += self.stdout.write(rest).await?;
        }
        if self.written == self.bytes.len() {
            self.bytes.clear();
            self.written = 0;
        }
        Ok(())
    }

    /// Writes what was added. It can be dropped at any time.
    pub async fn flush(&mut self) -> io::Result<()> {
        while self.len() > 0 {
            self.write_some().await?;
        }
        self.stdout.flush().await
    }
}

/// From how many bytes on they are written, even if more messages are there.
const BATCH_LEN: usize = 64 << 10;

/// Writes a line to the standard error. `eprintln` would panic if nobody reads it.
pub fn say(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
