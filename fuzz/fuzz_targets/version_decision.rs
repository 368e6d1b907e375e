//! A server chooses the version of a request that is made of headers that matter.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::version_decision(input));
