//! SOCKS5 (RFC 1928) with and without user and password (RFC 1929), without I/O. The proxy looks names
//! up.

use std::net::IpAddr;

use super::{Login, ProxyError};

/// Asks a SOCKS5 proxy for a tunnel.
pub(super) struct Socks5 {
    stage: Stage,
    outgoing: Vec<u8>,
    received: Vec<u8>,
    /// What user and password are said with, if there are any.
    login: Option<Vec<u8>>,
    /// What the tunnel is asked for with.
    request: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Method,
    Login,
    Reply,
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
            stage: Stage::Method,
            outgoing: methods.into(),
            received: Vec::new(),
            login: login.map(say_login),
            request,
        })
    }

    pub(super) fn take_outgoing(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.outgoing)
    }

    /// Takes what was read; tells whether the tunnel is open.
    pub(super) fn handle_read(&mut self, bytes: &[u8]) -> Result<bool, ProxyError> {
        // No answer is longer than a reply with the longest name, and none comes unasked.
        self.received.extend_from_slice(bytes);
        let done = match self.stage {
            Stage::Method => self.read_method()?,
            Stage::Login => self.read_login()?,
            Stage::Reply => self.read_reply()?,
            Stage::Open => 0,
        };
        if done > 0 && self.received.len() > done {
            return Err(malformed("bytes follow it that nothing asked for"));
        }
        self.received.drain(..done);
        Ok(self.stage == Stage::Open)
    }

    /// RFC 1928 §3. Returns the length of what was taken.
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
                self.stage = Stage::Login;
            }
            (METHOD_LOGIN | METHOD_REFUSED, login) => {
                let answer = match login {
                    Some(_) => "it takes none of no login and user with password",
                    None => "it does not take who gives no user and password",
                };
                return Err(ProxyError::Login {
                    answer: answer.into(),
                });
            }
            _ => return Err(malformed("it chooses a method that was not offered")),
        }
        Ok(2)
    }

    /// RFC 1929 §2.
    fn read_login(&mut self) -> Result<usize, ProxyError> {
        match *self.received {
            [] => Ok(0),
            [version, ..] if version != LOGIN_VERSION => Err(malformed(
                "its answer to user and password has another version than 1",
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

    /// RFC 1928 §6.
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
            _ => return Err(malformed("its reply has an address of no kind that exists")),
        };
        let len = 4 + address_len + 2;
        if self.received.len() < len {
            return Ok(0);
        }
        self.stage = Stage::Open;
        Ok(len)
    }

    fn ask(&mut self) {
        self.outgoing = std::mem::take(&mut self.request);
        self.stage = Stage::Reply;
    }
}

/// RFC 1929 §2. The lengths were checked where the URL was read.
fn say_login(login: &Login) -> Vec<u8> {
    let mut bytes = vec![LOGIN_VERSION];
    for part in [&login.user, &login.password] {
        bytes.push(u8::try_from(part.len()).expect("a login is no longer than its limit"));
        bytes.extend(part);
    }
    bytes
}

/// RFC 1928 §6.
fn reply_text(reply: u8) -> String {
    let text = match reply {
        1 => "general failure",
        2 => "not allowed by its rules",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "time to live expired",
        7 => "it does not open tunnels",
        8 => "it does not know addresses of that kind",
        _ => "a reply that has no name",
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

    /// Each refusal is named, and what is no SOCKS5 is called so, however it arrives.
    #[test]
    fn a_refusal_is_named() {
        for piece in [1, 2, 3, 100] {
            for (login, answers, says) in [
                (None, &[&[5, 0xff][..]][..], "gives no user and password"),
                (None, &[&[5, 2]], "gives no user and password"),
                (Some(&login()), &[&[5, 0xff]], "it takes none of"),
                (Some(&login()), &[&[5, 2], &[1, 7]], "status 7"),
                (
                    Some(&login()),
                    &[&[5, 2], &[5, 0]],
                    "another version than 1",
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
                (None, &[&[5, 0], &[5, 99, 0, 1]], "no name (reply 99)"),
                (None, &[&[5, 0], &[5, 0, 0, 2, 1]], "of no kind"),
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
