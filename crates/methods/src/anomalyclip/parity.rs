//! Every stage of AnomalyCLIP beside the goldens of its reference.

use burn::backend::Autodiff;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Tensor, backend::Backend};
use clip_vit::{Frozen, TextTower, VisionBackbone};
use moeclip_data::{MaskResize, Preprocessing};
use moeclip_goldens::{Comparison, Golden, GoldenError};
use serde::Deserialize;

use super::{
    AgnosticPrompts, AnomalyClip, AnomalyClipFrozen, AnomalyClipSettings, ClassTokenNorm,
    EncodedStates, ProbabilityMaps, TwoPathFeatures, TwoPathTower, checkpoint_name,
};
use crate::half::PromptPrecision;
use crate::prepared::compare_preprocessing;
use crate::sentences::Sentences;
use crate::steps::{GoldenSteps, Learning, SecondStep};
use crate::training::TrainedMethod;
use crate::{Reference, ReferenceRun};

/// On the second step alone: f16 numbers that fall to either side of an edge move single weights.
const SECOND_STEP: f64 = 1e-3;

/// The settings as the reference calls them.
#[derive(Debug, Deserialize)]
struct AnomalyClipGoldenSettings {
    image_size: usize,
    taps: Vec<usize>,
    vv_layers: usize,
    context_tokens: usize,
    deep_tokens: usize,
    deep_depth: usize,
    image_post_norm: bool,
    half_prompts: bool,
    temperature: f64,
    local_weight: f64,
    sigma: f64,
    lr: f64,
}

impl AnomalyClipGoldenSettings {
    fn settings(&self) -> AnomalyClipSettings {
        AnomalyClipSettings {
            image_size: self.image_size,
            taps: self.taps.clone(),
            value_layers: self.vv_layers,
            context_tokens: self.context_tokens,
            deep_tokens: self.deep_tokens,
            deep_depth: self.deep_depth,
            deep_precision: match self.half_prompts {
                true => PromptPrecision::F16,
                false => PromptPrecision::F32,
            },
            class_token_norm: match self.image_post_norm {
                true => ClassTokenNorm::PostNorm,
                false => ClassTokenNorm::None,
            },
            temperature: self.temperature,
            blur_sigma: self.sigma,
            map_weight: self.local_weight,
            learning_rate: self.lr,
        }
    }
}

impl Reference for AnomalyClip {
    const WORD: &'static str = "anomalyclip";
    const TELLING_SETTING: &'static str = "image_post_norm";

    fn compare<B: Backend>(
        run: &ReferenceRun<'_, B>,
        comparison: &mut Comparison<'_>,
    ) -> Result<(), GoldenError> {
        let stages = AnomalyClipStages::load(run)?;
        stages.compare_inputs(comparison)?;
        let features = stages.compare_image(comparison)?;
        let encoded = stages.compare_text(comparison)?;
        stages.compare_maps(comparison, &features, &encoded)?;
        stages.compare_training(comparison, &features)
    }
}

/// A golden's model, on a device.
struct AnomalyClipStages<'a, B: Backend> {
    run: &'a ReferenceRun<'a, B>,
    settings: AnomalyClipSettings,
    vision: TwoPathTower<B>,
    text: TextTower<B>,
    maps: ProbabilityMaps<B>,
}

impl<'a, B: Backend> AnomalyClipStages<'a, B> {
    fn load(run: &'a ReferenceRun<'a, B>) -> Result<Self, GoldenError> {
        let &ReferenceRun { golden, clip: weights, precision, device } = run;
        let settings = golden.settings::<AnomalyClipGoldenSettings>()?.settings();
        let clip = golden.clip();
        settings.check(clip).map_err(|error| golden.unusable(error))?;
        let grid = settings.image_size / clip.vision.patch;
        Ok(Self {
            run,
            vision: TwoPathTower::load(&settings, clip, weights, precision, device)?,
            text: TextTower::load(clip, weights, precision, device)?,
            maps: ProbabilityMaps::new(&settings, grid, device),
            settings,
        })
    }

    fn golden(&self) -> &'a Golden {
        self.run.golden
    }

    fn tensor<const D: usize>(&self, name: &str) -> Result<Tensor<B, D>, GoldenError> {
        self.golden().tensor(name, self.run.device)
    }

    fn prompts<P: Backend>(&self, device: &P::Device) -> Result<AgnosticPrompts<P>, GoldenError> {
        let (golden, settings) = (self.golden(), &self.settings);
        Ok(AgnosticPrompts::load(settings, &golden.clip().text, &golden.learned(), device)?)
    }

    fn compare_inputs(&self, comparison: &mut Comparison<'_>) -> Result<(), GoldenError> {
        let golden = self.golden();
        let preprocessing = Preprocessing::clip(self.settings.image_size)
            .map_err(|error| golden.failed(error))?
            .with_mask_resize(MaskResize::Bilinear);
        compare_preprocessing(golden, comparison, &preprocessing)
    }

    fn compare_image(
        &self,
        comparison: &mut Comparison<'_>,
    ) -> Result<TwoPathFeatures<B>, GoldenError> {
        let tower = self.vision.tower();
        let grid = self.settings.image_size / self.golden().clip().vision.patch;
        comparison.tensor("positions", tower.resized_positions(grid))?;
        let embedded = tower.embed(self.tensor("in.images")?);
        comparison.tensor("embedded", embedded.clone())?;
        let tokens = self.vision.tokens(embedded);
        for (tap, local) in self.settings.taps.iter().zip(&tokens.local) {
            comparison.tensor(&format!("local.{tap}"), local.clone())?;
        }
        comparison.tensor("plain", tokens.plain.clone())?;
        let features = self.vision.features(&tokens);
        for (index, patches) in features.patches.iter().enumerate() {
            comparison.tensor(&format!("patches.{index}"), patches.clone())?;
        }
        comparison.tensor("image", features.image.clone())?;
        Ok(features)
    }

    fn compare_text(
        &self,
        comparison: &mut Comparison<'_>,
    ) -> Result<EncodedStates<B>, GoldenError> {
        let ids = self.golden().tokens("in.tokens")?;
        let sentences = Sentences::look_up(&self.text, &ids)?;
        let encoded = self.prompts(self.run.device)?.forward(&self.text, &sentences);
        comparison.tensor("prompts", encoded.prompts.clone())?;
        for (index, layer) in encoded.layers.iter().enumerate() {
            comparison.tensor(&format!("text_state.{index}"), layer.clone())?;
        }
        comparison.tensor("text_raw", encoded.features.clone())?;
        let text = encoded.directions();
        let text = Tensor::cat(vec![text.normal, text.abnormal], 0).transpose();
        comparison.tensor("text", text)?;
        Ok(encoded)
    }

    fn compare_maps(
        &self,
        comparison: &mut Comparison<'_>,
        features: &TwoPathFeatures<B>,
        encoded: &EncodedStates<B>,
    ) -> Result<(), GoldenError> {
        let text = encoded.directions();
        let grid = self.maps.grid_probabilities(&features.patches, &text);
        let full = self.maps.upsample(&grid);
        for tap in 0..features.patches.len() {
            let of_tap = |maps: &Tensor<B, 4>| maps.clone().narrow(1, tap, 1);
            let states = vec![of_tap(&grid.normal), of_tap(&grid.abnormal)];
            comparison.tensor(&format!("grid.{tap}"), Tensor::cat(states, 1))?;
            comparison.tensor(&format!("probability.{tap}"), of_tap(&full.abnormal))?;
        }
        comparison.tensor("sum", full.abnormal.sum_dim(1))?;
        comparison.tensor("map", self.maps.anomaly_map(&grid))?;
        let difference = self.maps.image_difference(features.image.clone(), &text);
        comparison.tensor("image_score", sigmoid(difference))
    }

    /// Losses, gradients and two steps; what stands behind the sentences' ends is cut away, as in training.
    fn compare_training(
        &self,
        comparison: &mut Comparison<'_>,
        features: &TwoPathFeatures<B>,
    ) -> Result<(), GoldenError> {
        let AnomalyClipSettings { map_weight, learning_rate, .. } = self.settings;
        let prompts = self.prompts::<Autodiff<B>>(self.run.device)?;
        let frozen = self.frozen(prompts.longest())?;
        let (masks, labels): (Tensor<B, 4>, Tensor<B, 1>) =
            (self.tensor("in.mask")?, self.tensor("in.label")?);
        let losses = |prompts: &AgnosticPrompts<Autodiff<B>>| {
            frozen.losses(prompts, features.clone(), masks.clone(), labels.clone())
        };
        let terms = losses(&prompts);
        comparison.tensor("loss.total", terms.total(map_weight))?;
        comparison.tensor("loss.image", terms.image)?;
        comparison.tensor("loss.focal", terms.focal)?;
        comparison.tensor("loss.dice", terms.dice)?;
        let learning = Learning {
            optimizer: AnomalyClip::recipe().adam().init(),
            rate: learning_rate,
            name: checkpoint_name,
        };
        let steps = GoldenSteps {
            gradient: "grad",
            first: "adam",
            second: "adam_second",
            second_by: SecondStep::Movement(SECOND_STEP),
        };
        steps.compare(
            comparison,
            prompts,
            learning,
            |prompts| Ok(losses(prompts).total(map_weight)),
        )
    }

    fn frozen(&self, behind_start: usize) -> Result<AnomalyClipFrozen<B>, GoldenError> {
        let text = Frozen::new(self.text.clone());
        let sentences = Sentences::look_up(&text, &self.golden().tokens("in.tokens")?)?;
        let grid = self.settings.image_size / self.golden().clip().vision.patch;
        Ok(AnomalyClipFrozen {
            vision: self.vision.clone(),
            text,
            sentences: sentences.trimmed(behind_start),
            maps: ProbabilityMaps::new(&self.settings, grid, self.run.device),
        })
    }
}
