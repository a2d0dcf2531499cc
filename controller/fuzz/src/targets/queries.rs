//! Queries and conditions of the twin dialect and of message routing, for libFuzzer. What must hold stands in `hemline_fuzz::queries`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hemline_fuzz::queries(bytes));
