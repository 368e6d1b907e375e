//! HTTP CONNECT (RFC 9110 §9.3.6), as a state machine without I/O.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::{Login, ProxyError};

/// A request to an HTTP proxy for a tunnel.
pub(super) struct Connect {
    outgoing: Vec<u8>,
    received: Vec<u8>,
}

impl Connect {
    /// Makes the request. `host` is from a checked URL, so it contains no line break.
    pub(super) fn new(host: &str, port: u16, login: Option<&Login>) -> Self {
        // Only an IPv6 address contains a colon.
        let authority = if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
        if let Some(Login { user, password }) = login {
            // RFC 7617 §2.
            let login = BASE64_STANDARD.encode([user, &b":"[..], password].concat());
            request += &format!("Proxy-Authorization: Basic {login}\r\n");
        }
        request += "\r\n";
        Self {
            outgoing: request.into(),
            received: Vec::new(),
        }
    }

    pub(super) fn take_outgoing(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.outgoing)
    }

    /// Takes bytes that were read. Returns whether the tunnel is open.
    pub(super) fn handle_read(&mut self, bytes: &[u8]) -> Result<bool, ProxyError> {
        self.received.extend_from_slice(bytes);
        let mut lines = [httparse::EMPTY_HEADER; LINE_LIMIT];
        let mut response = httparse::Response::new(&mut lines);
        let malformed = |problem| ProxyError::Malformed { problem };
        let parsed = response.parse(&self.received);
        let parsed = parsed.map_err(|_| malformed("it is not an HTTP/1 head"))?;
        let len = match parsed {
            httparse::Status::Complete(len) if len <= HEAD_LIMIT => len,
            httparse::Status::Partial if self.received.len() < HEAD_LIMIT => return Ok(false),
            httparse::Status::Complete(_) | httparse::Status::Partial => {
                return Err(ProxyError::HeadTooLarge { limit: HEAD_LIMIT });
            }
        };
        let code = response.code.unwrap_or_default();
        let answer = format!("{code} {}", response.reason.unwrap_or_default());
        match code {
            // The client speaks first in the tunnel, so no byte can follow.
            200..=299 if len < self.received.len() => Err(malformed("bytes follow its head")),
            200..=299 => Ok(true),
            407 => Err(ProxyError::Login { answer }),
            _ => Err(ProxyError::Refused { answer }),
        }
    }
}

/// The limit of the head of an answer, in bytes.
const HEAD_LIMIT: usize = 16 << 10;

/// The limit of its header lines.
const LINE_LIMIT: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(answer: &[u8], piece: usize) -> Result<bool, String> {
        let mut connect = Connect::new("a", 1, None);
        let mut is_open = false;
        for piece in answer.chunks(piece) {
            assert!(!is_open, "the tunnel is open too soon");
            is_open = connect
                .handle_read(piece)
                .map_err(|error| error.to_string())?;
        }
        Ok(is_open)
    }

    /// RFC 9110 §9.3.6, RFC 7617 §2: what is asked.
    #[test]
    fn a_request_names_the_server_and_us() {
        let login = Login {
            user: b"Aladdin".to_vec(),
            password: b"open sesame".to_vec(),
        };
        let mut connect = Connect::new("example.com", 443, Some(&login));
        let request = String::from_utf8(connect.take_outgoing()).unwrap();
        assert_eq!(
            request,
            "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\
             Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"
        );
        assert!(connect.take_outgoing().is_empty());
        let request = Connect::new("::1", 80, None).take_outgoing();
        assert!(request.starts_with(b"CONNECT [::1]:80 HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"));
    }

    /// What an answer comes to does not depend on how it arrives.
    #[test]
    fn an_answer_is_judged_by_its_status() {
        let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(HEAD_LIMIT));
        for (answer, says) in [
            ("HTTP/1.1 200 Connection established\r\n\r\n", ""),
            ("HTTP/1.0 200 OK\r\nVia: a proxy\r\n\r\n", ""),
            ("HTTP/1.1 299 \r\nContent-Length: 5\r\n\r\n", ""),
            ("HTTP/1.1 403 Not here\r\n\r\n", "refused: 403 Not here"),
            ("HTTP/1.1 101 Switching\r\n\r\n", "refused: 101"),
            (
                "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
                "credentials than those in its URL: 407 Proxy Authentication Required",
            ),
            ("SSH-2.0-OpenSSH_9\r\n", "not an HTTP/1 head"),
            ("\x05\x00", "not an HTTP/1 head"),
            (&*long, "more than 16384 bytes"),
        ] {
            for piece in [1, 2, 3, 1 << 10, 1 << 20] {
                if piece < 4 && answer.len() > HEAD_LIMIT {
                    continue;
                }
                let seen = answered(answer.as_bytes(), piece);
                match says {
                    "" => assert_eq!(seen, Ok(true), "{answer:?}"),
                    says => assert!(
                        seen.as_ref().is_err_and(|error| error.contains(says)),
                        "{seen:?}"
                    ),
                }
            }
        }
        assert_eq!(answered(b"HTTP/1.1 200 OK\r\nX: y\r\n\r", 1), Ok(false));
        let early = answered(b"HTTP/1.1 200 OK\r\n\r\nhello", 1000);
        assert!(early.is_err_and(|error| error.contains("bytes follow")));
    }
}
