//! The list of tests that all adapters share, on smol.

ws_testing::conformance::run!(ws_smol::Smol, |future| smol::block_on(future));
