//! The list of tests that all adapters share, on async-std.

ws_testing::conformance::run!(ws_async_std::AsyncStd, |future| async_std::task::block_on(
    future
));
