//! `train`: adapters from a folder of images with masks.

mod checkpoints;
mod settings;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use burn::tensor::backend::Backend;
use clap::Args;
use clip_vit::{ClipCheckpoint, Frozen};
use moeclip::{Adapters, MoeClip, Provenance};
use moeclip_data::{Cache, Counts, ImageDataset, MaskRule, Preprocessing, Sample, Split};
use moeclip_train::{
    Ending, Experiment, Extent, Learner, RunDescription, StepReport, TrainConfig, check_images,
    fit_watched, measured_partition,
};
use serde::Serialize;

pub(crate) use self::checkpoints::CheckpointArgs;
use self::checkpoints::Saving;
pub(crate) use self::settings::TrainSettings;
use crate::backends::{Job, run_on};
use crate::cli::Common;
use crate::code;
use crate::data::{
    CacheArgs, DataOptions, Dataset, Fingerprint, cached, fingerprint, tell_trouble,
};
use crate::interrupt;
use crate::model::{ClipArgs, PromptArgs, open_clip, source_sha256};
use crate::output::print_json;
use crate::progress::Progress;
use crate::system::{gib, peak_memory};

/// Train adapters on a dataset with masks.
///
/// Reads a known dataset, a folder in MVTec layout, a list, or a tree of one's own; the test split,
/// as the paper does. Ctrl-C finishes the step under way and writes what was learned; with
/// --checkpoints, --resume goes on from there.
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
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    /// The adapters to write
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) settings: TrainSettings,
    #[command(flatten)]
    pub(crate) saving: CheckpointArgs,
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
    /// Steps that moved no weight because gradients overflowed; `None` where nothing is scaled.
    skipped_steps: Option<usize>,
    first: Option<&'a StepReport>,
    last: Option<&'a StepReport>,
    seconds: f64,
    peak_bytes: Option<u64>,
}

impl Job for TrainJob {
    fn run<B: Backend>(self, device: B::Device) -> anyhow::Result<()> {
        let TrainArgs { clip, out, settings, saving, .. } = &self.args;
        refuse_unwritable(out)?;
        let plan = self.plan()?;
        let prompting = &clip.prompting;
        let clip = open_clip(&clip.clip, &clip.shape)?;
        let start = Instant::now();
        let run = Run::<B>::prepare(&clip, plan, prompting, &self.common, &device)?;
        let mut saving = saving.open(run.description(&clip, &self.common))?;
        let mut run = run.taken_up(&clip, &saving)?;
        let mut steps = Vec::new();
        let ending = run.fit(settings.steps, &mut saving, &self.common, &device, &mut steps);
        tell_trouble(&run.cache);
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
            skipped_steps: run.learner.scaling().map(|scaling| scaling.skipped_steps),
            first: steps.first(),
            last: steps.last(),
            seconds: start.elapsed().as_secs_f64(),
            peak_bytes: peak_memory(),
        };
        report(&trained, &self.common)
    }
}

impl TrainJob {
    /// What is to be done, with everything checked that costs no model.
    fn plan(&self) -> anyhow::Result<Plan> {
        let mut experiment = self.args.settings.experiment()?;
        let dataset = open_data(&self.args, &mut experiment)?;
        let samples = dataset.samples(Split::Test)?;
        let place = || dataset.root.display().to_string();
        check_images(Counts::of(&samples)).with_context(place)?;
        Ok(Plan {
            fingerprint: fingerprint(&dataset, &samples)?,
            samples,
            mask_rule: dataset.descriptor.masks.rule,
            cache: self.args.cache.open()?,
            experiment,
        })
    }
}

/// What is trained, and on what.
struct Plan {
    experiment: Experiment,
    samples: Vec<Sample>,
    mask_rule: MaskRule,
    cache: Option<Cache>,
    fingerprint: Fingerprint,
}

/// A run under way.
struct Run<B: Backend> {
    learner: Learner<B>,
    dataset: ImageDataset,
    classes: Vec<String>,
    cache: Option<Cache>,
    fingerprint: Fingerprint,
    experiment: Experiment,
}

impl<B: Backend> Run<B> {
    fn prepare(
        clip: &ClipCheckpoint,
        plan: Plan,
        prompting: &PromptArgs,
        common: &Common,
        device: &B::Device,
    ) -> anyhow::Result<Self> {
        let Plan { experiment, samples, mask_rule, cache, fingerprint } = plan;
        let config = experiment.model_on(clip.spec());
        config.check(&clip.spec().vision)?;
        let training = experiment.training.clone();
        let classes = prompt_names(&samples);
        let preprocessing = Preprocessing::clip(config.image_size)?.with_mask_rule(mask_rule);
        let images = cached(ImageDataset::new(samples, preprocessing), &cache);
        let dataset = images.clone().augmented(experiment.augmentation, training.seed)?;
        let frozen =
            prompting.frozen_clip::<B>(clip, &experiment.prompts, &classes, common, device)?;
        let config = measured_partition(config, &frozen.tower, &images, device)?;
        let adapters = Adapters::init(&config, clip.spec(), training.seed, device)?;
        let model = MoeClip::new(Frozen::new(frozen.tower), adapters, config, device)?;
        let learner = Learner::new(model, frozen.book, training, device)?;
        Ok(Self { learner, dataset, classes, cache, fingerprint, experiment })
    }

    /// The run as it stood at the checkpoint that it goes on from, if there is one.
    fn taken_up(mut self, clip: &ClipCheckpoint, saving: &Saving) -> anyhow::Result<Self> {
        if let Some(checkpoint) = &saving.from {
            self.learner = self.learner.restore(clip.spec(), checkpoint)?;
        }
        Ok(self)
    }

    /// What a checkpoint of this run belongs to.
    fn description(&self, clip: &ClipCheckpoint, common: &Common) -> RunDescription {
        RunDescription {
            training: self.experiment.training.clone(),
            model: self.learner.model().config().clone(),
            augmentation: self.experiment.augmentation,
            backend: common.device.to_string(),
            precision: format!("{:?}", common.precision),
            data: self.fingerprint.in_order.clone(),
            samples: self.dataset.samples().len(),
            provenance: self.provenance(clip),
        }
    }

    /// Where the adapters come from.
    fn provenance(&self, clip: &ClipCheckpoint) -> Provenance {
        Provenance {
            version: code::VERSION.into(),
            commit: code::COMMIT.map(str::to_owned),
            epoch: None,
            preset: clip.preset().map(|preset| preset.name().to_owned()),
            clip: Some(clip.spec().clone()),
            clip_sha256: Some(source_sha256(clip)),
            classes: self.classes.clone(),
            data: Some(self.fingerprint.data.clone()),
            run: Some(self.experiment.to_toml()),
            metrics: self.learner.metrics().clone(),
            steps: self.learner.steps(),
            seed: self.experiment.training.seed,
            prompts: self.experiment.prompts.clone(),
        }
    }

    fn fit(
        &mut self,
        limit: Option<usize>,
        saving: &mut Saving,
        common: &Common,
        device: &B::Device,
        steps: &mut Vec<StepReport>,
    ) -> anyhow::Result<Ending> {
        let images = self.dataset.samples().len();
        let TrainConfig { batch_size, epochs, .. } = self.experiment.training;
        let extent = Extent::new(images, batch_size, epochs, limit);
        let left = extent.steps.saturating_sub(self.learner.steps());
        let mut progress = Progress::new("training", left);
        let ending = fit_watched(&mut self.learner, &self.dataset, extent, device, |now, step| {
            let losses = step.losses;
            progress.advance(format!("loss {:.3}", losses.total));
            if common.json {
                // A closed pipe must not cost what was learned.
                let _ = print_json(step);
            }
            steps.push(*step);
            saving.after_step(now);
            if interrupt::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        progress.finish();
        // Whatever ended it: a broken picture after hours must not cost the steps since the last.
        if !steps.is_empty() {
            saving.at_end(&self.learner);
        }
        Ok(ending?)
    }

    fn write(&self, out: &Path, clip: &ClipCheckpoint) -> anyhow::Result<()> {
        let provenance = self.provenance(clip);
        let tensors = moeclip::weights(&self.learner.adapters());
        let tensors = tensors.into_iter().map(|tensor| (tensor.name, tensor.data)).collect();
        let config = self.learner.model().config();
        moeclip::write_adapter(out, &tensors, config, Some(&provenance))?;
        Ok(())
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
    if let Some(skipped) = trained.skipped_steps.filter(|skipped| *skipped > 0) {
        println!("  {skipped} steps moved no weight: gradients overflowed f16 (docs/training.md)");
    }
    println!("  peak memory  {}", trained.peak_bytes.map_or("unknown".into(), gib));
    Ok(())
}
