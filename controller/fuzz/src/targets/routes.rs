//! Routes of an edge hub, for libFuzzer. What must hold stands in `hemline_fuzz::routes`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hemline_fuzz::routes(bytes));
