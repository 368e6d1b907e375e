//! A server reads plain HTTP, upgrades and what lies in between, and hands over what is not its own.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::http_fall_through(input));
