//! A client and a server talk through a pipe that chops and delays.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::pair(input));
