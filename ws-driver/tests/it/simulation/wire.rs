//! What goes over the wire, written a second time and as plainly as it can be: the frames that a client
//! sends, and an ear that understands what a server says. Shares nothing with the code under test.

use ws_driver::ws_proto::Version;

use super::compression::Agreement;
use ws_testing::sim::Rng;
use ws_testing::sim::peer::{ACCEPT_76, DRAFT75, DRAFT76, KEY3, RFC6455, masked};
use ws_testing::zlib::Deflater;

/// Builds an opening handshake for a path, with an offer of extensions where the version has them.
pub(crate) fn request(version: Version, path: &str, offer: Option<&str>) -> Vec<u8> {
    match version {
        Version::Draft75 => DRAFT75.replacen("/demo", path, 1).into_bytes(),
        Version::Draft76 => {
            let head = DRAFT76.replacen("/demo", path, 1);
            [head.as_bytes(), KEY3].concat()
        }
        Version::Rfc6455 => {
            let mut head = RFC6455.replacen("/chat?room=1", path, 1);
            if let Some(offer) = offer {
                head.truncate(head.len() - 2);
                head += &format!("Sec-WebSocket-Extensions: {offer}\r\n\r\n");
            }
            head.into_bytes()
        }
    }
}

/// Builds a message, in RFC 6455 at times in fragments with a ping in between, and at times compressed if
/// that was agreed on.
pub(crate) fn message(
    version: Version,
    is_text: bool,
    payload: &[u8],
    deflater: Option<&mut Deflater>,
    rng: &mut Rng,
) -> Vec<u8> {
    match version {
        Version::Draft75 | Version::Draft76 => [&[0], payload, &[0xff]].concat(),
        Version::Rfc6455 => {
            let mut opcode = if is_text { 1 } else { 2 };
            let deflater = deflater.filter(|_| !rng.once_in(4));
            let compressed = deflater.map(|deflater| deflater.compress(payload));
            let payload = match &compressed {
                Some(compressed) => {
                    opcode |= RSV1;
                    compressed
                }
                None => payload,
            };
            if !rng.once_in(4) || payload.len() < 3 {
                return masked(0x80 | opcode, payload);
            }
            let (first, rest) = payload.split_at(rng.len(1..=payload.len() - 2));
            let (second, third) = rest.split_at(rng.len(0..=rest.len()));
            let mut bytes = masked(opcode, first);
            bytes.extend(masked(0, second));
            if rng.once_in(2) {
                bytes.extend(masked(0x89, b"in between"));
            }
            bytes.extend(masked(0x80, third));
            bytes
        }
    }
}

/// Builds a close, if the version has one.
pub(crate) fn close(version: Version, code: Option<u16>) -> Vec<u8> {
    match version {
        Version::Draft75 => Vec::new(),
        Version::Draft76 => vec![0xff, 0],
        Version::Rfc6455 => {
            let code = code.map(u16::to_be_bytes);
            masked(0x88, code.as_ref().map_or(&[], |code| &code[..]))
        }
    }
}

/// Builds what no client may send.
pub(crate) fn malice(version: Version, rng: &mut Rng) -> Vec<u8> {
    match version {
        Version::Draft75 | Version::Draft76 => match rng.below(4) {
            0 => b"\x01never\xff".to_vec(),
            1 => b"\0\xc3( is not utf-8\xff".to_vec(),
            2 => [&[0x80][..], &[0xff; 12]].concat(),
            _ => b"\xf0 \x85".to_vec(),
        },
        Version::Rfc6455 => match rng.below(9) {
            0 => b"\x81\x05naked".to_vec(),
            // The first reserved bit may have been agreed on.
            1 => masked(0xa1, b"reserved bit"),
            2 => masked(0x83, b"opcode 3"),
            3 => masked(0x81, b"\xff not utf-8"),
            4 => masked(0x80, b"stray"),
            5 => masked(0x88, b"\x03"),
            6 => [&[0x82, 0xff][..], &[0x7f; 8], b"mask and more"].concat(),
            7 => masked(0x09, b"half a ping"),
            _ => [masked(0x01, b"open"), masked(0x81, b"again")].concat(),
        },
    }
}

/// Builds a head that is none, or not one of an upgrade that is let in.
pub(crate) fn bad_head(version: Version, path: &str, rng: &mut Rng) -> Vec<u8> {
    let good = String::from_utf8_lossy(&request(version, path, None)).into_owned();
    match rng.below(7) {
        0 => (0..300).map(|_| b"\r\n\0 :ABC\xff"[rng.below(9)]).collect(),
        1 => b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(),
        2 => good.replace("Host", "Cookie").into_bytes(),
        3 => format!(
            "GET / HTTP/1.1\r\nHost: a\r\nCookie: {}\r\n",
            "x".repeat(70_000)
        )
        .into_bytes(),
        4 => good.replace("Version: 13", "Version: 99").into_bytes(),
        5 => good.replace("Key", "Kay").into_bytes(),
        _ => good.replace("HTTP/1.1", "HTTP/1.0").into_bytes(),
    }
}

/// What an ear heard.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// An answer to a request that opened nothing, with its status.
    Http(u16),
    Open,
    Message(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close,
}

/// Understands what a server sends to a client, in any portions.
pub(crate) struct Ear {
    version: Version,
    bytes: Vec<u8>,
    is_open: bool,
    /// What has come of a message in fragments, and whether it is compressed.
    partial: Option<(Vec<u8>, bool)>,
    /// How messages are compressed, if that was agreed on.
    agreement: Option<Agreement>,
    has_closed: bool,
}

impl Ear {
    pub(crate) fn new(version: Version) -> Self {
        Self {
            version,
            bytes: Vec::new(),
            is_open: false,
            partial: None,
            agreement: None,
            has_closed: false,
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Tells whether nothing is left over: between frames, not in the middle of one.
    pub(crate) fn is_at_boundary(&self) -> bool {
        self.bytes.is_empty() && self.partial.is_none()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    pub(crate) fn agreement(&mut self) -> Option<&mut Agreement> {
        self.agreement.as_mut()
    }

    /// Returns what comes next, or what is wrong with it.
    pub(crate) fn hear(&mut self) -> Result<Option<Heard>, String> {
        if !self.is_open {
            return self.hear_head();
        }
        // Pings are answered until the peer closes, too (R-F13).
        if self.has_closed && !self.bytes.is_empty() && !self.bytes.starts_with(&[0x8a]) {
            let start = &self.bytes[..self.bytes.len().min(40)];
            return Err(format!(
                "behind the server's close: {}",
                start.escape_ascii()
            ));
        }
        let heard = match self.version {
            Version::Draft75 | Version::Draft76 => self.hear_draft(),
            Version::Rfc6455 => self.hear_frame(),
        }?;
        self.has_closed |= heard == Some(Heard::Close);
        Ok(heard)
    }

    fn hear_head(&mut self) -> Result<Option<Heard>, String> {
        let Some(end) = self.bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = String::from_utf8_lossy(&self.bytes[..end]).to_ascii_lowercase();
        let status = head.get(9..12).and_then(|status| status.parse().ok());
        let status: u16 = status.ok_or_else(|| format!("no status in {head:?}"))?;
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
        let mut len = match field("content-length: ") {
            Some(len) => len.parse().map_err(|_| format!("no length in {head:?}"))?,
            None => 0,
        };
        if status == 101 && self.version == Version::Draft76 {
            len = ACCEPT_76.len();
        }
        let end = end + 4;
        let Some(rest) = self.bytes.get(end..end + len) else {
            return Ok(None);
        };
        if status != 101 {
            self.bytes.drain(..end + len);
            return Ok(Some(Heard::Http(status)));
        }
        if self.version == Version::Draft76 && rest != ACCEPT_76 {
            return Err("wrong answer to the challenge".to_owned());
        }
        self.agreement = field("sec-websocket-extensions: ").map(Agreement::of);
        self.bytes.drain(..end + len);
        self.is_open = true;
        Ok(Some(Heard::Open))
    }

    fn hear_draft(&mut self) -> Result<Option<Heard>, String> {
        match self.bytes[..] {
            [] | [0xff] => Ok(None),
            [0, ..] => {
                let Some(end) = self.bytes.iter().position(|byte| *byte == 0xff) else {
                    return Ok(None);
                };
                let payload = self.bytes[1..end].to_vec();
                self.bytes.drain(..=end);
                Ok(Some(Heard::Message(payload)))
            }
            [0xff, 0, ..] if self.version == Version::Draft76 => {
                self.bytes.drain(..2);
                Ok(Some(Heard::Close))
            }
            [first, ..] => Err(format!("frame type {first:#x} from a server")),
        }
    }

    fn hear_frame(&mut self) -> Result<Option<Heard>, String> {
        let [first, short, rest @ ..] = &self.bytes[..] else {
            return Ok(None);
        };
        let len_len = match short {
            0..=125 => 0,
            126 => 2,
            127 => 8,
            128.. => return Err("a server's frame is masked".to_owned()),
        };
        let Some(long) = rest.get(..len_len) else {
            return Ok(None);
        };
        let mut len = usize::from(*short);
        if len_len > 0 {
            len = long
                .iter()
                .fold(0, |len, byte| len << 8 | usize::from(*byte));
        }
        let Some(payload) = rest.get(len_len..len_len + len) else {
            return Ok(None);
        };
        let (first, payload) = (*first, payload.to_vec());
        self.bytes.drain(..2 + len_len + len);
        let is_last = first & 0x80 != 0;
        match first & 0x7f {
            1 | 2 if self.partial.is_none() => self.partial = Some((payload, false)),
            0x41 | 0x42 if self.partial.is_none() && self.agreement.is_some() => {
                self.partial = Some((payload, true));
            }
            0 => match &mut self.partial {
                Some((partial, _)) => partial.extend(payload),
                None => return Err("a stray continuation".to_owned()),
            },
            8 => return Ok(Some(Heard::Close)),
            9 => return Ok(Some(Heard::Ping(payload))),
            10 => return Ok(Some(Heard::Pong)),
            _ => return Err(format!("first byte {first:#x} from a server")),
        }
        match is_last {
            true => Ok(self.partial.take().map(|partial| self.whole(partial))),
            false => self.hear(),
        }
    }

    fn whole(&mut self, (payload, is_compressed): (Vec<u8>, bool)) -> Heard {
        let agreement = self.agreement.as_mut().filter(|_| is_compressed);
        Heard::Message(match agreement {
            Some(agreement) => agreement.inflater.inflate(&payload),
            None => payload,
        })
    }
}

/// The bit of a message that is compressed (RFC 7692 §6).
const RSV1: u8 = 0x40;
