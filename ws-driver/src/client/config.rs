//! The options of a client beyond those of the protocol: how it reaches a server.

use std::time::Duration;

use ws_proto::ClientConfig;

#[cfg(feature = "proxy")]
use super::proxy::Proxy;
#[cfg(feature = "rustls")]
use crate::tls::ClientTls;

/// The options of a client: those of the protocol, and how it reaches the server.
///
/// A [`ClientConfig`] converts into it, if the other options keep their defaults.
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
    /// Makes the default options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the options of the protocol: the version, subprotocols, headers, limits.
    #[must_use]
    pub fn client(mut self, client: ClientConfig) -> Self {
        self.client = client;
        self
    }

    /// Sets the overall connect timeout, from the lookup of the host name to the end of the opening handshake:
    /// 20 s. [`connect_over`](crate::connect_over) starts it at once. The
    /// [`handshake_timeout`](ClientConfig::handshake_timeout) bounds the last step separately.
    #[must_use]
    pub fn connect_timeout(mut self, connect_timeout: impl Into<Option<Duration>>) -> Self {
        self.connect_timeout = connect_timeout.into();
        self
    }

    /// Sets a proxy through which the server is reached: no proxy by default. The environment is not read; see
    /// [`Proxy::from_env`]. The [`peer_addr`](crate::Connection::peer_addr) of the connection is that of the
    /// proxy. [`connect_over`](crate::connect_over) ignores it, because it has a stream already.
    #[cfg(feature = "proxy")]
    #[must_use]
    pub fn proxy(mut self, proxy: impl Into<Option<Proxy>>) -> Self {
        self.proxy = proxy.into();
        self
    }

    /// Sets the trusted roots for a URL that begins with `wss`, and for a proxy whose URL begins with `https`:
    /// [`ClientTls::default`]. [`connect_over`](crate::connect_over) speaks TLS only if this was called.
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

    /// The defaults are a promise. A change of a default has to change this test.
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
