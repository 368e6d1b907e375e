//! The PROXY protocol, versions 1 and 2: a proxy that passes bytes on says in a header before them for which client it speaks.
//! The format is that of HAProxy's document "The PROXY protocol", §2.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use proxy_header::{ParseConfig, ProxyHeader};

use super::canonical;
use super::networks::{InvalidNetwork, Networks};

/// Which proxies say by the PROXY protocol for whom they speak; see
/// [`ServerBuilder::proxy_protocol`](crate::ServerBuilder::proxy_protocol).
#[derive(Clone, Debug)]
pub struct ProxyProtocol {
    proxies: Networks,
    is_required: bool,
}

impl ProxyProtocol {
    /// Requires a header on each stream, and takes streams from these proxies only. Use it for a port that nobody but the proxy
    /// is meant to reach.
    ///
    /// A proxy is an address such as `192.0.2.1`, or a network such as `10.0.0.0/8`. Streams of a Unix socket have no address;
    /// their header is always taken, because the permissions of the socket's file say who may connect.
    ///
    /// # Errors
    ///
    /// Fails if one of them is neither.
    pub fn required<I>(proxies: I) -> Result<Self, InvalidNetwork>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let (proxies, is_required) = (Networks::parse(proxies)?, true);
        Ok(Self {
            proxies,
            is_required,
        })
    }

    /// Takes a header from these proxies if they send one, and streams without a header from everybody. A header of somebody
    /// else is refused as what it is then: no HTTP and no TLS.
    ///
    /// # Errors
    ///
    /// As [`required`](Self::required).
    pub fn optional<I>(proxies: I) -> Result<Self, InvalidNetwork>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        Ok(Self {
            is_required: false,
            ..Self::required(proxies)?
        })
    }

    /// Tells whether a header of this peer is taken.
    pub(crate) fn trusts(&self, peer: Option<SocketAddr>) -> bool {
        peer.is_none_or(|peer| self.proxies.contains(peer.ip()))
    }

    pub(crate) fn is_required(&self) -> bool {
        self.is_required
    }
}

/// What the first bytes of a stream are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// The beginning of a header, or nothing yet.
    Incomplete,
    Header {
        len: usize,
        /// The client, if the proxy speaks for one whose address it knows.
        client: Option<SocketAddr>,
    },
    /// No header.
    Other,
}

const V1_SIGNATURE: &[u8] = b"PROXY ";
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The version and the command of a stream that the proxy opened for itself.
const V2_LOCAL: u8 = 0x20;
/// The part of version 2 that says how long the rest is.
const V2_HEAD_LEN: usize = 16;
/// The longest header that is taken. Addresses have 216 bytes at most, and proxies add some facts about TLS. In version 1 no
/// header has more than 107.
const LEN_LIMIT: usize = 4096;

/// Parses the first bytes of a stream.
pub(crate) fn parse(bytes: &[u8]) -> Result<Parsed, ProxyProtocolError> {
    if !begins(bytes, V1_SIGNATURE) && !begins(bytes, V2_SIGNATURE) {
        return Ok(Parsed::Other);
    }
    let declared = declared_len(bytes);
    if let Some(len) = declared.filter(|len| *len > LEN_LIMIT) {
        let limit = LEN_LIMIT;
        return Err(ProxyProtocolError::TooLong { len, limit });
    }
    if bytes.starts_with(V2_SIGNATURE) && bytes.get(V2_SIGNATURE.len()) == Some(&V2_LOCAL) {
        // Whatever the rest of it is, the family included: §2.2 demands that a receiver skips it. Load balancers fill it in
        // for their health checks, some of them with families that do not exist.
        let complete = declared.filter(|len| *len <= bytes.len());
        let header = complete.map(|len| Parsed::Header { len, client: None });
        return Ok(header.unwrap_or(Parsed::Incomplete));
    }
    let config = ParseConfig {
        include_tlvs: false,
        ..ParseConfig::default()
    };
    match ProxyHeader::parse(bytes, config) {
        Ok((header, len)) => {
            // There is none if the proxy speaks for itself, as in a health check, or does not know the client's address.
            let client = header
                .proxied_address()
                .map(|addrs| canonical(addrs.source));
            Ok(Parsed::Header { len, client })
        }
        // A header that has ended as it said is not continued.
        Err(proxy_header::Error::BufferTooShort)
            if declared.is_none_or(|len| bytes.len() < len) =>
        {
            Ok(Parsed::Incomplete)
        }
        Err(_) => {
            // Not what comes behind it, which can be a request with secrets in it.
            let len = declared.unwrap_or(bytes.len()).min(V1_LIMIT);
            let first = bytes.iter().take(len).copied().collect();
            Err(ProxyProtocolError::Malformed { first })
        }
    }
}

/// The length of the header as it says itself: by the end of its line, or by a field. `None` before that.
fn declared_len(bytes: &[u8]) -> Option<usize> {
    if bytes.first() == Some(&b'P') {
        let end = bytes.windows(2).position(|pair| pair == b"\r\n");
        return end.map(|end| end + 2);
    }
    let [.., high, low] = bytes.first_chunk::<V2_HEAD_LEN>()?;
    Some(V2_HEAD_LEN + usize::from(u16::from_be_bytes([*high, *low])))
}

/// Tells whether bytes begin with a signature, or may do so with those that follow.
fn begins(bytes: &[u8], signature: &[u8]) -> bool {
    let len = bytes.len().min(signature.len());
    bytes[..len] == signature[..len]
}

/// The most that version 1 has.
const V1_LIMIT: usize = 107;
/// The bytes of something else that an error shows, up to a query.
const SHOWN_LEN: usize = 16;

/// What an error shows of something else than a header: enough to know the protocol, and no secret.
pub(crate) fn shown(bytes: &[u8]) -> Vec<u8> {
    let shown = bytes.iter().take(SHOWN_LEN);
    shown.take_while(|byte| **byte != b'?').copied().collect()
}

/// Why a stream without a usable header of the PROXY protocol was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyProtocolError {
    /// The peer is none of the proxies, and the option requires one.
    Untrusted {
        /// The address of the peer.
        addr: SocketAddr,
    },
    /// A proxy sent something else first.
    Missing {
        /// The first bytes, 16 at most, and none of a query.
        first: Vec<u8>,
    },
    /// A header that breaks a rule of the protocol.
    Malformed {
        /// The first bytes, 107 at most: all of version 1.
        first: Vec<u8>,
    },
    /// A header that is longer than this library takes.
    TooLong {
        /// Its length.
        len: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// The stream ended within the header.
    Disconnected,
    /// The header was not complete within the option `handshake_timeout`.
    Timeout {
        /// The time waited.
        waited: Duration,
    },
}

impl fmt::Display for ProxyProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untrusted { addr } => write!(
                f,
                "{addr} is none of the proxies that may connect (option proxy_protocol)"
            ),
            Self::Missing { first } => write!(
                f,
                "the stream begins with \"{}\" and not with a header of the PROXY protocol, which is required \
                 (option proxy_protocol)",
                first.escape_ascii()
            ),
            Self::Malformed { first } => write!(
                f,
                "the header of the PROXY protocol is malformed: \"{}\"",
                first.escape_ascii()
            ),
            Self::TooLong { len, limit } => write!(
                f,
                "the header of the PROXY protocol has {len} bytes, and {limit} are allowed"
            ),
            Self::Disconnected => {
                f.write_str("the stream ended within the header of the PROXY protocol")
            }
            Self::Timeout { waited } => write!(
                f,
                "the header of the PROXY protocol was not complete after {waited:?} (option handshake_timeout)"
            ),
        }
    }
}

impl std::error::Error for ProxyProtocolError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let len = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [V2_SIGNATURE, &[command, family], &len, payload].concat()
    }

    const V4: [u8; 12] = [192, 0, 2, 7, 198, 51, 100, 1, 0x1f, 0x90, 0, 80];

    fn v6() -> Vec<u8> {
        let ip = "2001:db8::7"
            .parse::<std::net::Ipv6Addr>()
            .unwrap()
            .octets();
        [&ip[..], &ip, &[0x1f, 0x90, 0, 80]].concat()
    }

    /// Each header with anything behind it, in any number of parts.
    #[test]
    fn a_header_names_its_client() {
        let unix = [0; 216];
        let with_facts = [&V4[..], &[0x04, 0, 3, 0, 0, 0]].concat();
        let cases = [
            (
                "1, TCP4",
                b"PROXY TCP4 192.0.2.7 198.51.100.1 8080 80\r\n".to_vec(),
                Some("192.0.2.7:8080"),
            ),
            (
                "1, TCP6",
                b"PROXY TCP6 2001:db8::7 2001:db8::1 8080 80\r\n".to_vec(),
                Some("[2001:db8::7]:8080"),
            ),
            (
                "1, mapped",
                b"PROXY TCP6 ::ffff:192.0.2.7 ::1 8080 80\r\n".to_vec(),
                Some("192.0.2.7:8080"),
            ),
            ("1, unknown", b"PROXY UNKNOWN\r\n".to_vec(), None),
            (
                "1, unknown with more",
                b"PROXY UNKNOWN ffff:: ffff:: 65535 65535\r\n".to_vec(),
                None,
            ),
            ("2, TCP4", v2(0x21, 0x11, &V4), Some("192.0.2.7:8080")),
            ("2, TCP6", v2(0x21, 0x21, &v6()), Some("[2001:db8::7]:8080")),
            (
                "2, facts",
                v2(0x21, 0x11, &with_facts),
                Some("192.0.2.7:8080"),
            ),
            ("2, of the proxy", v2(0x20, 0x11, &V4), None),
            (
                "2, of the proxy, without an address",
                v2(0x20, 0x00, &[]),
                None,
            ),
            (
                "2, of the proxy, without the address of its family",
                v2(0x20, 0x11, &[]),
                None,
            ),
            (
                "2, of the proxy, with families that do not exist",
                v2(0x20, 0x41, b"any"),
                None,
            ),
            ("2, of the proxy, long", v2(0x20, 0x11, &[0; 84]), None),
            ("2, unspecified", v2(0x21, 0x00, &[]), None),
            ("2, Unix", v2(0x21, 0x31, &unix), None),
        ];
        for (name, header, client) in cases {
            for rest in [&b""[..], b"GET / HTTP/1.1\r\n", b"PROXY ", b"\r\n\r\n\0"] {
                let bytes = [&header, rest].concat();
                for len in 0..header.len() {
                    assert_eq!(
                        parse(&bytes[..len]),
                        Ok(Parsed::Incomplete),
                        "{name}, {len}"
                    );
                }
                for len in header.len()..=bytes.len() {
                    let expected = Parsed::Header {
                        len: header.len(),
                        client: client.map(|addr| addr.parse().unwrap()),
                    };
                    assert_eq!(parse(&bytes[..len]), Ok(expected), "{name}, {len}");
                }
            }
        }
    }

    #[test]
    fn a_malformed_header_is_an_error() {
        let long = [&b"PROXY TCP4 "[..], &[b'1'; 100]].concat();
        let cases = [
            b"PROXY TCP4 192.0.2.7 198.51.100.1 8080\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 198.51.100.1 8080 80 \r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 198.51.100.1 8080 65536\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.256 198.51.100.1 8080 80\r\n".to_vec(),
            b"PROXY TCP4 2001:db8::7 2001:db8::1 8080 80\r\n".to_vec(),
            b"PROXY UDP4 192.0.2.7 198.51.100.1 8080 80\r\n".to_vec(),
            b"PROXY TCP4\x00\xff\r\n".to_vec(),
            b"PROXY \r\n".to_vec(),
            long,
            v2(0x11, 0x11, &V4),
            v2(0x22, 0x11, &V4),
            v2(0x21, 0x41, &V4),
            v2(0x21, 0x13, &V4),
            v2(0x21, 0x11, &V4[..11]),
            v2(0x21, 0x21, &V4),
            v2(0x21, 0x31, &V4),
            v2(0x21, 0x11, &[0; LEN_LIMIT + 1]),
        ];
        for bytes in cases {
            let error = parse(&bytes).unwrap_err();
            assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn everything_else_is_no_header() {
        let cases: [&[u8]; 8] = [
            b"GET / HTTP/1.1\r\n",
            b"POST / HTTP/1.1\r\n",
            b"PROPFIND / HTTP/1.1\r\n",
            b"PROXYS",
            b"proxy TCP4",
            b"\r\nGET / HTTP/1.1",
            b"\x16\x03\x01\x02\x00",
            b"\r\n\r\n\0\r\nQUIT\r",
        ];
        for bytes in cases {
            assert_eq!(parse(bytes), Ok(Parsed::Other), "{}", bytes.escape_ascii());
        }
    }
}
