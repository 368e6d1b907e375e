//! Connections come and go, join and leave topics, and get what is sent to those.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::topics(input));
