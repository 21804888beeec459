//! Every stage of AA-CLIP beside the goldens of its reference.

use std::collections::BTreeMap;

use anomaly::Domain;
use burn::backend::Autodiff;
use burn::tensor::{Tensor, TensorData, backend::Backend};
use clip_vit::{Activation, Frozen, TextBackbone, TextTower, VisionBackbone, VisionTower};
use grid_resample::{AxisMatrix, Border, GridResampler};
use moeclip::{TextFeatures, image_score};
use moeclip_data::{Placement, Preprocessing};
use moeclip_goldens::{Comparison, Golden, GoldenError};
use serde::Deserialize;

use super::{
    AaClip, AaClipAdapters, AaClipBatch, AaClipFeatures, AaClipFrozen, AaClipLosses, AaClipMaps,
    AaClipSettings, ClassSentences, ProjectionActivation, TapCombination, TextClassLoss,
    TextLossTaps, ValueAxis, ValueTower, transductive_scores,
};
use crate::prepared::{compare_preprocessing, raw_mask, raw_picture};
use crate::sentences::Sentences;
use crate::state_maps::StateMaps;
use crate::steps::{GoldenSteps, Learning, SecondStep};
use crate::training::TrainedMethod;
use crate::{Reference, ReferenceRun};

/// On the second stage's second step alone.
const SECOND_STEP: f64 = 1e-3;

/// How a golden's picture is moved.
const ROTATED: Placement = Placement {
    rotation_degrees: 17.0,
    shift_right: 0,
    shift_down: 0,
    flipped_horizontally: false,
    flipped_vertically: false,
};

/// The same for its other one.
const SHIFTED: Placement =
    Placement { rotation_degrees: 0.0, shift_right: 7, shift_down: -4, ..ROTATED };

/// The settings as the reference calls them.
#[derive(Debug, Deserialize)]
struct AaClipGoldenSettings {
    image_size: usize,
    activation: Activation,
    taps: Vec<usize>,
    text_adapters: usize,
    image_adapters: usize,
    text_mix: f64,
    image_mix: f64,
    project_relu: bool,
    vv_layers: usize,
    vv_axis: ValueAxis,
    text_loss_taps: TextLossTaps,
    text_class_loss: bool,
    sum_patches: bool,
    scale: f64,
    orthogonal_weight: f64,
    text_lr: f64,
    image_lr: f64,
    milestones: Vec<usize>,
}

impl AaClipGoldenSettings {
    fn settings(self) -> AaClipSettings {
        AaClipSettings {
            image_size: self.image_size,
            taps: self.taps,
            activation: self.activation,
            text_adapters: self.text_adapters,
            image_adapters: self.image_adapters,
            text_mix: self.text_mix,
            image_mix: self.image_mix,
            projection_activation: match self.project_relu {
                true => ProjectionActivation::LeakyRelu,
                false => ProjectionActivation::None,
            },
            value_layers: self.vv_layers,
            value_axis: self.vv_axis,
            text_loss_taps: self.text_loss_taps,
            text_class_loss: match self.text_class_loss {
                true => TextClassLoss::CrossEntropy,
                false => TextClassLoss::None,
            },
            tap_combination: match self.sum_patches {
                true => TapCombination::Summed,
                false => TapCombination::Separate,
            },
            scale: self.scale,
            orthogonal_weight: self.orthogonal_weight,
            text_learning_rate: self.text_lr,
            image_learning_rate: self.image_lr,
            milestones: self.milestones,
        }
    }
}

impl Reference for AaClip {
    const WORD: &'static str = "aa-clip";
    const TELLING_SETTING: &'static str = "vv_axis";

    fn compare<B: Backend>(
        run: &ReferenceRun<'_, B>,
        comparison: &mut Comparison<'_>,
    ) -> Result<(), GoldenError> {
        let stages = AaClipStages::load(run)?;
        stages.compare_pictures(comparison)?;
        stages.compare_text(comparison)?;
        let first = stages.compare_first_stage(comparison)?;
        let second = stages.compare_second_stage(comparison)?;
        for domain in Domain::ALL {
            stages.compare_detection(domain, &second, comparison)?;
        }
        stages.compare_text_training(first, comparison)?;
        stages.compare_image_training(comparison)
    }
}

/// A golden's model and what it sees, on a device.
struct AaClipStages<'a, B: Backend> {
    golden: &'a Golden,
    device: &'a B::Device,
    settings: AaClipSettings,
    grid: usize,
    text_tower: TextTower<B>,
    vision: VisionTower<B>,
    values: ValueTower<B>,
    adapters: AaClipAdapters<B>,
    /// The directions of its classes, by their numbers.
    classes: Vec<TextFeatures<B>>,
    /// The class of each image, by its number.
    class_of: Vec<String>,
    images: Tensor<B, 4>,
    masks: Tensor<B, 4>,
    labels: Tensor<B, 1>,
}

/// Classes of a golden.
const CLASSES: [&str; 2] = ["0", "1"];

impl<'a, B: Backend> AaClipStages<'a, B> {
    fn load(run: &ReferenceRun<'a, B>) -> Result<Self, GoldenError> {
        let &ReferenceRun { golden, clip: weights, precision, device } = run;
        let settings = golden.settings::<AaClipGoldenSettings>()?.settings();
        let clip = golden.clip();
        settings.check(clip).map_err(|error| golden.unusable(error))?;
        let text_tower = TextTower::<B>::load(clip, weights, precision, device)?;
        let vision = VisionTower::load(clip, weights, precision, device)?;
        let adapters = AaClipAdapters::<B>::load(&settings, clip, &golden.learned(), device)?;
        let directions = |class| {
            let sentences = class_sentences(golden, &text_tower, class)?;
            Ok::<_, GoldenError>(adapters.text.directions(&text_tower, &sentences))
        };
        let class_of = golden.integers("in.class")?.iter().map(ToString::to_string).collect();
        Ok(Self {
            golden,
            device,
            grid: settings.image_size / clip.vision.patch,
            classes: CLASSES.into_iter().map(directions).collect::<Result<_, _>>()?,
            class_of,
            text_tower,
            values: ValueTower::new(&settings, vision.clone()),
            vision,
            adapters,
            images: golden.tensor("in.images", device)?,
            masks: golden.tensor("in.mask", device)?,
            labels: golden.tensor("in.label", device)?,
            settings,
        })
    }

    fn state_maps<C: Backend<Device = B::Device>>(&self) -> StateMaps<C> {
        let AaClipSettings { image_size, scale, .. } = self.settings;
        StateMaps::new(self.grid, image_size, scale, self.device)
    }

    /// The directions of each image's class, one row per image.
    fn text_rows(&self) -> TextFeatures<B> {
        let number = |class: &String| usize::from(class == CLASSES[1]);
        let rows = self.class_of.iter().map(|class| self.classes[number(class)].clone());
        TextFeatures::stack(rows.collect())
    }

    fn compare_pictures(&self, comparison: &mut Comparison<'_>) -> Result<(), GoldenError> {
        let (golden, size) = (self.golden, self.settings.image_size);
        let preprocessing = Preprocessing::clip(size).map_err(|error| golden.failed(error))?;
        compare_preprocessing(golden, comparison, &preprocessing)?;
        let picture = raw_picture(golden, "in.raw")?;
        let mut planes = preprocessing.image(&picture).map_err(|error| golden.failed(error))?;
        planes.extend(preprocessing.mask(&raw_mask(golden, "in.raw_mask")?));
        for (stage, placement) in [("rotated", ROTATED), ("shifted", SHIFTED)] {
            let moved = TensorData::new(placement.apply(&planes, size), [4, size, size]);
            comparison.data(stage, &moved)?;
        }
        Ok(())
    }

    fn compare_text(&self, comparison: &mut Comparison<'_>) -> Result<(), GoldenError> {
        for (class, text) in self.classes.iter().enumerate() {
            let states = vec![text.normal.clone(), text.abnormal.clone()];
            comparison.tensor(&format!("text.{class}"), Tensor::cat(states, 0).transpose())?;
        }
        let ClassSentences { normal, .. } =
            class_sentences(self.golden, &self.text_tower, CLASSES[0])?;
        let sentences = self.adapters.text.forward(&self.text_tower, &normal);
        comparison.tensor("sentences.0", sentences)
    }

    fn compare_first_stage(
        &self,
        comparison: &mut Comparison<'_>,
    ) -> Result<AaClipFeatures<B>, GoldenError> {
        comparison.tensor("positions", self.vision.resized_positions(self.grid))?;
        let embedded = self.vision.embed(self.images.clone());
        comparison.tensor("embedded", embedded.clone())?;
        let tokens = self.values.tokens(embedded);
        for (tap, tokens) in self.settings.taps.iter().zip(&tokens.taps) {
            comparison.tensor(&format!("first.hidden.{tap}"), tokens.clone())?;
        }
        let seen = self.values.features(&tokens);
        comparison.tensor("first.image", seen.image.clone())?;
        for (tap, patches) in seen.patches.iter().enumerate() {
            comparison.tensor(&format!("first.patches.{tap}"), patches.clone())?;
        }
        let maps = self.state_maps::<B>().probabilities(&seen.patches, &self.text_rows()).abnormal;
        let last = maps.narrow(1, seen.patches.len() - 1, 1);
        comparison.tensor("first.probability", last)?;
        Ok(seen)
    }

    fn compare_second_stage(
        &self,
        comparison: &mut Comparison<'_>,
    ) -> Result<AaClipFeatures<B>, GoldenError> {
        let adapters = &self.adapters.image;
        let tokens = adapters.tokens(&self.vision, self.vision.embed(self.images.clone()));
        for (index, tokens) in tokens.adapted.iter().enumerate() {
            comparison.tensor(&format!("adapted.{index}"), tokens.clone())?;
        }
        for (tap, tokens) in self.settings.taps.iter().zip(&tokens.taps) {
            comparison.tensor(&format!("hidden.{tap}"), tokens.clone())?;
        }
        let seen = adapters.features(&self.vision, &tokens);
        comparison.tensor("image", seen.image.clone())?;
        let maps = self.state_maps::<B>();
        let probabilities = maps.probabilities(&seen.patches, &self.text_rows()).abnormal;
        for (tap, patches) in seen.patches.iter().enumerate() {
            comparison.tensor(&format!("patches.{tap}"), patches.clone())?;
            let TextFeatures { normal, abnormal } = self.classes[0].clone();
            let logits = [normal, abnormal].map(|state| maps.grid_logits(patches, state));
            comparison.tensor(&format!("logits.{tap}"), Tensor::cat(logits.to_vec(), 1))?;
            let probability = probabilities.clone().narrow(1, tap, 1);
            comparison.tensor(&format!("second.probability.{tap}"), probability)?;
        }
        Ok(seen)
    }

    /// All images as of the first class.
    fn compare_detection(
        &self,
        domain: Domain,
        seen: &AaClipFeatures<B>,
        comparison: &mut Comparison<'_>,
    ) -> Result<(), GoldenError> {
        let (text, name) = (&self.classes[0], domain.name());
        let maps = AaClipMaps::new(&self.settings, domain, self.grid, self.device);
        let grid_maps = maps.grid_maps(&seen.patches, text);
        let (window, sigma) = (domain.blur_window(), domain.blur_sigma());
        let blur = AxisMatrix::gaussian_blur(self.grid, window, sigma, Border::Reflect);
        let blurred = GridResampler::new(&blur, self.device).maps(grid_maps.clone());
        for tap in 0..seen.patches.len() {
            let of_tap = blurred.clone().narrow(1, tap, 1);
            comparison.tensor(&format!("grid.{name}.{tap}"), of_tap)?;
        }
        let map = maps.anomaly_map(grid_maps);
        comparison.tensor(&format!("map.{name}"), map.clone())?;
        let image_scores = image_score(seen.image.clone(), text);
        comparison.tensor("image_score", image_scores.clone())?;
        let host = |data: TensorData| data.iter::<f32>().collect::<Vec<f32>>();
        let (map, image_scores) = (host(map.into_data()), host(image_scores.into_data()));
        let scores = transductive_scores(&map, &image_scores, domain);
        let count = scores.len();
        comparison.data(&format!("score.{name}"), &TensorData::new(scores, [count]))
    }

    fn compare_text_training(
        &self,
        seen: AaClipFeatures<B>,
        comparison: &mut Comparison<'_>,
    ) -> Result<(), GoldenError> {
        let (frozen, settings) = (self.frozen()?, &self.settings);
        let losses = |adapters: &AaClipAdapters<Autodiff<B>>| {
            let text = frozen.text_of(&adapters.text, &self.class_of);
            let text = text.map_err(|error| self.golden.failed(error))?;
            Ok::<_, GoldenError>(frozen.text_losses(settings, seen.clone(), &self.batch(text)))
        };
        let steps = GoldenSteps {
            gradient: "first.grad",
            first: "first.adam",
            second: "first.adam_second",
            second_by: SecondStep::Weights,
        };
        self.compare_steps("first", steps, settings.text_learning_rate, losses, comparison)
    }

    fn compare_image_training(&self, comparison: &mut Comparison<'_>) -> Result<(), GoldenError> {
        let (frozen, settings) = (self.frozen()?, &self.settings);
        let TextFeatures { normal, abnormal } = self.text_rows();
        let text = TextFeatures {
            normal: Tensor::from_inner(normal),
            abnormal: Tensor::from_inner(abnormal),
        };
        let batch = self.batch(text);
        let losses = |adapters: &AaClipAdapters<Autodiff<B>>| {
            let images = self.images.clone();
            Ok::<_, GoldenError>(frozen.image_losses(settings, &adapters.image, images, &batch))
        };
        let steps = GoldenSteps {
            gradient: "second.grad",
            first: "second.adam",
            second: "second.adam_second",
            second_by: SecondStep::Movement(SECOND_STEP),
        };
        self.compare_steps("second", steps, settings.image_learning_rate, losses, comparison)
    }

    /// A stage's losses, its gradients, and two of its steps.
    fn compare_steps(
        &self,
        stage: &str,
        steps: GoldenSteps,
        rate: f64,
        losses: impl Fn(&AaClipAdapters<Autodiff<B>>) -> Result<AaClipLosses<Autodiff<B>>, GoldenError>,
        comparison: &mut Comparison<'_>,
    ) -> Result<(), GoldenError> {
        let golden = self.golden;
        let (clip, learned) = (golden.clip(), golden.learned());
        let adapters = AaClipAdapters::load(&self.settings, clip, &learned, self.device)?;
        let AaClipLosses { focal, dice, class, orthogonal, total } = losses(&adapters)?;
        for (name, term) in [
            ("focal", Some(focal)),
            ("dice", Some(dice)),
            ("class", class),
            ("orthogonal", orthogonal),
            ("total", Some(total)),
        ] {
            if let Some(term) = term {
                comparison.tensor(&format!("{stage}.loss.{name}"), term)?;
            }
        }
        let learning = Learning {
            optimizer: AaClip::recipe().adam().init(),
            rate,
            name: |path: &str| self.settings.checkpoint_name(path),
        };
        steps.compare(comparison, adapters, learning, |adapters| Ok(losses(adapters)?.total))
    }

    fn batch(&self, text: TextFeatures<Autodiff<B>>) -> AaClipBatch<Autodiff<B>> {
        let (masks, labels) = (self.masks.clone(), self.labels.clone());
        AaClipBatch { text, masks: Tensor::from_inner(masks), labels: Tensor::from_inner(labels) }
    }

    fn frozen(&self) -> Result<AaClipFrozen<B>, GoldenError> {
        let text = Frozen::new(self.text_tower.clone());
        let mut sentences = BTreeMap::new();
        for class in CLASSES {
            sentences.insert(class.to_owned(), class_sentences(self.golden, &text, class)?);
        }
        Ok(AaClipFrozen {
            values: self.values.clone(),
            vision: Frozen::new(self.vision.clone()),
            text,
            sentences,
            maps: self.state_maps(),
        })
    }
}

/// The sentences about a golden's class, cut behind their last end.
fn class_sentences<B: Backend, T: TextBackbone<B>>(
    golden: &Golden,
    tower: &T,
    class: &str,
) -> Result<ClassSentences<B>, GoldenError> {
    let sentences = |state: &str| {
        let ids = golden.tokens(&format!("in.tokens_{state}.{class}"))?;
        Ok::<_, GoldenError>(Sentences::look_up(tower, &ids)?.trimmed(0))
    };
    Ok(ClassSentences { normal: sentences("normal")?, abnormal: sentences("abnormal")? })
}
