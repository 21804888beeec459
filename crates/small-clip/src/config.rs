//! What decides a pretraining run, as one TOML file and `--set`, read as strictly as any run.

use std::f64::consts::PI;
use std::path::Path;

use clip_vit::{ClipSpec, ClipSpecBuilder};
use moeclip_train::{ExperimentError, TrainConfigError, overlay};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Each shard has a thread.
const MOST_SHARDS: usize = 64;

/// Crops of one kind in a step: more is a slip of the pen, and no memory holds it.
const LARGEST_BATCH: usize = 4096;

/// Everything that decides the weights of a small CLIP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainConfig {
    /// Seed of the start, the world, the crops and the captions.
    pub seed: u64,
    /// Steps in all.
    pub steps: usize,
    /// Sizes of both towers.
    pub model: SmallClip,
    /// What is looked at.
    pub pictures: PictureSettings,
    /// How much of it a step takes.
    pub batch: BatchSettings,
    /// RequireGrad rate over time.
    pub learning_rate: WarmCosine,
    /// Weights of the terms.
    pub losses: PretrainLosses,
}

/// Sizes of a small CLIP; its token table is CLIP's, and its feed-forward layers four widths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmallClip {
    /// Side of a patch in pixels.
    pub patch: usize,
    /// Patches along a side of a whole picture.
    pub grid: usize,
    /// Width of the image tower.
    pub width: usize,
    /// Layers of the image tower; taps stand behind its quarters.
    pub layers: usize,
    /// Heads of the image tower.
    pub heads: usize,
    /// Width of the text tower.
    pub text_width: usize,
    /// Layers of the text tower.
    pub text_layers: usize,
    /// Heads of the text tower.
    pub text_heads: usize,
    /// Tokens per prompt.
    pub context: usize,
    /// Width of the joint embedding.
    pub embed: usize,
}

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PictureSettings {
    /// Pictures that are drawn before the first step and looked at again and again, never in the
    /// same crop, orientation and colours.
    pub count: usize,
    /// Share of them that have a defect.
    pub defective: f64,
    /// Sides of crops in patches, which steps take in turn; the model's grid is a whole picture.
    pub crops: Vec<usize>,
    /// Share of captions in which a word that means nothing stands for the thing.
    pub unknown_names: f64,
    /// Share of captions that only say "object" or the like.
    pub nameless: f64,
}

/// How many of the smallest crops a step takes; of larger ones it takes as many fewer as they have more
/// patches, but one of each a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchSettings {
    /// Crops with a defect, each with the same crop without it.
    pub pairs: usize,
    /// Crops of pictures that have no defect.
    pub normal: usize,
    /// Crops of normal pictures parts of which are replaced, each with the same crop as it was.
    pub replaced: usize,
    /// Parts of a batch that are worked on beside each other; sentences are contrasted within one.
    pub shards: usize,
}

/// Weights of the terms; 0 leaves one out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainLosses {
    /// Is this sentence true of this picture?
    pub pairs: f64,
    /// Which of the two states that its caption could name?
    pub state: f64,
    /// Is there a patch that shows the state?
    pub patches: f64,
    /// Which patches were replaced?
    pub replaced: f64,
}

impl Default for PretrainConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            steps: 12_000,
            model: SmallClip::default(),
            pictures: PictureSettings {
                count: 4000,
                defective: 0.6,
                crops: vec![4, 8, 4, 14],
                unknown_names: 0.25,
                nameless: 0.15,
            },
            batch: BatchSettings { pairs: 24, normal: 8, replaced: 20, shards: 2 },
            learning_rate: WarmCosine { peak: 2e-3, warmup: 200 },
            losses: PretrainLosses { pairs: 1.0, state: 2.0, patches: 3.0, replaced: 3.0 },
        }
    }
}

impl Default for SmallClip {
    fn default() -> Self {
        Self {
            patch: 8,
            grid: 14,
            width: 96,
            layers: 12,
            heads: 3,
            text_width: 64,
            text_layers: 2,
            text_heads: 2,
            context: 32,
            embed: 64,
        }
    }
}

impl SmallClip {
    /// Sizes of the whole CLIP, as its file says them.
    ///
    /// # Errors
    ///
    /// [`clip_vit::SpecError`] for sizes that cannot be built.
    pub fn spec(&self) -> Result<ClipSpec, clip_vit::SpecError> {
        let vocab = ClipSpecBuilder::new().build()?.text.vocab;
        ClipSpecBuilder::new()
            .vision(self.patch, self.grid, self.width, self.layers)
            .vision_heads(self.heads)
            .text(self.text_width, self.text_layers)
            .text_heads(self.text_heads)
            .tokens(self.context, vocab)
            .embed(self.embed)
            .build()
    }

    /// Layers behind which a tap stands: the quarters.
    pub fn taps(&self) -> [usize; 4] {
        [1, 2, 3, 4].map(|quarter| quarter * self.layers / 4)
    }
}

impl PretrainConfig {
    /// Reads the text of a file; `path` is for messages.
    ///
    /// # Errors
    ///
    /// [`ExperimentError`] naming the line or key: no TOML, an unknown key, a value of another kind
    /// or out of its range.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ExperimentError> {
        let origin = path.display().to_string();
        let given = overlay::toml(text)
            .map_err(|reason| ExperimentError { origin: origin.clone(), reason })?;
        Self::default().with(given, origin)
    }

    /// The same with one setting changed, as in `losses.patches=0.5`.
    ///
    /// # Errors
    ///
    /// [`ExperimentError`] as [`PretrainConfig::parse`].
    pub fn set(self, assignment: &str) -> Result<Self, ExperimentError> {
        let origin = format!("--set {assignment}");
        let given = overlay::assignment(assignment, "losses.patches=0.5")
            .map_err(|reason| ExperimentError { origin: origin.clone(), reason })?;
        self.with(given, origin)
    }

    /// The whole description as TOML, defaults written out.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }

    fn with(self, given: Value, origin: String) -> Result<Self, ExperimentError> {
        let refuse = |reason: String| ExperimentError { origin: origin.clone(), reason };
        let mut settings = serde_json::to_value(&self).map_err(|e| refuse(e.to_string()))?;
        overlay::overlay(&mut settings, given, "").map_err(refuse)?;
        let config: Self = overlay::read(settings).map_err(refuse)?;
        config.check().map_err(|error| refuse(error.to_string()))?;
        config.model.spec().map_err(|error| refuse(format!("model: {error}")))?;
        Ok(config)
    }

    /// Checks every setting but the sizes, which [`SmallClip::spec`] checks.
    ///
    /// # Errors
    ///
    /// The first [`TrainConfigError`] found.
    pub fn check(&self) -> Result<(), TrainConfigError> {
        let rules =
            [self.run_rules(), self.model_rules(), self.picture_rules(), self.batch_rules()];
        match rules.into_iter().flatten().find(|rule| !rule.holds) {
            Some(Rule { field, value, must, .. }) => Err(TrainConfigError { field, value, must }),
            None => Ok(()),
        }
    }

    fn run_rules(&self) -> Vec<Rule> {
        let PretrainLosses { pairs, state, patches, replaced } = self.losses;
        let weight = |field, value: f64| {
            Rule::new(field, value, value.is_finite() && value >= 0.0, "0 or more")
        };
        let (steps, peak) = (self.steps, self.learning_rate.peak);
        let rises = peak.is_finite() && peak > 0.0;
        vec![
            Rule::new("steps", steps as f64, steps > 0, "at least 1"),
            Rule::new("learning_rate.peak", peak, rises, "a positive number"),
            weight("losses.pairs", pairs),
            weight("losses.state", state),
            weight("losses.patches", patches),
            weight("losses.replaced", replaced),
        ]
    }

    fn model_rules(&self) -> Vec<Rule> {
        let SmallClip { patch, grid, layers, context, .. } = self.model;
        let side = patch.saturating_mul(grid);
        let sides = (32..=512).contains(&side);
        let length = (24..=77).contains(&context);
        vec![
            Rule::new("model.layers", layers as f64, layers >= 4, "at least 4"),
            Rule::new("model.context", context as f64, length, "24 to 77, for captions to fit"),
            Rule::new("model.patch * model.grid", side as f64, sides, "32 to 512 pixels"),
        ]
    }

    fn picture_rules(&self) -> Vec<Rule> {
        let SmallClip { patch, grid, .. } = self.model;
        let PictureSettings { count, defective, ref crops, unknown_names, nameless } =
            self.pictures;
        let share = |value: f64| (0.0..=1.0).contains(&value);
        let odd = crops.iter().find(|side| !(2..=grid).contains(side)).copied();
        let smallest = crops.iter().min().map_or(0, |crop| patch.saturating_mul(*crop));
        let fits = odd.is_none() && !crops.is_empty();
        let mixed = defective > 0.0 && defective < 1.0;
        let named = share(nameless) && nameless + unknown_names <= 1.0;
        let counted = (200..=100_000).contains(&count);
        let odd = odd.unwrap_or_default() as f64;
        vec![
            Rule::new("pictures.count", count as f64, counted, "200 to 100000"),
            Rule::new("pictures.defective", defective, mixed, "over 0 and under 1"),
            Rule::new("pictures.crops", odd, fits, "one or more from 2 to model.grid"),
            Rule::new(
                "model.patch * pictures.crops",
                smallest as f64,
                smallest >= 16,
                "16 pixels or more, for parts of a crop to be replaced",
            ),
            Rule::new("pictures.unknown_names", unknown_names, share(unknown_names), "0 to 1"),
            Rule::new(
                "pictures.nameless",
                nameless,
                named,
                "0 to 1, with pictures.unknown_names at most 1",
            ),
        ]
    }

    fn batch_rules(&self) -> Vec<Rule> {
        let BatchSettings { pairs, normal, replaced, shards } = self.batch;
        let least = if self.losses.replaced == 0.0 { 0 } else { shards };
        let batch = |field, crops: usize, least: usize, must| {
            Rule::new(field, crops as f64, (least..=LARGEST_BATCH).contains(&crops), must)
        };
        let parts = (1..=MOST_SHARDS).contains(&shards);
        vec![
            Rule::new("batch.shards", shards as f64, parts, "1 to 64"),
            batch("batch.pairs", pairs, shards, "batch.shards to 4096"),
            batch("batch.normal", normal, 0, "0 to 4096"),
            batch(
                "batch.replaced",
                replaced,
                least,
                "at least batch.shards where losses.replaced counts, and 4096 at most",
            ),
        ]
    }
}

/// What a setting must be.
struct Rule {
    field: &'static str,
    value: f64,
    holds: bool,
    must: &'static str,
}

impl Rule {
    fn new(field: &'static str, value: f64, holds: bool, must: &'static str) -> Self {
        Self { field, value, holds, must }
    }
}

/// A rate that rises for a while and then falls to nothing at the run's end.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmCosine {
    /// The highest rate.
    pub peak: f64,
    /// Steps until it is reached.
    pub warmup: usize,
}

impl WarmCosine {
    /// The rate at a step, counted from 0, of a run of `steps`.
    pub fn at(&self, step: usize, steps: usize) -> f64 {
        if step < self.warmup {
            return self.peak * (step + 1) as f64 / self.warmup as f64;
        }
        let left = steps.saturating_sub(self.warmup).max(1);
        let passed = (step - self.warmup).min(left) as f64 / left as f64;
        self.peak * 0.5 * (1.0 + (PI * passed).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_in_a_line_and_falls_to_nothing() {
        let rate = WarmCosine { peak: 2.0, warmup: 4 };
        assert_eq!([0, 1, 3].map(|step| rate.at(step, 14)), [0.5, 1.0, 2.0]);
        assert_eq!(rate.at(4, 14), 2.0);
        assert!((rate.at(9, 14) - 1.0).abs() < 1e-12);
        assert!(rate.at(14, 14).abs() < 1e-12);
        assert!(rate.at(99, 14).abs() < 1e-12);
    }
}
