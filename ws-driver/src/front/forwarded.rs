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
    /// the header that is none of them. The header of a peer that is none of them is ignored. Who connects to a Unix
    /// socket that the server [listens on](crate::ServerBuilder::listener) counts as a proxy.
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

    /// Tells whether a peer may speak for others. A peer without an address may if it came by a Unix socket of the server.
    pub(crate) fn trusts(&self, peer: Option<SocketAddr>, is_local: bool) -> bool {
        match (&self.trust, peer) {
            (Trust::Hops(count), _) => *count > 0,
            (Trust::Proxies(proxies), Some(peer)) => proxies.contains(peer.ip()),
            (Trust::Proxies(_), None) => is_local,
        }
    }

    /// Returns the address that a peer which may speak for others names, with port 0 if the header has no port. Returns `None` if
    /// it names none.
    pub(crate) fn client(&self, headers: &HeaderMap) -> Option<SocketAddr> {
        let lines = headers.get_all(&self.header).into_iter().rev();
        // Lazily, because a client can send thousands of entries, and those of proxies are few.
        let mut entries = lines.flat_map(|line| -> Entries<'_> {
            if self.header == FORWARDED {
                Box::new(elements(line.as_bytes()))
            } else {
                Box::new(addresses(line.as_bytes()))
            }
        });
        match &self.trust {
            Trust::Hops(0) => None,
            Trust::Hops(count) => entries.nth(count - 1).flatten(),
            Trust::Proxies(proxies) => {
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
}

/// The entries of a line, from its end. An entry that is no address is `None`.
type Entries<'a> = Box<dyn Iterator<Item = Option<SocketAddr>> + 'a>;

/// Reads a list of addresses from its end. Each entry stands for itself, whatever bytes a client has put before it.
fn addresses(line: &[u8]) -> impl Iterator<Item = Option<SocketAddr>> {
    let entries = line.rsplit(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let entries = entries.filter(|entry| !entry.is_empty());
    entries.map(|entry| addr(std::str::from_utf8(entry).ok()?))
}

/// Reads the elements of `Forwarded` from its end (RFC 7239 §4).
fn elements(line: &[u8]) -> impl Iterator<Item = Option<SocketAddr>> {
    let elements = match split(line, b',') {
        Some(elements) => elements,
        // A quote that does not end is not of a proxy. What a proxy has added behind it is not within it.
        None => line.split(|byte| *byte == b',').collect(),
    };
    let elements = elements.into_iter().rev().map(<[u8]>::trim_ascii);
    let elements = elements.filter(|element| !element.is_empty());
    elements.map(node)
}

/// Reads the parameter `for` of an element, which is well-formed.
fn node(element: &[u8]) -> Option<SocketAddr> {
    let mut found = None;
    for pair in split(element, b';')? {
        let (name, value) = std::str::from_utf8(pair).ok()?.split_once('=')?;
        if name.trim().eq_ignore_ascii_case("for") {
            found = addr(&unquote(value.trim())?);
        }
    }
    found
}

/// Splits a list, but not within quotes (RFC 9110 §5.6.4). Returns `None` if a quote does not end.
fn split(text: &[u8], separator: u8) -> Option<Vec<&[u8]>> {
    let (mut is_quoted, mut is_escaped, mut begin) = (false, false, 0);
    let mut parts = Vec::new();
    for (place, byte) in text.iter().enumerate() {
        match byte {
            _ if std::mem::take(&mut is_escaped) => {}
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            _ if *byte == separator && !is_quoted => {
                parts.push(&text[begin..place]);
                begin = place + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    (!is_quoted).then_some(parts)
}

/// Reads a token, or a string in quotes that is nothing else.
fn unquote(text: &str) -> Option<String> {
    let Some(quoted) = text.strip_prefix('"') else {
        return (!text.contains('"')).then(|| text.to_owned());
    };
    let mut chars = quoted.strip_suffix('"')?.chars();
    let mut unquoted = String::new();
    while let Some(char) = chars.next() {
        match char {
            '"' => return None,
            '\\' => unquoted.push(chars.next()?),
            char => unquoted.push(char),
        }
    }
    Some(unquoted)
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
        let trusts = forwarded.trusts(peer, true);
        let client = trusts
            .then(|| forwarded.client(&headers(name, lines)))
            .flatten();
        client.map_or_else(|| "the peer".to_owned(), |addr| addr.to_string())
    }

    #[test]
    fn proxies_are_believed_as_far_as_they_are_ours() {
        let ours = ForwardedFor::proxies(["10.0.0.0/8", "2001:db8::/32"]).unwrap();
        let cases: [(&str, &[&str], &str); 16] = [
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
            ("10.0.0.1:9", &["192.0.2.66, ü, 10.1.1.1"], "10.1.1.1:0"),
            // A client that opens a quote hides nothing of what its proxy adds.
            ("10.0.0.1:9", &["\", 192.0.2.7"], "192.0.2.7:0"),
            ("10.0.0.1:9", &["ü, 192.0.2.7"], "192.0.2.7:0"),
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
        // Who has no address is believed at a Unix socket of the server alone.
        assert!(!ours.trusts(None, false));
        assert!(
            ForwardedFor::hops(1).trusts(None, false) && !ForwardedFor::hops(0).trusts(None, true)
        );
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
        let cases: [(&str, &str); 17] = [
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
            // A quote that a client has opened takes nothing in of what its proxy adds.
            ("for=192.0.2.66;x=\", for=192.0.2.7", "192.0.2.7:0"),
            (
                "for=192.0.2.66;x=\"\\, for=\"[2001:db8::7]\"",
                "[2001:db8::7]:0",
            ),
            (
                "for=192.0.2.66;x=\", for=192.0.2.7;host=\"x\"",
                "192.0.2.7:0",
            ),
            ("for=192.0.2.66\"x\"", "the peer"),
            ("for=\"192.0.2.66\"x\"\"", "the peer"),
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
