//! What a client demands of an answer, for each version.

mod draft75;
mod draft76;
mod rfc6455;
mod tolerant;
