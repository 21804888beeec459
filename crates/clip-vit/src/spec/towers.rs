//! The published towers whose heads are known: no shape shows them.

/// Sizes of a tower whose heads are known.
pub(super) struct KnownTower {
    /// Width, layers and inner width of the feed-forward.
    sizes: [usize; 3],
    heads: usize,
}

const fn tower(width: usize, layers: usize, mlp: usize, heads: usize) -> KnownTower {
    KnownTower { sizes: [width, layers, mlp], heads }
}

/// The image towers of open_clip's model_configs, and last that of the small CLIP of this project.
pub(super) const IMAGE_TOWERS: [KnownTower; 10] = [
    tower(384, 12, 1536, 6),    // ViT-S
    tower(512, 12, 2048, 8),    // ViT-M
    tower(768, 12, 3072, 12),   // ViT-B
    tower(896, 12, 3584, 14),   // ViT-B plus
    tower(1024, 24, 4096, 16),  // ViT-L
    tower(1280, 32, 5120, 16),  // ViT-H
    tower(1408, 40, 6144, 16),  // ViT-g
    tower(1664, 48, 8192, 16),  // ViT-bigG
    tower(1792, 56, 15360, 16), // ViT-e
    tower(96, 12, 384, 3),
];

/// The text towers of open_clip's model_configs.
pub(super) const TEXT_TOWERS: [KnownTower; 9] = [
    tower(256, 10, 1024, 4),   // ViT-S alt
    tower(384, 12, 1536, 6),   // ViT-S, ViT-M alt
    tower(512, 12, 2048, 8),   // ViT-B, ViT-M
    tower(640, 12, 2560, 10),  // ViT-B plus
    tower(768, 12, 3072, 12),  // ViT-L
    tower(1024, 12, 4096, 16), // ViT-g as its first config had it, before any weights
    tower(1024, 24, 4096, 16), // ViT-H, ViT-g
    tower(1280, 32, 5120, 20), // ViT-bigG
    tower(1280, 36, 5120, 20), // ViT-e
];

/// The heads of the tower of these sizes.
pub(super) fn known_heads(towers: &[KnownTower], sizes: [usize; 3]) -> Option<usize> {
    towers.iter().find(|tower| tower.sizes == sizes).map(|tower| tower.heads)
}
