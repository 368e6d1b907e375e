//! Any offer of compression, and any answer to one.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::deflate_offer(input));
