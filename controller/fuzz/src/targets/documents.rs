//! Documents: bytes of a file to a fleet, for libFuzzer. What must hold stands in `hemline_fuzz::documents`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hemline_fuzz::documents(bytes));
