//! Azure manifests: bytes of a file to a document and back, for libFuzzer. What must hold stands in `hemline_fuzz::manifests`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hemline_fuzz::manifests(bytes));
