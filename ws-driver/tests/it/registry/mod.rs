//! The registry: topics, what happens to slow peers under each policy, and the counters.

mod backlog;
mod counters;
mod slow_peers;
mod slow_server;
mod topics;
mod waiting;
