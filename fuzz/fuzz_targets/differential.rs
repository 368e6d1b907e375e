//! tungstenite and an open connection of RFC 6455 read the same bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::differential(input));
