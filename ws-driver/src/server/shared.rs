//! The state that all tasks of a server share.

use std::net::SocketAddr;
use std::sync::Arc;

use ws_proto::ServerConfig;

use super::accept_errors::AcceptErrors;
use super::accept_queue::AcceptQueue;
use super::listeners::Listeners;
#[cfg(feature = "test-kit")]
use super::memory_port::MemoryPort;
use super::settings::ServerSettings;
use super::shutdown_phase::ShutdownSignal;
use crate::cluster::shared::SharedCluster;
use crate::driver::shared_machine::Clock;
use crate::handle::clients::Clients;
use crate::runtime::Runtime;

/// The state that all tasks of a server share.
pub(crate) struct SharedServer<R: Runtime> {
    pub(crate) runtime: R,
    pub(crate) clock: Clock,
    /// `None` if the server listens on no address.
    pub(super) listeners: Option<Listeners<R>>,
    pub(super) local_addrs: Vec<SocketAddr>,
    pub(crate) settings: ServerSettings,
    /// The same as in the settings, behind an `Arc` because each handshake keeps a reference to it.
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) clients: Clients,
    pub(super) cluster: ClusterPart,
    pub(crate) stop: ShutdownSignal,
    pub(super) accept_queue: AcceptQueue,
    pub(super) accept_errors: AcceptErrors,
    /// Streams of the test kit.
    #[cfg(feature = "test-kit")]
    pub(super) memory_port: MemoryPort,
}

/// The server's part in its cluster. It ends with the server.
pub(super) struct ClusterPart(pub(super) Arc<SharedCluster>);

impl Drop for ClusterPart {
    fn drop(&mut self) {
        self.0.stop();
    }
}
