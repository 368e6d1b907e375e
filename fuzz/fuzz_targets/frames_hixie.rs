//! An open connection of draft-75 or draft-76, in either role, reads any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::frames_hixie(input));
