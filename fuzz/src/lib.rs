//! The oracles of the fuzz targets: each takes the fuzzer's bytes and panics if a promise is broken.
//!
//! They run on a stable compiler, too: `cargo test` in this folder feeds them the committed seeds.
//! Each begins with a few bytes of choices, read by [`Unstructured`] from the front, so that a seed
//! is these bytes followed by what goes over the wire.
#![forbid(unsafe_code)]

mod chop;
mod closing;
mod decision;
mod deflate;
mod differential;
mod envelope;
mod fall_through;
mod frames;
mod handshake;
mod memory;
mod merge;
mod pair;
mod topics;
mod wire;

use arbitrary::{Result, Unstructured};
use ws_proto::Version;

/// An oracle: it panics if a promise is broken.
pub type Oracle = fn(&[u8]);

/// All of them, by the names of their targets.
pub const TARGETS: [(&str, Oracle); 13] = [
    ("request_head", request_head),
    ("version_decision", version_decision),
    ("response_head", response_head),
    ("http_fall_through", http_fall_through),
    ("frames_rfc6455", frames_rfc6455),
    ("frames_hixie", frames_hixie),
    ("differential", differential),
    ("close_and_timers", close_and_timers),
    ("pair", pair),
    ("topics", topics),
    ("envelope", envelope),
    ("deflate_offer", deflate_offer),
    ("inflate", inflate),
];

const _: () = assert!(
    cfg!(debug_assertions),
    "an oracle without assertions finds less"
);

/// What an input is too short or too odd for is no finding.
fn run(input: &[u8], oracle: impl FnOnce(&mut Unstructured<'_>) -> Result<()>) {
    // Not enough bytes for the choices: nothing to try.
    let _ = oracle(&mut Unstructured::new(input));
}

/// Any bytes as a request: no panic, bounded memory, and the same whatever the reads.
pub fn request_head(input: &[u8]) {
    run(input, handshake::request);
}

/// Headers that matter, in any combination: PROTOCOL.md §4 decides, and nobody else.
pub fn version_decision(input: &[u8]) {
    run(input, decision::decide);
}

/// Any bytes as the answer to a client's request, in each version.
pub fn response_head(input: &[u8]) {
    run(input, handshake::response);
}

/// Any bytes on an open connection of RFC 6455.
pub fn frames_rfc6455(input: &[u8]) {
    run(input, |u| frames::read(u, &[Version::Rfc6455]));
}

/// Any bytes on an open connection of a draft.
pub fn frames_hixie(input: &[u8]) {
    run(input, |u| {
        frames::read(u, &[Version::Draft75, Version::Draft76])
    });
}

/// Two of our own endpoints: what one accepts for sending arrives at the other, in order.
pub fn pair(input: &[u8]) {
    run(input, pair::talk);
}

/// Any calls on an open connection of any version, in virtual time.
pub fn close_and_timers(input: &[u8]) {
    run(input, closing::exercise);
}

/// Plain HTTP, upgrades and what is neither, at a whole server.
pub fn http_fall_through(input: &[u8]) {
    run(input, fall_through::part);
}

/// Any offer of compression, and any answer to one.
pub fn deflate_offer(input: &[u8]) {
    run(input, deflate::negotiate);
}

/// Any bytes that claim to be compressed messages.
pub fn inflate(input: &[u8]) {
    run(input, deflate::inflate);
}

/// The registry of a whole server, against a plain model.
pub fn topics(input: &[u8]) {
    run(input, topics::exercise);
}

/// Any bytes from an engine, for a node of a cluster.
pub fn envelope(input: &[u8]) {
    run(input, envelope::exercise);
}

/// Any bytes on an open connection of RFC 6455, of ours and of tungstenite.
pub fn differential(input: &[u8]) {
    run(input, differential::compare);
}

/// The right answer to the request of the client in [`response_head`], for its seeds.
pub fn right_answer(version: &str, offers: bool) -> Vec<u8> {
    handshake::right_answer(version.parse().expect("it is a version"), offers)
}
