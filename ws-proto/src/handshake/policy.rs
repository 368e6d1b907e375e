//! What a server allows and an endpoint speaks: origins and subprotocols. Values that are not
//! well-formed cannot be made.

use std::fmt;
use std::str::FromStr;

use super::authority::{Authority, default_port};
use super::fields::is_token;
use crate::error::ConfigError;
use crate::redact::Redacted;

/// An origin: scheme, host and port, or `null` (RFC 6454).
///
/// It is kept in lower case and without a port that the scheme implies, so that two origins are
/// equal exactly if scheme, host and port are.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin(Box<str>);

impl Origin {
    /// Returns the origin as text: `scheme://host[:port]` or `null`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn parts(&self) -> Option<(&str, Authority<'_>)> {
        let (scheme, authority) = self.0.split_once("://")?;
        Some((scheme, Authority::parse(authority).ok()?))
    }
}

impl FromStr for Origin {
    type Err = ConfigError;

    /// Reads `scheme://host[:port]` or `null`; a path, even `/`, is refused.
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let invalid = || ConfigError::InvalidOrigin { value: text.into() };
        let lower = text.to_ascii_lowercase();
        if lower == "null" {
            return Ok(Self(lower.into()));
        }
        let (scheme, rest) = lower.split_once("://").ok_or_else(invalid)?;
        let mut bytes = scheme.bytes();
        let is_scheme = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic())
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let authority = Authority::parse(rest).map_err(|_| invalid())?;
        if !is_scheme {
            return Err(invalid());
        }
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

/// Which origins may open a connection (RFC 6455 §10.2).
///
/// A request without an origin does not come from a browser and passes every policy; draft-75 and
/// draft-76 need one for other reasons, see [`require_origin`](crate::ServerConfig::require_origin).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OriginPolicy {
    /// All of them, well-formed or not.
    #[default]
    Any,
    /// The origin whose host and port are those of the request's own Host header. With
    /// [`secure`](crate::ServerConfig::secure) its scheme must be `https`, too.
    SameHost,
    /// These and no others, compared by scheme, host and port.
    List(Vec<Origin>),
}

impl OriginPolicy {
    /// Makes a list of origins from text.
    ///
    /// # Errors
    ///
    /// Fails if one of them is not `scheme://host[:port]` or `null`.
    pub fn list<T: AsRef<str>>(origins: impl IntoIterator<Item = T>) -> Result<Self, ConfigError> {
        origins
            .into_iter()
            .map(|origin| origin.as_ref().parse())
            .collect::<Result<_, _>>()
            .map(Self::List)
    }

    /// Tells whether a request with this `Origin` and `Host` may open a connection.
    pub(super) fn allows(&self, origin: &str, host: Authority<'_>, secure: bool) -> bool {
        match self {
            Self::Any => true,
            Self::List(origins) => origin
                .parse::<Origin>()
                .is_ok_and(|origin| origins.contains(&origin)),
            Self::SameHost => origin.parse::<Origin>().is_ok_and(|origin| {
                origin.parts().is_some_and(|(scheme, authority)| {
                    authority.host.eq_ignore_ascii_case(host.host)
                        && authority.port_or_default(scheme) == host.port_or_default(scheme)
                        && (!secure || scheme == "https")
                })
            }),
        }
    }
}

impl From<Origin> for OriginPolicy {
    fn from(origin: Origin) -> Self {
        Self::List(vec![origin])
    }
}

impl From<Vec<Origin>> for OriginPolicy {
    fn from(origins: Vec<Origin>) -> Self {
        Self::List(origins)
    }
}

impl FromIterator<Origin> for OriginPolicy {
    fn from_iter<I: IntoIterator<Item = Origin>>(origins: I) -> Self {
        Self::List(origins.into_iter().collect())
    }
}

/// The name of a subprotocol: a token (RFC 6455 §4.1, RFC 9110 §5.6.2), which is valid in the
/// drafts, too. Compared byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subprotocol(Box<str>);

impl Subprotocol {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Subprotocol {
    type Err = ConfigError;

    fn from_str(name: &str) -> Result<Self, ConfigError> {
        if is_token(name) {
            Ok(Self(name.into()))
        } else {
            Err(ConfigError::InvalidSubprotocol {
                value: Redacted::secret(name),
            })
        }
    }
}

impl TryFrom<&str> for Subprotocol {
    type Error = ConfigError;

    fn try_from(name: &str) -> Result<Self, ConfigError> {
        name.parse()
    }
}

impl TryFrom<String> for Subprotocol {
    type Error = ConfigError;

    fn try_from(name: String) -> Result<Self, ConfigError> {
        name.parse()
    }
}

impl AsRef<str> for Subprotocol {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Subprotocol {
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
            let refused = ConfigError::InvalidOrigin { value: text.into() };
            assert_eq!(text.parse::<Origin>(), Err(refused), "{text}");
        }
    }

    /// X4: no suffix matching, `null` is distinct, default ports are normalised.
    #[test]
    fn policies_compare_scheme_host_and_port() {
        let list = OriginPolicy::list(["http://example.com", "https://a.example:8443"]).unwrap();
        let same = OriginPolicy::SameHost;
        let host = |text| Authority::parse(text).unwrap();
        for (policy, origin, host_header, secure, allowed) in [
            (&OriginPolicy::Any, "anything", "h", false, true),
            (&list, "http://example.com", "h", false, true),
            (&list, "HTTP://EXAMPLE.COM:80", "h", false, true),
            (&list, "https://a.example:8443", "h", false, true),
            (&list, "https://example.com", "h", false, false),
            (&list, "http://evil-example.com", "h", false, false),
            (&list, "http://example.com.evil", "h", false, false),
            (&list, "http://example.com:8080", "h", false, false),
            (&list, "https://a.example", "h", false, false),
            (&list, "null", "h", false, false),
            (&same, "http://example.com", "example.com", false, true),
            (&same, "http://example.com", "EXAMPLE.com:80", false, true),
            (&same, "https://example.com", "example.com", false, true),
            (&same, "https://example.com", "example.com:443", true, true),
            (&same, "http://example.com", "example.com", true, false),
            (
                &same,
                "http://example.com:8080",
                "example.com:8080",
                false,
                true,
            ),
            (
                &same,
                "http://example.com:8080",
                "example.com",
                false,
                false,
            ),
            (
                &same,
                "http://example.com",
                "example.com:8080",
                false,
                false,
            ),
            (&same, "http://[::1]:9", "[::1]:9", false, true),
            (&same, "http://example.com", "www.example.com", false, false),
            (&same, "null", "null", false, false),
            (&same, "garbage", "garbage", false, false),
        ] {
            assert_eq!(
                policy.allows(origin, host(host_header), secure),
                allowed,
                "{policy:?} {origin} {host_header} {secure}"
            );
        }
    }

    #[test]
    fn a_subprotocol_is_a_token() {
        for name in ["chat", "v10.stomp", "a!#$%&'*+-.^_`|~1"] {
            assert_eq!(name.parse::<Subprotocol>().unwrap().as_str(), name);
        }
        for name in [
            "", "a b", "a,b", "a\tb", "a\r\nb", "a/b", "\"a\"", "é", "a\0", "\x7f",
        ] {
            assert!(name.parse::<Subprotocol>().is_err(), "{name:?}");
        }
    }
}
