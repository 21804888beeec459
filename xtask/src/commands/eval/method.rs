//! What is measured: trained adapters, or CLIP as it is.

use std::path::PathBuf;

use anomaly::{Domain, ScoreRule};
use anyhow::Context;
use burn::tensor::backend::Backend;
use clap::{Args, ValueEnum};
use inspect::{LoadedDetector, open_adapter, open_model};
use moeclip::{AdapterFile, ClipDetector, PlainClip};
use moeclip_train::Experiment;

use crate::arguments::{AssumedArgs, ClipArgs};
use crate::cli::Common;
use crate::commands::train::TrainSettings;
use crate::progress::Terminal;

/// What is measured, and what it needs besides the CLIP.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct MethodArgs {
    /// What is measured
    #[arg(long, value_enum, default_value_t = MethodChoice::Moeclip)]
    pub(crate) method: MethodChoice,
    /// Trained adapters: ours or the authors'
    #[arg(long, value_name = "FILE")]
    pub(crate) adapter: Option<PathBuf>,
    /// Description whose image size and prompts are taken for --method clip, as in configs/
    #[arg(long, value_name = "TOML", conflicts_with = "adapter")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) assumed: AssumedArgs,
}

/// Methods that can be asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum MethodChoice {
    /// Trained adapters
    #[default]
    Moeclip,
    /// CLIP as it is
    Clip,
}

/// A method with what was opened for it.
pub(crate) enum Subject {
    Moeclip(Box<AdapterFile>),
    Clip(Box<Experiment>),
}

impl MethodArgs {
    /// Opens what the method needs.
    pub(crate) fn open(&self) -> anyhow::Result<Subject> {
        match self.method {
            MethodChoice::Moeclip => {
                let file = self.adapter.as_ref().context(
                    "what to measure is missing; give --adapter FILE, or --method clip for CLIP as \
                     it is",
                )?;
                Ok(Subject::Moeclip(Box::new(open_adapter(
                    file,
                    &(&self.assumed).into(),
                    &mut Terminal::default(),
                )?)))
            }
            MethodChoice::Clip => {
                let settings = TrainSettings { config: self.config.clone(), ..Default::default() };
                Ok(Subject::Clip(Box::new(settings.experiment()?)))
            }
        }
    }
}

impl Subject {
    /// The detector on a device; `classes` are names for prompts.
    pub(crate) fn load<B: Backend>(
        &self,
        clip: &ClipArgs,
        classes: &[String],
        domain: Domain,
        common: &Common,
        device: &B::Device,
    ) -> anyhow::Result<LoadedDetector<B>> {
        let experiment = match self {
            Self::Moeclip(file) => {
                let (source, compute) = (clip.source(), common.compute());
                let model =
                    open_model(&source, file, classes, compute, device, &mut Terminal::default())?;
                return Ok(model.detector(domain, device)?);
            }
            Self::Clip(experiment) => experiment,
        };
        let clip = clip.source().open(&mut Terminal::default())?;
        let (names, precision) = (classes.iter().map(String::as_str), common.precision.into());
        let prompts = &experiment.prompts;
        let plain = PlainClip::<B>::load(clip.spec(), &clip, prompts, names, precision, device)?;
        let image_size = experiment.model.image_size;
        let detector = ClipDetector::new(plain, domain, image_size, device)?;
        let detector = Box::new(detector.with_normalisation(clip.normalisation()));
        Ok(LoadedDetector::new(detector)?)
    }

    /// How an image's score is made.
    pub(crate) fn score_rule(&self, domain: Domain) -> ScoreRule {
        match self {
            Self::Clip(_) => ScoreRule::Image,
            Self::Moeclip(_) => ScoreRule::of(domain),
        }
    }
}
