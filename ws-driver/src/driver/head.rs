//! The head that the peer sent in the opening handshake. It is kept packed, because a parsed head is a hash table of
//! over a kilobyte and most are never read. The first reader unpacks it for good.

use std::sync::OnceLock;

use ws_proto::hooks::{PackedRequest, PackedResponse};
use ws_proto::{RequestHead, ResponseHead};

/// The head of the peer's part of the opening handshake.
pub(crate) enum Head {
    Request(PackedRequest, OnceLock<Box<RequestHead>>),
    /// `None` if other code did the handshake. Boxed, so that the variants have a niche for their tag: a server has more
    /// connections than a client.
    Response(Option<Box<KeptResponse>>),
}

pub(crate) struct KeptResponse(PackedResponse, OnceLock<Box<ResponseHead>>);

impl Head {
    pub(crate) const UNKNOWN: Self = Self::Response(None);

    pub(crate) fn of_request(packed: PackedRequest) -> Self {
        Self::Request(packed, OnceLock::new())
    }

    pub(crate) fn of_response(packed: PackedResponse) -> Self {
        let kept = KeptResponse(packed, OnceLock::new());
        Self::Response(Some(Box::new(kept)))
    }

    pub(crate) fn request(&self) -> Option<&RequestHead> {
        match self {
            Self::Request(packed, head) => {
                Some(head.get_or_init(|| Box::new(packed.clone().unpack())))
            }
            Self::Response(_) => None,
        }
    }

    pub(crate) fn response(&self) -> Option<&ResponseHead> {
        match self {
            Self::Response(kept) => {
                let KeptResponse(packed, head) = kept.as_deref()?;
                Some(head.get_or_init(|| Box::new(packed.unpack())))
            }
            Self::Request(..) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::mem::size_of;
    use std::time::Instant;

    use ws_proto::hooks::{PackedEvent, poll_packed_event};
    use ws_proto::{ServerConfig, ServerHandshake};

    use super::*;

    /// Every idle connection has one: two words for the bytes, two for the head that somebody may ask for.
    #[test]
    fn a_head_has_no_word_for_its_tag() {
        assert_eq!(size_of::<Head>(), 4 * size_of::<usize>());
    }

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
        assert!(Head::UNKNOWN.request().is_none());
    }
}
