//! The place that a client has in the `address_limits` while a request of it is open. Knows nothing of the request.

use std::net::IpAddr;

use crate::handle::clients::Clients;
use crate::id::ConnectionId;
use crate::observe::rejected::Rejected;
use crate::runtime::Runtime;
use crate::server::reporter::StreamReporter;
use crate::server::shared::SharedServer;

/// Given back on drop.
pub(super) struct RequestPlace {
    clients: Clients,
    session: ConnectionId,
    ip: IpAddr,
}

impl RequestPlace {
    /// Takes the place of a client whom a proxy has named; `None` if the session itself was counted, or nothing is limited.
    ///
    /// # Errors
    ///
    /// Fails if the client has as many places as it may.
    pub(super) fn take<R: Runtime>(
        shared: &SharedServer<R>,
        reporter: &StreamReporter,
    ) -> Result<Option<Self>, Rejected> {
        let Some(ip) = reporter.counted_client(&shared.settings) else {
            return Ok(None);
        };
        let session = reporter.info.id;
        let now = shared.runtime.now();
        shared.clients.registry().begin_request(session, ip, now)?;
        Ok(Some(Self {
            clients: shared.clients.clone(),
            session,
            ip,
        }))
    }
}

impl Drop for RequestPlace {
    fn drop(&mut self) {
        self.clients.registry().end_request(self.session, self.ip);
    }
}
