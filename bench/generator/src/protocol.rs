//! The versions as a client speaks them: handshakes with fixed keys, whose answers are known by heart,
//! and frames.

use std::io;

use clap::ValueEnum;

use crate::deflate::{Compressing, Inflating};
use crate::frame::{encode_draft, encode_masked, encode_plain};
use crate::socket_io;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    Rfc6455,
    /// The same, with the request of a browser.
    Browser,
    Draft76,
    Draft75,
    /// RFC 6455 with permessage-deflate, each message compressed on its own.
    Deflate,
    /// The same, and both sides keep their contexts.
    Contexts,
    /// RFC 6455 with packets of Socket.IO in it.
    SocketIo,
    /// The frames of RFC 6455 without a handshake, to a server that sends bytes back.
    Raw,
}

impl Protocol {
    /// Returns what a client says first.
    pub(crate) fn request(self) -> &'static [u8] {
        match self {
            Self::Rfc6455 => REQUEST_RFC6455,
            Self::Browser => REQUEST_BROWSER,
            Self::SocketIo => REQUEST_SOCKET_IO,
            Self::Deflate => REQUEST_DEFLATE,
            Self::Contexts => REQUEST_CONTEXTS,
            Self::Draft76 => REQUEST_DRAFT76,
            Self::Draft75 => REQUEST_DRAFT75,
            Self::Raw => b"",
        }
    }

    /// Returns whether the answer is complete.
    ///
    /// # Errors
    ///
    /// Fails if it is not a correct one.
    pub(crate) fn check_response(self, response: &[u8]) -> io::Result<bool> {
        if self == Self::Raw {
            return Ok(response.is_empty());
        }
        let Some(end) = response.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(false);
        };
        let (head, rest) = response.split_at(end + 4);
        let head = head.to_ascii_lowercase();
        let has = |line: &[u8]| head.windows(line.len()).any(|part| part == line);
        if !head.starts_with(b"http/1.1 101 ") || !has(b"\r\nupgrade: websocket\r\n") {
            return Err(io::Error::other("the upgrade was not accepted"));
        }
        if self == Self::SocketIo && has(ACCEPT_RFC6455) {
            return socket_io::is_opened(rest);
        }
        let (is_right, trailer): (bool, &[u8]) = match self {
            Self::Rfc6455 | Self::Browser | Self::SocketIo => (has(ACCEPT_RFC6455), b""),
            Self::Deflate => (has(ACCEPT_RFC6455) && has(AGREED_DEFLATE), b""),
            Self::Contexts => {
                let keeps = !has(b"_no_context_takeover") && !has(b"_max_window_bits");
                (has(ACCEPT_RFC6455) && has(AGREED_CONTEXTS) && keeps, b"")
            }
            Self::Draft76 => (has(b"\r\nsec-websocket-location: ws://"), DIGEST_DRAFT76),
            Self::Draft75 | Self::Raw => (has(b"\r\nwebsocket-location: ws://"), b""),
        };
        if !is_right || !trailer.starts_with(rest) {
            return Err(io::Error::other("the answer to the upgrade is wrong"));
        }
        Ok(rest == trailer)
    }

    /// Whether a message that is sent may refer to those before it.
    pub(crate) fn keeps_contexts(self) -> bool {
        self == Self::Contexts
    }

    /// Returns what inflates the answers, if they are compressed.
    pub(crate) fn inflating(self) -> Option<Inflating> {
        match self {
            Self::Deflate | Self::Contexts => Some(Inflating::new(self.keeps_contexts())),
            Self::Rfc6455
            | Self::Browser
            | Self::SocketIo
            | Self::Draft76
            | Self::Draft75
            | Self::Raw => None,
        }
    }

    /// Appends a text message as a client sends it, compressed by `compressing` if it is.
    pub(crate) fn encode_sent(
        self,
        payload: &[u8],
        masking_key: [u8; 4],
        compressing: &mut Compressing,
        frame: &mut Vec<u8>,
    ) {
        match self {
            Self::Rfc6455 | Self::Browser | Self::Raw => {
                encode_masked(0x81, payload, masking_key, frame);
            }
            Self::SocketIo => {
                encode_masked(0x81, &socket_io::event(payload), masking_key, frame);
            }
            Self::Deflate | Self::Contexts => {
                if !self.keeps_contexts() {
                    compressing.begin();
                }
                let compressed = compressing.compress(payload);
                encode_masked(0xc1, &compressed, masking_key, frame);
            }
            Self::Draft76 | Self::Draft75 => encode_draft(payload, frame),
        }
    }

    /// Appends the same message as a server returns it, or as it is when it is inflated.
    pub(crate) fn encode_returned(self, payload: &[u8], masking_key: [u8; 4], frame: &mut Vec<u8>) {
        match self {
            Self::Rfc6455 | Self::Browser | Self::Deflate | Self::Contexts => {
                encode_plain(payload, frame);
            }
            Self::SocketIo => encode_plain(&socket_io::event(payload), frame),
            Self::Raw => encode_masked(0x81, payload, masking_key, frame),
            Self::Draft76 | Self::Draft75 => encode_draft(payload, frame),
        }
    }
}

/// The example of RFC 6455 §1.3, with these lines behind its own, and perhaps another path.
macro_rules! request_rfc6455 {
    ($lines:literal) => {
        request_rfc6455!($lines, "/chat")
    };
    ($lines:literal, $path:literal) => {
        concat!(
            "GET ",
            $path,
            " HTTP/1.1\r\n",
            "Host: server.example.com\r\n",
            "Upgrade: websocket\r\n",
            "Connection: Upgrade\r\n",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            "Origin: http://example.com\r\n",
            "Sec-WebSocket-Version: 13\r\n",
            $lines,
            "\r\n"
        )
        .as_bytes()
    };
}

const REQUEST_RFC6455: &[u8] = request_rfc6455!("");

const REQUEST_SOCKET_IO: &[u8] = request_rfc6455!("", "/socket.io/?EIO=4&transport=websocket");

/// What Chromium adds for a page on the same host; a cookie, which would come on top, is not among it.
const REQUEST_BROWSER: &[u8] = request_rfc6455!(
    "Pragma: no-cache\r\n\
     Cache-Control: no-cache\r\n\
     User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n\
     Accept-Encoding: gzip, deflate, br, zstd\r\n\
     Accept-Language: en-US,en;q=0.9\r\n\
     Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
);

/// RFC 7692 §7.1.1: nobody keeps a context.
const REQUEST_DEFLATE: &[u8] = request_rfc6455!(
    "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n"
);

/// RFC 7692 §7.1: the largest windows, and both keep their contexts.
const REQUEST_CONTEXTS: &[u8] =
    request_rfc6455!("Sec-WebSocket-Extensions: permessage-deflate\r\n");

const AGREED_CONTEXTS: &[u8] = b"\r\nsec-websocket-extensions: permessage-deflate\r\n";

const AGREED_DEFLATE: &[u8] = b"\r\nsec-websocket-extensions: permessage-deflate;";

const ACCEPT_RFC6455: &[u8] = b"\r\nsec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n";

/// The keys of draft-76 §1.3.
const REQUEST_DRAFT76: &[u8] = b"GET /chat HTTP/1.1\r\n\
    Host: server.example.com\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Key2: 1_ tx7X d  <  nw  334J702) 7]o}` 0\r\n\
    Upgrade: WebSocket\r\n\
    Sec-WebSocket-Key1: 18x 6]8vM;54 *(5:  {   U1]8  z [  8\r\n\
    Origin: http://example.com\r\n\
    \r\n\
    Tm[K T2u";

const DIGEST_DRAFT76: &[u8; 16] = b"fQJ,fN/4F4!~K~MH";

const REQUEST_DRAFT75: &[u8] = b"GET /chat HTTP/1.1\r\n\
    Upgrade: WebSocket\r\n\
    Connection: Upgrade\r\n\
    Host: server.example.com\r\n\
    Origin: http://example.com\r\n\
    \r\n";
