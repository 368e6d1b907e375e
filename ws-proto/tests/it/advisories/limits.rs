//! No limits at all, and what counts as next to no memory.

use ws_proto::ConnectionConfig;

pub(crate) const LITTLE: usize = 4 << 10;

pub(crate) fn unlimited() -> ConnectionConfig {
    ConnectionConfig::new()
        .message_limit(None)
        .fragment_limit(None)
        .receive_queue_limit(None)
}
