//! The URL of a WebSocket server: `ws` and `wss` (RFC 6455 §3). The parser is strict, because all parts of the URL go
//! into a request.

use std::fmt;
use std::str::FromStr;

use super::host_name;
use super::user_info::UserInfo;
use crate::error::ConfigError;
use crate::handshake::hixie;
use crate::handshake::http::authority::{Authority, default_port};
use crate::handshake::http::percent::percent_encoded;
use crate::redact::{Redacted, redact_url};

/// The URL that a client connects to: `ws://[user:password@]host[:port]/resource` or `wss://…` (RFC 6455 §3).
///
/// | Part | Meaning |
/// |---|---|
/// | `user:password@` | sent as `Authorization: Basic` (RFC 7617), in the clear unless the scheme is `wss`. Both can be percent-encoded. A header `Authorization` in the options is sent instead |
/// | `host` | a name, an IPv4 address of four decimal numbers, or an IPv6 address in brackets. A name that is not ASCII needs the feature `idna` |
/// | `%25zone` in brackets | the interface by which a link-local address is reached, as in `[fe80::1%25eth0]` (RFC 6874). It is not sent |
/// | `:port` | 80 or 443 if it is missing or empty. Leading zeros have no meaning |
///
/// `Display` and `Debug` leave user, password and query out, because they can contain a secret. [`reveal`](Self::reveal)
/// returns all.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ClientUrl {
    secure: bool,
    user_info: Option<UserInfo>,
    /// In lower case, without the port that the scheme implies.
    authority: Box<str>,
    /// The length of the host in `authority`, with the brackets of an IPv6 address.
    host_len: usize,
    /// Of an IPv6 address, decoded. Not a part of `authority`, because it means nothing to the server.
    zone: Option<Box<str>>,
    port: u16,
    resource: Box<str>,
}

impl ClientUrl {
    /// Returns the host for name resolution and TLS, in lower case. An IPv6 address has no brackets and no zone.
    pub fn host(&self) -> &str {
        let host = &self.authority[..self.host_len];
        host.strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host)
    }

    /// Returns the zone of an IPv6 address: the name or the number of an interface of this machine (RFC 6874).
    pub fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }

    /// Returns the port; 80 or 443 if the URL has none.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Tells whether the scheme is `wss`. Then the opening handshake runs inside of TLS.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Returns the request target: the path, or `/` if it is empty, and the query.
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// Returns the value of the `Host` header. It has no port if the scheme implies that port.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Returns the whole URL, with user, password and query. Do not write it to a log.
    pub fn reveal(&self) -> String {
        let scheme = self.scheme();
        let (user_info, at) = match &self.user_info {
            Some(user_info) => (user_info.as_str(), "@"),
            None => ("", ""),
        };
        let authority = match &self.zone {
            Some(zone) => {
                // An address with a zone is in brackets.
                let zone = format!("%25{}]", percent_encoded(zone));
                self.authority.replacen(']', &zone, 1)
            }
            None => self.authority.to_string(),
        };
        format!("{scheme}://{user_info}{at}{authority}{}", self.resource)
    }

    /// Returns the value of an `Authorization` header, if the URL has a user or a password.
    pub(super) fn authorization(&self) -> Option<&str> {
        self.user_info.as_ref().map(UserInfo::authorization)
    }

    /// Returns the scheme: `ws` or `wss`.
    pub(super) fn scheme(&self) -> &'static str {
        if self.secure { "wss" } else { "ws" }
    }

    /// Returns the origin of a page from a server with this authority.
    pub(super) fn own_origin(&self, authority: &str) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{authority}")
    }

    /// Returns the URL as a server with this authority spells it.
    pub(super) fn location(&self, authority: &str) -> String {
        hixie::location(self.secure, authority, &self.resource)
    }
}

impl FromStr for ClientUrl {
    type Err = ConfigError;

    fn from_str(url: &str) -> Result<Self, ConfigError> {
        let invalid = |problem| ConfigError::InvalidUrl {
            url: url.into(),
            problem,
        };
        let (scheme, rest) = url
            .split_once("://")
            .ok_or_else(|| invalid("it has no scheme"))?;
        let scheme = scheme.to_ascii_lowercase();
        let secure = match &*scheme {
            "ws" => false,
            "wss" => true,
            _ => return Err(invalid("its scheme is neither ws nor wss")),
        };
        // RFC 6455 §3: a fragment has no meaning here and must not be used.
        if rest.contains('#') {
            return Err(invalid("it has a fragment"));
        }
        let (authority, resource) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        // In the URL standard it ends the host of these schemes, so others would see another host than this parser.
        if authority.contains('\\') {
            return Err(invalid("it has a backslash"));
        }
        // The last one, as in the URL standard: a password may contain an `@` that is not encoded, a host may not.
        let (user_info, host) = match authority.rsplit_once('@') {
            Some((user_info, host)) => (user_info, host),
            None => ("", authority),
        };
        // A space or a line break would end the request line or begin a header (X8). A host that is not ASCII is
        // written in another way than by percent-encoding.
        let is_host = host
            .chars()
            .all(|char| char.is_ascii_graphic() || !char.is_ascii());
        let is_encoded = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_host || !is_encoded(user_info) || !is_encoded(resource) {
            return Err(invalid(
                "it contains a character that must be percent-encoded",
            ));
        }
        let user_info = UserInfo::parse(user_info).map_err(invalid)?;
        let (host, zone) = host_name::split_zone(host).map_err(invalid)?;
        let lower = host_name::to_ascii(&host)
            .map_err(invalid)?
            .to_ascii_lowercase();
        let parsed = Authority::parse_uri(&lower).map_err(invalid)?;
        if host_name::is_other_number(parsed.host) {
            return Err(invalid(
                "its host ends in a number, and is not an IPv4 address of four decimal numbers",
            ));
        }
        let implied =
            default_port(&scheme).filter(|implied| parsed.port.unwrap_or(*implied) == *implied);
        let port = parsed
            .port
            .or(implied)
            .filter(|port| *port > 0)
            .ok_or_else(|| invalid("the port is not a decimal number from 1 to 65535"))?;
        // RFC 3986 §6.2.3: a sender leaves the default port out. In the drafts the server's location is compared with
        // this text.
        let authority = match implied {
            Some(_) => parsed.host.to_owned(),
            None => format!("{}:{port}", parsed.host),
        };
        let slash = if resource.starts_with('/') { "" } else { "/" };
        Ok(Self {
            secure,
            user_info,
            authority: authority.into(),
            host_len: parsed.host.len(),
            zone,
            port,
            resource: format!("{slash}{resource}").into(),
        })
    }
}

impl TryFrom<&str> for ClientUrl {
    type Error = ConfigError;

    fn try_from(url: &str) -> Result<Self, ConfigError> {
        url.parse()
    }
}

impl fmt::Display for ClientUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&redact_url(&self.reveal()))
    }
}

impl fmt::Debug for ClientUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientUrl")
            .field(&Redacted::new(self.reveal()))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R-C1, D75-C2: the parts of a URL and their defaults.
    #[test]
    fn a_url_has_a_host_a_port_and_a_resource() {
        for (url, host, port, authority, resource) in [
            ("ws://example.com", "example.com", 80, "example.com", "/"),
            (
                "WS://Example.COM:80/A",
                "example.com",
                80,
                "example.com",
                "/A",
            ),
            (
                "wss://example.com?a=b",
                "example.com",
                443,
                "example.com",
                "/?a=b",
            ),
            ("ws://example.com:/", "example.com", 80, "example.com", "/"),
            (
                "wss://example.com:/",
                "example.com",
                443,
                "example.com",
                "/",
            ),
            (
                "ws://example.com:080/",
                "example.com",
                80,
                "example.com",
                "/",
            ),
            (
                "ws://example.com:08080/",
                "example.com",
                8080,
                "example.com:8080",
                "/",
            ),
            (
                "wss://example.com:80/",
                "example.com",
                80,
                "example.com:80",
                "/",
            ),
            (
                "ws://example.com:443/",
                "example.com",
                443,
                "example.com:443",
                "/",
            ),
            (
                "ws://127.0.0.1:9001/a/b?c?d",
                "127.0.0.1",
                9001,
                "127.0.0.1:9001",
                "/a/b?c?d",
            ),
            ("ws://[::1]/", "::1", 80, "[::1]", "/"),
            (
                "wss://[2001:DB8::1]:8443",
                "2001:db8::1",
                8443,
                "[2001:db8::1]:8443",
                "/",
            ),
            ("ws://a/@b", "a", 80, "a", "/@b"),
        ] {
            let parsed: ClientUrl = url.parse().unwrap();
            assert_eq!((parsed.host(), parsed.port()), (host, port), "{url}");
            assert_eq!(
                (parsed.authority(), parsed.resource()),
                (authority, resource),
                "{url}"
            );
            assert_eq!(
                parsed.is_secure(),
                url.to_ascii_lowercase().starts_with("wss"),
                "{url}"
            );
            assert_eq!(parsed.reveal().parse(), Ok(parsed), "{url} reads back");
        }
    }

    /// R-C15 to R-C17: what a URL can have around its host, and that none of it is in the request's host.
    #[test]
    fn a_url_can_have_a_user_and_a_zone() {
        for (url, host, zone, authority, is_sent) in [
            ("ws://u:p@a:81/b", "a", None, "a:81", true),
            ("wss://u@[::1]?c@d", "::1", None, "[::1]", true),
            ("ws://u:p@h@a", "a", None, "a", true),
            ("ws://@a", "a", None, "a", false),
            ("ws://:@a", "a", None, "a", false),
            (
                "ws://[FE80::1%25Eth0]:080/",
                "fe80::1",
                Some("Eth0"),
                "[fe80::1]",
                false,
            ),
            (
                "ws://u:%2F@[fe80::1%25a%2Fb]:8080/",
                "fe80::1",
                Some("a/b"),
                "[fe80::1]:8080",
                true,
            ),
            #[cfg(feature = "idna")]
            (
                "ws://Bücher.example:80/",
                "xn--bcher-kva.example",
                None,
                "xn--bcher-kva.example",
                false,
            ),
        ] {
            let parsed: ClientUrl = url.parse().unwrap();
            assert_eq!((parsed.host(), parsed.zone()), (host, zone), "{url}");
            assert_eq!(parsed.authority(), authority, "{url}");
            assert_eq!(parsed.authorization().is_some(), is_sent, "{url}");
            assert_eq!(parsed.reveal().parse(), Ok(parsed), "{url} reads back");
        }
    }

    /// R-C1, X8: what cannot be a URL, and what would inject something into the request.
    #[test]
    fn other_urls_are_refused() {
        for url in [
            "ws://allowed.example\\@evil.example/",
            "ws://a\\b/",
            "",
            "example.com",
            "http://a",
            "ws:a",
            "ws://",
            "ws:///a",
            "ws://a:b",
            "ws://a:0",
            "ws://a:65536",
            "ws://a/#",
            "ws://a#b",
            "ws://u%@a",
            "ws://u%3a@a/",
            "ws://u:p@",
            "ws://u:p@/a",
            "ws://u:é@a/",
            "ws://u:p\r\n@a",
            "ws://u:p/w@a",
            "ws://[fe80::1%eth0]/",
            "ws://[fe80::1%25]/",
            "ws://[a%25eth0]/",
            "ws://127.0.0.1%25eth0:b/",
            "ws://é b",
            "ws://é\0",
            "ws://é\u{ff0f}",
            "ws://a b",
            "ws://a/b c",
            "ws://a/\r\nX: y",
            "ws://a\r\nX: y",
            "ws://a/\0",
            "ws://a/é",
            #[cfg(not(feature = "idna"))]
            "ws://é",
            "ws://2130706433/",
            "ws://user@127.1:80/",
            "ws://[::1",
            "ws://::1/",
            "ws://a\\b",
            "ws://a/\x7f",
            " ws://a",
            "ws://a ",
        ] {
            assert!(
                matches!(
                    url.parse::<ClientUrl>(),
                    Err(ConfigError::InvalidUrl { .. })
                ),
                "{url:?}"
            );
        }
        let url = Redacted::from("ws://user%:secret@a/");
        let problem = "its user or password has an invalid percent-encoding";
        assert_eq!(
            url.reveal().parse::<ClientUrl>(),
            Err(ConfigError::InvalidUrl { url, problem })
        );
    }
}
