//! The options of a client that are no matter of the protocol: how a server is reached.

use std::time::Duration;

use ws_proto::ClientConfig;

#[cfg(feature = "proxy")]
use super::proxy::Proxy;
#[cfg(feature = "rustls")]
use crate::tls::ClientTls;

/// Options of a client: those of the protocol, and how a server is reached.
///
/// A [`ClientConfig`] can stand for it, where no more is wanted.
#[derive(Clone, Debug)]
pub struct ConnectConfig {
    pub(crate) client: ClientConfig,
    pub(crate) connect_timeout: Option<Duration>,
    #[cfg(feature = "proxy")]
    pub(crate) proxy: Option<Proxy>,
    #[cfg(feature = "rustls")]
    pub(crate) tls: Option<ClientTls>,
}

impl Default for ConnectConfig {
    fn default() -> Self {
        Self {
            client: ClientConfig::default(),
            connect_timeout: Some(Duration::from_secs(20)),
            #[cfg(feature = "proxy")]
            proxy: None,
            #[cfg(feature = "rustls")]
            tls: None,
        }
    }
}

impl ConnectConfig {
    /// Starts from the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the options of the protocol: the version, subprotocols, headers, limits.
    #[must_use]
    pub fn client(mut self, client: ClientConfig) -> Self {
        self.client = client;
        self
    }

    /// Sets an overall timeout for an open connection, from the look-up of the host's name, or from the stream
    /// that is there, to the end of the opening handshake: 20 s. The [`handshake_timeout`](ClientConfig::handshake_timeout) bounds the
    /// last part of it.
    #[must_use]
    pub fn connect_timeout(mut self, connect_timeout: impl Into<Option<Duration>>) -> Self {
        self.connect_timeout = connect_timeout.into();
        self
    }

    /// Reaches the server through a proxy: none, whatever the environment says; see
    /// [`Proxy::from_env`]. The connection's [`peer_addr`](crate::Connection::peer_addr) is the proxy's.
    /// [`connect_over`](crate::connect_over), which has a stream already, asks none.
    #[cfg(feature = "proxy")]
    #[must_use]
    pub fn proxy(mut self, proxy: impl Into<Option<Proxy>>) -> Self {
        self.proxy = proxy.into();
        self
    }

    /// Sets whom to trust where the URL begins with `wss`, or that of the proxy with `https`: the
    /// [default](ClientTls::default) of it.
    /// [`connect_over`](crate::connect_over) speaks TLS only if this was called.
    #[cfg(feature = "rustls")]
    #[must_use]
    pub fn tls(mut self, tls: ClientTls) -> Self {
        self.tls = Some(tls);
        self
    }
}

impl From<ClientConfig> for ConnectConfig {
    fn from(client: ClientConfig) -> Self {
        Self::new().client(client)
    }
}

impl From<&ClientConfig> for ConnectConfig {
    fn from(client: &ClientConfig) -> Self {
        Self::from(client.clone())
    }
}

impl From<&Self> for ConnectConfig {
    fn from(options: &Self) -> Self {
        options.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The defaults are a promise. Whoever changes one changes this test.
    #[test]
    fn the_defaults_are_frozen() {
        let client = format!("{:?}", ClientConfig::default());
        let proxy = if cfg!(feature = "proxy") {
            ", proxy: None"
        } else {
            ""
        };
        let tls = if cfg!(feature = "rustls") {
            ", tls: None"
        } else {
            ""
        };
        assert_eq!(
            format!("{:?}", ConnectConfig::default()),
            format!("ConnectConfig {{ client: {client}, connect_timeout: Some(20s){proxy}{tls} }}")
        );
    }
}
