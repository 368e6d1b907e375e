//! The name of a server, as a server lists its own names and as a client can set it. A `Host` is always well-formed.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use super::http::authority::{Authority, default_port};
use crate::error::ConfigError;

/// A host name or address of a server, with a port or without one. In a list, a host without a port has all ports.
///
/// It is kept in lower case, and an IPv6 address in its shortest form. So different spellings of one host are equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host {
    name: Box<str>,
    port: Option<u16>,
}

impl Host {
    pub(super) fn new(authority: Authority<'_>) -> Self {
        let bare = authority.host.strip_prefix('[');
        let address = bare.and_then(|host| host.strip_suffix(']')?.parse::<Ipv6Addr>().ok());
        // An IPv6 address has many spellings, and a client may use another one than the list.
        let name = match address {
            Some(address) => format!("[{address}]"),
            None => authority.host.to_ascii_lowercase(),
        };
        Self {
            name: name.into(),
            port: authority.port,
        }
    }

    /// Returns it as it stands in a request whose URL has this scheme: without the port that the scheme implies (RFC 3986
    /// §6.2.3).
    pub(super) fn authority(&self, scheme: &str) -> String {
        match self.port {
            Some(port) if default_port(scheme) == Some(port) => self.name.to_string(),
            Some(_) | None => self.to_string(),
        }
    }

    /// Tells whether it names another host, whose port is given apart. Without a port it names all ports.
    pub(super) fn covers(&self, other: &Self, port: Option<u16>) -> bool {
        self.name == other.name && (self.port.is_none() || self.port == port)
    }
}

impl FromStr for Host {
    type Err = ConfigError;

    /// Reads `host` or `host:port`. An IPv6 address must be in brackets.
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let authority = Authority::parse(text).ok();
        // RFC 3986 allows a star in a name, but no client sends one. The entry would never match, and its author
        // expects a wildcard.
        let authority = authority.filter(|authority| !authority.host.contains('*'));
        authority
            .map(Self::new)
            .ok_or_else(|| ConfigError::InvalidHost {
                value: text.to_owned(),
            })
    }
}

impl TryFrom<&str> for Host {
    type Error = ConfigError;

    fn try_from(text: &str) -> Result<Self, ConfigError> {
        text.parse()
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// X6: an entry that could never match is an error.
    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            "*",
            "*.example.com",
            "http://a",
            "a/",
            "a:0",
            "::1",
            "a b",
            "a, b",
        ] {
            let value = text.to_owned();
            assert_eq!(
                text.parse::<Host>(),
                Err(ConfigError::InvalidHost { value })
            );
        }
    }
}
