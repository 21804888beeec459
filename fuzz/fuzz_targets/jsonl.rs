//! Text of unknown origin as a list of samples, JSON lines: records and faults by line, never a crash.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use moeclip_data::ListFormat;

fuzz_target!(|text: &str| {
    let _ = ListFormat::Jsonl.parse(text, Path::new("fuzzed"));
});
