//! What a log of a topic is: the places in it and what stands there, which topics have one, and who has seen what. Plain
//! values; the folder above moves them.
//!
//! Imports: `util`, `id`, `registry`, `cluster::envelope`, `cluster::error`.

pub(crate) mod config;
pub(super) mod cursor;
pub(crate) mod position;
