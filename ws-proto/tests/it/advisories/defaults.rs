//! The defaults of all limits.

use std::time::Instant;

use ws_proto::{ClientConfig, ConnectionConfig, ServerConfig, Version};

use ws_testing::connections::{Frame, all, connect, told};

#[test]
fn cve_2016_10542_every_default_is_limited() {
    // ws and axum-core had no limit of what they took, or one of 100 MiB, unless one was set. Here
    // every limit has a value by default that is written down, and holds.
    let defaults = format!("{:?} {:?}", ServerConfig::new(), ClientConfig::new());
    for limit in ["message_limit: Some(1048576)", "fragment_limit: Some(4096)"] {
        assert_eq!(defaults.matches(limit).count(), 2, "{defaults}");
    }
    for queue in [
        "send_queue_limit: Some(262144)",
        "receive_queue_limit: Some(262144)",
    ] {
        assert_eq!(defaults.matches(queue).count(), 2, "{defaults}");
    }
    for wait in [
        "head_limit: 16384",
        "header_limit: 100",
        "handshake_timeout: Some(10s)",
    ] {
        assert_eq!(defaults.matches(wait).count(), 2, "{defaults}");
    }
    // Lengths of frames have no limit, because the message has one, nor has the rate, because the queue has one: who is too
    // fast waits. A client's host and origin are none, and compression is off.
    let off = defaults.matches("deflate: None").count();
    assert_eq!(off, if cfg!(feature = "deflate") { 2 } else { 0 });
    let rates = defaults.matches("receive_rate_limit: None").count();
    assert_eq!(rates, 2, "{defaults}");
    assert_eq!(
        defaults.matches("None").count() - off - rates,
        4,
        "{defaults}"
    );
    let now = Instant::now();
    for (role, version) in all() {
        let mut connection = connect(role, version, ConnectionConfig::new(), now);
        let message = match version {
            Version::Rfc6455 => Frame::new(0x82, vec![0; (1 << 20) + 1]).to(role),
            _ => [b"\0", &*vec![b'a'; (1 << 20) + 1], b"\xff"].concat(),
        };
        connection.handle_read(now, &message);
        assert!(told(&mut connection, now)[0].contains("limit: 1048576"));
    }
}
