//! Servers with a policy, peers that do not read, and numbered messages.

use std::sync::{Arc, Mutex};

use ws_driver::{ConnectionId, Sender, SlowPeer};

use ws_testing::sim::peer::{Frame, frames};
use ws_testing::sim::{ANY, Peer, Server, Sim, echo, serve};

/// The send queue limit of these servers.
pub(crate) const LIMIT: usize = 10_000;

/// The payload of most messages, and what it makes on the wire.
pub(crate) const LEN: usize = 1000;

pub(crate) const FRAME_LEN: usize = LEN + 4;

/// Messages that are taken while less than [`LIMIT`] waits.
pub(crate) const TAKEN: usize = LIMIT.div_ceil(FRAME_LEN);

pub(crate) const POLICIES: [SlowPeer; 4] = [
    SlowPeer::Wait,
    SlowPeer::DropNewest,
    SlowPeer::DropOldest,
    SlowPeer::Close,
];

pub(crate) async fn server_with(sim: &Sim, policy: SlowPeer) -> Server {
    let server = Server::builder()
        .slow_peer(policy)
        .send_queue_limit(Some(LIMIT));
    let server = server.bind(ANY).await.unwrap();
    serve(sim, &server, echo);
    server
}

/// A message of [`LEN`] bytes that begins with its number.
pub(crate) fn numbered(number: usize) -> String {
    format!("{number:<LEN$}")
}

/// The numbers of messages in frames of RFC 6455; anything else is a mistake.
pub(crate) fn numbers(bytes: &[u8]) -> Vec<usize> {
    let number = |(first_byte, payload): Frame| {
        assert_eq!((first_byte, payload.len()), (0x81, LEN));
        let text = String::from_utf8(payload).unwrap();
        text.trim_end().parse().unwrap()
    };
    frames(bytes).into_iter().map(number).collect()
}

/// Opens a connection whose peer does not read.
pub(crate) async fn open_slow(sim: &Sim, server: &Server) -> (Peer, Sender) {
    let peer = Peer::open(sim, server.local_addr()).await;
    peer.link().to_near.capacity = 0;
    let newest = server
        .clients()
        .iter()
        .max_by_key(|sender| order(sender.id()));
    (peer, newest.unwrap())
}

/// Fills the send queue of a peer that does not read.
pub(crate) fn fill(sender: &Sender) {
    for _ in 0..TAKEN {
        sender.try_send(numbered(0)).unwrap();
    }
    assert!(sender.try_send("one more").is_err());
}

/// Broadcasts a range of messages, whoever takes them.
pub(crate) fn broadcast_all(server: &Server, range: std::ops::Range<usize>) {
    for number in range {
        server.broadcast(numbered(number));
    }
}

/// Ids in the order in which they were given.
pub(crate) fn order(id: ConnectionId) -> u64 {
    let id = id.to_string();
    id.split_once('.').unwrap().1.parse().unwrap()
}

/// Lets a slow peer read all that comes, for a minute at most.
pub(crate) async fn read_all(sim: &Sim, peer: &Peer) -> Vec<u8> {
    peer.link().to_near.capacity = 5000;
    let mut bytes = Vec::new();
    for _ in 0..1000 {
        let read = peer.read();
        sim.settle().await;
        if read.is_empty() && peer.link().to_near.bytes.is_empty() {
            return bytes;
        }
        bytes.extend(read);
    }
    panic!("the server writes for ever");
}

pub(crate) fn too_slow() -> Frame {
    (0x88, [&1013u16.to_be_bytes()[..], b"too slow"].concat())
}

/// A future's output, once it has come.
pub(crate) fn spawned<T: Send + 'static>(
    sim: &Sim,
    future: impl Future<Output = T> + Send + 'static,
) -> Arc<Mutex<Option<T>>> {
    let slot = Arc::new(Mutex::new(None));
    let output = Arc::clone(&slot);
    sim.spawn_task(async move {
        let value = future.await;
        *output.lock().unwrap() = Some(value);
    });
    slot
}
