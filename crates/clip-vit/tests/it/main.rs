//! Tests of the public face: one program, so that Burn is linked once.

mod attention;
mod crops;
mod tokenizer;
mod towers;
mod weights_common;
mod weights_fixtures;
mod weights_hostile;
mod weights_layouts;
mod weights_sets;
mod weights_write;
