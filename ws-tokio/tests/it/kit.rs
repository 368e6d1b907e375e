//! The cases that all adapters share about the test kit, on tokio.

ws_testing::conformance::run_kit!(ws_tokio::Tokio, |future| ws_tokio::test::in_virtual_time(
    future
));
