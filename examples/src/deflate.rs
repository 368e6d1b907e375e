//! The options of compression, shared by servers and clients.

use clap::Args;
use ws_driver::{ConfigError, Deflate};

/// What to agree on, if both sides compress.
#[derive(Args, Clone)]
pub struct DeflateOptions {
    /// Compresses messages where the other side does, too (permessage-deflate).
    #[arg(long)]
    deflate: bool,
    /// The length from which a message is compressed.
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = 1024,
        requires = "deflate"
    )]
    deflate_threshold: usize,
    /// How hard is tried, from 0 to 9.
    #[arg(long, value_name = "LEVEL", default_value_t = 6, requires = "deflate")]
    deflate_level: u8,
    /// Lets the server refer to earlier messages.
    #[arg(long, requires = "deflate")]
    server_context_takeover: bool,
    /// Keeps the client from referring to earlier messages.
    #[arg(long, requires = "deflate")]
    client_no_context_takeover: bool,
    /// How far back the server may refer: 9 to 15, two to that power in bytes.
    #[arg(long, value_name = "BITS", default_value_t = 15, requires = "deflate")]
    server_max_window_bits: u8,
    /// How far back the client may refer.
    #[arg(long, value_name = "BITS", default_value_t = 15, requires = "deflate")]
    client_max_window_bits: u8,
}

impl DeflateOptions {
    /// Returns what was asked for; `None` without `--deflate`.
    ///
    /// # Errors
    ///
    /// Fails if a number is out of range.
    pub fn deflate(&self) -> Result<Option<Deflate>, ConfigError> {
        if !self.deflate {
            return Ok(None);
        }
        Deflate::new()
            .threshold(self.deflate_threshold)
            .server_no_context_takeover(!self.server_context_takeover)
            .client_no_context_takeover(self.client_no_context_takeover)
            .level(self.deflate_level)?
            .server_max_window_bits(self.server_max_window_bits)?
            .client_max_window_bits(self.client_max_window_bits)
            .map(Some)
    }
}
