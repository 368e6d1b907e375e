//! The spellings of a host that only a URL has: the zone of an IPv6 address (RFC 6874), and names that are not ASCII
//! (IDNA). Neither reaches a request.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use crate::handshake::http::percent::percent_decoded;

/// Splits the zone off `[address%25zone]:port`, and decodes it.
pub(super) fn split_zone(
    authority: &str,
) -> Result<(Cow<'_, str>, Option<Box<str>>), &'static str> {
    let literal = authority
        .starts_with('[')
        .then(|| authority.split_once(']'));
    let Some((literal, rest)) = literal.flatten() else {
        return Ok((authority.into(), None));
    };
    let Some((address, zone)) = literal.split_once('%') else {
        return Ok((authority.into(), None));
    };
    // RFC 6874 §3 allows a bare `%` where a person types an address. A URL comes from a program as well, and for that
    // the two would be two spellings, of which `%25` could mean either.
    let zone = zone
        .strip_prefix("25")
        .ok_or("the zone of an IPv6 address must follow %25, as in [fe80::1%25eth0]")?;
    let zone = percent_decoded(zone)
        .and_then(|zone| String::from_utf8(zone).ok())
        // The zone becomes a part of a text that the system looks up.
        .filter(|zone| !zone.is_empty() && zone.bytes().all(|byte| byte.is_ascii_graphic()))
        .ok_or("the zone of an IPv6 address is malformed")?;
    Ok((format!("{address}]{rest}").into(), Some(zone.into())))
}

/// Returns `host[:port]` in ASCII: each label of a name as `xn--…` if it is not ASCII already.
#[cfg(feature = "idna")]
pub(super) fn to_ascii(authority: &str) -> Result<Cow<'_, str>, &'static str> {
    if authority.is_ascii() {
        return Ok(authority.into());
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    // The characters that the URL standard forbids include those that would end the host.
    let host = idna::domain_to_ascii_cow(host.as_bytes(), idna::AsciiDenyList::URL)
        .map_err(|_| "its host is not a valid internationalized name")?;
    Ok(match port {
        Some(port) => format!("{host}:{port}").into(),
        None => host.into_owned().into(),
    })
}

/// Returns `host[:port]`, which must be ASCII without the feature.
#[cfg(not(feature = "idna"))]
pub(super) fn to_ascii(authority: &str) -> Result<Cow<'_, str>, &'static str> {
    if authority.is_ascii() {
        Ok(authority.into())
    } else {
        Err("its host is not ASCII, and internationalized names are not built in (feature idna)")
    }
}

/// Tells whether a host, in lower case, ends in a number and is not an IPv4 address as everybody writes it. Systems look up
/// `127.1`, `0x7f000001` and `0177.0.0.1` as addresses, and the URL standard reads them as such, so a program that looks
/// at the host to keep connections off its own network would see a name where there is an address.
pub(super) fn is_other_number(host: &str) -> bool {
    let last = host.strip_suffix('.').unwrap_or(host).rsplit('.').next();
    let is_number = last.is_some_and(|last| match last.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()),
    });
    is_number && host.parse::<Ipv4Addr>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R-C16: the zone is behind `%25`, decoded, and not a part of the address.
    #[test]
    fn a_zone_is_split_off_an_address() {
        for (text, authority, zone) in [
            ("a", "a", None),
            ("a%25b:80", "a%25b:80", None),
            ("[::1]:80", "[::1]:80", None),
            ("[fe80::1%25eth0]", "[fe80::1]", Some("eth0")),
            ("[fe80::1%25Eth0.1]:80", "[fe80::1]:80", Some("Eth0.1")),
            ("[fe80::1%253]", "[fe80::1]", Some("3")),
            ("[fe80::1%25a%2fb%25]", "[fe80::1]", Some("a/b%")),
            // Its bracket is missing, which the reader of the address says.
            ("[fe80::1%25eth0", "[fe80::1%25eth0", None),
        ] {
            let split = split_zone(text).unwrap();
            assert_eq!((&*split.0, split.1.as_deref()), (authority, zone), "{text}");
        }
        for text in [
            "[fe80::1%eth0]",
            "[fe80::1%]",
            "[fe80::1%25]",
            "[fe80::1%25%]",
            "[fe80::1%25%4]",
            "[fe80::1%25a%00]",
            "[fe80::1%25a%20b]",
            "[fe80::1%25%C3%A9]",
            "[fe80::1%25%ff]",
        ] {
            assert!(split_zone(text).is_err(), "{text}");
        }
    }

    /// R-C18: only four decimal numbers are an IPv4 address, and no name ends in a number.
    #[test]
    fn an_address_has_one_spelling() {
        for host in [
            "127.0.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "a",
            "1a",
            "0xg",
            "x0",
            "1.a",
            "1.2.3.a.",
            "web-1",
            ".",
        ] {
            assert!(!is_other_number(host), "{host}");
        }
        for host in [
            "2130706433",
            "0x7f000001",
            "0x",
            "017700000001",
            "127.1",
            "127.0.1",
            "0x7f.1",
            "0177.0.0.1",
            "127.0.0.01",
            "127.0.0.1.",
            "256.0.0.1",
            "1.2.3.4.5",
            "a.1",
            "a.0x1",
            "1.",
        ] {
            assert!(is_other_number(host), "{host}");
        }
    }

    /// R-C17: names become ASCII (UTS 46, as the URL standard has it), and what is none is refused.
    #[cfg(feature = "idna")]
    #[test]
    fn a_name_becomes_ascii() {
        for (text, ascii) in [
            ("Example.com:80", "Example.com:80"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("BÜCHER.example:8080", "xn--bcher-kva.example:8080"),
            ("例え.テスト:", "xn--r8jz45g.xn--zckzah:"),
            // A full stop of another script separates labels, and digits of another width are digits.
            ("bücher。example", "xn--bcher-kva.example"),
            ("１２７.0.0.1:80", "127.0.0.1:80"),
        ] {
            assert_eq!(to_ascii(text).as_deref(), Ok(ascii), "{text}");
        }
        for text in ["ü\u{2f}", "ü b", "ü@a", "ü\u{ff0f}a", "\u{fffd}", "xn--ü"] {
            assert!(to_ascii(text).is_err(), "{text}");
        }
    }

    /// R-C17: without the feature, the error names it.
    #[cfg(not(feature = "idna"))]
    #[test]
    fn a_name_that_is_not_ascii_needs_the_feature() {
        assert_eq!(to_ascii("a:80").as_deref(), Ok("a:80"));
        assert!(to_ascii("é:80").unwrap_err().contains("feature idna"));
    }
}
