//! The list of tests that all adapters share, on tokio.

ws_testing::conformance::run!(ws_tokio::Tokio, |future| {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.unwrap().block_on(future);
});
