//! The CLIPs of the demo: the small one that comes with the program (`docs/small-clip.md` is its card), and
//! one that was never taught: what adapters make of that is all their own.

use std::collections::BTreeMap;
use std::path::Path;

use crate::output::write_whole;
use anyhow::Context;
use clip_vit::weights::canonical_shapes;
use clip_vit::weights::write::{HostTensor, write_safetensors};
use clip_vit::{ClipSpec, Precision, RandomWeights, WeightSource};
use moeclip_data::ContentHash;

/// Writes one of these sizes that was never taught.
pub(super) fn write_random(path: &Path, spec: &ClipSpec, seed: u64) -> anyhow::Result<()> {
    let source = RandomWeights::new(seed);
    let mut tensors = BTreeMap::new();
    for (name, shape) in canonical_shapes(spec) {
        let data = source.tensor(&name, &shape, Precision::F16)?;
        let tensor = HostTensor::from_data(&data).context("f16 is a type that files store")?;
        tensors.insert(name, tensor);
    }
    Ok(write_safetensors(path, &tensors, &BTreeMap::new())?)
}

/// What `cargo xtask pretrain --config configs/pretrain-small.toml` wrote.
const FILE: &[u8] = include_bytes!("../../../../assets/small-clip.safetensors");

/// Writes the small one as a checkpoint that every command reads.
pub(super) fn write_small(path: &Path) -> anyhow::Result<()> {
    write_whole(path, FILE)
}

/// What its file is known by.
pub(super) fn small_hash() -> ContentHash {
    ContentHash::of_bytes(FILE)
}
