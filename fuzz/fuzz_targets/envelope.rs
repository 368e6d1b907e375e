//! Any bytes arrive for a node of a cluster, on any channel.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::envelope(input));
