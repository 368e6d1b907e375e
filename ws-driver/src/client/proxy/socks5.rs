//! SOCKS5 (RFC 1928), with or without user and password (RFC 1929), as a state machine without I/O. The proxy looks the
//! host up.

use std::net::IpAddr;

use super::{Login, ProxyError};

/// A request to a SOCKS5 proxy for a tunnel.
pub(super) struct Socks5 {
    awaiting: Awaiting,
    outgoing: Vec<u8>,
    received: Vec<u8>,
    /// The message with user and password, until it is sent.
    login: Option<Vec<u8>>,
    /// The message that asks for the tunnel, until it is sent.
    request: Vec<u8>,
}

/// The answer that the proxy owes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaiting {
    Method,
    Login,
    Reply,
    /// No answer: the tunnel is open.
    Open,
}

impl Socks5 {
    pub(super) fn new(host: &str, port: u16, login: Option<&Login>) -> Result<Self, ProxyError> {
        let mut request = vec![VERSION, COMMAND_CONNECT, 0];
        match host.parse() {
            Ok(IpAddr::V4(addr)) => {
                request.push(ADDRESS_V4);
                request.extend(addr.octets());
            }
            Ok(IpAddr::V6(addr)) => {
                request.push(ADDRESS_V6);
                request.extend(addr.octets());
            }
            Err(_) => {
                let len = u8::try_from(host.len()).map_err(|_| ProxyError::HostTooLong {
                    len: host.len(),
                    limit: u8::MAX.into(),
                })?;
                request.extend([ADDRESS_NAME, len]);
                request.extend(host.as_bytes());
            }
        }
        request.extend(port.to_be_bytes());
        let methods = match login {
            Some(_) => &[VERSION, 2, METHOD_NONE, METHOD_LOGIN][..],
            None => &[VERSION, 1, METHOD_NONE],
        };
        Ok(Self {
            awaiting: Awaiting::Method,
            outgoing: methods.into(),
            received: Vec::new(),
            login: login.map(say_login),
            request,
        })
    }

    pub(super) fn take_outgoing(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.outgoing)
    }

    /// Takes bytes that were read. Returns whether the tunnel is open.
    pub(super) fn handle_read(&mut self, bytes: &[u8]) -> Result<bool, ProxyError> {
        // Bounded: the longest answer is a reply with a name of 255 bytes, and bytes after an answer are an error.
        self.received.extend_from_slice(bytes);
        let done = match self.awaiting {
            Awaiting::Method => self.read_method()?,
            Awaiting::Login => self.read_login()?,
            Awaiting::Reply => self.read_reply()?,
            Awaiting::Open => 0,
        };
        if done > 0 && self.received.len() > done {
            return Err(malformed("unexpected bytes follow it"));
        }
        self.received.drain(..done);
        Ok(self.awaiting == Awaiting::Open)
    }

    /// Reads the choice of a method (RFC 1928 §3). Returns the length of the answer, or zero if it is incomplete.
    fn read_method(&mut self) -> Result<usize, ProxyError> {
        let &[version, ref rest @ ..] = &*self.received else {
            return Ok(0);
        };
        if version != VERSION {
            return Err(malformed("it does not begin with version 5"));
        }
        let &[method, ..] = rest else {
            return Ok(0);
        };
        match (method, self.login.take()) {
            (METHOD_NONE, _) => self.ask(),
            (METHOD_LOGIN, Some(login)) => {
                self.outgoing = login;
                self.awaiting = Awaiting::Login;
            }
            (METHOD_LOGIN | METHOD_REFUSED, login) => {
                let answer = match login {
                    Some(_) => "it accepts neither an anonymous client nor a user with password",
                    None => "it requires a user and password",
                };
                return Err(ProxyError::Login {
                    answer: answer.into(),
                });
            }
            _ => return Err(malformed("it selects a method that was not offered")),
        }
        Ok(2)
    }

    /// Reads the answer to user and password (RFC 1929 §2).
    fn read_login(&mut self) -> Result<usize, ProxyError> {
        match *self.received {
            [] => Ok(0),
            [version, ..] if version != LOGIN_VERSION => Err(malformed(
                "its answer to user and password has a version other than 1",
            )),
            [_] => Ok(0),
            [_, 0, ..] => {
                self.ask();
                Ok(2)
            }
            [_, status, ..] => Err(ProxyError::Login {
                answer: format!("status {status}"),
            }),
        }
    }

    /// Reads the reply to the request (RFC 1928 §6).
    fn read_reply(&mut self) -> Result<usize, ProxyError> {
        if self
            .received
            .first()
            .is_some_and(|version| *version != VERSION)
        {
            return Err(malformed("its reply does not begin with version 5"));
        }
        let &[_, reply, ref rest @ ..] = &*self.received else {
            return Ok(0);
        };
        // A refusal is reported without its address, which means nothing and may be missing.
        if reply != 0 {
            return Err(ProxyError::Refused {
                answer: reply_text(reply),
            });
        }
        let &[_, kind, ref rest @ ..] = rest else {
            return Ok(0);
        };
        let address_len = match (kind, rest.first()) {
            (ADDRESS_V4, _) => 4,
            (ADDRESS_V6, _) => 16,
            (ADDRESS_NAME, Some(len)) => 1 + usize::from(*len),
            (ADDRESS_NAME, None) => return Ok(0),
            _ => return Err(malformed("its reply has an address of an unknown type")),
        };
        let len = 4 + address_len + 2;
        if self.received.len() < len {
            return Ok(0);
        }
        self.awaiting = Awaiting::Open;
        Ok(len)
    }

    fn ask(&mut self) {
        self.outgoing = std::mem::take(&mut self.request);
        self.awaiting = Awaiting::Reply;
    }
}

/// Encodes user and password (RFC 1929 §2). `Login::parse` has checked the lengths.
fn say_login(login: &Login) -> Vec<u8> {
    let mut bytes = vec![LOGIN_VERSION];
    for part in [&login.user, &login.password] {
        bytes.push(u8::try_from(part.len()).expect("a login is no longer than its limit"));
        bytes.extend(part);
    }
    bytes
}

/// Describes a reply (RFC 1928 §6).
fn reply_text(reply: u8) -> String {
    let text = match reply {
        1 => "general failure",
        2 => "not allowed by its rules",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "time to live expired",
        7 => "command not supported",
        8 => "address type not supported",
        _ => "unassigned reply",
    };
    format!("{text} (reply {reply})")
}

fn malformed(problem: &'static str) -> ProxyError {
    ProxyError::Malformed { problem }
}

const VERSION: u8 = 5;
const LOGIN_VERSION: u8 = 1;
const METHOD_NONE: u8 = 0;
const METHOD_LOGIN: u8 = 2;
const METHOD_REFUSED: u8 = 0xff;
const COMMAND_CONNECT: u8 = 1;
const ADDRESS_V4: u8 = 1;
const ADDRESS_NAME: u8 = 3;
const ADDRESS_V6: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn login() -> Login {
        Login {
            user: b"me".to_vec(),
            password: b"pw!".to_vec(),
        }
    }

    /// Plays a proxy that answers in pieces; returns what was said to it, or the error.
    fn play(
        host: &str,
        login: Option<&Login>,
        answers: &[&[u8]],
        piece: usize,
    ) -> Result<Vec<u8>, String> {
        let mut socks5 = Socks5::new(host, 0x1234, login).map_err(|error| error.to_string())?;
        let mut said = socks5.take_outgoing();
        let mut is_open = false;
        for answer in answers {
            for piece in answer.chunks(piece) {
                assert!(!is_open, "the tunnel is open too soon");
                is_open = socks5
                    .handle_read(piece)
                    .map_err(|error| error.to_string())?;
                said.extend(socks5.take_outgoing());
            }
        }
        assert!(is_open, "the tunnel is not open");
        Ok(said)
    }

    const REPLY_V4: &[u8] = &[5, 0, 0, 1, 127, 0, 0, 1, 0, 80];

    /// RFC 1928 §3 to §6, RFC 1929 §2: every way to a tunnel, however the answers arrive.
    #[test]
    fn a_tunnel_is_asked_for() {
        let reply_v6 = [&[5, 0, 0, 4][..], &[1; 16], &[0, 80]].concat();
        let reply_name = [&[5, 0, 0, 3, 3][..], b"abc", &[0, 80]].concat();
        let v6 = [&[5, 1, 0, 4][..], &[0; 15], &[1, 0x12, 0x34]].concat();
        let none = &[5, 1, 0][..];
        let both = &[5, 2, 0, 2][..];
        let name = b"\x05\x01\x00\x03\x03srv\x12\x34".to_vec();
        for piece in [1, 2, 3, 100] {
            for (host, login, answers, said) in [
                (
                    "srv",
                    None,
                    &[&[5, 0][..], REPLY_V4][..],
                    [none, &name].concat(),
                ),
                ("::1", None, &[&[5, 0], &reply_v6], [none, &v6].concat()),
                (
                    "1.2.3.4",
                    None,
                    &[&[5, 0], &reply_name],
                    [none, &[5, 1, 0, 1, 1, 2, 3, 4, 0x12, 0x34]].concat(),
                ),
                (
                    "srv",
                    Some(&login()),
                    &[&[5, 0], REPLY_V4],
                    [both, &name].concat(),
                ),
                (
                    "srv",
                    Some(&login()),
                    &[&[5, 2], &[1, 0], REPLY_V4],
                    [both, b"\x01\x02me\x03pw!", &name].concat(),
                ),
            ] {
                assert_eq!(play(host, login, answers, piece), Ok(said));
            }
        }
    }

    /// Each refusal is named, and an answer that is not SOCKS5 is reported as such, however it arrives.
    #[test]
    fn a_refusal_is_named() {
        for piece in [1, 2, 3, 100] {
            for (login, answers, says) in [
                (None, &[&[5, 0xff][..]][..], "requires a user and password"),
                (None, &[&[5, 2]], "requires a user and password"),
                (Some(&login()), &[&[5, 0xff]], "it accepts neither"),
                (Some(&login()), &[&[5, 2], &[1, 7]], "status 7"),
                (
                    Some(&login()),
                    &[&[5, 2], &[5, 0]],
                    "a version other than 1",
                ),
                (None, &[&[5, 1]], "not offered"),
                (None, &[b"HTTP/1.1 400"], "does not begin with version 5"),
                (None, &[&[5, 0], &[4, 0]], "does not begin with version 5"),
                (
                    None,
                    &[&[5, 0], &[5, 2, 0, 1]],
                    "not allowed by its rules (reply 2)",
                ),
                (
                    None,
                    &[&[5, 0], &[5, 5, 0, 1]],
                    "connection refused (reply 5)",
                ),
                (
                    None,
                    &[&[5, 0], &[5, 99, 0, 1]],
                    "unassigned reply (reply 99)",
                ),
                (None, &[&[5, 0], &[5, 0, 0, 2, 1]], "of an unknown type"),
            ] {
                let error = play("srv", login, answers, piece).unwrap_err();
                assert!(error.contains(says), "{error}");
            }
        }
        let error = play("srv", None, &[&[5, 0, 5, 0]], 100).unwrap_err();
        assert!(error.contains("bytes follow"), "{error}");
        let error = play(&"h".repeat(256), None, &[], 1).unwrap_err();
        assert!(error.contains("256 bytes"), "{error}");
    }
}
