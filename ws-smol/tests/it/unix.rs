//! WebSockets over Unix sockets of smol, whose streams have the traits of futures-io already.

use smol::net::unix::UnixStream;
use ws_smol::Smol;
use ws_testing::conformance::streams;

/// A stream of a Unix socket is served and connected over; its connection is in the registry.
#[test]
fn a_unix_socket_is_served() {
    smol::block_on(async {
        let (ours, theirs) = UnixStream::pair().expect("the system has Unix sockets");
        streams::a_pair_of_streams::<Smol, _>(ours, theirs).await;
    });
}
