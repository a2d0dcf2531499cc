//! Tokens, names, topics, bags, WebSockets, headers and batches, for libFuzzer. What must hold stands in `hemline_fuzz::wire`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hemline_fuzz::wire(bytes));
