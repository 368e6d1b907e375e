//! Any chopping of the input gives the same events and the same answers, for any bytes at all; what
//! they are is compared with a slow, plain decoder that sees the whole stream at once. What is written
//! may be taken in any pieces, too.

mod any_chopping;
mod decoder;
mod endpoint;
mod streams;
mod two_connections;
mod writing;
