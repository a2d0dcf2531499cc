//! One MQTT connection, for libFuzzer. What must hold stands in `hemline_fuzz::session`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hemline_fuzz::session(bytes));
