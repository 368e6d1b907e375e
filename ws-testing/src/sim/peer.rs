//! A peer that a test controls byte by byte, independently of the code under test; and the bytes that it
//! sends.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::MutexGuard;

use futures_io::AsyncWrite;

use super::executor::Sim;
use super::stream::{Link, SimStream};

/// RFC 6455 §1.3, without a subprotocol.
pub const RFC6455: &str = "GET /chat?room=1 HTTP/1.1\r\nHost: server.example.com\r\n\
    Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Origin: http://example.com\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// What a server answers to [`RFC6455`].
pub const OK_6455: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Draft-75 §4.1, with the fields in the order that the draft wants.
pub const DRAFT75: &str = "GET /demo HTTP/1.1\r\nUpgrade: WebSocket\r\n\
    Connection: Upgrade\r\nHost: example.com\r\nOrigin: http://example.com\r\n\r\n";

/// Draft-76 §1.2, without a subprotocol and without key3.
pub const DRAFT76: &str = "GET /demo HTTP/1.1\r\nHost: example.com\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\nUpgrade: WebSocket\r\n\
    Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nOrigin: http://example.com\r\n\r\n";

/// What comes behind [`DRAFT76`].
pub const KEY3: &[u8; 8] = b"^n:ds[4U";

/// What a server answers to [`KEY3`].
pub const ACCEPT_76: &[u8; 16] = b"8jKS'y:G*Co,Wxa-";

/// A raw client on a stream of its own.
pub struct Peer {
    sim: Sim,
    stream: SimStream,
}

impl Peer {
    /// Opens a stream.
    pub fn connect(sim: &Sim, addr: SocketAddr) -> Self {
        let stream = sim.network().connect(addr).unwrap();
        Self {
            sim: sim.clone(),
            stream,
        }
    }

    /// Opens a stream and a connection in RFC 6455, and reads the answer.
    pub async fn open(sim: &Sim, addr: SocketAddr) -> Self {
        let mut peer = Self::connect(sim, addr);
        let answer = peer.ask(RFC6455).await;
        assert!(
            answer.starts_with(OK_6455.as_bytes()),
            "{}",
            answer.escape_ascii()
        );
        peer
    }

    /// Opens a stream and a connection in draft-76, and reads the answer.
    pub async fn open_76(sim: &Sim, addr: SocketAddr) -> Self {
        let mut peer = Self::connect(sim, addr);
        let answer = peer.ask([DRAFT76.as_bytes(), KEY3].concat()).await;
        assert!(answer.ends_with(ACCEPT_76), "{}", answer.escape_ascii());
        peer
    }

    /// Opens a stream and a connection in draft-75, and reads the answer.
    pub async fn open_75(sim: &Sim, addr: SocketAddr) -> Self {
        let mut peer = Self::connect(sim, addr);
        let answer = peer.ask(DRAFT75).await;
        assert!(
            answer.starts_with(b"HTTP/1.1 101 Web Socket Protocol Handshake\r\n"),
            "{}",
            answer.escape_ascii()
        );
        peer
    }

    /// Writes bytes, waits until nothing happens any more, and takes what came back.
    pub async fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        self.write(bytes.as_ref()).await;
        self.sim.settle().await;
        self.read()
    }

    /// Writes bytes, as fast as they are taken.
    pub async fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let stream = &mut self.stream;
            let len = poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, bytes)).await;
            bytes = &bytes[len.unwrap()..];
        }
    }

    /// Takes what has arrived.
    pub fn read(&self) -> Vec<u8> {
        self.stream.take_arrived()
    }

    /// Ends this side of the stream.
    pub async fn end(&mut self) {
        let stream = &mut self.stream;
        poll_fn(|cx| Pin::new(&mut *stream).poll_close(cx))
            .await
            .unwrap();
    }

    /// Tells whether the server has ended its side and everything was read.
    pub fn has_ended(&self) -> bool {
        self.stream.has_ended()
    }

    /// Gives access to the weaknesses of the stream; the far end is the server's.
    pub fn link(&self) -> MutexGuard<'_, Link> {
        self.stream.link()
    }
}

/// A frame of RFC 6455: its first byte and its payload.
pub type Frame = (u8, Vec<u8>);

/// Builds a client's frame.
pub fn masked(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = vec![first_byte];
    match payload.len() {
        len @ 0..=125 => bytes.push(0x80 | u8::try_from(len).unwrap()),
        len => {
            bytes.push(0x80 | 127);
            bytes.extend(u64::try_from(len).unwrap().to_be_bytes());
            if let Ok(len) = u16::try_from(len) {
                bytes.truncate(1);
                bytes.push(0x80 | 126);
                bytes.extend(len.to_be_bytes());
            }
        }
    }
    bytes.extend(KEY);
    let key = KEY.iter().cycle();
    bytes.extend(payload.iter().zip(key).map(|(byte, key)| byte ^ key));
    bytes
}

/// A client's text message.
pub fn text(message: impl AsRef<[u8]>) -> Vec<u8> {
    masked(0x81, message.as_ref())
}

/// A client's ping.
pub fn ping(payload: &[u8]) -> Vec<u8> {
    masked(0x89, payload)
}

/// A client's close with a code.
pub fn close(code: u16) -> Vec<u8> {
    masked(0x88, &code.to_be_bytes())
}

/// Splits what a server sent into frames.
///
/// # Panics
///
/// Panics if it is not whole frames without masks.
pub fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let [first_byte, short_len, rest @ ..] = bytes {
        let (len, rest) = match short_len {
            0..=125 => (usize::from(*short_len), rest),
            126 => {
                let (len, rest) = rest.split_first_chunk().unwrap();
                (usize::from(u16::from_be_bytes(*len)), rest)
            }
            127 => {
                let (len, rest) = rest.split_first_chunk().unwrap();
                (usize::try_from(u64::from_be_bytes(*len)).unwrap(), rest)
            }
            128.. => panic!("a server's frame is masked"),
        };
        let (payload, rest) = rest.split_at_checked(len).expect("the frame is whole");
        frames.push((*first_byte, payload.to_vec()));
        bytes = rest;
    }
    assert!(bytes.is_empty(), "half a frame: {bytes:x?}");
    frames
}
