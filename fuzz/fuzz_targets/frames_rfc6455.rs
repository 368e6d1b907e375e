//! An open connection of RFC 6455, in either role, reads any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::frames_rfc6455(input));
