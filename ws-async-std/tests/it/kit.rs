//! The cases that all adapters share about the test kit, on async-std.

ws_testing::conformance::run_kit!(ws_async_std::AsyncStd, |future| {
    ws_async_std::test::in_virtual_time(future)
});
