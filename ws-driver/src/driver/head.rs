//! The head that the peer sent in the opening handshake. It is kept packed, because a parsed head is a hash table of
//! over a kilobyte and most are never read. The first reader unpacks it for good.

use std::sync::OnceLock;

use ws_proto::hooks::{PackedRequest, PackedResponse};
use ws_proto::{RequestHead, ResponseHead};

/// The head of the peer's part of the opening handshake.
pub(crate) enum Head {
    Request(PackedRequest, OnceLock<Box<RequestHead>>),
    Response(PackedResponse, OnceLock<Box<ResponseHead>>),
    /// Other code did the handshake.
    Unknown,
}

impl Head {
    pub(crate) fn of_request(packed: PackedRequest) -> Self {
        Self::Request(packed, OnceLock::new())
    }

    pub(crate) fn of_response(packed: PackedResponse) -> Self {
        Self::Response(packed, OnceLock::new())
    }

    pub(crate) fn request(&self) -> Option<&RequestHead> {
        match self {
            Self::Request(packed, head) => {
                Some(head.get_or_init(|| Box::new(packed.clone().unpack())))
            }
            Self::Response(..) | Self::Unknown => None,
        }
    }

    pub(crate) fn response(&self) -> Option<&ResponseHead> {
        match self {
            Self::Response(packed, head) => Some(head.get_or_init(|| Box::new(packed.unpack()))),
            Self::Request(..) | Self::Unknown => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use ws_proto::hooks::{PackedEvent, poll_packed_event};
    use ws_proto::{ServerConfig, ServerHandshake};

    use super::*;

    /// Who asks twice gets the same head, and it is that of the request.
    #[test]
    fn a_head_is_unpacked_once() {
        let mut handshake = ServerHandshake::new(&ServerConfig::new(), Instant::now());
        handshake.handle_read(
            Instant::now(),
            b"GET /a?b HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        );
        let Some(PackedEvent::Upgrade(request)) = poll_packed_event(&mut handshake) else {
            panic!("it is an upgrade");
        };
        let request = request.into_head();
        let head = Head::of_request(request.clone());
        let (first, second) = (head.request().unwrap(), head.request().unwrap());
        assert!(std::ptr::eq(first, second));
        assert_eq!(first.target(), "/a?b");
        assert_eq!(first.headers(), request.unpack().headers());
        assert!(head.response().is_none());
        assert!(Head::Unknown.request().is_none());
    }
}
