//! The origin of a page, which a client sends and a server compares. An `Origin` is always well-formed.

use std::fmt;
use std::str::FromStr;

use super::http::authority::{Authority, default_port};
use crate::error::ConfigError;

/// An origin: scheme, host and port, or `null`, or an opaque origin of another scheme (RFC 6454).
///
/// An origin of `http`, `https`, `ws` or `wss` is kept in lower case and without the default port of its scheme.
/// So two of them are equal exactly if scheme, host and port are equal. An origin of another scheme, such as
/// `file://` or `chrome-extension://…`, is opaque: it is kept as it is and compared as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin(Box<str>);

impl Origin {
    /// Returns the origin as text: `scheme://host[:port]`, `null`, or an opaque origin as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns scheme and authority, if the origin is not opaque.
    pub(super) fn parts(&self) -> Option<(&str, Authority<'_>)> {
        let (scheme, authority) = self.0.split_once("://")?;
        default_port(scheme)?;
        Some((scheme, Authority::parse(authority).ok()?))
    }
}

impl FromStr for Origin {
    type Err = ConfigError;

    /// Reads `scheme://host[:port]` or `null`. A scheme other than `http`, `https`, `ws` and `wss` can have any
    /// printable ASCII behind its `://`. A path behind a host, even `/`, is an error, because no page has such an
    /// origin. So is `*`, which is not a wildcard here: see
    /// [`OriginRule::Subdomains`](crate::OriginRule::Subdomains).
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let invalid = |problem| ConfigError::InvalidOrigin {
            value: text.into(),
            problem,
        };
        if text.eq_ignore_ascii_case("null") {
            return Ok(Self("null".into()));
        }
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| invalid("it has no scheme; scheme://host[:port] or null is allowed"))?;
        let mut bytes = scheme.bytes();
        let is_scheme = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic())
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        if !is_scheme {
            return Err(invalid("its scheme is malformed"));
        }
        if rest.contains('*') {
            // RFC 3986 allows a `*` in a host, but no page has such a host. The entry would never match, and its
            // author expects a wildcard.
            return Err(invalid(
                "a * matches nothing (option allow_subdomains_of for subdomains)",
            ));
        }
        let lower = text.to_ascii_lowercase();
        let (scheme, rest) = (&lower[..scheme.len()], &lower[lower.len() - rest.len()..]);
        if default_port(scheme).is_none() {
            let is_printable = rest.bytes().all(|byte| matches!(byte, b'!'..=b'~'));
            if !is_printable {
                return Err(invalid("it must be printable ASCII"));
            }
            // Not in lower case: only the application that owns the scheme knows whether case matters.
            return Ok(Self(text.into()));
        }
        if rest.contains('/') {
            // A URL copied from an address bar ends like this. It would match no page, so it is an error at once.
            return Err(invalid(
                "the origin of a page has no path, not even a / at the end; scheme://host[:port] is allowed",
            ));
        }
        let authority = Authority::parse(rest).map_err(invalid)?;
        Ok(Self(match authority.port {
            Some(port) if default_port(scheme) != Some(port) => lower.into(),
            Some(_) | None => format!("{scheme}://{}", authority.host).into(),
        }))
    }
}

impl TryFrom<&str> for Origin {
    type Error = ConfigError;

    fn try_from(text: &str) -> Result<Self, ConfigError> {
        text.parse()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_equal_exactly_if_scheme_host_and_port_are() {
        let origin = |text: &str| text.parse::<Origin>().unwrap();
        assert_eq!(
            origin("HTTP://Example.com:80"),
            origin("http://example.com")
        );
        assert_eq!(
            origin("https://example.com:443").as_str(),
            "https://example.com"
        );
        for (one, other) in [
            ("http://example.com", "https://example.com"),
            ("http://example.com", "http://example.com:8080"),
            ("http://example.com", "http://www.example.com"),
            ("https://example.com:80", "https://example.com"),
            ("null", "http://null"),
        ] {
            assert_ne!(origin(one), origin(other));
        }
    }

    #[test]
    fn what_is_not_an_origin_is_refused() {
        for text in [
            "",
            "*",
            "http://*",
            "https://*.example.com",
            "HTTPS://*.example.com:8443",
            "https://a.*.example.com",
            "chrome-extension://*",
            "file:// ",
            "app://\u{e9}",
            "file:",
            "about:blank",
            "https://m\u{fc}nchen.example",
            "example.com",
            "http://",
            "http:///",
            "http://a/",
            "http://a/b",
            "http://u@a",
            "://a",
            "1http://a",
            "http://a:0",
            "http://a b",
            "nul",
            "http://a, http://b",
            "http://a\r\nb",
        ] {
            let Err(ConfigError::InvalidOrigin { value, .. }) = text.parse::<Origin>() else {
                panic!("{text}");
            };
            assert_eq!(value.reveal(), text);
        }
    }
}
