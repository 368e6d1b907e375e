//! What an observer of a client is told on the way to a connection. No event has a secret: not the query of the URL, not
//! its user and password, no header.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;

use crate::tls::TlsInfo;

/// A step of a client on the way to an open connection, for [`Observer::connecting`](crate::Observer::connecting).
///
/// The first one is `Begun`. The last one is `Failed`, unless the connection opens or the future of `connect` is dropped.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum ConnectEvent<'a> {
    /// The client begins to open a connection to the server of a URL.
    Begun {
        /// The host of the URL.
        host: &'a str,
        /// Its port.
        port: u16,
        /// Whether the URL begins with `wss`.
        is_secure: bool,
    },
    /// The host, or that of the proxy, was looked up. An address in the URL needs no lookup.
    Resolved {
        /// The host.
        host: &'a str,
        /// Its addresses, in the order of the lookup.
        addrs: &'a [SocketAddr],
    },
    /// The client tries to connect to an address of the server, or of the proxy. Several attempts can run at once (RFC 8305).
    Trying {
        /// The address.
        addr: SocketAddr,
    },
    /// An attempt at an address failed. The next address is tried, if there is one.
    AddressFailed {
        /// The address.
        addr: SocketAddr,
        /// Its error; of kind [`TimedOut`](io::ErrorKind::TimedOut) if the address did not answer.
        error: &'a io::Error,
    },
    /// A proxy opened a tunnel to the server.
    Tunnelled {
        /// The host of the proxy.
        proxy_host: &'a str,
        /// Its port.
        proxy_port: u16,
    },
    /// The TLS handshake with the server is done.
    Secured(&'a TlsInfo),
    /// No connection was opened. The error is a [`ConnectError`](crate::ConnectError), which `downcast_ref` returns.
    Failed(&'a (dyn Error + Send + Sync + 'static)),
}

impl fmt::Display for ConnectEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begun {
                host,
                port,
                is_secure,
            } => {
                let tls = if *is_secure { " with TLS" } else { "" };
                write!(f, "connects to {}{tls}", HostPort(host, *port))
            }
            Self::Resolved { host, addrs } => {
                write!(f, "{host:?} has the addresses")?;
                for (index, addr) in addrs.iter().enumerate() {
                    let separator = if index == 0 { " " } else { ", " };
                    write!(f, "{separator}{}", addr.ip())?;
                }
                Ok(())
            }
            Self::Trying { addr } => write!(f, "tries {addr}"),
            Self::AddressFailed { addr, error } => write!(f, "{addr} failed: {error}"),
            Self::Tunnelled {
                proxy_host,
                proxy_port,
            } => write!(
                f,
                "the proxy {} opened a tunnel",
                HostPort(proxy_host, *proxy_port)
            ),
            Self::Secured(tls) => write!(f, "the handshake of {} is done", tls.version),
            Self::Failed(error) => write!(f, "not opened: {error}"),
        }
    }
}

/// A host and its port, as a URL has them.
struct HostPort<'a>(&'a str, u16);

impl fmt::Display for HostPort<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(host, port) = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}
