//! Proof that this code computes the reference's numbers: every stage of a golden, its losses,
//! gradients and one Adam step, beside what comes out here.

mod golden;
mod report;
mod stages;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use burn::backend::Autodiff;
use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use clip_vit::{
    ClipCheckpoint, Frozen, Precision, PrefixedSource, PromptError, TextBackbone, TextTower,
    VisionTower, WeightError, WeightSource,
};
use moeclip::{AdapterError, Adapters, ClassPrompts, ConfigError, MoeClip, PromptBook};
use moeclip_data::{DataError, Preprocessing, prepare_image};
use thiserror::Error;

pub use golden::Golden;
pub use report::{ParityReport, ParityRow};
pub use stages::{COLUMNS_PER_STEP, train_steps};

use moeclip_train::{Learner, TrainConfig, TrainError};
use report::Comparison;

/// A golden that could not be run; one that runs and differs is a [`ParityReport`].
#[derive(Debug, Error)]
pub enum ParityError {
    /// The golden's configuration is unusable.
    #[error("{}: metadata \"config\" {reason}; write the golden again with make_goldens.py", file.display())]
    Config {
        /// The golden.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The golden has no CLIP and none was given.
    #[error("{}: brings no CLIP along; give the checkpoint it was made with: --clip FILE", file.display())]
    NoClip {
        /// The golden.
        file: PathBuf,
    },
    /// The checkpoint is not the golden's CLIP.
    #[error("{}: is another CLIP than the golden {} was made with; give the one it names", clip.display(), file.display())]
    OtherClip {
        /// The checkpoint.
        clip: PathBuf,
        /// The golden.
        file: PathBuf,
    },
    /// The golden has neither images nor the name of one.
    #[error("{}: has no in.images and names no image; write the golden again", file.display())]
    NoImage {
        /// The golden.
        file: PathBuf,
    },
    /// An expected tensor that no stage makes.
    #[error("{}: {name} is of no known stage; this version cannot check it", file.display())]
    Unknown {
        /// The golden.
        file: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A weight is missing or unusable.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// The picture cannot be read.
    #[error(transparent)]
    Image(#[from] DataError),
    /// The prompts do not fit the tower.
    #[error(transparent)]
    Prompts(#[from] PromptError),
    /// The configuration does not fit the CLIP.
    #[error(transparent)]
    Model(#[from] ConfigError),
    /// The adapters cannot be built.
    #[error(transparent)]
    Adapters(#[from] AdapterError),
    /// The training step failed.
    #[error(transparent)]
    Training(#[from] TrainError),
}

/// Runs a golden on a device. `clip` is needed where the golden brings none along; `precision` is
/// that of the frozen part.
///
/// # Errors
///
/// [`ParityError`] when the golden cannot be run at all.
pub fn run<B: Backend>(
    golden: &Golden,
    clip: Option<&ClipCheckpoint>,
    precision: Precision,
    device: &B::Device,
) -> Result<ParityReport, ParityError> {
    let parts = Parts::<B>::load(golden, clip, precision, device)?;
    let load_time = parts.load_time;
    let mut comparison = Comparison::new(golden);
    stages::compare_forward(&parts, &mut comparison)?;
    if golden.file.contains("in.mask") {
        stages::compare_training(&parts, &mut comparison)?;
    }
    comparison.into_report(load_time)
}

/// A golden's model and inputs on a device.
struct Parts<'a, B: Backend> {
    golden: &'a Golden,
    tower: VisionTower<B>,
    adapters: Adapters<B>,
    prompts: ClassPrompts<B>,
    /// CLIP's own embedding of the normal prompts, not unit.
    clip_text: Tensor<B, 2>,
    images: Tensor<B, 4>,
    /// How long the CLIP's weights took to be ready, both towers.
    load_time: Duration,
    device: &'a B::Device,
}

impl<'a, B: Backend> Parts<'a, B> {
    fn load(
        golden: &'a Golden,
        clip: Option<&ClipCheckpoint>,
        precision: Precision,
        device: &'a B::Device,
    ) -> Result<Self, ParityError> {
        let own = PrefixedSource { file: &golden.file, prefix: "clip." };
        let source: &dyn WeightSource = match clip {
            _ if golden.has_clip() => &own,
            Some(clip) => checked(golden, clip)?,
            None => return Err(ParityError::NoClip { file: golden.file.path().into() }),
        };
        let start = Instant::now();
        let text = TextTower::load(&golden.clip, source, precision, device)?;
        let text_time = start.elapsed();
        let normal = text.encode(&golden.tokens("in.tokens_normal")?)?;
        let abnormal = text.encode(&golden.tokens("in.tokens_abnormal")?)?;
        let clip_text = text.project(normal.clone()).cast(DType::F32);
        drop(text);
        let start = Instant::now();
        let tower = VisionTower::load(&golden.clip, source, precision, device)?;
        let load_time = text_time + start.elapsed();
        let adapter = PrefixedSource { file: &golden.file, prefix: "adapter." };
        Ok(Self {
            golden,
            tower,
            adapters: Adapters::load(&golden.config, &golden.clip, &adapter, device)?,
            prompts: ClassPrompts {
                normal: normal.cast(DType::F32),
                abnormal: abnormal.cast(DType::F32),
            },
            clip_text,
            images: images(golden, golden.config.image_size, device)?,
            load_time,
            device,
        })
    }

    /// A learner at step 0 on the golden's weights.
    fn learner(&self, config: TrainConfig) -> Result<Learner<B>, ParityError> {
        let book = PromptBook::of(stages::CLASS, self.prompts.clone());
        Ok(Learner::new(self.trained_model()?, book, config, self.device)?)
    }

    fn trained_model(&self) -> Result<MoeClip<Autodiff<B>, Frozen<B>>, ParityError> {
        let Golden { file, clip, config } = self.golden;
        let adapter = PrefixedSource { file, prefix: "adapter." };
        let adapters = Adapters::load(config, clip, &adapter, self.device)?;
        let backbone = Frozen::new(self.tower.clone());
        Ok(MoeClip::new(backbone, adapters, config.clone(), self.device)?)
    }

    fn model(&self) -> Result<MoeClip<B, VisionTower<B>>, ParityError> {
        let (tower, adapters) = (self.tower.clone(), self.adapters.clone());
        Ok(MoeClip::new(tower, adapters, self.golden.config.clone(), self.device)?)
    }
}

fn checked<'c>(
    golden: &Golden,
    clip: &'c ClipCheckpoint,
) -> Result<&'c dyn WeightSource, ParityError> {
    if *clip.spec() == golden.clip {
        return Ok(clip);
    }
    let (clip, file) = (clip.file().path().into(), golden.file.path().into());
    Err(ParityError::OtherClip { clip, file })
}

/// The golden's images, or the picture it names at this size.
fn images<B: Backend>(
    golden: &Golden,
    size: usize,
    device: &B::Device,
) -> Result<Tensor<B, 4>, ParityError> {
    let data = if golden.file.contains("in.images") {
        let images = golden.values("in.images")?;
        TensorData::new(images.values, images.shape)
    } else {
        let no_image = || ParityError::NoImage { file: golden.file.path().into() };
        let path = golden.image().ok_or_else(no_image)?;
        let picture = prepare_image(&path, &Preprocessing::clip(size)?)?;
        TensorData::new(picture.values, [1, 3, size, size])
    };
    Ok(Tensor::from_data(data, device))
}

/// How long something took, in seconds.
fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}
