//! Cancel safety: each public future is polled so many times and then dropped, for every number of polls
//! until it is ready at last, over streams that move a byte at a time. After it exactly what its section
//! `# Cancel safety` says holds: nothing is lost, nothing comes twice, the connection is as good as
//! before or closed as documented, and no task and no entry of the registry is left in the end.

mod broadcasting;
mod cluster;
mod connecting;
mod ending;
#[cfg(feature = "upgrade")]
mod foreign;
mod kit;
mod list;
mod pinging;
mod polling;
#[cfg(all(feature = "proxy", feature = "rustls"))]
mod proxies;
mod receiving;
mod sending;
mod serving;
#[cfg(feature = "rustls")]
mod tls;
