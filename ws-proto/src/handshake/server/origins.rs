//! The origins that may open a connection (X4).

use crate::error::ConfigError;
use crate::handshake::http::authority::Authority;
use crate::handshake::origin::Origin;

/// Which origins may open a connection (RFC 6455 §10.2).
///
/// A request without an origin does not come from a browser, so it passes every policy. The drafts require an
/// origin for another reason, see [`require_origin`](crate::ServerConfig::require_origin).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OriginPolicy {
    /// Any origin, well-formed or not.
    #[default]
    Any,
    /// Only an origin with the host and port of the request's own `Host` header. With
    /// [`secure`](crate::ServerConfig::secure) its scheme must be `https`, too.
    SameHost,
    /// Only origins that one of these rules allows.
    List(Vec<OriginRule>),
}

/// A rule that allows origins.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OriginRule {
    /// Allows this origin.
    Exact(Origin),
    /// Allows the origins of all hosts below the host of this origin, at any depth, with its scheme and port. The
    /// origin itself is not allowed. A person who controls a page on any subdomain can connect.
    Subdomains(Origin),
}

impl OriginRule {
    /// Makes a rule for the hosts below the host of an origin.
    ///
    /// # Errors
    ///
    /// Fails if the origin is not `http://host[:port]` or `https://host[:port]`, or if its host is an address.
    pub fn subdomains_of(origin: &str) -> Result<Self, ConfigError> {
        let parsed: Origin = origin.parse()?;
        let invalid = |problem| ConfigError::InvalidOrigin {
            value: origin.into(),
            problem,
        };
        let (_, authority) = parsed.parts().ok_or_else(|| invalid(NO_SUBDOMAINS))?;
        // No name has a top-level domain of digits only, so such a host is an IPv4 address.
        let last = authority.host.rsplit('.').next().unwrap_or_default();
        if authority.host.starts_with('[') || last.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(invalid(NO_SUBDOMAINS));
        }
        Ok(Self::Subdomains(parsed))
    }

    fn allows(&self, origin: &Origin) -> bool {
        match self {
            Self::Exact(allowed) => allowed == origin,
            Self::Subdomains(parent) => match (parent.parts(), origin.parts()) {
                (Some((scheme, parent)), Some((seen, authority))) => {
                    let label = authority.host.strip_suffix(parent.host);
                    // Whole labels only: evilexample.com ends with example.com, but belongs to someone else.
                    let is_below =
                        label.is_some_and(|label| label.len() > 1 && label.ends_with('.'));
                    is_below && scheme == seen && parent.port == authority.port
                }
                (None, _) | (_, None) => false,
            },
        }
    }
}

/// The error for an origin whose host cannot have subdomains.
const NO_SUBDOMAINS: &str = "an address and an opaque origin have no subdomains; http://name[:port] or \
                             https://name[:port] is allowed (option allow_subdomains_of)";

impl From<Origin> for OriginRule {
    fn from(origin: Origin) -> Self {
        Self::Exact(origin)
    }
}

impl OriginPolicy {
    /// Makes a list of origins from text.
    ///
    /// # Errors
    ///
    /// Fails if one of them is not a valid [`Origin`].
    pub fn list<T: AsRef<str>>(origins: impl IntoIterator<Item = T>) -> Result<Self, ConfigError> {
        origins
            .into_iter()
            .map(|origin| origin.as_ref().parse())
            .collect()
    }

    /// Also allows the hosts below the hosts of these origins, see [`OriginRule::Subdomains`].
    ///
    /// # Errors
    ///
    /// Fails where [`OriginRule::subdomains_of`] fails.
    pub fn and_subdomains_of<T: AsRef<str>>(
        self,
        origins: impl IntoIterator<Item = T>,
    ) -> Result<Self, ConfigError> {
        let rules = origins
            .into_iter()
            .map(|origin| OriginRule::subdomains_of(origin.as_ref()));
        Ok(self.and(Self::List(rules.collect::<Result<_, _>>()?)))
    }

    /// Joins two lists. [`Any`](Self::Any) and [`SameHost`](Self::SameHost) are not lists, so the other policy
    /// replaces them: `SameHost` and a list give the list alone.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        // `Any` must give way: it is the default of a server, and a list that is added to it must restrict.
        match (self, other) {
            (Self::List(mut rules), Self::List(more)) => {
                rules.extend(more);
                Self::List(rules)
            }
            (Self::List(rules), Self::Any | Self::SameHost) => Self::List(rules),
            (Self::Any | Self::SameHost, other) => other,
        }
    }

    /// Tells whether a request with this `Origin` and `Host` may open a connection.
    pub(super) fn allows(&self, origin: &str, host: Authority<'_>, secure: bool) -> bool {
        match self {
            Self::Any => true,
            Self::List(rules) => origin
                .parse()
                .is_ok_and(|origin| rules.iter().any(|rule| rule.allows(&origin))),
            Self::SameHost => origin.parse::<Origin>().is_ok_and(|origin| {
                origin.parts().is_some_and(|(scheme, authority)| {
                    // Each side has the default port of the origin's scheme, because a Host header has no scheme.
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
        Self::List(vec![origin.into()])
    }
}

impl From<Vec<Origin>> for OriginPolicy {
    fn from(origins: Vec<Origin>) -> Self {
        origins.into_iter().collect()
    }
}

impl FromIterator<Origin> for OriginPolicy {
    fn from_iter<I: IntoIterator<Item = Origin>>(origins: I) -> Self {
        Self::List(origins.into_iter().map(OriginRule::Exact).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The errors for common mistakes say what is allowed. They do not claim that an address is not an origin.
    #[test]
    fn mistaken_origins_are_told_what_is_allowed() {
        let exact = |text: &str| text.parse::<Origin>().unwrap_err().to_string();
        let below = |text: &str| OriginRule::subdomains_of(text).unwrap_err().to_string();
        assert_eq!(
            exact("example.com"),
            "origin \"example.com\": it has no scheme; scheme://host[:port] or null is allowed"
        );
        assert_eq!(
            exact("https://example.com/"),
            "origin \"https://example.com/\": the origin of a page has no path, not even a / at the end; \
             scheme://host[:port] is allowed"
        );
        for text in ["https://127.0.0.1", "http://[::1]:80", "file://", "null"] {
            let problem = "an address and an opaque origin have no subdomains; http://name[:port] or \
                           https://name[:port] is allowed (option allow_subdomains_of)";
            assert_eq!(below(text), format!("origin {text:?}: {problem}"));
        }
    }

    /// X4: opaque origins are compared as a whole, and never match a host.
    #[test]
    fn origins_of_other_schemes_are_compared_whole() {
        let opaque = [
            "file://",
            "file:///",
            "app://localhost",
            "capacitor://localhost",
            "chrome-extension://abcdefghijklmnop",
            "vscode-webview://0a/b?c",
            "x://u@h/",
        ];
        for allowed in opaque {
            let list = OriginPolicy::list([allowed]).unwrap();
            let host = Authority::parse("localhost").unwrap();
            for seen in opaque {
                assert_eq!(
                    list.allows(seen, host, false),
                    seen == allowed,
                    "{allowed} {seen}"
                );
            }
            assert!(
                !list.allows(&allowed.to_uppercase(), host, false),
                "{allowed}"
            );
            assert!(!list.allows("null", host, false));
            assert!(
                !OriginPolicy::SameHost.allows(allowed, host, false),
                "{allowed}"
            );
            let below = OriginRule::subdomains_of(allowed);
            assert!(
                matches!(below, Err(ConfigError::InvalidOrigin { .. })),
                "{allowed}"
            );
        }
    }

    /// X4: a rule for subdomains matches whole labels below the host, with the same scheme and port.
    #[test]
    fn subdomains_have_a_rule_of_their_own() {
        let host = Authority::parse("h").unwrap();
        let policy = OriginPolicy::default().and_subdomains_of(["https://Example.com"]);
        let policy = policy.unwrap();
        let both = OriginPolicy::list(["https://example.com"]).unwrap();
        let both = both.and_subdomains_of(["http://a.example:8080"]).unwrap();
        for (policy, origin, allowed) in [
            (&policy, "https://a.example.com", true),
            (&policy, "https://A.b.example.com:443", true),
            (&policy, "https://example.com", false),
            (&policy, "https://.example.com", false),
            (&policy, "https://evilexample.com", false),
            (&policy, "https://example.com.evil", false),
            (&policy, "http://a.example.com", false),
            (&policy, "https://a.example.com:8443", false),
            (&policy, "file://a.example.com", false),
            (&policy, "null", false),
            (&both, "https://example.com", true),
            (&both, "https://a.example.com", false),
            (&both, "http://b.a.example:8080", true),
            (&both, "http://b.a.example", false),
        ] {
            assert_eq!(
                policy.allows(origin, host, false),
                allowed,
                "{policy:?} {origin}"
            );
        }
        for bad in [
            "https://*.example.com",
            "https://127.0.0.1",
            "https://[::1]",
            "null",
            "a.b",
        ] {
            assert!(OriginRule::subdomains_of(bad).is_err(), "{bad}");
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
}
