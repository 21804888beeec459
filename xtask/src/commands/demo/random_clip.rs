//! A CLIP small enough for seconds on a CPU that was never taught: what adapters make of it is all their
//! own.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use clip_vit::weights::canonical_shapes;
use clip_vit::weights::write::{HostTensor, write_safetensors};
use clip_vit::{ClipSpec, Precision, RandomWeights, WeightSource};

/// Writes one of these sizes.
pub(super) fn write(path: &Path, spec: &ClipSpec, seed: u64) -> anyhow::Result<()> {
    let source = RandomWeights::new(seed);
    let mut tensors = BTreeMap::new();
    for (name, shape) in canonical_shapes(spec) {
        let data = source.tensor(&name, &shape, Precision::F16)?;
        let tensor = HostTensor::from_data(&data).context("f16 is a type that files store")?;
        tensors.insert(name, tensor);
    }
    Ok(write_safetensors(path, &tensors, &BTreeMap::new())?)
}
