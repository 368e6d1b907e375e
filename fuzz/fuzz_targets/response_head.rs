//! A client of each version reads any bytes as an answer.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::response_head(input));
