//! The end of a connection: PROTOCOL.md §1.5, §2.8 and §5.6, for both roles and all versions. Who
//! sends a close, who shuts down, who waits for what and how long, and what is told in the end.

mod any_order;
mod close_timeout;
mod code_and_reason;
mod deferred_answer;
mod handshake;
mod order;
mod peer;
mod stream_end;
