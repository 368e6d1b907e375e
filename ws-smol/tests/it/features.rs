//! The cases that all adapters share about what features add, on smol.

ws_testing::conformance::run_features!(ws_smol::Smol, |future| smol::block_on(future));
