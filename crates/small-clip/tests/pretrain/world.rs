//! The smallest run that has everything in it.

use std::ops::ControlFlow;

use small_clip::{BatchSettings, PictureSettings, Pictures, PretrainConfig, SmallClip, WarmCosine};

/// A model of some thousand weights on pictures of 32 pixels.
pub(crate) fn tiny() -> PretrainConfig {
    let usual = PretrainConfig::default();
    PretrainConfig {
        seed: 5,
        steps: 4,
        model: SmallClip {
            patch: 8,
            grid: 4,
            width: 16,
            layers: 4,
            heads: 2,
            text_width: 16,
            text_layers: 1,
            text_heads: 2,
            context: 24,
            embed: 8,
        },
        pictures: PictureSettings { count: 200, crops: vec![3, 4], ..usual.pictures },
        batch: BatchSettings { pairs: 4, normal: 2, replaced: 4, shards: 2 },
        learning_rate: WarmCosine { peak: 1e-3, warmup: 1 },
        losses: usual.losses,
    }
}

pub(crate) fn pictures(config: &PretrainConfig) -> Pictures {
    Pictures::draw(config, 2, |_| ControlFlow::Continue(())).unwrap().unwrap()
}
