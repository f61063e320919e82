//! The target `gguf`, guided by coverage.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: flow_fuzz::own_panics_count(),
    |bytes: &[u8]| flow_fuzz::check("gguf", bytes)
);
