//! What stands in front of a server: proxies, which speak for clients, and say for which.
//!
//! It knows bytes, addresses and headers; `server/proxy_header.rs` reads and waits.
//!
//! Imports: nothing.

pub(crate) mod forwarded;
pub(crate) mod networks;
pub(crate) mod proxy_protocol;

use std::net::{IpAddr, SocketAddr};

/// Returns an address of IPv4 as one, also if it came by a socket of IPv6 (RFC 4291 §2.5.5.2), so that lines, lists and limits
/// know a client by one address.
pub(crate) fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::from((ip, addr.port())),
        IpAddr::V6(_) => addr,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_ipv4_is_one() {
        let cases = [
            ("[::ffff:192.0.2.7]:80", "192.0.2.7:80"),
            ("192.0.2.7:80", "192.0.2.7:80"),
            ("[fe80::1%3]:80", "[fe80::1%3]:80"),
        ];
        for (given, expected) in cases {
            assert_eq!(canonical(given.parse().unwrap()).to_string(), expected);
        }
    }
}
