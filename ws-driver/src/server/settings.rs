//! The values of a server's options, as its tasks read them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ws_proto::{ConnectionConfig, ServerConfig};

use super::http::service::RequestService;
use super::upgrade::{Answer, Upgrade};
use crate::cluster::config::ClusterConfig;
use crate::cluster::shared::SharedCluster;
use crate::driver::shared_machine::Clock;
use crate::front::forwarded::ForwardedFor;
use crate::front::proxy_protocol::ProxyProtocol;
use crate::handle::clients::Clients;
use crate::observe::Observers;
use crate::observe::histograms::Histograms;
use crate::registry::RegistryConfig;
use crate::runtime::BindConfig;
#[cfg(feature = "rustls")]
use crate::tls::ServerTls;

pub(crate) type UpgradeHook =
    Arc<dyn Fn(Upgrade) -> Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync>;

/// The values of all options of a server. They do not change after [`build`](crate::ServerBuilder::build).
#[derive(Clone, Default)]
pub(crate) struct ServerSettings {
    pub(crate) config: ServerConfig,
    pub(crate) connection: ConnectionConfig,
    pub(crate) bind: BindConfig,
    pub(crate) connection_limit: Option<usize>,
    pub(crate) registry: RegistryConfig,
    pub(crate) observers: Observers,
    pub(crate) histograms: Option<Histograms>,
    pub(crate) on_upgrade: Option<UpgradeHook>,
    pub(crate) on_request: Option<RequestService>,
    /// The opposite of the option `keep_request_headers`, because the default of a flag is `false`.
    pub(crate) forgets_request_headers: bool,
    pub(crate) http: HttpConfig,
    #[cfg(feature = "rustls")]
    pub(crate) tls: Option<ServerTls>,
    pub(crate) cluster: ClusterConfig,
    pub(crate) proxy_protocol: Option<Arc<ProxyProtocol>>,
    pub(crate) forwarded_for: Option<Arc<ForwardedFor>>,
}

/// Starts the tasks of a cluster, with the backplane that the application chose.
pub(crate) type StartBackplane<R> = Box<dyn FnOnce(&R, &Arc<SharedCluster>) + Send + Sync>;

impl ServerSettings {
    /// Makes the server's part in its cluster.
    pub(super) fn join_cluster(
        &self,
        clients: &Clients,
        clock: &Clock,
        has_backplane: bool,
    ) -> Arc<SharedCluster> {
        let (registry, clock) = (Arc::clone(clients.registry()), clock.clone());
        Arc::new(if has_backplane {
            // What a client may send, another node may pass on.
            let message_limit = self.connection.get_message_limit().unwrap_or(usize::MAX);
            SharedCluster::new(registry, clock, self.cluster.clone(), message_limit)
        } else {
            SharedCluster::alone(registry, clock, self.cluster.clone())
        })
    }
}

/// The options of plain HTTP.
#[derive(Clone)]
pub(crate) struct HttpConfig {
    pub(crate) body_timeout: Option<Duration>,
    /// Whether HTTP/2 is spoken on the port.
    #[cfg(feature = "http2")]
    pub(crate) http2: bool,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            body_timeout: Some(Duration::from_secs(30)),
            #[cfg(feature = "http2")]
            http2: false,
        }
    }
}
