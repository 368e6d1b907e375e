//! `host[:port]`, as a Host header, an origin and a URL contain it. There is a strict reader, for the drafts,
//! which copy the host into a response, and one for all that RFC 3986 allows.

use std::net::Ipv6Addr;

/// A host, and a port if the text has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::handshake) struct Authority<'a> {
    /// Not empty; an IPv6 address keeps its brackets.
    pub(in crate::handshake) host: &'a str,
    /// 1 to 65535. [`parse_uri`](Self::parse_uri) also takes 0, which RFC 3986 allows.
    pub(in crate::handshake) port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Reads all of `text`, or returns what is wrong with it. It takes only what a browser writes.
    pub(in crate::handshake) fn parse(text: &'a str) -> Result<Self, &'static str> {
        Self::parse_with(text, |digits| parse_port(digits).map(Some))
    }

    /// Reads all of `text` with any port that RFC 3986 §3.2.3 allows: it can be empty, and have leading zeros.
    pub(in crate::handshake) fn parse_uri(text: &'a str) -> Result<Self, &'static str> {
        // Zeros are trimmed first, so a port with many of them is not refused as a number that is too large.
        Self::parse_with(text, |digits| match digits.trim_start_matches('0') {
            "" if digits.is_empty() => Ok(None),
            "" => Ok(Some(0)),
            digits => parse_port(digits).map(Some),
        })
    }

    fn parse_with(
        text: &'a str,
        parse_port: impl FnOnce(&str) -> Result<Option<u16>, &'static str>,
    ) -> Result<Self, &'static str> {
        // The brackets come first: an IPv6 address has colons of its own, which do not begin a port.
        let host_len = match text.strip_prefix('[') {
            Some(literal) => {
                let len = literal
                    .find(']')
                    .ok_or("an IPv6 address lacks its closing bracket")?;
                if literal[..len].parse::<Ipv6Addr>().is_err() {
                    return Err("the text in brackets is not an IPv6 address");
                }
                len + 2
            }
            None => text.find(':').unwrap_or(text.len()),
        };
        let (host, rest) = text.split_at(host_len);
        if host.is_empty() {
            return Err("the host is empty");
        }
        if !host.starts_with('[') && !host.bytes().all(is_name_byte) {
            return Err("a character is not allowed in a host");
        }
        if rest.is_empty() {
            return Ok(Self { host, port: None });
        }
        let digits = rest
            .strip_prefix(':')
            .ok_or("there is text between host and port")?;
        Ok(Self {
            host,
            port: parse_port(digits)?,
        })
    }

    /// Returns the port, or the one that the scheme implies.
    pub(in crate::handshake) fn port_or_default(&self, scheme: &str) -> Option<u16> {
        self.port.or_else(|| default_port(scheme))
    }
}

/// Returns the port that a scheme implies.
pub(in crate::handshake) fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

fn parse_port(digits: &str) -> Result<u16, &'static str> {
    const PROBLEM: &str = "the port is not a decimal number from 1 to 65535";
    // `parse` would also take a `+`. A leading zero is refused because two spellings of one port would be two
    // different texts in a location that a draft compares byte for byte.
    if digits.starts_with('0') || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(PROBLEM);
    }
    digits.parse().map_err(|_| PROBLEM)
}

/// The characters of a registered name (RFC 3986 §3.2.2).
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte)
}

/// Returns the authority of a target that is an absolute HTTP URI. It is not checked.
pub(in crate::handshake) fn target_authority(target: &str) -> Option<&str> {
    // By its begin, not by a search for `://`, because almost all targets are paths.
    let rest = ["http://", "https://"].into_iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    })?;
    Some(&rest[..rest.find(['/', '?']).unwrap_or(rest.len())])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// X9: a Host that becomes part of a location is read strictly.
    #[test]
    fn only_a_host_with_a_decimal_port_is_an_authority() {
        for (text, host, port) in [
            ("example.com", "example.com", None),
            ("example.com:8081", "example.com", Some(8081)),
            ("localhost:1", "localhost", Some(1)),
            ("127.0.0.1:65535", "127.0.0.1", Some(65535)),
            ("[::1]", "[::1]", None),
            ("[2001:db8::1]:8080", "[2001:db8::1]", Some(8080)),
        ] {
            assert_eq!(
                Authority::parse(text),
                Ok(Authority { host, port }),
                "{text}"
            );
        }
        for (text, port) in [
            ("a:", None),
            ("a:0", Some(0)),
            ("a:00", Some(0)),
            ("a:080", Some(80)),
            ("a:8080", Some(8080)),
        ] {
            let host = "a";
            assert_eq!(
                Authority::parse_uri(text),
                Ok(Authority { host, port }),
                "{text}"
            );
        }
        for text in [
            "", ":80", "a:65536", "a:065536", "a:+80", "a:0x50", "a: 80", "u@a", "a/b", "[::1",
            "::1",
        ] {
            assert!(Authority::parse_uri(text).is_err(), "{text}");
        }
        for text in [
            "",
            ":80",
            "a:",
            "a:0",
            "a:080",
            "a:65536",
            "a:0x50",
            "a:+80",
            "a: 80",
            "a:80:80",
            "a b",
            "a/b",
            "u@a",
            "a\\b",
            "a#b",
            "a?b",
            "::1",
            "[::1",
            "[::1]80",
            "[::1]:",
            "[fe80::1%25eth0]",
            "[v1.x]",
            "é",
            "a\tb",
            "<a>",
        ] {
            assert!(Authority::parse(text).is_err(), "{text}");
        }
    }
}
