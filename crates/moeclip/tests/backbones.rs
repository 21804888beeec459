//! Every preset's geometry under MoECLIP: its patches, widths and heads with four layers instead of
//! all, random weights, taps at the quarters.

use burn::backend::Flex;
use burn::tensor::{Distribution, Tensor};
use clip_vit::{ClipSpec, Precision, Preset, RandomWeights, VisionBackbone, VisionTower};
use moeclip::{Adapters, Detector, Domain, FrozenClip, MoeClip, MoeClipConfig, MoeClipDetector};

/// A preset with few layers, and a token table of the tokenizer's size that costs little to draw.
fn shallow(preset: Preset) -> ClipSpec {
    let mut spec = preset.spec();
    spec.vision.layers = 4;
    spec.text.layers = 1;
    spec
}

fn detect(preset: Preset) {
    let (clip, device) = (shallow(preset), Default::default());
    let side = 3 * clip.vision.patch;
    let config = MoeClipConfig { image_size: side, ..MoeClipConfig::for_clip(&clip) };
    assert_eq!(config.taps, [1, 2, 3, 4]);
    let (weights, prompts) = (RandomWeights::new(1), Default::default());
    let frozen =
        FrozenClip::<Flex>::load(&clip, &weights, &prompts, ["nut"], Precision::F32, &device);
    let FrozenClip { tower, book } = frozen.unwrap();
    assert_eq!(VisionBackbone::<Flex>::spec(&tower), &clip.vision);
    let adapters = Adapters::init(&config, &clip, 0, &device).unwrap();
    let model: MoeClip<Flex, VisionTower<Flex>> =
        MoeClip::new(tower, adapters, config, &device).unwrap();
    let images = Tensor::random([1, 3, side, side], Distribution::Default, &device);
    let features = model.forward(images.clone());
    assert_eq!(features.patches.len(), 12);
    assert!(features.patches.iter().all(|patches| patches.dims() == [1, 9, clip.embed]));
    assert_eq!(features.taps[3].tokens.dims(), [1, 10, clip.vision.width]);
    let mut detector = MoeClipDetector::new(model, book, Domain::Industrial, &device);
    let detection = detector.detect(images, "nut").unwrap().remove(0);
    assert_eq!(detection.map.values.len(), side * side);
    assert!(detection.map.values.iter().all(|value| value.is_finite()), "{}", preset.name());
}

#[test]
fn every_presets_geometry_detects() {
    Preset::ALL.into_iter().for_each(detect);
}

#[test]
fn taps_stand_at_the_quarters_of_every_tower() {
    let taps = |preset: Preset| MoeClipConfig::for_clip(&preset.spec()).taps;
    assert_eq!(taps(Preset::VitB16), [3, 6, 9, 12]);
    assert_eq!(taps(Preset::VitL14), [6, 12, 18, 24]);
    assert_eq!(taps(Preset::VitH14), [8, 16, 24, 32]);
}
