//! The list: which functions there are to poll.

use std::path::PathBuf;

/// Every public async function, by file, in its order there; each is polled in a test beside this.
const PUBLIC: [(&str, &[&str]); 16] = [
    // Of every adapter; what they call is polled.
    (
        "adapter/mod.rs",
        &["connect", "connect_with", "connect_over", "sleep"],
    ),
    (
        "client/mod.rs",
        &["connect", "connect_with", "connect_stream", "connect_over"],
    ),
    ("client/reconnect.rs", &["connect"]),
    (
        "cluster/seat.rs",
        &[
            "interest",
            "outgoing",
            "gate",
            "request",
            "stopped",
            "unless_stopped",
        ],
    ),
    (
        "handle/clients.rs",
        &["send_wait", "broadcast_wait", "broadcast_wait"],
    ),
    (
        "handle/cluster.rs",
        &["send_wait", "nodes", "presence", "append", "resume"],
    ),
    (
        "handle/connection/mod.rs",
        &[
            "recv",
            "recv_fragment",
            "recv_event",
            "send",
            "flush",
            "send_fragment",
            "send_prepared",
            "join_wait",
            "round_trip",
            "close",
            "close_with",
        ],
    ),
    (
        "handle/sender.rs",
        &[
            "send",
            "send_prepared",
            "flush",
            "join_wait",
            "round_trip",
            "close",
            "close_with",
            "wait_closed",
        ],
    ),
    (
        "server/mod.rs",
        &["bind", "serve", "accept", "handle_stream", "shutdown"],
    ),
    (
        "server/upgrade/foreign.rs",
        &["handle_request", "examine_request"],
    ),
    ("server/builder.rs", &["listen", "bind"]),
    ("tls/client.rs", &["connect"]),
    ("runtime.rs", &["sleep"]),
    ("test/client.rs", &["connect", "connect_with", "request"]),
    ("test/mod.rs", &["connect"]),
    ("test/peer.rs", &["send", "receive", "receive_to_end"]),
];

/// No public async function is added without its section and its case: the list above names all that
/// the sources have, those that return a future of ours included, and each says what happens if it is
/// dropped.
#[test]
fn every_public_async_function_is_in_the_list() {
    let sources = [
        (
            "adapter/mod.rs",
            include_str!("../../../src/adapter/mod.rs"),
        ),
        ("client/mod.rs", include_str!("../../../src/client/mod.rs")),
        (
            "client/reconnect.rs",
            include_str!("../../../src/client/reconnect.rs"),
        ),
        (
            "cluster/seat.rs",
            include_str!("../../../src/cluster/seat.rs"),
        ),
        (
            "handle/clients.rs",
            include_str!("../../../src/handle/clients.rs"),
        ),
        (
            "handle/cluster.rs",
            include_str!("../../../src/handle/cluster.rs"),
        ),
        (
            "handle/connection/mod.rs",
            include_str!("../../../src/handle/connection/mod.rs"),
        ),
        (
            "handle/sender.rs",
            include_str!("../../../src/handle/sender.rs"),
        ),
        ("server/mod.rs", include_str!("../../../src/server/mod.rs")),
        (
            "server/upgrade/foreign.rs",
            include_str!("../../../src/server/upgrade/foreign.rs"),
        ),
        (
            "server/builder.rs",
            include_str!("../../../src/server/builder.rs"),
        ),
        ("tls/client.rs", include_str!("../../../src/tls/client.rs")),
        ("runtime.rs", include_str!("../../../src/runtime.rs")),
        (
            "test/client.rs",
            include_str!("../../../src/test/client.rs"),
        ),
        ("test/mod.rs", include_str!("../../../src/test/mod.rs")),
        ("test/peer.rs", include_str!("../../../src/test/peer.rs")),
    ];
    for ((name, source), (listed, functions)) in sources.into_iter().zip(PUBLIC) {
        let (mut found, mut has_section) = (Vec::new(), false);
        for line in source.lines().map(str::trim_start) {
            let returns_future = line.contains("Future<'_> {");
            let plain = line.strip_prefix("pub fn ").filter(|_| returns_future);
            if let Some(function) = line.strip_prefix("pub async fn ").or(plain) {
                let end = function.find(['(', '<']).unwrap();
                found.push(&function[..end]);
                assert!(has_section, "{name}: {} says nothing", &function[..end]);
            }
            has_section &= line.starts_with("///") || line.starts_with("#[");
            has_section |= line == "/// # Cancel safety";
        }
        assert_eq!((name, &*found), (listed, functions));
    }
    assert_eq!(
        include_str!("../../../src/handle/connection/futures.rs")
            .matches("pub struct ")
            .count(),
        2
    );
    let mut folders = vec![PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    while let Some(folder) = folders.pop() {
        for file in std::fs::read_dir(folder).unwrap() {
            let file = file.unwrap().path();
            let is_known = PUBLIC.iter().any(|(name, _)| file.ends_with(name));
            if file.is_dir() {
                folders.push(file);
            } else if !is_known && file.extension().is_some_and(|extension| extension == "rs") {
                let source = std::fs::read_to_string(&file).unwrap();
                assert!(!source.contains("    pub async fn "), "{}", file.display());
            }
        }
    }
}
