//! Tests of the public face: one program, so that Burn is linked once.

mod ablations;
mod adapter_file;
mod backbones;
mod calibrated_file;
mod detector;
mod prompt_cache;
