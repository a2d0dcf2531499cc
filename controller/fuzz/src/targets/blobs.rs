//! Requests to the blob endpoint, for libFuzzer. What must hold stands in `hemline_fuzz::blobs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hemline_fuzz::blobs(bytes));
