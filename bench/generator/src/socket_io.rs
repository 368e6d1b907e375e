//! What Socket.IO puts around a message: version 4 of Engine.IO over its plain WebSocket transport, and version 5 of the
//! Socket.IO protocol in the main namespace. Each packet is a text: a digit for Engine.IO, one for Socket.IO, and JSON.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use crate::frame;
use crate::tls::Stream;

/// Returns the packet of an event with a text, in which JSON has nothing to escape.
pub(crate) fn event(text: &[u8]) -> Vec<u8> {
    [b"42[\"m\",\"", text, b"\"]"].concat()
}

/// Returns whether the packet is complete that a server sends first: a frame with the digit 0.
///
/// # Errors
///
/// Fails if it is another packet, or if there is more.
pub(crate) fn is_opened(bytes: &[u8]) -> io::Result<bool> {
    let (header_len, payload_len) = match *bytes {
        [_, 126, high, low, ..] => (4, u16::from_be_bytes([high, low])),
        [_, len, ..] if len < 126 => (2, u16::from(len)),
        _ => return Ok(false),
    };
    let missing = (header_len + usize::from(payload_len)).checked_sub(bytes.len());
    match (bytes.first(), bytes.get(header_len), missing) {
        (Some(0x81), None | Some(b'0'), Some(missing)) => Ok(missing == 0),
        _ => Err(io::Error::other("the first packet of Socket.IO is wrong")),
    }
}

/// Enters the main namespace.
pub(crate) fn enter(stream: &mut Stream<TcpStream>) -> io::Result<()> {
    let mut request = Vec::new();
    frame::encode_masked(0x81, b"40", [0; 4], &mut request);
    stream.write_all(&request)?;
    let mut header = [0; 2];
    stream.read_exact(&mut header)?;
    let [0x81, len @ 2..=125] = header else {
        return Err(io::Error::other("the answer of Socket.IO is no short text"));
    };
    let mut answer = vec![0; usize::from(len)];
    stream.read_exact(&mut answer)?;
    match answer.starts_with(b"40") {
        true => Ok(()),
        false => Err(io::Error::other("Socket.IO did not accept the namespace")),
    }
}
