//! A server reads any bytes as a request.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::request_head(input));
