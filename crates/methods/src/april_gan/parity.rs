//! Every stage of APRIL-GAN's goldens: pictures, tower, text, maps, losses, gradients and two steps of Adam.

use burn::backend::Autodiff;
use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use clip_vit::{Activation, TextBackbone, TextTower, VisionTower};
use moeclip::TextFeatures;
use moeclip_data::{MaskResize, PictureWithMask, Preprocessing, mosaic};
use moeclip_goldens::{Comparison, Golden, GoldenError};
use serde::Deserialize;

use super::maps::{memory_banks, remembered_distances};
use super::training::head_losses;
use super::{
    AprilGan, AprilGanLosses, AprilGanMaps, AprilGanSettings, LayerTokens, TapHeads,
    scores_within_class,
};
use crate::memory::MemoryBank;
use crate::prepared::{compare_preprocessing, raw_mask, raw_picture};
use crate::state_maps::StateMaps;
use crate::states::SentenceMean;
use crate::steps::{GoldenSteps, Learning, SecondStep};
use crate::training::TrainedMethod;
use crate::{Reference, ReferenceRun, settings};

/// By how much the way of a second step may differ.
const SECOND_STEP: f64 = 1e-3;

/// What goldens are set to.
#[derive(Deserialize)]
struct AprilGanGoldenSettings {
    image_size: usize,
    taps: Vec<usize>,
    memory_taps: Vec<usize>,
    scale: f64,
    activation: Activation,
    lr: f64,
    mosaic: f64,
}

impl AprilGanGoldenSettings {
    fn read(golden: &Golden) -> Result<AprilGanSettings, GoldenError> {
        let Self { image_size, taps, memory_taps, scale, activation, lr, mosaic } =
            golden.settings()?;
        let settings = AprilGanSettings {
            image_size,
            taps,
            memory_taps,
            scale,
            activation,
            learning_rate: lr,
            mosaic,
        };
        settings.check(&golden.clip().vision).map_err(|error| golden.failed(error))?;
        Ok(settings)
    }
}

impl Reference for AprilGan {
    const WORD: &'static str = "april-gan";
    const TELLING_SETTING: &'static str = "memory_taps";

    fn compare<B: Backend>(
        run: &ReferenceRun<'_, B>,
        comparison: &mut Comparison<'_>,
    ) -> Result<(), GoldenError> {
        let stages = AprilGanStages::load(run, AprilGanGoldenSettings::read(run.golden)?)?;
        stages.compare_pictures(comparison)?;
        stages.compare_features(comparison)?;
        stages.compare_maps(comparison)?;
        stages.compare_training(comparison)
    }
}

/// A golden's model and what it sees.
struct AprilGanStages<'a, B: Backend> {
    golden: &'a Golden,
    device: &'a B::Device,
    settings: AprilGanSettings,
    tower: VisionTower<B>,
    heads: TapHeads<B>,
    text: TextFeatures<B>,
    seen: LayerTokens<B>,
    grid: usize,
}

impl<'a, B: Backend> AprilGanStages<'a, B> {
    fn load(run: &ReferenceRun<'a, B>, settings: AprilGanSettings) -> Result<Self, GoldenError> {
        let ReferenceRun { golden, clip: source, precision, device } = *run;
        let clip = settings.clip(golden.clip());
        let text = TextTower::<B>::load(&clip, source, precision, device)?;
        let direction = |name: &str| {
            let features = text.project(text.encode(&golden.tokens(name)?)?).cast(DType::F32);
            Ok::<_, GoldenError>(SentenceMean::Unit.direction(features))
        };
        let text = TextFeatures {
            normal: direction("in.tokens_normal")?,
            abnormal: direction("in.tokens_abnormal")?,
        };
        let tower = VisionTower::load(&clip, source, precision, device)?;
        let numbers = settings.taps.iter().chain(&settings.memory_taps).copied();
        let seen = LayerTokens::of(&tower, golden.tensor("in.images", device)?, numbers);
        let heads = TapHeads::load(&settings, &clip, &golden.learned(), device)?;
        let grid = settings::grid(settings.image_size, &clip.vision)
            .map_err(|error| golden.failed(error))?;
        Ok(Self { golden, device, settings, tower, heads, text, seen, grid })
    }

    fn state_maps<C: Backend<Device = B::Device>>(&self) -> StateMaps<C> {
        let AprilGanSettings { image_size, scale, .. } = self.settings;
        StateMaps::new(self.grid, image_size, scale, self.device)
    }

    fn compare_pictures(&self, comparison: &mut Comparison<'_>) -> Result<(), GoldenError> {
        let golden = self.golden;
        let preprocessing =
            Preprocessing::clip(self.settings.image_size).map_err(|error| golden.failed(error))?;
        let preprocessing = preprocessing.with_mask_resize(MaskResize::Bilinear);
        compare_preprocessing(golden, comparison, &preprocessing)?;
        let part = |number: usize| {
            Ok::<_, GoldenError>(PictureWithMask {
                picture: raw_picture(golden, &format!("in.part.{number}"))?,
                mask: raw_mask(golden, &format!("in.part_mask.{number}"))?,
            })
        };
        let PictureWithMask { picture, mask } = mosaic(&[part(0)?, part(1)?, part(2)?, part(3)?]);
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let picture = TensorData::new(picture.into_raw(), [height, width, 3]);
        comparison.data("mosaic", &picture)?;
        comparison.data("mosaic_mask", &TensorData::new(mask.into_raw(), [height, width]))
    }

    fn compare_features(&self, comparison: &mut Comparison<'_>) -> Result<(), GoldenError> {
        comparison.tensor("positions", self.tower.resized_positions(self.grid))?;
        let TextFeatures { normal, abnormal } = self.text.clone();
        comparison.tensor("text", Tensor::cat(vec![normal, abnormal], 0).transpose())?;
        for (layer, tokens) in &self.seen.tokens {
            comparison.tensor(&format!("hidden.{layer}"), tokens.clone())?;
        }
        comparison.tensor("image", self.seen.image.clone())
    }

    fn compare_maps(&self, comparison: &mut Comparison<'_>) -> Result<(), GoldenError> {
        let maps = self.state_maps::<B>();
        let patches = self.heads.forward(self.seen.patches(&self.settings.taps));
        for (tap, patches) in patches.iter().enumerate() {
            comparison.tensor(&format!("patches.{tap}"), patches.clone())?;
            let TextFeatures { normal, abnormal } = self.text.clone();
            let logits = [normal, abnormal].map(|state| maps.grid_logits(patches, state));
            comparison.tensor(&format!("logits.{tap}"), Tensor::cat(logits.to_vec(), 1))?;
        }
        let banks = self.compare_memory(comparison)?;
        let distances = remembered_distances(&self.seen, &self.settings.memory_taps, &banks, &maps);
        for (tap, distance) in distances.iter().enumerate() {
            comparison.tensor(&format!("few.{tap}"), distance.clone())?;
        }
        let found = AprilGanMaps::of(&maps, &patches, &self.text, &distances);
        for tap in 0..patches.len() {
            let probability = found.probabilities.clone().narrow(1, tap, 1);
            comparison.tensor(&format!("probability.{tap}"), probability)?;
        }
        let score = maps.image_probability(self.seen.image.clone(), &self.text);
        self.compare_scores(score.clone(), &found, comparison)?;
        comparison.tensor("text_score", score)?;
        comparison.tensor("zero_map", found.zero_shot)?;
        comparison.tensor("map", found.whole)
    }

    /// What is remembered of the golden's references, if it has any.
    fn compare_memory(
        &self,
        comparison: &mut Comparison<'_>,
    ) -> Result<Vec<MemoryBank<B>>, GoldenError> {
        if !self.golden.file().contains("in.reference") {
            return Ok(Vec::new());
        }
        let memory_taps = &self.settings.memory_taps;
        let references = self.golden.tensor("in.reference", self.device)?;
        let seen = LayerTokens::of(&self.tower, references, memory_taps.iter().copied());
        for (tap, patches) in seen.patches(memory_taps).into_iter().enumerate() {
            comparison.tensor(&format!("memory.{tap}"), MemoryBank::rows(patches))?;
        }
        Ok(memory_banks(&seen, memory_taps))
    }

    fn compare_scores(
        &self,
        text_score: Tensor<B, 1>,
        found: &AprilGanMaps<B>,
        comparison: &mut Comparison<'_>,
    ) -> Result<(), GoldenError> {
        if !self.golden.file().contains("in.reference") {
            return comparison.tensor("score", text_score);
        }
        let maxima = found.whole.clone().flatten::<2>(1, 2).max_dim(1);
        let host = |data: TensorData| data.iter::<f32>().collect::<Vec<f32>>();
        let (scores, maxima) = (host(text_score.into_data()), host(maxima.into_data()));
        let scores = scores_within_class(&scores, &maxima);
        let count = scores.len();
        comparison.data("score", &TensorData::new(scores, [count]))
    }

    fn compare_training(&self, comparison: &mut Comparison<'_>) -> Result<(), GoldenError> {
        let (golden, device) = (self.golden, self.device);
        let maps = self.state_maps::<Autodiff<B>>();
        let mask: Tensor<B, 4> = golden.tensor("in.mask", device)?;
        let losses = |heads: &TapHeads<Autodiff<B>>| {
            let taps = self.seen.patches(&self.settings.taps);
            head_losses(heads, taps, self.text.clone(), &maps, mask.clone())
        };
        let heads = TapHeads::load(&self.settings, golden.clip(), &golden.learned(), device)?;
        let AprilGanLosses { focal, dice, total } = losses(&heads);
        comparison.tensor("loss.focal", focal)?;
        comparison.tensor("loss.dice", dice)?;
        comparison.tensor("loss.total", total)?;
        let steps = GoldenSteps {
            gradient: "grad",
            first: "adam",
            second: "adam_second",
            second_by: SecondStep::Movement(SECOND_STEP),
        };
        let optimizer = AprilGan::recipe().adam().init();
        let rate = self.settings.learning_rate;
        let learning = Learning { optimizer, rate, name: str::to_owned };
        steps.compare(comparison, heads, learning, |heads| Ok(losses(heads).total))
    }
}
