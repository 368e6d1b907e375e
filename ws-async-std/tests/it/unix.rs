//! WebSockets over Unix sockets of async-std.

use async_std::os::unix::net::UnixStream;
use ws_async_std::{AsyncStd, Stream};
use ws_testing::conformance::streams;

/// A stream of a Unix socket is served and connected over; its connection is in the registry.
#[test]
fn a_unix_socket_is_served() {
    async_std::task::block_on(async {
        let (ours, theirs) = UnixStream::pair().expect("the system has Unix sockets");
        streams::a_pair_of_streams::<AsyncStd, _>(Stream::from(ours), Stream::from(theirs)).await;
    });
}
