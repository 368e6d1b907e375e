//! What the handles of a connection promise to programs: what was sent arrives though the program ends right
//! after, the two halves of a connection do not take from each other, when the runtime ends nobody waits, a loop
//! of calls leaves the other tasks their turn, and a waker may own a handle.

mod ends;
mod halves;
mod round_trip;
mod same_names;
mod sender_sink;
mod turns;
mod wakers;
mod writing;

use std::sync::{Arc, Mutex};

use ws_driver::Connection;

use ws_testing::sim::{Peer, Server, Sim};

/// Opens a connection and takes it at the server.
async fn open(sim: &Sim, server: &Server) -> (Connection, Peer) {
    let peer = Peer::open(sim, server.local_addr());
    let server = server.clone();
    let accepted = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&accepted);
    sim.spawn_task(async move {
        let connection = server.accept().await.unwrap();
        *slot.lock().unwrap() = connection;
    });
    let peer = peer.await;
    let connection = accepted.lock().unwrap().take().expect("it is open");
    (connection, peer)
}
