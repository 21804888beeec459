//! How the weights are trained: which learn in a stage, at which rate, and how rates run through it. The image
//! tower runs outside the graph; in stage 1 gradients flow through the frozen text tower.
//!
//! The release ends each stage when its maps, or scores, of five labelled classes of the target set stop
//! improving. Here a stage has a number of epochs: such labels are not at hand where a detector is needed.

use std::f64::consts::PI;

use burn::backend::Autodiff;
use burn::tensor::{Tensor, backend::Backend};
use clip_vit::{ClipSpec, Frozen, TextTower, VisionTower};
use moeclip_data::{Augmentation, Batch};
use moeclip_train::Movement;
use rand::RngExt;

use super::losses::{BayesPflLosses, Targets};
use super::maps::PairMaps;
use super::model::{FlowNoise, ImageFeatures, PromptFlow, checkpoint_name};
use super::start::{StartingWeights, generator, noise};
use super::text::SentenceBook;
use super::{BayesPfl, BayesPflConfig, BayesPflStage};
use crate::MethodError;
use crate::training::{
    LossTerm, MethodLosses, Recipe, RunPlace, TrainedMethod, TrainingParts, TrainingStage,
};

/// The part of stage 1 in which rates rise.
const WARM_UP: f64 = 0.1;

/// Samples of each distribution in a step.
const SAMPLES: usize = 1;

/// What stays as it is while the method learns.
#[derive(Debug)]
pub struct BayesPflFrozen<B: Backend> {
    vision: VisionTower<B>,
    text: Frozen<B, TextTower<B>>,
    sentences: SentenceBook<Autodiff<B>>,
    maps: PairMaps<Autodiff<B>>,
}

impl BayesPflStage {
    /// That of a run.
    pub(super) fn of(place: RunPlace) -> Self {
        if place.stage == 0 { Self::One } else { Self::Two }
    }
}

impl TrainedMethod for BayesPfl {
    type Learned<B: Backend> = PromptFlow<Autodiff<B>>;
    type Frozen<B: Backend> = BayesPflFrozen<B>;

    /// The release's, whose stages share at most 30 epochs.
    fn recipe() -> Recipe {
        let stage = |epochs| TrainingStage { epochs, batch_size: 32 };
        Recipe::new(vec![stage(20), stage(10)], 333)
    }

    /// The release's rotations. Its quarter turns, and what it does to brightness and noise, are not done.
    fn augmentation() -> Option<Augmentation> {
        Some(Augmentation { rotation_probability: 0.5, ..Augmentation::none() })
    }

    fn start<B: Backend>(
        settings: &BayesPflConfig,
        clip: &ClipSpec,
        seed: u64,
        device: &B::Device,
    ) -> PromptFlow<Autodiff<B>> {
        PromptFlow::start(settings, clip, &StartingWeights::new(seed), device)
    }

    fn weight_name(_: &BayesPflConfig, path: &str) -> String {
        checkpoint_name(path)
    }

    fn frozen<B: Backend>(
        settings: &BayesPflConfig,
        parts: &TrainingParts<'_, B>,
    ) -> Result<BayesPflFrozen<B>, MethodError> {
        let TrainingParts { weights, classes, precision, device, .. } = *parts;
        let clip = settings.clip(parts.clip);
        let text = Frozen::new(TextTower::load(&clip, weights, precision, device)?);
        Ok(BayesPflFrozen {
            vision: VisionTower::load(&clip, weights, precision, device)?,
            sentences: SentenceBook::encode(classes, settings, &text)?,
            text,
            maps: PairMaps::new(settings, &clip, device),
        })
    }

    fn movement(settings: &BayesPflConfig, place: RunPlace, name: &str) -> Option<Movement> {
        let stage = BayesPflStage::of(place);
        let rate = learning_rate(settings, stage, name)?;
        let learning_rate = rate * rate_factor(stage, place.stage_step, place.stage_steps);
        Some(Movement { learning_rate, decay: 0.0 })
    }

    fn losses<B: Backend>(
        settings: &BayesPflConfig,
        frozen: &BayesPflFrozen<B>,
        learned: &PromptFlow<Autodiff<B>>,
        batch: &Batch<B>,
        place: RunPlace,
    ) -> Result<MethodLosses<Autodiff<B>>, MethodError> {
        let BayesPflFrozen { vision, text, sentences, maps } = frozen;
        let stage = BayesPflStage::of(place);
        let features = ImageFeatures::of(vision, &settings.taps, batch.images.clone());
        let features = features.under_autodiff();
        let sentences = sentences.of(&batch.prompts)?;
        let noise = step_noise(place, &features.image);
        let output = learned.forward(text, &features, &sentences, noise, stage);
        let targets = Targets {
            masks: Tensor::from_inner(batch.masks.clone()),
            labels: Tensor::from_inner(batch.labels.clone().float()),
            prompt: step_prompt(place, settings.bank),
        };
        let losses = BayesPflLosses::of(&output, &targets, maps, settings, stage);
        let terms = losses.terms().into_iter();
        let terms = terms.map(|(name, value)| LossTerm { name, value: value.clone() }).collect();
        Ok(MethodLosses { total: losses.total, terms })
    }
}

/// The learning rate of a weight before any schedule, by its name in the authors' checkpoint; `None` when
/// it rests in this stage.
pub fn learning_rate(config: &BayesPflConfig, stage: BayesPflStage, name: &str) -> Option<f64> {
    let is_one_of = |parts: &[&str]| parts.iter().any(|part| name.starts_with(part));
    match stage {
        BayesPflStage::Two => {
            is_one_of(&["class_mapping.", "image_mapping.", "fuse."]).then_some(config.lr_linear)
        }
        BayesPflStage::One if is_one_of(&["prompt_"]) => Some(config.lr_prompt),
        BayesPflStage::One if is_one_of(&["temperature_"]) => Some(config.lr_temperature),
        BayesPflStage::One if is_one_of(&["PFL_"]) => Some(config.lr_flow),
        BayesPflStage::One => Some(config.lr_linear),
    }
}

/// What all rates of a step, counted from 0, are multiplied with: in stage 1 they rise from zero over the
/// first tenth of all steps, and fall along half a cosine; in stage 2 they stay.
pub fn rate_factor(stage: BayesPflStage, step: usize, steps: usize) -> f64 {
    if stage == BayesPflStage::Two {
        return 1.0;
    }
    let rise = (WARM_UP * steps as f64) as usize;
    if step < rise {
        return step as f64 / rise as f64;
    }
    let fall = steps.saturating_sub(rise).max(1) as f64;
    (0.5 * (1.0 + (PI * (step - rise) as f64 / fall).cos())).max(0.0)
}

/// The numbers that a step's samples are made of, for images with these embeddings.
fn step_noise<B: Backend>(place: RunPlace, image: &Tensor<B, 2>) -> FlowNoise<B> {
    let ([batch, embed], device) = (image.dims(), image.device());
    let purpose = |part: &str| format!("step {} {part}", place.step).into_bytes();
    let state = |part| noise(place.seed, &purpose(part), [SAMPLES, embed], &device);
    FlowNoise {
        context: noise(place.seed, &purpose("context"), [batch, SAMPLES, embed], &device),
        normal: state("normal"),
        abnormal: state("abnormal"),
    }
}

/// The prompt of the bank that a step's maps and image logits are made of.
fn step_prompt(place: RunPlace, bank: usize) -> usize {
    let purpose = format!("step {} prompt", place.step);
    generator(place.seed, purpose.as_bytes()).random_range(0..bank.max(1))
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;
    use burn::optim::{AdamConfig, GradientsParams};
    use burn::tensor::{Distribution, TensorData};
    use clip_vit::tokenizer::VOCABULARY;
    use clip_vit::{ClipSpecBuilder, Precision, RandomWeights};
    use moeclip_train::{AdamOptimizer, moved};

    use super::*;
    use crate::learned::learned_values;

    fn place(step: usize, stage: usize) -> RunPlace {
        RunPlace {
            step,
            stage,
            stage_step: step,
            stage_steps: 40,
            epoch_steps: 40,
            batch_size: 2,
            epoch: 0,
            seed: 1,
        }
    }

    #[test]
    fn rates_rise_for_a_tenth_and_fall_to_nothing() {
        let at = |step| rate_factor(BayesPflStage::One, step, 100);
        assert_eq!([at(0), at(5), at(10)], [0.0, 0.5, 1.0]);
        assert!((at(55) - 0.5).abs() < 1e-12 && at(100) < 1e-12);
        assert_eq!(rate_factor(BayesPflStage::Two, 0, 100), 1.0);
    }

    #[test]
    fn every_weight_has_its_rate_and_rests_where_it_does_not_learn() {
        let config = BayesPflConfig::default();
        let of = |name| {
            [BayesPflStage::One, BayesPflStage::Two].map(|s| learning_rate(&config, s, name))
        };
        assert_eq!(of("prompt_context"), [Some(1e-3), None]);
        assert_eq!(of("temperature_image"), [Some(1e-2), None]);
        assert_eq!(of("PFL_normal.state"), [Some(1e-3), None]);
        assert_eq!(of("RCA.linear_proj.0.weight"), [Some(1e-4), None]);
        assert_eq!(of("fuse.compress.bias"), [Some(1e-4); 2]);
    }

    #[test]
    fn every_prompt_of_the_bank_is_drawn() {
        let mut drawn: Vec<usize> = (0..40).map(|step| step_prompt(place(step, 0), 3)).collect();
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn, [0, 1, 2]);
    }

    /// A batch of two images, one of them anomalous.
    fn batch() -> Batch<Flex> {
        let device = Default::default();
        let mask = Tensor::<Flex, 4>::zeros([1, 1, 16, 16], &device);
        let class = || vec!["nut".to_owned(); 2];
        Batch {
            images: Tensor::random([2, 3, 16, 16], Distribution::Default, &device),
            masks: Tensor::cat(vec![mask.clone(), mask.add_scalar(1.0)], 0),
            labels: Tensor::from_data(TensorData::from([0i64, 1]), &device),
            classes: class(),
            prompts: class(),
            paths: vec![Default::default(); 2],
            has_mask: vec![true; 2],
            original_sizes: vec![moeclip_data::ImageSize { width: 16, height: 16 }; 2],
        }
    }

    #[test]
    fn each_stage_moves_its_own_weights() {
        let clip = ClipSpecBuilder::new().vision(4, 2, 8, 2).vision_heads(2).text(8, 1);
        let clip = clip.tokens(16, VOCABULARY).embed(8).build().unwrap();
        let settings = BayesPflConfig {
            image_size: 16,
            taps: vec![1, 2],
            top_pixels: 9,
            ..Default::default()
        };
        let (weights, device) = (RandomWeights::new(2), Default::default());
        let parts = TrainingParts::<Flex> {
            clip: &clip,
            weights: &weights,
            classes: &["nut".to_owned()],
            precision: Precision::F32,
            device: &device,
        };
        let frozen = BayesPfl::frozen(&settings, &parts).unwrap();
        for (stage, moves, rests) in [
            (
                0,
                ["prompt_context", "RCA.q_proj_pre.bias"],
                ["image_mapping.weight", "fuse.compress.weight"],
            ),
            (
                1,
                ["image_mapping.weight", "class_mapping.bias"],
                ["prompt_context", "temperature_image"],
            ),
        ] {
            let learned = BayesPfl::start::<Flex>(&settings, &clip, 3, &device);
            let before = learned_values(&learned, checkpoint_name);
            let place = place(10, stage);
            let losses = BayesPfl::losses(&settings, &frozen, &learned, &batch(), place).unwrap();
            let gradients = GradientsParams::from_grads(losses.total.backward(), &learned);
            let mut adam: AdamOptimizer<PromptFlow<Autodiff<Flex>>, Flex> =
                AdamConfig::new().init();
            let movement =
                |path: &str| BayesPfl::movement(&settings, place, &checkpoint_name(path));
            let learned = moved(&mut adam, learned, gradients, movement);
            let after = learned_values(&learned, checkpoint_name);
            assert!(moves.iter().all(|name| before[*name] != after[*name]), "stage {stage}");
            assert!(rests.iter().all(|name| before[*name] == after[*name]), "stage {stage}");
        }
    }
}
