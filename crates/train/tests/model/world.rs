//! A run small enough for thousands of steps: a random CLIP and nine made-up pictures.

use std::path::PathBuf;

use burn::backend::Flex;
use burn::tensor::Tensor;
use clip_vit::{
    ClipSpec, ClipSpecBuilder, Frozen, Precision, RandomWeights, VisionTower, WeightSource,
};
use moeclip::{Adapters, ClassPrompts, MoeClip, MoeClipConfig, PromptBook};
use moeclip_data::{
    Augmentation, Batches, ImageDataset, LoaderOptions, Preprocessing, Split, epoch_order, scan,
};
use moeclip_train::{Learner, StepReport, TrainConfig};
use synthetic_world::{Surface, SyntheticSet, write_synthetic};

const SURFACE: Surface = Surface::Weave;
const SEED: u64 = 3;
const BATCH: usize = 2;

/// The pictures, for as long as they are needed.
pub(crate) struct World {
    folder: tempfile::TempDir,
}

pub(crate) fn clip() -> ClipSpec {
    let towers = ClipSpecBuilder::new().vision(8, 4, 64, 3).text(64, 1).tokens(8, 32);
    towers.vision_heads(2).embed(32).build().unwrap()
}

pub(crate) fn tower() -> VisionTower<Flex> {
    VisionTower::load(&clip(), &RandomWeights::new(1), Precision::F32, &Default::default()).unwrap()
}

/// The paper's model but for its size.
pub(crate) fn paper() -> MoeClipConfig {
    let (taps, scales) = (vec![1, 3], vec![1, 3]);
    MoeClipConfig { image_size: 40, taps, scales, ..MoeClipConfig::default() }
}

/// A learner at step 0 with the paper's Adam and learning rate.
pub(crate) fn learner(model: MoeClipConfig) -> Learner<Flex> {
    let (clip, random, device) = (clip(), RandomWeights::new(1), Default::default());
    let adapters = Adapters::init(&model, &clip, SEED, &device).unwrap();
    let model = MoeClip::new(Frozen::new(tower()), adapters, model, &device).unwrap();
    let phrases = |name: &str, count: usize| {
        let data = random.tensor(name, &[count, clip.text.width], Precision::F32).unwrap();
        Tensor::from_data(data, &device)
    };
    let prompts = ClassPrompts { normal: phrases("normal", 3), abnormal: phrases("abnormal", 5) };
    let book = PromptBook::of(SURFACE.class(), prompts);
    Learner::new(model, book, TrainConfig::default(), &device).unwrap()
}

impl World {
    pub(crate) fn write() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let set = SyntheticSet { surface: SURFACE, size: 40, per_kind: 3, seed: 5 };
        write_synthetic(folder.path(), &set).unwrap();
        Self { folder }
    }

    /// The pictures as they are.
    pub(crate) fn images(&self) -> ImageDataset {
        let pictures: PathBuf = self.folder.path().join(SURFACE.class());
        let samples = scan(&pictures, Split::Test).unwrap();
        ImageDataset::new(samples, Preprocessing::clip(paper().image_size).unwrap())
    }

    /// Makes steps until there are so many in all.
    pub(crate) fn advance(&self, learner: &mut Learner<Flex>, until: usize) -> Vec<StepReport> {
        let images = self.images().augmented(Augmentation::default(), SEED).unwrap();
        let count = images.samples().len();
        let each = count.div_ceil(BATCH);
        let mut reports = Vec::new();
        while learner.steps() < until {
            let epoch = (learner.steps() / each) as u64;
            let options = LoaderOptions::new(BATCH).start_at(learner.steps() % each);
            let (images, order) = (images.at_epoch(epoch), epoch_order(SEED, epoch, count));
            let left = until - learner.steps();
            let batches = Batches::<Flex>::start(&images, order, options, Default::default());
            for batch in batches.unwrap().take(left) {
                reports.push(learner.step(batch.unwrap()).unwrap());
            }
        }
        reports
    }
}
