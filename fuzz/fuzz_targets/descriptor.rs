//! Text of unknown origin as a description of a dataset: a descriptor or one clear line.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use moeclip_data::Descriptor;

fuzz_target!(|text: &str| {
    if let Err(error) = Descriptor::parse(text, Path::new("fuzzed")) {
        assert!(!error.to_string().contains('\n'), "{error}");
    }
});
