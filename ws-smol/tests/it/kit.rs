//! The cases that all adapters share about the test kit, on smol.

ws_testing::conformance::run_kit!(ws_smol::Smol, |future| ws_smol::test::in_virtual_time(
    future
));
