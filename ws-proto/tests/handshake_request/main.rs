//! What a server checks in a request, in which order, and with which status it refuses.

#[path = "../handshake_support/mod.rs"]
mod handshake_support;
mod head;
mod hosts;
mod order;
mod origins;
mod refusal;
mod rules;
mod tolerant;
mod versions;
