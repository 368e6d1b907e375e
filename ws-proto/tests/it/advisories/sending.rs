//! What is sent: its masks, and that it is what was given.

use std::time::Instant;

use ws_proto::{Connection, ConnectionConfig, Role, Version};

use super::limits::unlimited;
use ws_testing::connections::{Counting, Frame, connect, written};

#[test]
fn ghsa_w67g_5rqw_f597_each_frame_has_fresh_random_bytes_as_its_mask() {
    // gorilla took masks from a generator that can be foreseen. Here they are the next bytes of the
    // source that was handed in, as they are, and none is used twice (RFC 6455 §10.3).
    let now = Instant::now();
    let masks = Box::<Counting>::default();
    let mut connection = Connection::client(Version::Rfc6455, ConnectionConfig::new(), now, masks);
    for index in 0..50_u8 {
        match index % 3 {
            0 => connection.send("").unwrap(),
            1 => connection.ping(b"").unwrap(),
            _ => connection.pong(b"").unwrap(),
        }
        let first = 4 * index;
        let key = [first + 1, first + 2, first + 3, first + 4];
        assert_eq!(written(&mut connection)[2..], key, "frame {index}");
    }
}

#[test]
fn cve_2016_10518_what_is_sent_is_what_was_given() {
    // ws sent memory that nobody had written for ping(number) and close(typed array); others, in
    // languages with pointers, read and wrote beyond their buffers. Here a payload is bytes, what is
    // sent is those and their header, and no crate of ours has unsafe code.
    let now = Instant::now();
    for len in [0, 1, 38, 39, 125] {
        let payload: Vec<u8> = (0..len).collect();
        let mut connection = connect(Role::Server, Version::Rfc6455, unlimited(), now);
        connection.ping(&payload).unwrap();
        assert_eq!(written(&mut connection), [&[0x89, len], &*payload].concat());
        connection.handle_read(now, &Frame::new(0x89, &payload).to(Role::Server));
        assert_eq!(written(&mut connection), [&[0x8a, len], &*payload].concat());
        connection.send(&payload[..]).unwrap();
        assert_eq!(written(&mut connection), [&[0x82, len], &*payload].concat());
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap();
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    assert!(read("Cargo.toml").contains("unsafe_code = \"forbid\""));
    for member in [
        "ws-proto",
        "ws-driver",
        "ws-tokio",
        "ws-smol",
        "ws-async-std",
    ] {
        let manifest = read(&format!("{member}/Cargo.toml"));
        assert!(manifest.contains("[lints]\nworkspace = true"), "{member}");
    }
}
