//! HTTP/1.1 as far as an opening handshake needs it: where a head ends, what it says, and how it is kept.
//! Knows nothing of what a WebSocket demands of a head.
//!
//! Imports: `error`, `handshake::error`, `handshake::head`, `redact`.

pub(in crate::handshake) mod authority;
pub(in crate::handshake) mod extensions;
pub(in crate::handshake) mod fields;
pub(in crate::handshake) mod head_end;
mod head_parser;
pub(in crate::handshake) mod header;
mod packed_head;

pub use self::packed_head::{PackedRequest, PackedResponse};
