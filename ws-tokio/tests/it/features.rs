//! The cases that all adapters share about what features add, on tokio.

ws_testing::conformance::run_features!(ws_tokio::Tokio, |future| {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.unwrap().block_on(future);
});
