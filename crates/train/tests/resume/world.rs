//! A run small enough to be made dozens of times: a random CLIP, made-up pictures, ten steps.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use burn::backend::Flex;
use burn::tensor::{Tensor, backend::Backend};
use clip_vit::{
    ClipSpec, ClipSpecBuilder, Frozen, Precision, RandomWeights, VisionTower, WeightSource,
};
use conditions::Conditions;
use moeclip::{Adapters, ClassPrompts, MoeClip, MoeClipConfig, PromptBook, Provenance};
use moeclip_data::{
    Augmentation, HeldOutSplit, ImageDataset, Preprocessing, Split, hold_out, scan,
};
use moeclip_train::{
    AuxiliaryImages, CheckpointPolicy, Checkpoints, Learner, Resumed, RunDescription, RunLength,
    StepDecay, StopReason, TrainConfig, TrainState, fit, fit_watched,
};
use synthetic_world::{Surface, SyntheticSet, write_synthetic};

/// Steps of an epoch over nine pictures, the last with one picture.
pub(crate) const STEPS_PER_EPOCH: usize = 5;

const SURFACE: Surface = Surface::Weave;

/// Everything that a run starts from.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) pictures: PathBuf,
    pub(crate) training: TrainConfig,
    pub(crate) precision: Precision,
}

impl World {
    /// A world whose pictures are written below a folder.
    pub(crate) fn write(folder: &Path) -> Self {
        let set = SyntheticSet { surface: SURFACE, size: 40, per_kind: 3, seed: 5 };
        write_synthetic(folder, &set).unwrap();
        Self::read(folder)
    }

    /// A world whose pictures are there.
    pub(crate) fn read(folder: &Path) -> Self {
        let learning_rate = StepDecay { initial: 1e-2, milestones: vec![4, 7] };
        let training = TrainConfig { seed: 3, epochs: 2, learning_rate, ..TrainConfig::default() };
        Self { pictures: folder.join(SURFACE.class()), training, precision: Precision::F32 }
    }

    pub(crate) fn clip(&self) -> ClipSpec {
        let towers = ClipSpecBuilder::new().vision(8, 4, 64, 3).text(64, 1).tokens(8, 32);
        towers.vision_heads(2).embed(32).build().unwrap()
    }

    pub(crate) fn model(&self) -> MoeClipConfig {
        let (taps, scales) = (vec![1, 3], vec![1, 3]);
        MoeClipConfig { image_size: 40, taps, scales, ..MoeClipConfig::default() }
    }

    pub(crate) fn description(&self) -> RunDescription {
        RunDescription {
            training: self.training.clone(),
            model: self.model(),
            augmentation: Augmentation::default(),
            backend: "flex".into(),
            precision: format!("{:?}", self.precision),
            data: "nine pictures".into(),
            samples: self.training_images(),
            shared: Conditions::here("flex"),
            provenance: Provenance {
                version: "1.2.3".into(),
                clip: Some(self.clip()),
                clip_sha256: Some("c0ffee".into()),
                seed: self.training.seed,
                ..Provenance::default()
            },
        }
    }

    pub(crate) fn steps(&self) -> usize {
        self.extent().steps
    }

    /// A learner at step 0.
    pub(crate) fn learner<B: Backend>(&self) -> Learner<B> {
        let (clip, model, device) = (self.clip(), self.model(), B::Device::default());
        let weights = RandomWeights::new(1);
        let tower = VisionTower::load(&clip, &weights, self.precision, &device).unwrap();
        let adapters = Adapters::init(&model, &clip, self.training.seed, &device).unwrap();
        let model = MoeClip::new(Frozen::new(tower), adapters, model, &device).unwrap();
        let phrases = |name: &str, count: usize| {
            let data = weights.tensor(name, &[count, clip.text.width], Precision::F32).unwrap();
            Tensor::from_data(data, &device)
        };
        let prompts =
            ClassPrompts { normal: phrases("normal", 3), abnormal: phrases("abnormal", 5) };
        let book = PromptBook::of(SURFACE.class(), prompts);
        Learner::new(model, book, self.training.clone(), &device).unwrap()
    }

    /// Makes steps until so many are made in all.
    pub(crate) fn advance<B: Backend>(&self, learner: &mut Learner<B>, until: usize) {
        let (images, device) = (self.images(), B::Device::default());
        let extent = RunLength { steps: until, ..self.extent() };
        fit(learner, &images, extent, &device, |_| ControlFlow::Continue(())).unwrap();
    }

    /// What a run without any checkpoint becomes.
    pub(crate) fn undisturbed<B: Backend>(&self) -> TrainState {
        let mut learner = self.learner::<B>();
        let (images, device) = (self.images(), B::Device::default());
        let ending =
            fit(&mut learner, &images, self.extent(), &device, |_| ControlFlow::Continue(()));
        assert_eq!(ending.unwrap(), StopReason::Complete);
        learner.state()
    }

    /// Takes a run up from its newest checkpoint and makes steps until `watch` breaks or it is done.
    pub(crate) fn train<B: Backend>(
        &self,
        policy: &CheckpointPolicy,
        mut watch: impl FnMut(&mut Checkpoints, &Learner<B>) -> ControlFlow<()>,
    ) -> Learner<B> {
        let resumed = Checkpoints::resume(policy.clone(), self.description()).unwrap();
        let Resumed { mut checkpoints, checkpoint, .. } = resumed;
        let fresh = self.learner::<B>();
        let mut learner = match &checkpoint {
            Some(checkpoint) => fresh.restore(&self.clip(), checkpoint).unwrap(),
            None => fresh,
        };
        let (images, device) = (self.images(), B::Device::default());
        fit_watched(&mut learner, &images, self.extent(), &device, |learner, _| {
            watch(&mut checkpoints, learner)
        })
        .unwrap();
        learner
    }

    /// As [`World::train`], saving when it is due; ended after `stop` steps in all.
    pub(crate) fn train_until<B: Backend>(
        &self,
        policy: &CheckpointPolicy,
        stop: usize,
    ) -> Learner<B> {
        self.train(policy, |checkpoints, learner| {
            checkpoints.after_step(learner).unwrap();
            if learner.steps() >= stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    }

    pub(crate) fn images(&self) -> AuxiliaryImages {
        let HeldOutSplit { training, held_out } = self.split();
        let preprocessing = Preprocessing::clip(self.model().image_size).unwrap();
        let dataset = |samples| ImageDataset::new(samples, preprocessing);
        let (augmentation, seed) = (Augmentation::default(), self.training.seed);
        AuxiliaryImages {
            training: dataset(training).augmented(augmentation, seed).unwrap(),
            held_out: (!held_out.is_empty()).then(|| dataset(held_out)),
        }
    }

    fn split(&self) -> HeldOutSplit {
        let samples = scan(&self.pictures, Split::Test).unwrap();
        hold_out(samples, self.training.held_out, self.training.seed).unwrap()
    }

    /// All nine, unless some are held out.
    fn training_images(&self) -> usize {
        if self.training.held_out > 0.0 { self.split().training.len() } else { 9 }
    }

    pub(crate) fn extent(&self) -> RunLength {
        RunLength::new(self.training_images(), self.training.batch_size, self.training.epochs, None)
    }
}

/// A checkpoint every so many steps, all of them kept.
pub(crate) fn every(steps: usize, folder: &Path) -> CheckpointPolicy {
    let folder = folder.to_path_buf();
    CheckpointPolicy { folder, keep: 1000, every_steps: Some(steps), every: None }
}

/// A run on flex that has ended after `stop` steps, with a checkpoint of every step.
pub(crate) fn ended(world: &World, folder: &Path, stop: usize) -> CheckpointPolicy {
    let policy = every(1, folder);
    world.train_until::<Flex>(&policy, stop);
    policy
}

/// The checkpoint of a step.
pub(crate) fn file(folder: &Path, step: usize) -> PathBuf {
    folder.join(format!("step-{step:08}.safetensors"))
}

/// The steps that have a checkpoint, ascending.
pub(crate) fn saved(folder: &Path) -> Vec<usize> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let step = |name: std::ffi::OsString| {
        let name = name.into_string().unwrap();
        name.strip_prefix("step-")?.strip_suffix(".safetensors")?.parse().ok()
    };
    let mut steps: Vec<usize> = names.filter_map(step).collect();
    steps.sort();
    steps
}
