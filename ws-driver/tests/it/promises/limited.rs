//! Servers whose queues are short, and how they are filled.

use ws_testing::sim::{ANY, Peer, Server, Sim, seconds};

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
