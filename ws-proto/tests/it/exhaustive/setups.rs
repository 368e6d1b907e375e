//! The endpoints that are tried: both roles, every version, with and without compression.

use std::time::Duration;

use ws_proto::{Role, Version};

use ws_testing::model::view::Setup;
use ws_testing::plain::Rules;

/// An endpoint with limits that the table of frames reaches.
pub(crate) fn setup(role: Role, version: Version) -> Setup {
    let seconds = |count| Some(Duration::from_secs(count));
    Setup {
        rules: Rules {
            message_limit: Some(200),
            fragment_limit: Some(2),
            ..Rules::new(version, role)
        },
        send_queue_limit: Some(100),
        receive_queue_limit: Some(1000),
        keepalive_interval: seconds(20),
        pong_timeout: seconds(15),
        stall_timeout: seconds(30),
        message_timeout: seconds(25),
        close_timeout: seconds(10),
        rate_limit: None,
        control_events: true,
        deflate: None,
    }
}

/// The same for a peer of version 8.
pub(crate) fn version_8() -> Setup {
    let mut setup = setup(Role::Server, Version::Rfc6455);
    setup.rules.has_code_1004 = true;
    setup
}

/// The same where parts of messages are given out.
pub(crate) fn in_parts(role: Role, version: Version) -> Setup {
    let mut setup = setup(role, version);
    setup.rules.fragments = true;
    setup
}

/// The same where a draft's peer may do what it must not.
pub(crate) fn lenient(role: Role, version: Version) -> Setup {
    let mut setup = setup(role, version);
    (setup.rules.replaces, setup.rules.skips) = (true, true);
    setup
}

/// The same where messages may be compressed, with a context.
#[cfg(feature = "deflate")]
pub(crate) fn deflated(role: Role) -> Setup {
    use ws_testing::model::view::Agreement;
    use ws_testing::plain::Way;

    let mut setup = setup(role, Version::Rfc6455);
    let way = Way {
        window_bits: 10,
        takeover: true,
    };
    setup.rules.inflates = Some(way);
    setup.deflate = Some(Agreement {
        level: 6,
        threshold: 0,
        sends: way,
        receives: way,
        peer: way,
        lends: true,
    });
    setup
}
