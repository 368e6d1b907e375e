//! Frames of a server, and exact reads of them.

use std::time::Duration;

use ws_testing::sim::peer::Frame;
use ws_testing::sim::{Peer, Sim};

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
