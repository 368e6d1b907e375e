//! What the tasks of a server share.

use std::net::SocketAddr;
use std::sync::Arc;

use ws_proto::ServerConfig;

use super::accept_errors::Trouble;
use super::accept_queue::OpenedConnections;
use super::listeners::Listeners;
use super::options::Options;
use super::shutdown_phase::Stop;
use crate::driver::shared_machine::Clock;
use crate::handle::clients::Clients;
use crate::runtime::Runtime;

/// What the tasks of a server share.
pub(crate) struct Shared<R: Runtime> {
    pub(crate) runtime: R,
    pub(crate) clock: Clock,
    /// `None` if it listens on nothing.
    pub(super) listeners: Option<Listeners<R>>,
    pub(super) local_addrs: Vec<SocketAddr>,
    pub(crate) options: Options,
    /// That of the options, as all handshakes share it.
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) clients: Clients,
    pub(crate) stop: Stop,
    pub(super) opened: OpenedConnections,
    pub(super) trouble: Trouble,
}
