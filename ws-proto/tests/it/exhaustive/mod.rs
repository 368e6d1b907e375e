//! Everything in the small, against the slow model: every sequence of up to three frames of a table, every pair of them cut
//! at every byte, and every order in which a connection can end. Sampling, which `model` does, finds what is likely; this
//! finds what is short.
//!
//! What takes more than a minute in a debug build is done in part, unless `WS_EXHAUSTIVE` is set.

mod ends;
mod frames;
mod sequences;
mod setups;

/// Whether all is to be done.
fn is_full() -> bool {
    std::env::var_os("WS_EXHAUSTIVE").is_some()
}
