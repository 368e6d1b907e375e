//! Any bytes that claim to be compressed messages.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::inflate(input));
