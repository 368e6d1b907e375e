//! An open connection of any version, in either role, meets any sequence of calls.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::close_and_timers(input));
