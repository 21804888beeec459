//! Text of unknown origin as a list of samples, VisA's way of listing: records and faults by line, never a crash.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use moeclip_data::ListFormat;

fuzz_target!(|text: &str| {
    let _ = ListFormat::SplitCsv.parse(text, Path::new("fuzzed"));
});
