//! HTTP/1.1 as far as an opening handshake needs it: finding the end of a head, reading it, and keeping it.
//! This folder does not know what a WebSocket demands of a head.
//!
//! Imports: `error`, `handshake::error`, `handshake::head`, `redact`.

pub(in crate::handshake) mod authority;
pub(in crate::handshake) mod extensions;
pub(in crate::handshake) mod fields;
pub(in crate::handshake) mod head_end;
pub(in crate::handshake) mod head_parser;
pub(in crate::handshake) mod header;
mod packed_head;
pub(in crate::handshake) mod percent;

pub use self::packed_head::{PackedRequest, PackedResponse};
pub use self::percent::percent_decoded;
