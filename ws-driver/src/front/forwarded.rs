//! The address of a client in a header that proxies of HTTP add to: `X-Forwarded-For`, `Forwarded` (RFC 7239), or a header of
//! their own.
//!
//! Anybody can send such a header. Each proxy adds the address of who connected to it behind what it got, so an entry is as
//! good as the proxy that added it: they are read from the last one on, and only as far as the proxies are ours.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};

use super::canonical;
use super::networks::{InvalidNetwork, Networks};

/// Which header names the client, and which proxies are believed; see
/// [`ServerBuilder::forwarded_for`](crate::ServerBuilder::forwarded_for).
///
/// The header is `X-Forwarded-For` if [no other](Self::header) is set.
#[derive(Clone, Debug)]
pub struct ForwardedFor {
    header: HeaderName,
    trust: Trust,
}

#[derive(Clone, Debug)]
enum Trust {
    /// So many proxies stand in a row before the server.
    Hops(usize),
    /// The proxies have these addresses.
    Proxies(Networks),
}

/// The header that most proxies add to. No standard has it.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

impl ForwardedFor {
    /// Believes these proxies: addresses such as `192.0.2.1`, or networks such as `10.0.0.0/8`. The client is the last one in
    /// the header that is none of them. The header of a peer that is none of them is ignored. Streams without an address, such
    /// as those of a Unix socket, count as proxies.
    ///
    /// # Errors
    ///
    /// Fails if one of them is neither an address nor a network.
    pub fn proxies<I>(proxies: I) -> Result<Self, InvalidNetwork>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let (header, trust) = (X_FORWARDED_FOR, Trust::Proxies(Networks::parse(proxies)?));
        Ok(Self { header, trust })
    }

    /// Believes as many proxies in a row as there are: with 1 the client is the last entry of the header, with 2 the one before
    /// it. Use it only if nobody can reach the server but by them, because the peer's own address is not checked. A header with
    /// fewer entries is ignored. With 0 every header is.
    pub fn hops(count: usize) -> Self {
        let (header, trust) = (X_FORWARDED_FOR, Trust::Hops(count));
        Self { header, trust }
    }

    /// Sets the header that the proxies add to. [`FORWARDED`](http::header::FORWARDED) is read as RFC 7239 says, and any other
    /// one as a list of addresses. Set one that your proxies write: others pass on what the client has written.
    #[must_use]
    pub fn header(self, header: HeaderName) -> Self {
        Self { header, ..self }
    }

    /// Tells whether a peer may speak for others.
    pub(crate) fn trusts(&self, peer: Option<SocketAddr>) -> bool {
        match &self.trust {
            Trust::Hops(count) => *count > 0,
            Trust::Proxies(proxies) => peer.is_none_or(|peer| proxies.contains(peer.ip())),
        }
    }

    /// Returns the address of the client, with port 0 if the header has no port. Returns `None` if that is the peer itself.
    pub(crate) fn client(
        &self,
        peer: Option<SocketAddr>,
        headers: &HeaderMap,
    ) -> Option<SocketAddr> {
        let lines = headers.get_all(&self.header).into_iter();
        let lines: Vec<_> = lines.map(|line| line.to_str().ok()).collect();
        let mut entries = lines.into_iter().rev().flat_map(|line| match line {
            // Nothing is known about what stands before it.
            None => vec![None],
            Some(line) => split(line, ',')
                .rev()
                .map(|entry| self.addr(entry))
                .collect(),
        });
        match &self.trust {
            Trust::Hops(0) => None,
            Trust::Hops(count) => entries.nth(count - 1).flatten(),
            Trust::Proxies(proxies) => {
                if !self.trusts(peer) {
                    return None;
                }
                let mut client = None;
                for addr in entries {
                    // What an entry that is no address says, such as "unknown", is as far as can be seen.
                    let Some(addr) = addr else { break };
                    client = Some(addr);
                    if !proxies.contains(addr.ip()) {
                        break;
                    }
                }
                client
            }
        }
    }

    /// Reads an entry.
    fn addr(&self, entry: &str) -> Option<SocketAddr> {
        if self.header != FORWARDED {
            return addr(entry.trim());
        }
        let mut pairs = split(entry, ';').filter_map(|pair| pair.split_once('='));
        let (_, node) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
        addr(&unquote(node.trim()))
    }
}

/// Splits a list, but not within quotes (RFC 9110 §5.6.4).
fn split(text: &str, separator: char) -> impl DoubleEndedIterator<Item = &str> {
    let (mut is_quoted, mut is_escaped, mut begin) = (false, false, 0);
    let mut parts = Vec::new();
    for (place, char) in text.char_indices() {
        match char {
            _ if std::mem::take(&mut is_escaped) => {}
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ if char == separator && !is_quoted => {
                parts.push(&text[begin..place]);
                begin = place + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    // An empty element of a list counts for nothing (RFC 9110 §5.6.1).
    parts.into_iter().filter(|part| !part.trim().is_empty())
}

fn unquote(text: &str) -> String {
    let quoted = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let Some(quoted) = quoted else {
        return text.to_owned();
    };
    let mut chars = quoted.chars();
    let unescaped = std::iter::from_fn(|| match chars.next()? {
        '\\' => chars.next(),
        char => Some(char),
    });
    unescaped.collect()
}

/// Reads an address with a port or without, an IPv6 one in brackets or, without a port, not.
fn addr(text: &str) -> Option<SocketAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let ip = bare.unwrap_or(text).parse::<IpAddr>();
    let addr = ip.map(|ip| SocketAddr::new(ip, 0));
    addr.or_else(|_| text.parse()).ok().map(canonical)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, lines: &[&str]) -> HeaderMap {
        let lines = lines.iter().map(|line| {
            let line = http::HeaderValue::from_bytes(line.as_bytes()).unwrap();
            (HeaderName::from_static(name), line)
        });
        let mut headers = HeaderMap::new();
        lines.for_each(|(name, line)| {
            headers.append(name, line);
        });
        headers
    }

    fn client(forwarded: &ForwardedFor, peer: &str, name: &'static str, lines: &[&str]) -> String {
        let peer = peer.parse().ok();
        let client = forwarded.client(peer, &headers(name, lines));
        client.map_or_else(|| "the peer".to_owned(), |addr| addr.to_string())
    }

    #[test]
    fn proxies_are_believed_as_far_as_they_are_ours() {
        let ours = ForwardedFor::proxies(["10.0.0.0/8", "2001:db8::/32"]).unwrap();
        let cases: [(&str, &[&str], &str); 14] = [
            ("10.0.0.1:9", &["192.0.2.7"], "192.0.2.7:0"),
            ("10.0.0.1:9", &["192.0.2.7:8080"], "192.0.2.7:8080"),
            ("10.0.0.1:9", &["192.0.2.66, 192.0.2.7"], "192.0.2.7:0"),
            (
                "10.0.0.1:9",
                &["192.0.2.66, 192.0.2.7, 10.1.1.1"],
                "192.0.2.7:0",
            ),
            (
                "10.0.0.1:9",
                &["192.0.2.66", "192.0.2.7,10.1.1.1"],
                "192.0.2.7:0",
            ),
            ("10.0.0.1:9", &["10.2.2.2, 10.1.1.1"], "10.2.2.2:0"),
            (
                "10.0.0.1:9",
                &["192.0.2.66, unknown, 10.1.1.1"],
                "10.1.1.1:0",
            ),
            ("10.0.0.1:9", &["192.0.2.66, ü, 10.1.1.1"], "the peer"),
            ("10.0.0.1:9", &["192.0.2.66, ü", "10.1.1.1"], "10.1.1.1:0"),
            (
                "10.0.0.1:9",
                &["192.0.2.66, ,, 192.0.2.7 , "],
                "192.0.2.7:0",
            ),
            ("10.0.0.1:9", &[], "the peer"),
            ("10.0.0.1:9", &["::ffff:192.0.2.7"], "192.0.2.7:0"),
            ("[2001:db8::1]:9", &["2001:db9::7"], "[2001:db9::7]:0"),
            ("192.0.2.8:9", &["192.0.2.7"], "the peer"),
        ];
        for (peer, lines, expected) in cases {
            assert_eq!(
                client(&ours, peer, "x-forwarded-for", lines),
                expected,
                "{lines:?}"
            );
        }
        // A Unix socket.
        assert_eq!(
            client(&ours, "", "x-forwarded-for", &["192.0.2.7"]),
            "192.0.2.7:0"
        );
        assert_eq!(
            client(&ours, "10.0.0.1:9", "forwarded", &["for=192.0.2.7"]),
            "the peer"
        );
    }

    #[test]
    fn hops_are_counted_from_the_end() {
        let lines: &[&str] = &["192.0.2.1, 192.0.2.2", "192.0.2.3"];
        for (count, expected) in [
            (0, "the peer"),
            (1, "192.0.2.3:0"),
            (2, "192.0.2.2:0"),
            (3, "192.0.2.1:0"),
            (4, "the peer"),
            (usize::MAX, "the peer"),
        ] {
            let hops = ForwardedFor::hops(count);
            assert_eq!(
                client(&hops, "10.0.0.1:9", "x-forwarded-for", lines),
                expected
            );
        }
        let hops = ForwardedFor::hops(1);
        let unclear = ["unknown", "192.0.2.7, _hidden", "192.0.2.7, 999.0.0.1"];
        for line in unclear {
            assert_eq!(
                client(&hops, "10.0.0.1:9", "x-forwarded-for", &[line]),
                "the peer"
            );
        }
    }

    #[test]
    fn the_standard_header_is_read_by_its_rules() {
        let hops = ForwardedFor::hops(1).header(FORWARDED);
        let cases: [(&str, &str); 12] = [
            ("for=192.0.2.7", "192.0.2.7:0"),
            (
                "For=\"192.0.2.7:8080\"; proto=https;by=203.0.113.43",
                "192.0.2.7:8080",
            ),
            ("proto=https;for=\"[2001:db8::7]\"", "[2001:db8::7]:0"),
            (
                "for=192.0.2.66, for = \"[2001:db8::7]:8080\"",
                "[2001:db8::7]:8080",
            ),
            (
                r#"for=192.0.2.66;host="a\",for=1.2.3.4", for="192.0.2.\7""#,
                "192.0.2.7:0",
            ),
            ("for=\"_gazonk\"", "the peer"),
            ("for=unknown", "the peer"),
            ("for=\"unknown:80\"", "the peer"),
            ("proto=https", "the peer"),
            ("192.0.2.7", "the peer"),
            ("for=\"192.0.2.7", "the peer"),
            ("for=192.0.2.7, for=", "the peer"),
        ];
        for (line, expected) in cases {
            assert_eq!(
                client(&hops, "10.0.0.1:9", "forwarded", &[line]),
                expected,
                "{line}"
            );
        }
    }

    #[test]
    fn another_header_can_be_set() {
        let hops = ForwardedFor::hops(1).header(HeaderName::from_static("cf-connecting-ip"));
        assert_eq!(
            client(&hops, "10.0.0.1:9", "cf-connecting-ip", &["192.0.2.7"]),
            "192.0.2.7:0"
        );
    }
}
