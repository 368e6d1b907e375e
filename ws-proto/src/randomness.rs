//! Where random bytes come from: this crate has none of its own.

/// Random bytes for the keys of a client: opening handshakes and masking (RFC 6455 §10.3).
///
/// This crate has no randomness of its own. An implementation must be unpredictable to the
/// application and to the peer, in other words cryptographically secure, and must not repeat
/// itself in a forked process.
pub trait Randomness: Send {
    /// Fills `bytes` with random bytes.
    fn fill(&mut self, bytes: &mut [u8]);
}
