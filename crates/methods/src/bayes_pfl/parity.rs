//! Every stage of the reference's goldens: a forward pass at test, and two steps of training. All random
//! draws come from the golden.

use std::collections::BTreeMap;

use burn::backend::Autodiff;
use burn::optim::GradientsParams;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Tensor, TensorData, backend::Backend};
use clip_vit::{Frozen, TextBackbone, TextTower, VisionTower};
use moeclip_goldens::{Comparison, GRADIENT, Golden, GoldenError};
use moeclip_train::{AdamOptimizer, Movement, moved};
use serde::Deserialize;

use super::flow::FlowSamples;
use super::losses::{BayesPflLosses, Targets};
use super::maps::{PairMaps, PairMapsOutput, stretched_scores, top_mean};
use super::model::{
    FlowNoise, ImageFeatures, PromptFlow, PromptFlowOutput, PromptFlowSamples, checkpoint_name,
};
use super::text::ClassSentence;
use super::training::{learning_rate, rate_factor};
use super::{BayesPfl, BayesPflConfig};
use crate::learned::{learned_gradients, learned_values};
use crate::training::TrainedMethod;
use crate::{Reference, ReferenceRun};

/// What a golden's settings have besides the method's own: the sizes of its CLIP.
const CLIP_SETTINGS: [&str; 11] = [
    "patch",
    "width",
    "layers",
    "heads",
    "embed",
    "text_width",
    "text_layers",
    "text_heads",
    "context",
    "vocab",
    "pretrain_grid",
];

/// Steps of a golden, which are also all of its schedule.
const STEPS: usize = 2;

/// What the second step alone may be off: where two gradients nearly cancel, rounding is most of it.
const SECOND_STEP: f64 = 1e-2;

impl Reference for BayesPfl {
    const WORD: &'static str = "bayes-pfl";
    const TELLING_SETTING: &'static str = "rca_heads";

    fn compare<B: Backend>(
        run: &ReferenceRun<'_, B>,
        comparison: &mut Comparison<'_>,
    ) -> Result<(), GoldenError> {
        let golden = Loaded::new(run)?;
        golden.compare_test(comparison)?;
        golden.compare_training(comparison)
    }
}

/// A golden's model and inputs on a device.
struct Loaded<'a, B: Backend> {
    golden: &'a Golden,
    config: BayesPflConfig,
    text: TextTower<B>,
    features: ImageFeatures<B>,
    device: &'a B::Device,
    positions: Tensor<B, 2>,
}

impl<'a, B: Backend> Loaded<'a, B> {
    fn new(run: &ReferenceRun<'a, B>) -> Result<Self, GoldenError> {
        let ReferenceRun { golden, clip, precision, device } = *run;
        let config = settings(golden)?;
        config.check(golden.clip()).map_err(|error| golden.unusable(error))?;
        let vision = VisionTower::load(golden.clip(), clip, precision, device)?;
        let images = golden.tensor("in.images", device)?;
        Ok(Self {
            golden,
            text: TextTower::load(golden.clip(), clip, precision, device)?,
            features: ImageFeatures::of(&vision, &config.taps, images),
            positions: vision.resized_positions(config.grid(golden.clip())),
            config,
            device,
        })
    }

    fn sentences<A: Backend>(
        &self,
        tower: &impl TextBackbone<A>,
    ) -> Result<Vec<ClassSentence<A>>, GoldenError> {
        let rows = self.golden.tokens("in.tokens")?;
        let sentence = |ids: &Vec<i64>| ClassSentence::of_ids(ids, &self.config, tower);
        Ok(rows.iter().map(sentence).collect::<Result<_, _>>()?)
    }

    fn compare_test(&self, comparison: &mut Comparison<'_>) -> Result<(), GoldenError> {
        let Self { config, features, .. } = self;
        let (golden, device) = (self.golden, self.device);
        let learned = PromptFlow::<B>::load(config, golden.clip(), &golden.learned(), device)?;
        let noise = FlowNoise {
            context: golden.tensor("in.test.eps_context", device)?,
            normal: golden.tensor("in.test.eps_normal", device)?,
            abnormal: golden.tensor("in.test.eps_abnormal", device)?,
        };
        let sentences = self.sentences(&self.text)?;
        let sentences: Vec<_> = sentences.iter().collect();
        let output = learned.forward(&self.text, features, &sentences, noise, config.stage);
        comparison.tensor("positions", self.positions.clone())?;
        comparison.tensor("image", features.image.clone())?;
        for (tap, patches) in features.taps.iter().enumerate() {
            comparison.tensor(&format!("tap.{tap}"), patches.clone())?;
        }
        comparison.tensor("fuse", learned.fusion.forward(&features.taps))?;
        compare_flows("", &output.samples, comparison)?;
        comparison.tensor("text", output.text.clone())?;
        comparison.tensor("image_logits", output.alignment.image_logits.clone())?;
        for (tap, aligned) in output.alignment.taps.iter().enumerate() {
            comparison.tensor(&format!("rca_text.{tap}"), aligned.attended.text.clone())?;
            comparison.tensor(&format!("rca_patches.{tap}"), aligned.attended.patches.clone())?;
            comparison.tensor(&format!("logits.{tap}"), aligned.logits.clone())?;
        }
        self.compare_maps(&output, comparison)
    }

    fn compare_maps(
        &self,
        output: &PromptFlowOutput<B>,
        comparison: &mut Comparison<'_>,
    ) -> Result<(), GoldenError> {
        let maps = PairMaps::new(&self.config, self.golden.clip(), self.device);
        let taps = output.alignment.taps.iter();
        let grids = taps.map(|tap| sigmoid(maps.differences(tap.logits.clone()))).collect();
        comparison.tensor("grid_map", Tensor::cat(grids, 1).mean_dim(1))?;
        let PairMapsOutput { tap_maps, map, blurred, probability } =
            maps.forward(&output.alignment);
        for (tap, map) in tap_maps.into_iter().enumerate() {
            comparison.tensor(&format!("tap_map.{tap}"), map)?;
        }
        comparison.tensor("map", map.clone())?;
        comparison.tensor("map_blurred", blurred)?;
        comparison.tensor("probability", probability.clone())?;
        let pixels = self.config.image_size * self.config.image_size;
        let map: Vec<f32> = map.into_data().iter().collect();
        let tops = map.chunks_exact(pixels).map(|map| top_mean(map, self.config.top_pixels));
        let tops: Vec<f32> = tops.collect();
        comparison.data("top", &row(tops.clone()))?;
        let probabilities: Vec<f32> = probability.into_data().iter().collect();
        let scores = stretched_scores(self.config.mix, &probabilities, &tops);
        comparison.data("score", &row(scores))
    }

    fn compare_training(&self, comparison: &mut Comparison<'_>) -> Result<(), GoldenError> {
        let Self { golden, config, .. } = self;
        let stage = config.stage;
        let source = golden.learned();
        let mut learned =
            PromptFlow::<Autodiff<B>>::load(config, golden.clip(), &source, self.device)?;
        let mut adam: AdamOptimizer<PromptFlow<Autodiff<B>>, B> = BayesPfl::recipe().adam().init();
        let mut first = BTreeMap::new();
        for (step, suffix) in ["", "_second"].into_iter().enumerate() {
            let gradients = self.compare_step(&learned, step, suffix, comparison)?;
            let movement = |path: &str| {
                let rate = learning_rate(config, stage, &checkpoint_name(path))?;
                let learning_rate = rate * rate_factor(stage, step, STEPS);
                Some(Movement { learning_rate, decay: 0.0 })
            };
            learned = moved(&mut adam, learned, gradients, movement);
            let values = learned_values(&learned, checkpoint_name);
            for (name, data) in &values {
                match first.get(name) {
                    None => comparison.stepped("adam", "grad", name, data)?,
                    Some(before) => {
                        let steps = ["adam", "adam_second"];
                        comparison.moved(steps, name, [before, data], SECOND_STEP)?;
                    }
                }
            }
            first = values;
        }
        Ok(())
    }

    /// The forward pass, losses and gradients of a step.
    fn compare_step(
        &self,
        learned: &PromptFlow<Autodiff<B>>,
        step: usize,
        suffix: &str,
        comparison: &mut Comparison<'_>,
    ) -> Result<GradientsParams, GoldenError> {
        let (config, stage) = (&self.config, self.config.stage);
        let tower = Frozen::<B, _>::new(self.text.clone());
        let sentences = self.sentences(&tower)?;
        let sentences: Vec<_> = sentences.iter().collect();
        let features = self.features.clone().under_autodiff();
        let noise = self.training_noise(step)?;
        let output = learned.forward(&tower, &features, &sentences, noise, stage);
        let maps = PairMaps::new(config, self.golden.clip(), self.device);
        let targets = self.targets(step)?;
        if step == 0 {
            compare_training_forward(&output, &maps, targets.prompt, comparison)?;
        }
        let losses = BayesPflLosses::of(&output, &targets, &maps, config, stage);
        let total = ("total", &losses.total);
        for (name, loss) in losses.terms().into_iter().chain([total]) {
            comparison.tensor(&format!("loss{suffix}.{name}"), loss.clone())?;
        }
        let gradients = GradientsParams::from_grads(losses.total.backward(), learned);
        for (name, data) in learned_gradients(learned, &gradients, checkpoint_name) {
            comparison.data(&format!("grad{suffix}.{name}"), &data)?;
        }
        Ok(gradients)
    }

    fn training_noise(&self, step: usize) -> Result<FlowNoise<Autodiff<B>>, GoldenError> {
        let (golden, device) = (self.golden, self.device);
        let context: Tensor<_, 4> = golden.tensor("in.train.eps_context", device)?;
        let state = |name: &str| {
            let noise: Tensor<_, 3> = golden.tensor(name, device)?;
            Ok::<_, GoldenError>(noise.narrow(0, step, 1).squeeze_dim(0))
        };
        Ok(FlowNoise {
            context: context.narrow(0, step, 1).squeeze_dim(0),
            normal: state("in.train.eps_normal")?,
            abnormal: state("in.train.eps_abnormal")?,
        })
    }

    fn targets(&self, step: usize) -> Result<Targets<Autodiff<B>>, GoldenError> {
        let (golden, device) = (self.golden, self.device);
        let masks: Tensor<_, 3> = golden.tensor("in.mask", device)?;
        let prompts = golden.integers("in.train.index")?;
        let prompt = prompts.get(step).copied().unwrap_or_default() as usize;
        let labels = golden.tensor("in.label", device)?;
        Ok(Targets { masks: masks.unsqueeze_dim(1), labels, prompt })
    }
}

/// The method's settings without those of its CLIP.
fn settings(golden: &Golden) -> Result<BayesPflConfig, GoldenError> {
    let mut settings: serde_json::Map<String, serde_json::Value> = golden.settings()?;
    settings.retain(|name, _| !CLIP_SETTINGS.contains(&name.as_str()));
    let mut config = BayesPflConfig::deserialize(serde_json::Value::Object(settings))
        .map_err(|error| golden.unusable(error))?;
    // The reference takes taps in the order of layers, however they are listed.
    config.taps.sort_unstable();
    Ok(config)
}

fn row(values: Vec<f32>) -> TensorData {
    let count = values.len();
    TensorData::new(values, [count])
}

fn compare_flows<B: Backend>(
    prefix: &str,
    samples: &PromptFlowSamples<B>,
    comparison: &mut Comparison<'_>,
) -> Result<(), GoldenError> {
    let PromptFlowSamples { context, normal, abnormal } = samples;
    for (name, flow) in [("context", context), ("normal", normal), ("abnormal", abnormal)] {
        let FlowSamples { mean, variance, first, last, log_det } = flow;
        let stage = |part: &str| format!("{prefix}flow.{name}.{part}");
        comparison.tensor(&stage("mean"), mean.clone())?;
        comparison.tensor(&stage("var"), variance.clone())?;
        comparison.tensor(&stage("first"), first.clone())?;
        comparison.tensor(&stage("last"), last.clone())?;
        // A logarithm near its pole, where a step nearly folds space flat.
        comparison.tensor_within(&stage("log_det"), log_det.clone(), GRADIENT)?;
    }
    Ok(())
}

/// What the first step of training sees on its way to the losses.
fn compare_training_forward<B: Backend>(
    output: &PromptFlowOutput<B>,
    maps: &PairMaps<B>,
    prompt: usize,
    comparison: &mut Comparison<'_>,
) -> Result<(), GoldenError> {
    compare_flows("train.", &output.samples, comparison)?;
    comparison.tensor("train.text", output.text.clone())?;
    comparison.tensor("train.image_logits", output.alignment.image_logits.clone())?;
    for (tap, aligned) in output.alignment.taps.iter().enumerate() {
        comparison.tensor(&format!("train.logits.{tap}"), aligned.logits.clone())?;
        let difference = maps.pair_difference(aligned.logits.clone(), prompt);
        comparison.tensor(&format!("train.probability.{tap}"), sigmoid(difference))?;
    }
    Ok(())
}
