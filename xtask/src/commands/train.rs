//! `train`: adapters from a folder of images with masks.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use burn::tensor::backend::Backend;
use clap::Args;
use clip_vit::{ClipCheckpoint, Frozen};
use moeclip::{Adapters, AuxiliaryData, FrozenClip, MoeClip, Provenance};
use moeclip_data::{Augmentation, Counts, ImageDataset, MaskRule, Preprocessing, Sample, Split};
use moeclip_train::{
    Ending, Experiment, Extent, Learner, StepReport, TrainConfig, check_images, fit,
};
use serde::Serialize;

use crate::backends::{Job, run_on};
use crate::cli::Common;
use crate::data::{DataOptions, Dataset, auxiliary_data};
use crate::interrupt;
use crate::model::{ClipArgs, open_clip, source_sha256};
use crate::output::print_json;
use crate::progress::Progress;
use crate::system::{gib, peak_memory};

/// Train adapters on a dataset with masks.
///
/// Reads a known dataset, a folder in MVTec layout, a list, or a tree of one's own; the test split,
/// as the paper does. Ctrl-C finishes the step under way and writes what was learned.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Example: cargo xtask train --clip clip.safetensors --data visa --out adapter.safetensors"
)]
pub(crate) struct TrainArgs {
    #[command(flatten)]
    pub(crate) clip: ClipArgs,
    /// A known dataset's name, or a folder, list or description
    #[arg(long, value_name = "NAME|PATH")]
    pub(crate) data: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) options: DataOptions,
    /// The adapters to write
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) settings: TrainSettings,
}

/// Settings of a run. What is not given here is as in --config, and else as in the paper.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct TrainSettings {
    /// Description of the run, as in configs/
    #[arg(long, value_name = "TOML")]
    pub(crate) config: Option<PathBuf>,
    /// Change one setting of the description, as in training.batch_size=4
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Passes over the images (20)
    #[arg(long)]
    pub(crate) epochs: Option<usize>,
    /// End after this many steps
    #[arg(long, value_name = "N")]
    pub(crate) steps: Option<usize>,
    /// Images per step (2)
    #[arg(long)]
    pub(crate) batch: Option<usize>,
    /// Learning rate at the start (5e-4)
    #[arg(long, value_name = "RATE")]
    pub(crate) learning_rate: Option<f64>,
    /// Seed of the start, the order and the augmentation (0)
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Side of the images in pixels (518)
    #[arg(long, value_name = "PIXELS")]
    pub(crate) image_size: Option<usize>,
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
        let TrainArgs { clip, out, settings, .. } = &self.args;
        refuse_unwritable(out)?;
        let mut experiment = settings.experiment()?;
        let dataset = open_data(&self.args, &mut experiment)?;
        let samples = dataset.samples(Split::Test)?;
        let place = || dataset.root.display().to_string();
        check_images(Counts::of(&samples)).with_context(place)?;
        let clip = open_clip(&clip.clip, &clip.shape)?;
        let start = Instant::now();
        let auxiliary = Auxiliary {
            data: auxiliary_data(&dataset, &samples)?,
            samples,
            mask_rule: dataset.descriptor.masks.rule,
        };
        let mut run = Run::<B>::prepare(&clip, auxiliary, experiment, &self.common, &device)?;
        let mut steps = Vec::new();
        let ending = run.fit(settings.steps, &self.common, &device, &mut steps);
        // Hours of steps are kept, whatever ended them; a run that failed at its first has none.
        if ending.is_ok() || !steps.is_empty() {
            run.write(out, &clip)?;
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

/// What is trained on.
struct Auxiliary {
    samples: Vec<Sample>,
    mask_rule: MaskRule,
    data: AuxiliaryData,
}

/// A run under way.
struct Run<B: Backend> {
    learner: Learner<B>,
    dataset: ImageDataset,
    classes: Vec<String>,
    data: AuxiliaryData,
    experiment: Experiment,
}

impl<B: Backend> Run<B> {
    fn prepare(
        clip: &ClipCheckpoint,
        auxiliary: Auxiliary,
        experiment: Experiment,
        common: &Common,
        device: &B::Device,
    ) -> anyhow::Result<Self> {
        let config = experiment.model_on(clip.spec());
        config.check(&clip.spec().vision)?;
        let training = experiment.training.clone();
        let Auxiliary { samples, mask_rule, data } = auxiliary;
        let classes = prompt_names(&samples);
        let preprocessing = Preprocessing::clip(config.image_size)?.with_mask_rule(mask_rule);
        let dataset = ImageDataset::new(samples, preprocessing)
            .augmented(experiment.augmentation, training.seed)?;
        let frozen = FrozenClip::<B>::load(
            clip.spec(),
            clip,
            &experiment.prompts,
            classes.iter().map(String::as_str),
            common.precision.into(),
            device,
        )?;
        let adapters = Adapters::init(&config, clip.spec(), training.seed, device)?;
        let model = MoeClip::new(Frozen::new(frozen.tower), adapters, config, device)?;
        let learner = Learner::new(model, frozen.book, training, device)?;
        Ok(Self { learner, dataset, classes, data, experiment })
    }

    fn fit(
        &mut self,
        limit: Option<usize>,
        common: &Common,
        device: &B::Device,
        steps: &mut Vec<StepReport>,
    ) -> anyhow::Result<Ending> {
        let images = self.dataset.samples().len();
        let TrainConfig { batch_size, epochs, .. } = self.experiment.training;
        let extent = Extent::new(images, batch_size, epochs, limit);
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

    fn write(&self, out: &Path, clip: &ClipCheckpoint) -> anyhow::Result<()> {
        let provenance = Provenance {
            version: env!("CARGO_PKG_VERSION").into(),
            epoch: None,
            clip: Some(clip.spec().clone()),
            clip_sha256: Some(source_sha256(clip)),
            classes: self.classes.clone(),
            data: Some(self.data.clone()),
            run: Some(self.experiment.to_toml()),
            steps: self.learner.steps(),
            seed: self.experiment.training.seed,
            prompts: self.experiment.prompts.clone(),
        };
        let tensors = moeclip::weights(&self.learner.adapters());
        let tensors = tensors.into_iter().map(|tensor| (tensor.name, tensor.data)).collect();
        let config = self.learner.model().config();
        moeclip::write_adapter(out, &tensors, config, Some(&provenance))?;
        Ok(())
    }
}

impl TrainSettings {
    /// The run: the file, then --set, then the options that have flags of their own.
    pub(crate) fn experiment(&self) -> anyhow::Result<Experiment> {
        let mut experiment = match &self.config {
            None => Experiment::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("{}: cannot be read as text", path.display()))?;
                Experiment::parse(&text, path)?
            }
        };
        for assignment in &self.set {
            experiment = experiment.set(assignment)?;
        }
        let Experiment { training, model, augmentation, .. } = &mut experiment;
        replace(&mut training.epochs, &self.epochs);
        replace(&mut training.batch_size, &self.batch);
        replace(&mut training.learning_rate.initial, &self.learning_rate);
        replace(&mut training.seed, &self.seed);
        replace(&mut model.image_size, &self.image_size);
        model.taps = self.taps.clone().or(model.taps.take());
        if self.no_augmentation {
            *augmentation = Augmentation::none();
        }
        Ok(experiment)
    }
}

fn replace<T: Clone>(setting: &mut T, given: &Option<T>) {
    if let Some(value) = given {
        *setting = value.clone();
    }
}

/// The auxiliary set: what the options say before the description, which then says it too.
fn open_data(args: &TrainArgs, experiment: &mut Experiment) -> anyhow::Result<Dataset> {
    let described = &mut experiment.data;
    let given = args.data.as_ref().map(|data| data.display().to_string());
    described.name = given.or(described.name.take());
    let name = described.name.as_ref();
    let name = name.context("what to train on is missing; give --data NAME|PATH")?;
    let mut options = args.options.clone();
    let names = options.prompt_names.get_or_insert(described.prompt_names.into());
    described.prompt_names = (*names).into();
    Dataset::open(Path::new(name), &options)
}

/// The classes as they stand in prompts, each once.
pub(crate) fn prompt_names(samples: &[Sample]) -> Vec<String> {
    let names: std::collections::BTreeSet<String> =
        samples.iter().map(|sample| sample.prompt.clone()).collect();
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
