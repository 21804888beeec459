//! `train`: adapters from a folder of images with masks.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use burn::tensor::backend::Backend;
use clap::Args;
use clip_vit::{ClipCheckpoint, Frozen};
use moeclip::{Adapters, FrozenClip, MoeClip, MoeClipConfig, PromptSet, Provenance};
use moeclip_data::{Augmentation, Counts, ImageDataset, Preprocessing, Sample, Split, scan};
use moeclip_train::{Ending, Extent, Halving, Learner, StepReport, TrainConfig, check_images, fit};
use serde::Serialize;

use crate::backends::{Job, run_on};
use crate::cli::Common;
use crate::interrupt;
use crate::model::{ClipArgs, open_clip, source_sha256};
use crate::output::print_json;
use crate::progress::Progress;
use crate::system::{gib, peak_memory};

/// Train adapters on a folder of images with masks, in MVTec layout.
///
/// Reads CLASS/test/good, CLASS/test/DEFECT and CLASS/ground_truth/DEFECT. Ctrl-C finishes the step
/// under way and writes what was learned.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Example: cargo xtask train --clip clip.safetensors --data visa --out adapter.safetensors"
)]
pub(crate) struct TrainArgs {
    #[command(flatten)]
    pub(crate) clip: ClipArgs,
    /// Folder of classes in MVTec layout
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The adapters to write
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) settings: TrainSettings,
}

/// Settings of a run; the paper's values unless said otherwise.
#[derive(Debug, Clone, Args)]
pub(crate) struct TrainSettings {
    /// Passes over the images
    #[arg(long, default_value_t = 20)]
    pub(crate) epochs: usize,
    /// End after this many steps
    #[arg(long, value_name = "N")]
    pub(crate) steps: Option<usize>,
    /// Images per step
    #[arg(long, default_value_t = 2)]
    pub(crate) batch: usize,
    /// Learning rate, halved at steps 16000 and 32000
    #[arg(long, default_value_t = 5e-4, value_name = "RATE")]
    pub(crate) learning_rate: f64,
    /// Seed of the start, the order and the augmentation
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Side of the images in pixels
    #[arg(long, default_value_t = 518, value_name = "PIXELS")]
    pub(crate) image_size: usize,
    /// Layers behind which a mixture stands; the quarters of the tower by default
    #[arg(long, value_delimiter = ',', value_name = "LAYERS")]
    pub(crate) taps: Option<Vec<usize>>,
    /// Train on the images as they are
    #[arg(long)]
    pub(crate) no_augmentation: bool,
}

pub(crate) fn run(args: TrainArgs, common: Common) -> anyhow::Result<()> {
    interrupt::listen()?;
    run_on(&common, TrainJob { args, common: common.clone() })
}

struct TrainJob {
    args: TrainArgs,
    common: Common,
}

#[derive(Serialize)]
struct Trained<'a> {
    out: String,
    steps: usize,
    interrupted: bool,
    first: Option<&'a StepReport>,
    last: Option<&'a StepReport>,
    seconds: f64,
    peak_bytes: Option<u64>,
}

impl Job for TrainJob {
    fn run<B: Backend>(self, device: B::Device) -> anyhow::Result<()> {
        let TrainArgs { clip, data, out, settings } = &self.args;
        refuse_unwritable(out)?;
        let samples = scan(data, Split::Test)?;
        check_images(Counts::of(&samples)).with_context(|| data.display().to_string())?;
        let clip = open_clip(&clip.clip, &clip.shape)?;
        let start = Instant::now();
        let mut run = Run::<B>::prepare(&clip, samples, settings, &self.common, &device)?;
        let mut steps = Vec::new();
        let ending = run.fit(settings, &self.common, &device, &mut steps);
        // Hours of steps are kept, whatever ended them; a run that failed at its first has none.
        if ending.is_ok() || !steps.is_empty() {
            run.write(out, settings, &clip)?;
        }
        let ending = ending.with_context(|| match steps.len() {
            0 => "no step was made and nothing written".to_owned(),
            made => format!("ended after {made} whole steps, kept in {}", out.display()),
        })?;
        let trained = Trained {
            out: out.display().to_string(),
            steps: run.learner.steps(),
            interrupted: ending == Ending::Interrupted,
            first: steps.first(),
            last: steps.last(),
            seconds: start.elapsed().as_secs_f64(),
            peak_bytes: peak_memory(),
        };
        report(&trained, &self.common)
    }
}

/// A run under way.
struct Run<B: Backend> {
    learner: Learner<B>,
    dataset: ImageDataset,
    classes: Vec<String>,
    prompts: PromptSet,
}

impl<B: Backend> Run<B> {
    fn prepare(
        clip: &ClipCheckpoint,
        samples: Vec<Sample>,
        settings: &TrainSettings,
        common: &Common,
        device: &B::Device,
    ) -> anyhow::Result<Self> {
        let config = settings.model(clip);
        config.check(&clip.spec().vision)?;
        let train_config = settings.config();
        train_config.check()?;
        let classes = prompt_names(&samples);
        let dataset = settings.dataset(samples)?;
        let prompts = PromptSet::default();
        let frozen = FrozenClip::<B>::load(
            clip.spec(),
            clip,
            &prompts,
            classes.iter().map(String::as_str),
            common.precision.into(),
            device,
        )?;
        let adapters = Adapters::init(&config, clip.spec(), settings.seed, device)?;
        let model = MoeClip::new(Frozen::new(frozen.tower), adapters, config, device)?;
        let learner = Learner::new(model, frozen.book, train_config, device)?;
        Ok(Self { learner, dataset, classes, prompts })
    }

    fn fit(
        &mut self,
        settings: &TrainSettings,
        common: &Common,
        device: &B::Device,
        steps: &mut Vec<StepReport>,
    ) -> anyhow::Result<Ending> {
        let images = self.dataset.samples().len();
        let extent = Extent::new(images, settings.batch, settings.epochs, settings.steps);
        let mut progress = Progress::new("training", extent.steps);
        let ending = fit(&mut self.learner, &self.dataset, extent, device, |step| {
            let losses = step.losses;
            progress.advance(format!("loss {:.3}", losses.total));
            if common.json {
                // A closed pipe must not cost what was learned.
                let _ = print_json(step);
            }
            steps.push(*step);
            if interrupt::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        progress.finish();
        Ok(ending)
    }

    fn write(
        &self,
        out: &Path,
        settings: &TrainSettings,
        clip: &ClipCheckpoint,
    ) -> anyhow::Result<()> {
        let provenance = Provenance {
            version: env!("CARGO_PKG_VERSION").into(),
            epoch: None,
            clip: Some(clip.spec().clone()),
            clip_sha256: Some(source_sha256(clip)),
            classes: self.classes.clone(),
            steps: self.learner.steps(),
            seed: settings.seed,
            prompts: self.prompts.clone(),
        };
        let tensors = moeclip::weights(&self.learner.adapters());
        let tensors = tensors.into_iter().map(|tensor| (tensor.name, tensor.data)).collect();
        let config = self.learner.model().config();
        moeclip::write_adapter(out, &tensors, config, Some(&provenance))?;
        Ok(())
    }
}

impl TrainSettings {
    fn model(&self, clip: &ClipCheckpoint) -> MoeClipConfig {
        let paper = MoeClipConfig::for_clip(clip.spec());
        let taps = self.taps.clone().unwrap_or_else(|| paper.taps.clone());
        MoeClipConfig { image_size: self.image_size, taps, ..paper }
    }

    fn config(&self) -> TrainConfig {
        let learning_rate = Halving { initial: self.learning_rate, ..Halving::default() };
        TrainConfig {
            seed: self.seed,
            epochs: self.epochs,
            batch_size: self.batch,
            learning_rate,
            ..TrainConfig::default()
        }
    }

    fn dataset(&self, samples: Vec<Sample>) -> anyhow::Result<ImageDataset> {
        let dataset = ImageDataset::new(samples, Preprocessing::clip(self.image_size)?);
        if self.no_augmentation {
            return Ok(dataset);
        }
        Ok(dataset.augmented(Augmentation::default(), self.seed)?)
    }
}

/// The classes as they stand in prompts, each once.
pub(crate) fn prompt_names(samples: &[Sample]) -> Vec<String> {
    let names: std::collections::BTreeSet<String> =
        samples.iter().map(Sample::prompt_name).collect();
    names.into_iter().collect()
}

/// Finds out before hours of work whether the result can be written.
fn refuse_unwritable(out: &Path) -> anyhow::Result<()> {
    if out.is_dir() {
        bail!("{}: is a folder; give a file for the adapters", out.display());
    }
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    tempfile::tempfile_in(folder).map(drop).with_context(|| {
        format!(
            "{}: cannot be written; check that its folder exists and is writable",
            out.display()
        )
    })
}

fn report(trained: &Trained<'_>, common: &Common) -> anyhow::Result<()> {
    if common.json {
        return print_json(trained);
    }
    let Trained { out, steps, interrupted, seconds, .. } = trained;
    let how = if *interrupted { "interrupted after" } else { "trained for" };
    println!("{out}: {how} {steps} steps in {seconds:.0} s");
    if let (Some(first), Some(last)) = (trained.first, trained.last) {
        println!("  loss  {:.3} at first, {:.3} at last", first.losses.total, last.losses.total);
    }
    println!("  peak memory  {}", trained.peak_bytes.map_or("unknown".into(), gib));
    Ok(())
}
