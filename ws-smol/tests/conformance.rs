//! The list of tests that all adapters share, on smol.

ws_driver::conformance::run!(ws_smol::Smol, |future| smol::block_on(future));
