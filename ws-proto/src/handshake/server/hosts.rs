//! The hosts under which clients may ask for an upgrade. A request for another host can come from a page whose name
//! was changed to point to this server (DNS rebinding, X6).

use crate::error::ConfigError;
use crate::handshake::error::HandshakeError;
use crate::handshake::host::Host;
use crate::handshake::http::authority::Authority;

/// The hosts under which clients may ask for an upgrade.
///
/// An attacker can make the name of a page point to this server (DNS rebinding). For a browser that page and the
/// server have the same origin, so [`OriginPolicy::SameHost`](crate::OriginPolicy::SameHost) allows it. Its name is
/// in the `Host` header, which no page can change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostPolicy {
    /// Any host.
    #[default]
    Any,
    /// These hosts only. A host without a port matches all ports. Names are compared as a whole, so a
    /// subdomain does not match.
    List(Vec<Host>),
}

impl HostPolicy {
    /// Makes a list of hosts from text.
    ///
    /// # Errors
    ///
    /// Fails if one of them is not `host` or `host:port`.
    pub fn list<T: AsRef<str>>(hosts: impl IntoIterator<Item = T>) -> Result<Self, ConfigError> {
        hosts
            .into_iter()
            .map(|host| host.as_ref().parse())
            .collect::<Result<_, _>>()
            .map(Self::List)
    }

    fn allows(&self, authority: Authority<'_>, secure: bool) -> bool {
        let Self::List(hosts) = self else {
            return true;
        };
        let scheme = if secure { "https" } else { "http" };
        let port = authority.port_or_default(scheme);
        let asked = Host::new(authority);
        hosts.iter().any(|host| host.covers(&asked, port))
    }
}

impl From<Vec<Host>> for HostPolicy {
    fn from(hosts: Vec<Host>) -> Self {
        Self::List(hosts)
    }
}

impl FromIterator<Host> for HostPolicy {
    fn from_iter<I: IntoIterator<Item = Host>>(hosts: I) -> Self {
        Self::List(hosts.into_iter().collect())
    }
}

/// Checks that the policy allows the host of a request, and that of a target in absolute form (X6, D76-S4).
pub(super) fn check(
    policy: &HostPolicy,
    secure: bool,
    host: Authority<'_>,
    target: &str,
) -> Result<(), HandshakeError> {
    let refused = |host: String| Err(HandshakeError::HostRefused { host });
    if !policy.allows(host, secure) {
        return refused(Host::new(host).to_string());
    }
    // Both must be allowed: the target counts before the header (RFC 9112 §3.2.2), but an application may read either.
    let absolute = Some(target).filter(|target| !target.starts_with('/'));
    let Some((_, rest)) = absolute.and_then(|target| target.split_once("://")) else {
        return Ok(());
    };
    let asked = &rest[..rest.find(['/', '?']).unwrap_or(rest.len())];
    // By the same lenient reader that the check of the target uses: otherwise a port such as 080 would not be compared
    // with the list.
    match Authority::parse_uri(asked) {
        Ok(asked) if !policy.allows(asked, secure) => refused(Host::new(asked).to_string()),
        // `check_target` refuses a malformed target, with a better error.
        Ok(_) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// X6: whole names, in any case, on all ports or on one; no suffix matching.
    #[test]
    fn hosts_are_compared_as_a_whole() {
        let list = HostPolicy::list(["Example.com", "a.example:8443", "b.example:443", "[::1]"]);
        let list = list.unwrap();
        for (host, secure, allowed) in [
            ("example.com", false, true),
            ("EXAMPLE.COM:8080", false, true),
            ("a.example:8443", false, true),
            ("a.example", false, false),
            ("b.example", true, true),
            ("b.example", false, false),
            ("[0:0:0:0:0:0:0:1]:9000", false, true),
            ("[::2]", false, false),
            ("evil.example", false, false),
            ("evil-example.com", false, false),
            ("www.example.com", false, false),
            ("example.com.", false, false),
            ("example.com.evil", false, false),
            ("127.0.0.1", false, false),
        ] {
            let authority = Authority::parse(host).unwrap();
            assert_eq!(list.allows(authority, secure), allowed, "{host} {secure}");
            assert!(HostPolicy::Any.allows(authority, secure));
        }
    }
}
