//! The cases about TLS that all adapters share, on smol.

ws_driver::conformance::run_tls!(ws_smol::Smol, |future| smol::block_on(future));
