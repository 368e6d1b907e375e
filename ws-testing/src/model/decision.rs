//! The model of a server's answer to a request head: the tables of PROTOCOL.md §4, §2.3, §2.4 and
//! §5.1, one after the other, over a plain list of lines. Hashes are looked up in PROTOCOL.md's
//! vectors. Knows nothing of the code under test.

use std::fmt;

use ws_proto::Version;

/// A request.
#[derive(Clone)]
pub struct Head {
    pub method: String,
    pub target: String,
    pub http_version: String,
    /// Names, and values with the white space around them.
    pub lines: Vec<(String, String)>,
}

/// The options of a server.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Of the three versions, oldest first.
    pub enabled: [bool; 3],
    /// Only `http://example.com` may connect.
    pub checks_origin: bool,
    pub require_origin: bool,
    pub secure: bool,
    pub subprotocols: Vec<&'static str>,
    pub header_limit: usize,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is for an HTTP server.
    Http,
    Refused {
        status: u16,
        /// Whether the answer says which versions are spoken, where that is prescribed.
        lists_versions: Option<bool>,
    },
    Accepted {
        version: Version,
        number: Option<u8>,
        /// The answer; sorted where the order is free.
        lines: Vec<String>,
    },
}

/// PROTOCOL.md §5.3.
pub const ACCEPTS: [(&str, &str); 4] = [
    ("dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ("Xn3fdKyc3qEXPuj2A3O+ZA==", "BIFTHkJk4r5t8kuud82tZJaQsCE="),
    ("AQIDBAUGBwgJCgsMDQ4PEC==", "OfS0wDaT5NoxF2gqm7Zj2YtetzM="),
    ("AQIDBAUGBwgJCgsMDQ4PEA==", "C/0nmHhBztSRGR1CwL6Tf4ZjwpY="),
];

/// PROTOCOL.md §2.9, A1.
pub const KEYS: [&str; 2] = ["4 @1  46546xW%0l 1 5", "12998 5 Y3 1  .P00"];
/// Decides, in the order of PROTOCOL.md §5.1.
pub fn decide(head: &Head, policy: &Policy) -> Outcome {
    Decision { head, policy }
        .decide()
        .unwrap_or_else(|refused| refused)
}

struct Decision<'a> {
    head: &'a Head,
    policy: &'a Policy,
}

impl Decision<'_> {
    fn decide(&self) -> Result<Outcome, Outcome> {
        self.check_form()?;
        // R-H5, D76-S2, Q7.
        if !self
            .list("Upgrade")
            .iter()
            .any(|element| element.eq_ignore_ascii_case("websocket"))
        {
            return self.plain();
        }
        // R-H2, Q6: HTTP/1.0 has no upgrades.
        if self.head.http_version == "HTTP/1.0" {
            return self.plain();
        }
        // R-H4.
        let host = self.text("Host")?.ok_or(refused(400))?;
        ensure(is_authority(&host, Ports::Rfc3986))?;
        // R-H6, D76-S3, Q8.
        ensure(
            self.list("Connection")
                .iter()
                .any(|element| element.eq_ignore_ascii_case("upgrade")),
        )?;
        // R-H1, Q5.
        if self.head.method != "GET" {
            return Err(refused(405));
        }
        let (version, number) = self.choose()?;
        // X9: the drafts copy it.
        ensure(version == Version::Rfc6455 || is_authority(&host, Ports::Exact))?;
        self.check_body(version)?;
        let key = self.check_keys(version)?;
        let origin = self.check_origin(version, number)?;
        self.check_target(version)?;
        let subprotocol = self.check_subprotocols(version)?;
        if version == Version::Rfc6455 {
            // R-H12.
            for line in self.values("Sec-WebSocket-Extensions") {
                let elements = split_unquoted(&line, ',').ok_or(refused(400))?;
                let mut elements = elements.into_iter().map(trim);
                ensure(elements.all(|element| element.is_empty() || is_extension(element)))?;
            }
        }
        let scheme = if self.policy.secure { "wss" } else { "ws" };
        let location = format!("{scheme}://{host}{}", self.head.target);
        let lines = answer(version, &key, origin, &location, subprotocol);
        Ok(Outcome::Accepted {
            version,
            number,
            lines,
        })
    }

    /// X13: what an HTTP server gets, as its end is where everybody sees it.
    fn plain(&self) -> Result<Outcome, Outcome> {
        let target = &self.head.target;
        ensure(!target.contains('#') && target.parse::<http::Uri>().is_ok())?;
        let lengths = self.values("Content-Length");
        if self.values("Transfer-Encoding").is_empty() {
            ensure(match &*lengths {
                [] => true,
                [only] => only.parse::<u64>().is_ok() && !only.starts_with('+'),
                _ => false,
            })?;
        } else {
            let codings = self.list("Transfer-Encoding");
            let is_chunked = matches!(&*codings, [only] if only.eq_ignore_ascii_case("chunked"));
            let is_old = self.head.http_version == "HTTP/1.0";
            ensure(is_chunked && lengths.is_empty() && !is_old)?;
        }
        Ok(Outcome::Http)
    }

    /// X7, X12, D75-S4: what is no head.
    fn check_form(&self) -> Result<(), Outcome> {
        for (index, (name, value)) in self.head.lines.iter().enumerate() {
            ensure(!name.starts_with([' ', '\t']))?;
            if index >= self.policy.header_limit {
                return Err(refused(431));
            }
            ensure(!value.contains(|char: char| char.is_ascii_control() && char != '\t'))?;
        }
        ensure(self.head.lines.iter().all(|(name, _)| is_token(name)))?;
        ensure(matches!(&*self.head.http_version, "HTTP/1.0" | "HTTP/1.1"))
    }

    /// The rows of PROTOCOL.md §4.
    fn choose(&self) -> Result<(Version, Option<u8>), Outcome> {
        let [draft75, draft76, rfc6455] = self.policy.enabled;
        let status = |status, lists_versions: bool| {
            let lists_versions = Some(lists_versions && rfc6455);
            Err(Outcome::Refused {
                status,
                lists_versions,
            })
        };
        let is_there = |name| !self.values(name).is_empty();
        let versions = self.values("Sec-WebSocket-Version");
        let keys = ["Sec-WebSocket-Key1", "Sec-WebSocket-Key2"].map(|name| self.values(name).len());
        let draft = self.values("Sec-WebSocket-Draft");
        if let [only] = &*versions {
            let numbers: Vec<u8> = (0..=255)
                .filter(|number: &u8| number.to_string() == *only)
                .collect();
            return match &*numbers {
                [number @ (13 | 8 | 7)] if rfc6455 => Ok((Version::Rfc6455, Some(*number))), // Rows 1, 2.
                [_] => status(426, true), // Row 3.
                _ => status(400, true),   // Row 4.
            };
        }
        if !versions.is_empty() || is_there("Sec-WebSocket-Key") {
            return status(400, true); // Rows 4, 5.
        }
        match keys {
            [1, 1] if draft.is_empty() || draft == ["0"] => {
                if draft76 {
                    // Row 6.
                    Ok((Version::Draft76, None))
                } else {
                    // Row 6, refused as in row 9; never draft-75, which would be a downgrade (X26).
                    status(426, true)
                }
            }
            [0, 0] if draft.is_empty() => {
                if draft75 && is_there("Origin") && self.values("Upgrade") == ["WebSocket"] {
                    // Row 9.
                    Ok((Version::Draft75, None))
                } else {
                    // Row 9.
                    status(426, true)
                }
            }
            _ => Err(refused(400)), // Rows 7, 8 and 10.
        }
    }

    /// X13.
    fn check_body(&self, version: Version) -> Result<(), Outcome> {
        ensure(self.values("Transfer-Encoding").is_empty())?;
        ensure(match &*self.values("Content-Length") {
            [] => true,
            [only] => match version {
                Version::Draft75 => only == "0",
                Version::Draft76 => only == "0" || only == "8",
                Version::Rfc6455 => !only.is_empty() && only.trim_matches('0').is_empty(),
            },
            _ => false,
        })
    }

    /// R-H7, K1 to K9; returns the key of RFC 6455.
    fn check_keys(&self, version: Version) -> Result<String, Outcome> {
        let names: &[&str] = match version {
            Version::Draft75 => &[],
            Version::Draft76 => &["Sec-WebSocket-Key1", "Sec-WebSocket-Key2"],
            Version::Rfc6455 => &["Sec-WebSocket-Key"],
        };
        let mut last = String::new();
        for name in names {
            let values = self.values(name);
            let [key] = &*values else {
                return Err(refused(400));
            };
            ensure(match version {
                Version::Rfc6455 => is_rfc6455_key(key),
                _ => is_draft76_key(key),
            })?;
            last.clone_from(key);
        }
        Ok(last)
    }

    /// R-H10, D76-S5, Q9; versions 7 and 8 have a header of their own.
    fn check_origin(
        &self,
        version: Version,
        number: Option<u8>,
    ) -> Result<Option<String>, Outcome> {
        // The drafts echo it; RFC 6455 only compares it.
        let header = |name| match version {
            Version::Draft75 | Version::Draft76 => self.text(name),
            Version::Rfc6455 => {
                let mut values = self.values(name);
                ensure(values.len() < 2)?;
                Ok(values.pop())
            }
        };
        let mut origin = header("Origin")?;
        if matches!(number, Some(7 | 8)) {
            origin = header("Sec-WebSocket-Origin")?.or(origin);
        }
        let Some(origin) = origin else {
            ensure(version != Version::Draft76 || !self.policy.require_origin)?;
            return Ok(None);
        };
        // X4: the scheme, the host and the port.
        let normal = origin.to_ascii_lowercase();
        let is_ours = matches!(&*normal, "http://example.com" | "http://example.com:80");
        if self.policy.checks_origin && !is_ours {
            return Err(refused(403));
        }
        Ok(Some(origin))
    }

    /// R-H3, D76-S9, D75-C2.
    fn check_target(&self, version: Version) -> Result<(), Outcome> {
        let target = &self.head.target;
        ensure(!target.contains('#'))?;
        let lower = target.to_ascii_lowercase();
        let schemes = ["http://", "https://"];
        let rest = schemes.iter().find_map(|scheme| lower.strip_prefix(scheme));
        ensure(match rest {
            Some(rest) if version == Version::Rfc6455 => {
                is_authority(rest.split(['/', '?']).next().unwrap(), Ports::Rfc3986)
            }
            _ => target.starts_with('/'),
        })
    }

    /// R-H11, R-R5, D76-R4, D75-R4, Q19.
    fn check_subprotocols(&self, version: Version) -> Result<Option<String>, Outcome> {
        let offered: Vec<String> = match version {
            Version::Rfc6455 => self.list("Sec-WebSocket-Protocol"),
            Version::Draft76 => self.text("Sec-WebSocket-Protocol")?.into_iter().collect(),
            Version::Draft75 => self.text("WebSocket-Protocol")?.into_iter().collect(),
        };
        let ours = self
            .policy
            .subprotocols
            .iter()
            .map(|name| (*name).to_owned());
        let chosen = ours.clone().find(|name| offered.contains(name));
        if version == Version::Rfc6455 {
            for (index, name) in offered.iter().enumerate() {
                ensure(is_token(name) && !offered[..index].contains(name))?;
            }
        } else {
            // A client of a draft insists on what it asks for.
            ensure(offered.is_empty() || chosen.is_some())?;
        }
        Ok(chosen)
    }

    /// The values of a header, without white space around them.
    fn values(&self, name: &str) -> Vec<String> {
        let lines = self.head.lines.iter();
        let named = lines.filter(|(seen, _)| seen.eq_ignore_ascii_case(name));
        named.map(|(_, value)| trim(value).to_owned()).collect()
    }

    /// The elements of a header that is a list; empty ones are none.
    fn list(&self, name: &str) -> Vec<String> {
        let all = self.values(name);
        all.iter()
            .flat_map(|line| line.split(','))
            .map(|element| trim(element).to_owned())
            .filter(|element| !element.is_empty())
            .collect()
    }

    /// The value of a header that is there at most once (X13) and can be echoed (X7).
    fn text(&self, name: &str) -> Result<Option<String>, Outcome> {
        let mut values = self.values(name);
        ensure(values.len() < 2)?;
        let value = values.pop();
        let is_text = |value: &String| {
            !value.is_empty() && value.bytes().all(|byte| matches!(byte, 0x20..=0x7e))
        };
        ensure(value.iter().all(is_text))?;
        Ok(value)
    }
}

/// R-R1 to R-R6, D76-R1 to D76-R4, D75-R1 to D75-R4, Q15, Q16.
fn answer(
    version: Version,
    key: &str,
    origin: Option<String>,
    location: &str,
    subprotocol: Option<String>,
) -> Vec<String> {
    let (status, upgrade, sec) = match version {
        Version::Draft75 => ("101 Web Socket Protocol Handshake", "WebSocket", ""),
        Version::Draft76 => ("101 WebSocket Protocol Handshake", "WebSocket", "Sec-"),
        Version::Rfc6455 => ("101 Switching Protocols", "websocket", "Sec-"),
    };
    let mut lines = vec![
        format!("HTTP/1.1 {status}"),
        format!("Upgrade: {upgrade}"),
        "Connection: Upgrade".to_owned(),
    ];
    if version == Version::Rfc6455 {
        let accept = ACCEPTS
            .iter()
            .find(|(vector, _)| *vector == key)
            .map(|(_, accept)| *accept);
        lines.push(format!(
            "Sec-WebSocket-Accept: {}",
            accept.unwrap_or("unknown")
        ));
    } else {
        lines.extend(origin.map(|origin| format!("{sec}WebSocket-Origin: {origin}")));
        lines.push(format!("{sec}WebSocket-Location: {location}"));
    }
    lines.extend(subprotocol.map(|name| format!("{sec}WebSocket-Protocol: {name}")));
    in_order(version, lines)
}

/// Only draft-75 prescribes the order of the lines (D75-R1, D76-R1).
pub fn in_order(version: Version, mut lines: Vec<String>) -> Vec<String> {
    if version != Version::Draft75 {
        lines[1..].sort();
    }
    lines
}

fn ensure(condition: bool) -> Result<(), Outcome> {
    condition.then_some(()).ok_or(refused(400))
}

fn refused(status: u16) -> Outcome {
    Outcome::Refused {
        status,
        lists_versions: None,
    }
}

pub fn trim(value: &str) -> &str {
    value.trim_matches([' ', '\t'])
}

fn is_token(text: &str) -> bool {
    let is_separator = |char: char| "()<>@,;:\\\"/[]?={} \t".contains(char);
    !text.is_empty()
        && text
            .chars()
            .all(|char| char.is_ascii_graphic() && !is_separator(char))
}

/// What may stand behind the colon of an authority.
#[derive(Clone, Copy, PartialEq)]
enum Ports {
    /// A number as one writes it.
    Exact,
    /// `*DIGIT`, up to 65535.
    Rfc3986,
}

/// X9: `host[:port]`.
fn is_authority(text: &str, ports: Ports) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_port = |port: &str| match ports {
        Ports::Exact => (1..=65_535).any(|number: u32| number.to_string() == port),
        Ports::Rfc3986 => {
            port.chars().all(|char| char.is_ascii_digit())
                && format!("0{port}")
                    .parse()
                    .is_ok_and(|number: u128| number < 65_536)
        }
    };
    let is_host = match host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(literal) => literal.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let is_name =
                |char: char| char.is_ascii_alphanumeric() || "-._~%!$&'()*+,;=".contains(char);
            !host.is_empty() && host.chars().all(is_name)
        }
    };
    is_host && port.is_none_or(is_port)
}

/// Base64 of 16 bytes; the spare bits are not looked at.
fn is_rfc6455_key(key: &str) -> bool {
    let is_digit = |char: char| char.is_ascii_alphanumeric() || char == '+' || char == '/';
    let digits = key.strip_suffix("==");
    digits.is_some_and(|digits| digits.len() == 22 && digits.chars().all(is_digit))
}

/// PROTOCOL.md §2.3.
fn is_draft76_key(key: &str) -> bool {
    let digits: String = key.chars().filter(char::is_ascii_digit).collect();
    let spaces = u128::try_from(key.matches(' ').count()).unwrap();
    let Ok(number) = digits.parse::<u128>() else {
        return false;
    };
    spaces > 0 && number % spaces == 0 && number / spaces <= u128::from(u32::MAX)
}

/// Splits at a separator that is not in quotes; `None` if a quote does not end.
fn split_unquoted(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, char) in text.char_indices() {
        if is_quoted && !is_escaped && char == '\\' {
            is_escaped = true;
            continue;
        }
        if char == '"' && !is_escaped {
            is_quoted = !is_quoted;
        }
        if char == separator && !is_quoted {
            parts.push(&text[start..at]);
            start = at + 1;
        }
        is_escaped = false;
    }
    parts.push(&text[start..]);
    (!is_quoted).then_some(parts)
}

/// `token *( ";" token [ "=" ( token | quoted ) ] )`.
fn is_extension(element: &str) -> bool {
    let Some(parts) = split_unquoted(element, ';') else {
        return false;
    };
    let mut parts = parts.into_iter();
    let name = trim(parts.next().unwrap());
    is_token(name)
        && parts.all(|part| match part.split_once('=') {
            None => is_token(trim(part)),
            Some((name, value)) => is_token(trim(name)) && is_value(trim(value)),
        })
}

/// A token, or whatever stands between two quotes with no other one between them that is not escaped.
fn is_value(value: &str) -> bool {
    let Some(rest) = value.strip_prefix('"') else {
        return is_token(value);
    };
    let mut chars = rest.chars();
    while let Some(char) = chars.next() {
        match char {
            '"' => return chars.as_str().is_empty(),
            '\\' => drop(chars.next()),
            _ => {}
        }
    }
    false
}

impl Head {
    pub fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} {}\r\n", self.method, self.target, self.http_version);
        for (name, value) in &self.lines {
            text += &format!("{name}:{value}\r\n");
        }
        (text + "\r\n").into_bytes()
    }
}

/// As it is on the wire.
impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in String::from_utf8_lossy(&self.bytes()).split("\r\n") {
            write!(f, "\n    {line:?}")?;
        }
        Ok(())
    }
}
