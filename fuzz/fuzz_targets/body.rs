#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sidetap_fuzz::targets::body(data));
