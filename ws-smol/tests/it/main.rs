//! What runs on real sockets of this host, by smol.

mod conformance;
mod features;
mod hyper;
mod kit;
#[cfg(unix)]
mod unix;
