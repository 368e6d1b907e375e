//! The cases that all adapters share about what features add, on async-std.

ws_testing::conformance::run_features!(ws_async_std::AsyncStd, |future| async_std::task::block_on(
    future
));
