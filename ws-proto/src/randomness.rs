//! The source of random bytes, which the caller provides.

/// A source of random bytes for a client's keys: opening handshakes and masking (RFC 6455 §10.3).
///
/// This crate has no randomness of its own. An implementation must be cryptographically secure, so that
/// neither the application nor the peer can predict it. It must not repeat itself in a forked process.
pub trait Randomness: Send {
    /// Fills `bytes` with random bytes.
    fn fill(&mut self, bytes: &mut [u8]);
}
