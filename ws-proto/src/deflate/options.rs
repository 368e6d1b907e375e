//! The options of permessage-deflate, for offering, accepting and compressing. Knows no headers and no bytes.

use crate::error::ConfigError;

/// Options of permessage-deflate (RFC 7692), which compresses messages if the peer agrees.
///
/// Compression is off unless the options are given to [`ServerConfig::deflate`](crate::ServerConfig::deflate) or
/// [`ClientConfig::deflate`](crate::ClientConfig::deflate). The drafts have no extensions, so their
/// connections stay plain. Do not compress a secret together with content that an attacker chooses, because the
/// length of the result tells about the secret: see
/// [`PreparedMessage::plain`](crate::PreparedMessage::plain).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Deflate {
    pub(crate) level: u8,
    pub(crate) threshold: usize,
    pub(crate) server_no_context_takeover: bool,
    pub(crate) client_no_context_takeover: bool,
    pub(crate) server_max_window_bits: u8,
    pub(crate) client_max_window_bits: u8,
}

impl Default for Deflate {
    fn default() -> Self {
        Self {
            // zlib's own default.
            level: 6,
            threshold: THRESHOLD,
            // A compressor for each connection costs a server far more memory than a window to inflate with.
            server_no_context_takeover: true,
            client_no_context_takeover: false,
            server_max_window_bits: FULL_WINDOW_BITS,
            client_max_window_bits: FULL_WINDOW_BITS,
        }
    }
}

impl Deflate {
    /// Starts from the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the length in bytes from which a message is compressed: 1024. Shorter messages stay plain, because
    /// they fit one packet either way. Zero compresses all messages.
    pub fn threshold(mut self, threshold: usize) -> Self {
        self.threshold = threshold;
        self
    }

    /// Makes the server compress each message on its own: on. A server that refers to earlier messages
    /// compresses similar ones better, but holds the memory of a compressor for each connection that sends.
    /// docs/compression.md has the figures.
    ///
    /// A server with this option compresses each message on its own, and confirms it to a client that asks for it. A
    /// client with this option asks for it, and keeps one window for a server that does not do it.
    pub fn server_no_context_takeover(mut self, server_no_context_takeover: bool) -> Self {
        self.server_no_context_takeover = server_no_context_takeover;
        self
    }

    /// Makes the client compress each message on its own: off. A client that refers to earlier messages costs the
    /// server at most one window of memory for each connection.
    ///
    /// A server with this option demands it, and a client announces it.
    pub fn client_no_context_takeover(mut self, client_no_context_takeover: bool) -> Self {
        self.client_no_context_takeover = client_no_context_takeover;
        self
    }

    /// Sets the level of compression: 0 (stored), 1 (fastest) to 9 (smallest): 6.
    ///
    /// # Errors
    ///
    /// Fails if the level is more than 9.
    pub fn level(mut self, level: u8) -> Result<Self, ConfigError> {
        self.level = checked("level", level, 0, 9)?;
        Ok(self)
    }

    /// Sets the server's window, the distance that its messages may refer to, as a power of two: 15, which is 32 KiB.
    /// A server uses this window, or a smaller one if the client demands it. A client demands this window, and a
    /// server that does not support it does not compress.
    ///
    /// # Errors
    ///
    /// Fails if the number is not from 9 to 15. The standard also has 8, but the compressor does not support it.
    pub fn server_max_window_bits(mut self, bits: u8) -> Result<Self, ConfigError> {
        self.server_max_window_bits = checked("server_max_window_bits", bits, 9, 15)?;
        Ok(self)
    }

    /// Sets the client's window, the distance that its messages may refer to, as a power of two: 15, which is 32 KiB.
    /// A client uses this window, or a smaller one if the server demands it. A server demands this window from
    /// clients that announce support for it, as browsers do.
    ///
    /// # Errors
    ///
    /// Fails if the number is not from 9 to 15. The standard also has 8, but most compressors do not support it.
    pub fn client_max_window_bits(mut self, bits: u8) -> Result<Self, ConfigError> {
        self.client_max_window_bits = checked("client_max_window_bits", bits, 9, 15)?;
        Ok(self)
    }
}

/// The largest window, as a power of two. It holds if no parameter says otherwise (RFC 7692 §7.1.2).
pub(crate) const FULL_WINDOW_BITS: u8 = 15;

/// The default threshold. A message that fits one Ethernet packet, with all headers, does not arrive earlier for
/// being shorter. Most messages of chats and telemetry are below this.
const THRESHOLD: usize = 1024;

fn checked(option: &'static str, value: u8, least: u8, most: u8) -> Result<u8, ConfigError> {
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        Err(ConfigError::OutOfRange {
            option,
            value,
            least,
            most,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The defaults are a promise, and docs/compression.md names them. A change of one changes this test.
    #[test]
    fn the_defaults_are_frozen() {
        assert_eq!(
            format!("{:?}", Deflate::default()),
            "Deflate { level: 6, threshold: 1024, server_no_context_takeover: true, \
             client_no_context_takeover: false, server_max_window_bits: 15, \
             client_max_window_bits: 15 }"
        );
    }

    /// Unsupported values are refused, and the error names the supported ones.
    #[test]
    fn options_out_of_range_are_refused() {
        for bits in [0, 8, 16, 255] {
            for result in [
                Deflate::new().server_max_window_bits(bits),
                Deflate::new().client_max_window_bits(bits),
            ] {
                let error = result.unwrap_err().to_string();
                assert!(error.contains("9 to 15"), "{error}");
            }
        }
        assert!(Deflate::new().level(10).is_err());
        assert!((0..=9).all(|level| Deflate::new().level(level).is_ok()));
        assert!((9..=15).all(|bits| Deflate::new().client_max_window_bits(bits).is_ok()));
    }
}
