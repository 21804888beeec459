//! The small CLIP that comes with the program: `docs/small-clip.md` is its card.

use std::path::Path;

use moeclip_data::ContentHash;

use crate::output::write_whole;

/// What `cargo xtask pretrain --config configs/pretrain-small.toml` wrote.
const FILE: &[u8] = include_bytes!("../../../../assets/small-clip.safetensors");

/// Writes it as a checkpoint that every command reads.
pub(super) fn write(path: &Path) -> anyhow::Result<()> {
    write_whole(path, FILE)
}

/// What its file is known by.
pub(super) fn hash() -> ContentHash {
    ContentHash::of_bytes(FILE)
}
