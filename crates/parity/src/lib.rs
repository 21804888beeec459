//! Proof that this code computes the reference's numbers: every stage of a golden, its losses,
//! gradients and one Adam step, beside what comes out here.

mod stages;

use std::time::{Duration, Instant};

use anomaly_methods::ComparedMethod;
use burn::backend::Autodiff;
use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use clip_vit::{
    ClipCheckpoint, ClipSpec, Frozen, Precision, TextBackbone, TextTower, VisionTower, WeightError,
};
use moeclip::{
    AdapterError, Adapters, ClassPrompts, ConfigError, MoeClip, MoeClipConfig, PromptBook,
};
use moeclip_data::{DataError, Preprocessing, prepare_image};
use moeclip_goldens::{Comparison, Golden, GoldenError, ParityReport};
use moeclip_train::{Learner, TrainConfig, TrainError};
use serde::Deserialize;
use thiserror::Error;

pub use stages::{COLUMNS_PER_STEP, train_steps};

/// A golden that could not be run; one that runs and differs is a [`ParityReport`].
#[derive(Debug, Error)]
pub enum ParityError {
    /// The golden itself is unusable.
    #[error(transparent)]
    Golden(#[from] GoldenError),
    /// A weight is missing or unusable.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// The picture cannot be read.
    #[error(transparent)]
    Image(#[from] DataError),
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

/// The settings of MoECLIP in a golden's metadata.
#[derive(Debug, Deserialize)]
struct MoeClipGoldenSettings {
    taps: Vec<usize>,
    experts: usize,
    top_k: usize,
    rank: usize,
    alpha: f64,
    lambda_moe: f64,
    scales: Vec<usize>,
}

/// The configuration of a golden's model.
///
/// # Errors
///
/// [`GoldenError::Config`] when its metadata has no usable one.
pub fn golden_config(golden: &Golden) -> Result<MoeClipConfig, GoldenError> {
    let settings: MoeClipGoldenSettings = golden.settings()?;
    let config = MoeClipConfig {
        image_size: golden.image_size(),
        taps: settings.taps,
        scales: settings.scales,
        experts: settings.experts,
        top_k: settings.top_k,
        rank: settings.rank,
        alpha: settings.alpha,
        lambda: settings.lambda_moe,
        ..MoeClipConfig::default()
    };
    config.check(&golden.clip().vision).map_err(|error| golden.unusable(error))?;
    Ok(config)
}

/// Runs a golden on a device: of a method that MoECLIP is compared with, or MoECLIP's own.
/// [`ComparedMethod::of`] tells which. `clip` is needed where the golden brings none along; `precision` is
/// that of the frozen part.
///
/// # Errors
///
/// [`ParityError`] when the golden cannot be run at all.
pub fn run<B: Backend>(
    method: Option<ComparedMethod>,
    golden: &Golden,
    clip: Option<&ClipCheckpoint>,
    precision: Precision,
    device: &B::Device,
) -> Result<ParityReport, ParityError> {
    match method {
        Some(method) => Ok(anomaly_methods::compare::<B>(method, golden, clip, precision, device)?),
        None => run_moeclip::<B>(golden, clip, precision, device),
    }
}

/// Runs a golden of MoECLIP's own reference.
///
/// # Errors
///
/// [`ParityError`] when the golden cannot be run at all.
pub fn run_moeclip<B: Backend>(
    golden: &Golden,
    clip: Option<&ClipCheckpoint>,
    precision: Precision,
    device: &B::Device,
) -> Result<ParityReport, ParityError> {
    let parts = Parts::<B>::load(golden, clip, precision, device)?;
    let load_time = parts.load_time;
    let mut comparison = Comparison::new(golden);
    stages::compare_forward(&parts, &mut comparison)?;
    if golden.file().contains("in.mask") {
        stages::compare_training(&parts, &mut comparison)?;
    }
    Ok(comparison.into_report(load_time)?)
}

/// A golden's model and inputs on a device.
struct Parts<'a, B: Backend> {
    golden: &'a Golden,
    config: MoeClipConfig,
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
        let config = golden_config(golden)?;
        let spec: &ClipSpec = golden.clip();
        let source = golden.clip_weights(clip)?;
        let start = Instant::now();
        let text = TextTower::load(spec, &*source, precision, device)?;
        let text_time = start.elapsed();
        let normal = text.encode(&golden.tokens("in.tokens_normal")?).map_err(GoldenError::from)?;
        let abnormal =
            text.encode(&golden.tokens("in.tokens_abnormal")?).map_err(GoldenError::from)?;
        let clip_text = text.project(normal.clone()).cast(DType::F32);
        drop(text);
        let start = Instant::now();
        let tower = VisionTower::load(spec, &*source, precision, device)?;
        let load_time = text_time + start.elapsed();
        Ok(Self {
            golden,
            tower,
            adapters: Adapters::load(&config, spec, &golden.learned(), device)?,
            prompts: ClassPrompts {
                normal: normal.cast(DType::F32),
                abnormal: abnormal.cast(DType::F32),
            },
            clip_text,
            images: images(golden, config.image_size, device)?,
            config,
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
        let (learned, clip) = (self.golden.learned(), self.golden.clip());
        let adapters = Adapters::load(&self.config, clip, &learned, self.device)?;
        let backbone = Frozen::new(self.tower.clone());
        Ok(MoeClip::new(backbone, adapters, self.config.clone(), self.device)?)
    }

    fn model(&self) -> Result<MoeClip<B, VisionTower<B>>, ParityError> {
        let (tower, adapters) = (self.tower.clone(), self.adapters.clone());
        Ok(MoeClip::new(tower, adapters, self.config.clone(), self.device)?)
    }
}

/// The golden's images, or the picture it names at this size.
fn images<B: Backend>(
    golden: &Golden,
    size: usize,
    device: &B::Device,
) -> Result<Tensor<B, 4>, ParityError> {
    if golden.file().contains("in.images") {
        return Ok(golden.tensor("in.images", device)?);
    }
    let path = golden.image().ok_or_else(|| GoldenError::NoImage { file: golden.path().into() })?;
    let picture = prepare_image(&path, &Preprocessing::clip(size)?)?;
    Ok(Tensor::from_data(TensorData::new(picture.values, [1, 3, size, size]), device))
}
