//! Text of unknown origin as a list of samples, a table of one's own: records and faults by line, never a crash.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use moeclip_data::ListFormat;

fuzz_target!(|text: &str| {
    let _ = ListFormat::Csv.parse(text, Path::new("fuzzed"));
});
