//! A server of hyper's own on smol, by smol-hyper, and ours behind it.

use smol::net::{TcpListener, TcpStream};
use smol_hyper::rt::FuturesIo;
use ws_smol::Smol;
use ws_testing::conformance::streams;

/// A request that hyper read becomes a connection, which is in the registry of ours.
#[test]
fn a_hyper_server_hands_its_upgrades_over() {
    smol::block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let addr = listener.local_addr().expect("it has an address");
        let theirs = TcpStream::connect(addr).await.expect("it listens");
        let (ours, _) = listener.accept().await.expect("it was connected to");
        let io = FuturesIo::new(ours);
        streams::a_stream_of_another_library::<Smol, _, _>(io, theirs).await;
    });
}
