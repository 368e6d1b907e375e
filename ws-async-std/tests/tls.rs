//! The cases about TLS that all adapters share, on async-std.

ws_driver::conformance::run_tls!(ws_async_std::AsyncStd, |future| async_std::task::block_on(
    future
));
