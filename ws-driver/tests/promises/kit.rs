//! Frames, exact reads, and servers whose queues are short.

use std::time::Duration;

use crate::support::peer::Frame;
use crate::support::{ANY, Peer, Server, Sim, seconds};

pub(crate) const HOUR: Duration = seconds(3600);

/// A frame that carries a close code.
pub(crate) fn closing(code: u16) -> Frame {
    (0x88, code.to_be_bytes().to_vec())
}

/// A server's text frame.
pub(crate) fn texted(message: impl AsRef<[u8]>) -> Frame {
    (0x81, message.as_ref().to_vec())
}

/// Reads until `count` bytes have arrived, for a minute at most.
pub(crate) async fn read_exactly(sim: &Sim, peer: &Peer, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..60 * 1000 {
        bytes.extend(peer.read());
        if bytes.len() >= count {
            assert_eq!(bytes.len(), count);
            return bytes;
        }
        sim.sleep(Duration::from_millis(1)).await;
    }
    panic!("{} bytes of {count} arrived", bytes.len());
}

pub(crate) const LIMIT: usize = 16 << 10;

pub(crate) async fn limited_server() -> Server {
    let limit = Some(LIMIT);
    let builder = Server::builder();
    let builder = builder.send_queue_limit(limit).receive_queue_limit(limit);
    builder.bind(ANY).await.unwrap()
}

/// Sends `message` for a minute at most, and returns how many bytes the server has read.
pub(crate) async fn flood(sim: &Sim, peer: &mut Peer, message: Vec<u8>) -> usize {
    let flooding = async {
        for _ in 0..100_000 {
            peer.write(&message).await;
        }
    };
    let done = sim.within(seconds(1), flooding).await;
    assert!(done.is_none(), "the peer was never made to wait");
    peer.link().to_far.read_len
}
