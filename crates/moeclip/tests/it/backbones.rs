//! Every preset's geometry under MoECLIP: its patches, widths and heads with four layers instead of
//! all, random weights, taps at the quarters. And backbones that are no CLIP, with other numbers of
//! tokens before their patches.

use anomaly::{Detector, Domain};
use burn::backend::{Autodiff, Flex};
use burn::nn::{LayerNorm, LayerNormConfig};
use burn::tensor::{Distribution, Tensor, backend::Backend};
use clip_vit::{
    ClipSpec, ClipSpecBuilder, Frozen, FrozenLayer, FrozenLayers, Precision, Preset, RandomWeights,
    VisionBackbone, VisionSpec, VisionTower,
};
use moeclip::{
    Adapters, ChannelEnergy, ClassPrompts, Explainer, FrozenClip, MoeClip, MoeClipConfig,
    MoeClipDetector, PromptBook,
};

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

/// A backbone that is no CLIP: patches are mean colours, and so many tokens stand before them.
#[derive(Debug, Clone)]
struct Toy<B: Backend> {
    spec: VisionSpec,
    prefix: usize,
    norm: LayerNorm<B>,
}

/// Each token a little of all.
#[derive(Debug, Clone)]
struct ToyLayer;

impl<B: Backend> FrozenLayer<B> for ToyLayer {
    fn forward(&self, tokens: Tensor<B, 3>) -> Tensor<B, 3> {
        tokens.clone().mul_scalar(0.75) + tokens.mean_dim(1)
    }

    fn input_gradient(&self, _: Tensor<B, 3>, output_gradient: Tensor<B, 3>) -> Tensor<B, 3> {
        output_gradient.clone().mul_scalar(0.75) + output_gradient.mean_dim(1)
    }
}

impl<B: Backend> VisionBackbone<B> for Toy<B> {
    fn spec(&self) -> &VisionSpec {
        &self.spec
    }

    fn prefix_tokens(&self) -> usize {
        self.prefix
    }

    fn embed(&self, images: Tensor<B, 4>) -> Tensor<B, 3> {
        let VisionSpec { patch, width, .. } = self.spec;
        let ([batch, _, high, wide], device) = (images.dims(), images.device());
        let (rows, columns) = (high / patch, wide / patch);
        let grid = images.mean_dim(1).reshape([batch, rows, patch, columns, patch]);
        let means = grid.mean_dim(4).mean_dim(2).reshape([batch, rows * columns, 1]);
        let channels = Tensor::<B, 1, burn::tensor::Int>::arange(1..width as i64 + 1, &device);
        let channels = channels.float().reshape([1, 1, width]);
        let patches = (means * channels).sin();
        let prefix = Tensor::full([batch, self.prefix, width], 9.0, &device);
        if self.prefix == 0 { patches } else { Tensor::cat(vec![prefix, patches], 1) }
    }

    fn layer(&self, _: usize, tokens: Tensor<B, 3>) -> Tensor<B, 3> {
        ToyLayer.forward(tokens)
    }

    fn post_norm(&self, tokens: Tensor<B, 3>) -> Tensor<B, 3> {
        self.norm.forward(tokens)
    }
}

impl<B: Backend> FrozenLayers<B> for Toy<B> {
    type Layer = ToyLayer;

    fn frozen_layer(&self, _: usize) -> &ToyLayer {
        &ToyLayer
    }

    fn last_norm(&self) -> &LayerNorm<B> {
        &self.norm
    }
}

fn toy(clip: &ClipSpec, prefix: usize) -> Toy<Flex> {
    let norm = LayerNormConfig::new(clip.vision.width).init(&Default::default());
    Toy { spec: clip.vision.clone(), prefix, norm }
}

/// Detecting, explaining, measuring energy and training on a backbone with so many prefix tokens.
fn any_backbone(prefix: usize) {
    let device = Default::default();
    let clip = ClipSpecBuilder::new().vision(7, 4, 64, 4).text(64, 1).embed(32).build().unwrap();
    let config = MoeClipConfig { image_size: 42, ..MoeClipConfig::for_clip(&clip) };
    let images = Tensor::<Flex, 4>::random([1, 3, 42, 42], Distribution::Default, &device);
    let adapters = || Adapters::<Flex>::init(&config, &clip, 0, &device).unwrap();
    let model = MoeClip::new(toy(&clip, prefix), adapters(), config.clone(), &device).unwrap();
    let features = model.forward(images.clone());
    assert_eq!(features.taps[3].tokens.dims(), [1, prefix + 36, 64]);
    assert!(features.patches.iter().all(|patches| patches.dims() == [1, 36, 32]));
    let tokens = &features.taps[0].tokens;
    let patches = tokens.clone().narrow(1, prefix, 36);
    model.average(tokens)[0].to_data().assert_eq(&patches.into_data(), true);

    let mut energy = ChannelEnergy::new(&config, 64);
    energy.add(model.backbone(), images.clone()).unwrap();
    assert!(energy.sliced().is_ok());
    let state = || Tensor::random([2, 64], Distribution::Normal(0.0, 1.0), &device);
    let prompts = ClassPrompts { normal: state(), abnormal: state() };
    let book = PromptBook::of("nut", prompts);
    let explainer = Explainer::new(model.clone(), book.clone(), Domain::Industrial, &device);
    let explanation = explainer.unwrap().explain(images.clone(), "nut").unwrap();
    let tap = &explanation.taps[0];
    assert!(tap.first_choices.len() == 36 && tap.experts[0].grad_cam.len() == 36);
    let mut detector = MoeClipDetector::new(model, book, Domain::Industrial, &device);
    let detection = detector.detect(images.clone(), "nut").unwrap().remove(0);
    let pairs = detection.map.values.iter().zip(&explanation.detection.map.values);
    let apart = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart < 1e-3, "detector and explainer are {apart} apart");

    let adapters = Adapters::<Autodiff<Flex>>::init(&config, &clip, 0, &device).unwrap();
    let backbone = Frozen::new(toy(&clip, prefix));
    let trained = MoeClip::new(backbone, adapters, config, &device).unwrap();
    let features = trained.forward(Tensor::from_inner(images));
    let loss = features.image.powi_scalar(3).sum() + features.patches[11].clone().sum();
    let grads = loss.backward();
    let moved = trained.adapters().taps[0].experts.as_mixture().unwrap().up.val().grad(&grads);
    let moved: f32 = moved.unwrap().abs().sum().into_scalar();
    assert!(moved.is_finite() && moved > 0.0, "the first tap's experts learn through the layers");
}

#[test]
fn a_backbone_may_have_no_token_before_its_patches_or_several() {
    any_backbone(0);
    any_backbone(5);
}
