//! Requests to the workload API, for libFuzzer. What must hold stands in `hemline_fuzz::workload`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hemline_fuzz::workload(bytes));
