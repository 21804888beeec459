//! AdaCLIP beside its PyTorch reference: every stage, the losses, gradients and two steps of AdamW.

mod settings;

use std::collections::BTreeMap;

use burn::backend::Autodiff;
use burn::optim::{AdamWConfig, GradientsParams, Optimizer};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use clip_vit::TextBackbone;
use moeclip::TrainingMaps;
use moeclip_goldens::{Comparison, Golden, GoldenError};

use crate::adaclip::prompts::LayerOutput;
use crate::adaclip::{
    AdaClip, AdaClipFeatures, AdaClipLosses, AdaClipMaps, AdaClipModel, AdaClipSettings,
    AdaClipWeights, ClusterSeeds, Clustered, FrozenTowers, PatchClusters, PlainTowers,
    PromptedSentences,
};
use crate::half::PromptPrecision;
use crate::learned::{learned_gradients, learned_values};
use crate::sentences::Sentences;
use crate::{Reference, ReferenceRun};
use settings::ReferenceSettings;

/// Relative L2 error allowed on what AdamW's second step moves.
const SECOND_STEP: f64 = 1e-3;

/// The same where prompts enter in f16: what is left of two gradients that may each be off by as much.
const SECOND_STEP_IN_HALF: f64 = 5e-3;

impl Reference for AdaClip {
    const WORD: &'static str = "adaclip";
    const TELLING_SETTING: &'static str = "per_cluster";

    fn compare<B: Backend>(
        run: &ReferenceRun<'_, B>,
        comparison: &mut Comparison<'_>,
    ) -> Result<(), GoldenError> {
        let (golden, device) = (run.golden, run.device);
        let settings = golden.settings::<ReferenceSettings>()?.settings(golden)?;
        settings.check(golden.clip()).map_err(|error| golden.failed(error))?;
        let towers = PlainTowers::load(&settings, golden.clip(), run.clip, run.precision, device)?;
        let inputs = GoldenInputs {
            images: golden.tensor("in.images", device)?,
            masks: golden.tensor::<B, 3>("in.mask", device)?.unsqueeze_dim(1),
            labels: golden.tensor("in.label", device)?,
            normal: golden.tokens("in.tokens_normal")?,
            abnormal: golden.tokens("in.tokens_abnormal")?,
            seeds: seeds(golden)?,
        };
        let grid = settings.grid(golden.clip());
        comparison.tensor("positions", towers.vision.resized_positions(grid))?;
        forward(run, &settings, &towers, &inputs, comparison)?;
        let (settings, inputs) = (&settings, &inputs);
        GoldenTraining { run, settings, towers: towers.frozen(), inputs }.compare(comparison)
    }
}

/// What a golden shows to its model.
struct GoldenInputs<B: Backend> {
    /// `[batch, 3, size, size]`
    images: Tensor<B, 4>,
    /// `[batch, 1, size, size]`
    masks: Tensor<B, 4>,
    /// `[batch]`
    labels: Tensor<B, 1>,
    /// Token ids of the normal state's sentences.
    normal: Vec<Vec<i64>>,
    /// Of the abnormal state's.
    abnormal: Vec<Vec<i64>>,
    /// Of each image.
    seeds: Vec<Vec<usize>>,
}

fn seeds(golden: &Golden) -> Result<Vec<Vec<usize>>, GoldenError> {
    let seeds = golden.integers("in.seeds")?;
    let each = golden.values("in.seeds")?.shape.last().copied().unwrap_or(1);
    let point = |seed: &i64| usize::try_from(*seed).unwrap_or(usize::MAX);
    Ok(seeds.chunks(each.max(1)).map(|seeds| seeds.iter().map(point).collect()).collect())
}

/// The golden's sentences, at the whole length of their context.
fn sentences<B: Backend, T: TextBackbone<B>>(
    golden: &Golden,
    tower: &T,
    settings: &AdaClipSettings,
    inputs: &GoldenInputs<impl Backend>,
) -> Result<PromptedSentences<B>, GoldenError> {
    let ids = [inputs.normal.as_slice(), &inputs.abnormal].concat();
    let sentences = Sentences::look_up(tower, &ids)?;
    let normal = inputs.normal.len();
    PromptedSentences::new(tower, sentences, normal, settings).map_err(|error| golden.failed(error))
}

/// Every stage from images to maps and scores.
fn forward<B: Backend>(
    run: &ReferenceRun<'_, B>,
    settings: &AdaClipSettings,
    towers: &PlainTowers<B>,
    inputs: &GoldenInputs<B>,
    comparison: &mut Comparison<'_>,
) -> Result<(), GoldenError> {
    let golden = run.golden;
    let weights = load_weights::<B>(run, settings, run.device)?;
    let model = AdaClipModel { towers, weights: &weights, settings };
    comparison.tensor("plain", model.plain_embedding(inputs.images.clone()))?;
    let sentences = sentences(golden, &towers.text, settings, inputs)?;
    let seeds = ClusterSeeds::Given(inputs.seeds.clone());
    let mut seen = LayerOutputs::default();
    let features = model
        .forward_watched(inputs.images.clone(), &sentences, &seeds, &mut |layer, tokens| {
            seen.keep(layer, tokens, inputs.normal.len());
        })
        .map_err(|error| golden.failed(error))?;
    seen.compare(inputs.seeds.len(), comparison)?;
    compare_features(&features, inputs.normal.len(), comparison)?;
    if let Some(clustered) = &features.clustered {
        compare_clusters(clustered, comparison)?;
    }
    let maps = AdaClipMaps::new(settings, golden.clip(), run.device);
    let sharp = maps.sharp(&features.logits);
    comparison.tensor("grid_map", maps.on_grid(&features.logits))?;
    comparison.tensor("map", sharp.clone())?;
    comparison.tensor("map_blurred", maps.blurred(sharp))
}

/// What the layers of both towers gave.
#[derive(Default)]
struct LayerOutputs<B: Backend> {
    vision: BTreeMap<usize, Tensor<B, 3>>,
    /// The normal sentences of each image.
    text: BTreeMap<usize, Vec<Tensor<B, 3>>>,
}

impl<B: Backend> LayerOutputs<B> {
    fn keep(&mut self, layer: LayerOutput, tokens: &Tensor<B, 3>, normal: usize) {
        match layer {
            LayerOutput::Vision(layer) => {
                self.vision.insert(layer, tokens.clone());
            }
            LayerOutput::Text(layer) => {
                let normal = tokens.clone().narrow(0, 0, normal);
                self.text.entry(layer).or_default().push(normal);
            }
        }
    }

    fn compare(self, images: usize, comparison: &mut Comparison<'_>) -> Result<(), GoldenError> {
        for (layer, tokens) in self.vision {
            comparison.tensor(&format!("hidden.{layer}"), tokens)?;
        }
        for (layer, tokens) in self.text {
            let tokens = Tensor::stack::<4>(tokens, 0);
            let [_, sentences, places, width] = tokens.dims();
            let tokens = tokens.expand([images, sentences, places, width]);
            comparison.tensor(&format!("text_hidden.normal.{layer}"), tokens)?;
        }
        Ok(())
    }
}

fn compare_features<B: Backend>(
    features: &AdaClipFeatures<B>,
    normal: usize,
    comparison: &mut Comparison<'_>,
) -> Result<(), GoldenError> {
    if let Some(prompts) = &features.dynamic_visual {
        comparison.tensor("dynamic_visual", prompts.clone())?;
    }
    if let Some(prompts) = &features.dynamic_text {
        comparison.tensor("dynamic_text", prompts.clone())?;
    }
    comparison.tensor("feature", features.class_token.clone())?;
    comparison.tensor("image", features.image.clone())?;
    let [_, count, _] = features.sentences.dims();
    for (state, first, many) in [("normal", 0, normal), ("abnormal", normal, count - normal)] {
        let sentences = features.sentences.clone().narrow(1, first, many);
        comparison.tensor(&format!("text_prompts.{state}"), sentences)?;
    }
    comparison.tensor("text", features.text.clone())?;
    for (tap, (patches, logits)) in features.patches.iter().zip(&features.logits).enumerate() {
        comparison.tensor(&format!("patches.{tap}"), patches.clone())?;
        comparison.tensor(&format!("logits.{tap}"), logits.clone())?;
    }
    comparison.tensor("fused", features.fused.clone())?;
    let probability = features.image_probability.clone();
    comparison.tensor("image_probability", probability.clone())?;
    comparison.tensor("image_score", probability.narrow(1, 1, 1))
}

fn compare_clusters<B: Backend>(
    clustered: &Clustered<B>,
    comparison: &mut Comparison<'_>,
) -> Result<(), GoldenError> {
    comparison.tensor("clustered", clustered.feature.clone())?;
    comparison.tensor("fusion.abnormal", clustered.abnormal.clone())?;
    let numbers = |of: fn(&PatchClusters) -> &[usize]| {
        let all = clustered.clusters.iter().flat_map(of).map(|&number| number as f32);
        let all: Vec<f32> = all.collect();
        let count = all.len();
        TensorData::new(all, [count])
    };
    comparison.data("fusion.chosen", &numbers(|clusters| &clusters.chosen))?;
    comparison.data("fusion.labels", &numbers(|clusters| &clusters.labels))
}

/// A step of training: which image it sees, and what the golden calls its stages.
struct GoldenStep {
    image: usize,
    loss: &'static str,
    probability: &'static str,
    gradient: &'static str,
}

const FIRST: GoldenStep =
    GoldenStep { image: 0, loss: "loss", probability: "probability", gradient: "grad" };

const SECOND: GoldenStep = GoldenStep {
    image: 1,
    loss: "loss_second",
    probability: "probability_second",
    gradient: "grad_second",
};

/// One image in training.
struct TrainedImage<B: Backend> {
    features: AdaClipFeatures<B>,
    maps: TrainingMaps<B>,
}

/// A golden's model under autodiff.
struct GoldenTraining<'a, B: Backend> {
    run: &'a ReferenceRun<'a, B>,
    settings: &'a AdaClipSettings,
    towers: FrozenTowers<B>,
    inputs: &'a GoldenInputs<B>,
}

impl<B: Backend> GoldenTraining<'_, B> {
    /// Two steps of AdamW, each on one image as the release makes them.
    fn compare(&self, comparison: &mut Comparison<'_>) -> Result<(), GoldenError> {
        if !comparison.wants("loss.total") {
            return Ok(());
        }
        let AdaClipSettings { learning_rate, weight_decay, .. } = *self.settings;
        let adam = AdamWConfig::new().with_beta_1(0.5).with_beta_2(0.999).with_epsilon(1e-8);
        let mut adam = adam.with_weight_decay(weight_decay as f32).init();
        // A gradient that is rounded to f16 may fall to either side.
        let tolerance = match self.settings.prompt_precision {
            PromptPrecision::F32 => SECOND_STEP,
            PromptPrecision::F16 => SECOND_STEP_IN_HALF,
        };
        let start = load_weights::<Autodiff<B>>(self.run, self.settings, self.run.device)?;
        let gradients = self.gradients(&start, &FIRST, comparison)?;
        let first = adam.step(learning_rate, start, gradients);
        let after_first = learned_values::<Autodiff<B>, _>(&first, str::to_owned);
        for (name, values) in &after_first {
            comparison.stepped("adamw", "grad", name, values)?;
        }
        let gradients = self.gradients(&first, &SECOND, comparison)?;
        let second = adam.step(learning_rate, first, gradients);
        for (name, values) in &learned_values::<Autodiff<B>, _>(&second, str::to_owned) {
            let ours = [&after_first[name], values];
            comparison.moved(["adamw", "adamw_second"], name, ours, tolerance)?;
        }
        Ok(())
    }

    /// The gradients of a step, once they, its losses and maps are compared.
    fn gradients(
        &self,
        weights: &AdaClipWeights<Autodiff<B>>,
        step: &GoldenStep,
        comparison: &mut Comparison<'_>,
    ) -> Result<GradientsParams, GoldenError> {
        let TrainedImage { features, maps } = self.forward(weights, step.image)?;
        for tap in 0..self.settings.taps.len() {
            let map = maps.abnormal.clone().narrow(1, tap, 1);
            comparison.tensor(&format!("{}.{tap}", step.probability), map)?;
        }
        let masks = Tensor::from_inner(self.inputs.masks.clone().narrow(0, step.image, 1));
        let labels = Tensor::from_inner(self.inputs.labels.clone().narrow(0, step.image, 1));
        let losses = AdaClipLosses::of(&features, &maps, masks, labels, self.settings.dice);
        let AdaClipLosses { classification, focal, dice, total } = losses;
        let terms = [
            ("classification", classification),
            ("focal", focal),
            ("dice", dice),
            ("total", total.clone()),
        ];
        for (term, value) in terms {
            comparison.tensor(&format!("{}.{term}", step.loss), value)?;
        }
        let gradients = GradientsParams::from_grads(total.backward(), weights);
        for (name, gradient) in learned_gradients::<B, _>(weights, &gradients, str::to_owned) {
            comparison.data(&format!("{}.{name}", step.gradient), &gradient)?;
        }
        Ok(gradients)
    }

    /// One image's features, and its maps as training takes them.
    fn forward(
        &self,
        weights: &AdaClipWeights<Autodiff<B>>,
        image: usize,
    ) -> Result<TrainedImage<Autodiff<B>>, GoldenError> {
        let Self { run, settings, towers, inputs } = self;
        let golden = run.golden;
        let model = AdaClipModel { towers, weights, settings };
        let sentences = sentences(golden, &towers.text, settings, inputs)?;
        let seeds = ClusterSeeds::Given(vec![inputs.seeds[image].clone()]);
        let images = Tensor::from_inner(inputs.images.clone().narrow(0, image, 1));
        let features =
            model.forward(images, &sentences, &seeds).map_err(|error| golden.failed(error))?;
        let maps = AdaClipMaps::new(settings, golden.clip(), run.device);
        let maps = maps.of_taps(&features.logits);
        Ok(TrainedImage { features, maps })
    }
}

/// The golden's learned weights, plain or under autodiff.
fn load_weights<B: Backend>(
    run: &ReferenceRun<'_, impl Backend>,
    settings: &AdaClipSettings,
    device: &B::Device,
) -> Result<AdaClipWeights<B>, GoldenError> {
    let (clip, source) = (run.golden.clip(), run.golden.learned());
    Ok(AdaClipWeights::load(settings, clip, &source, device)?)
}
