//! The options of permessage-deflate: what an endpoint offers, accepts and does. Knows no headers and
//! no bytes.

use crate::error::ConfigError;

/// Options of permessage-deflate (RFC 7692): messages are compressed where the peer agrees.
///
/// Off unless it is given to [`ServerConfig::deflate`](crate::ServerConfig::deflate) or
/// [`ClientConfig::deflate`](crate::ClientConfig::deflate). The drafts have no extensions; their
/// connections stay plain. What is secret should not be compressed next to what an attacker chooses:
/// see [`PreparedMessage::plain`](crate::PreparedMessage::plain).
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
            level: 6,
            threshold: THRESHOLD,
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

    /// Sets the length in bytes from which a message is compressed: 1024. Shorter ones go plain, as
    /// they fit one packet either way. Zero compresses all.
    pub fn threshold(mut self, threshold: usize) -> Self {
        self.threshold = threshold;
        self
    }

    /// Has the server compress each message on its own: on. A server that may keep what it sent
    /// before in mind compresses similar messages better, but holds the memory of a compressor for
    /// each connection that sends; see docs/compression.md for how much.
    ///
    /// A server does so, and says so to a client that asks for it; a client asks for it, and keeps one
    /// window for a server that does otherwise.
    pub fn server_no_context_takeover(mut self, server_no_context_takeover: bool) -> Self {
        self.server_no_context_takeover = server_no_context_takeover;
        self
    }

    /// Has the client compress each message on its own: off. For the server the price of a client that
    /// does not is one window of memory for each connection, at most.
    ///
    /// A server demands it, a client says so.
    pub fn client_no_context_takeover(mut self, client_no_context_takeover: bool) -> Self {
        self.client_no_context_takeover = client_no_context_takeover;
        self
    }

    /// Sets how hard is tried, from 0 (not at all) and 1 (fast) to 9 (small): 6.
    ///
    /// # Errors
    ///
    /// Fails if it is more than 9.
    pub fn level(mut self, level: u8) -> Result<Self, ConfigError> {
        self.level = checked("level", level, 0, 9)?;
        Ok(self)
    }

    /// Sets how far back the server may refer, as a power of two: 15, that is 32 KiB. A server keeps to
    /// it, or to less if the client demands that; a client demands it, and a server that cannot agree
    /// does not compress.
    ///
    /// # Errors
    ///
    /// Fails if it is not from 9 to 15. The standard has 8, too, but the compressor has not.
    pub fn server_max_window_bits(mut self, bits: u8) -> Result<Self, ConfigError> {
        self.server_max_window_bits = checked("server_max_window_bits", bits, 9, 15)?;
        Ok(self)
    }

    /// Sets how far back the client may refer, as a power of two: 15, that is 32 KiB. A client keeps to
    /// it, or to less if the server demands that; a server demands it of clients that say that they
    /// can be told, which browsers do.
    ///
    /// # Errors
    ///
    /// Fails if it is not from 9 to 15. The standard has 8, too, but most compressors have not.
    pub fn client_max_window_bits(mut self, bits: u8) -> Result<Self, ConfigError> {
        self.client_max_window_bits = checked("client_max_window_bits", bits, 9, 15)?;
        Ok(self)
    }
}

/// The largest window, which is the one where nobody says otherwise (RFC 7692 §7.1.2).
pub(crate) const FULL_WINDOW_BITS: u8 = 15;

/// What fits one packet of Ethernet, with its headers and some room, is not sent faster for being
/// shorter; and most of what chats and telemetry send is shorter than this.
const THRESHOLD: usize = 1024;

fn checked(option: &'static str, value: u8, least: u8, most: u8) -> Result<u8, ConfigError> {
    match (least..=most).contains(&value) {
        true => Ok(value),
        false => Err(ConfigError::OutOfRange {
            option,
            value,
            least,
            most,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The defaults are a promise; docs/compression.md names them. Whoever changes one changes this
    /// test.
    #[test]
    fn the_defaults_are_frozen() {
        assert_eq!(
            format!("{:?}", Deflate::default()),
            "Deflate { level: 6, threshold: 1024, server_no_context_takeover: true, \
             client_no_context_takeover: false, server_max_window_bits: 15, \
             client_max_window_bits: 15 }"
        );
    }

    /// What cannot be done cannot be asked for, and the error says what can.
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
