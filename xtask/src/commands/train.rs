//! `train`: adapters from a folder of images with masks.

mod checkpoints;
mod display;
mod method;
mod run;
mod settings;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use burn::tensor::backend::Backend;
use clap::Args;
use clip_vit::ClipCheckpoint;
use inspect::backends::{DeviceChoice, Job, beside, run_on};
use inspect::{
    Dataset, MethodName, ToldFaults, Warning, fingerprint, refuse_unwritable, tell_trouble,
};
use moeclip::Chosen;
use moeclip_data::{Counts, Fault, ImageDataset, Split, hold_out};
use moeclip_train::{
    AuxiliaryImages, Experiment, RunLog, StepMetrics, StopReason, TrainConfig, check_images,
    fit_watched,
};
use serde::Serialize;

pub(crate) use self::checkpoints::CheckpointArgs;
use self::checkpoints::Saving;
pub(crate) use self::display::{DisplayArgs, ProgressChoice};
use self::run::{Plan, Run};
pub(crate) use self::settings::TrainSettings;
use crate::arguments::{CacheArgs, ClipArgs, DataOptions};
use crate::cli::{Common, methods};
use crate::interrupt;
use crate::output::{Terminal, print_json, tell};
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
    /// The method whose weights are trained
    #[arg(long, value_parser = methods(), default_value = MethodName::default().word())]
    pub(crate) method: MethodName,
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
    /// Share every batch out over several devices, as in cuda:0,cuda:1; instead of --device
    #[arg(long, value_delimiter = ',', value_name = "DEVICES")]
    pub(crate) devices: Vec<DeviceChoice>,
    #[command(flatten)]
    pub(crate) settings: TrainSettings,
    #[command(flatten)]
    pub(crate) saving: CheckpointArgs,
    #[command(flatten)]
    pub(crate) display: DisplayArgs,
}

pub(crate) fn run(args: TrainArgs, common: Common) -> anyhow::Result<()> {
    if args.method != MethodName::default() {
        return method::run(args, common);
    }
    interrupt::listen()?;
    let device = args.devices.first().copied().unwrap_or(common.device);
    let common = Common { device, ..common };
    run_on(common.training(), TrainJob { args, common: common.clone() })
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
    /// Experts left at each tap; `None` where all are.
    experts: Option<Vec<usize>>,
    chosen: &'a Chosen,
    first: Option<&'a StepMetrics>,
    last: Option<&'a StepMetrics>,
    plot: Option<String>,
    seconds: f64,
    peak_bytes: Option<u64>,
}

impl Job for TrainJob {
    type Output = ();
    type Error = anyhow::Error;

    fn run<B: Backend>(self, device: B::Device) -> anyhow::Result<()> {
        let (start, out) = (Instant::now(), &self.args.out);
        let Begun { clip, mut run, mut saving, mut log } = self.begin::<B>(&device)?;
        let mut steps = Ends::default();
        let ending = self.fit(&mut run, &mut saving, &mut log, &device, &mut steps);
        tell_trouble(&run.cache, &mut Terminal::default());
        let plot = log.as_ref().and_then(drawn);
        let outcome = run.outcome();
        // Hours of steps are kept, whatever ended them; a run that failed at its first has none.
        if ending.is_ok() || steps.made > 0 {
            run.write(out, &clip, &outcome)?;
        }
        let ending = ending.with_context(|| match steps.made {
            0 => "no step was made and nothing written".to_owned(),
            made => format!("ended after {made} whole steps, kept in {}", out.display()),
        })?;
        let trained = Trained {
            out: out.display().to_string(),
            steps: run.learner.steps(),
            interrupted: ending == StopReason::Interrupted,
            skipped_steps: run.learner.scaling().map(|scaling| scaling.skipped_steps),
            experts: run.experts(),
            chosen: &outcome.chosen,
            first: steps.first.as_ref(),
            last: steps.last.as_ref(),
            plot,
            seconds: start.elapsed().as_secs_f64(),
            peak_bytes: peak_memory(),
        };
        report(&trained, ending, &self.common)
    }
}

/// A run before its first step of this sitting.
struct Begun<B: Backend> {
    clip: ClipCheckpoint,
    run: Run<B>,
    saving: Saving,
    log: Option<RunLog>,
}

/// The first and the last step of this sitting.
#[derive(Default)]
struct Ends {
    made: usize,
    first: Option<StepMetrics>,
    last: Option<StepMetrics>,
}

impl Ends {
    fn note(&mut self, metrics: &StepMetrics) {
        self.made += 1;
        self.first.get_or_insert_with(|| metrics.clone());
        self.last = Some(metrics.clone());
    }
}

/// The picture of the losses; that it cannot be drawn costs no run.
fn drawn(log: &RunLog) -> Option<String> {
    let plot = log.plot().unwrap_or_else(|error| {
        eprintln!("warning: {error}");
        None
    });
    plot.map(|file| file.display().to_string())
}

/// What is wrong with the files that are trained on, told as they are read.
struct FileFaults {
    images: Vec<ImageDataset>,
    told: ToldFaults,
}

impl FileFaults {
    fn of(images: &AuxiliaryImages) -> Self {
        let images = std::iter::once(&images.training).chain(&images.held_out);
        Self { images: images.cloned().collect(), told: ToldFaults::default() }
    }

    /// What was found since this was called last, and is to be told.
    fn take(&mut self) -> Vec<Warning> {
        let faults: Vec<Fault> = self.images.iter().flat_map(ImageDataset::take_faults).collect();
        self.told.named(&faults)
    }
}

impl TrainJob {
    fn begin<B: Backend>(&self, device: &B::Device) -> anyhow::Result<Begun<B>> {
        let TrainArgs { clip, out, saving, display, devices, .. } = &self.args;
        refuse_unwritable(out)?;
        let plan = self.plan()?;
        let others = beside::<B>(device, devices)?;
        let source = clip.source();
        let clip = source.open(&mut Terminal::default())?;
        let mut run = Run::<B>::prepare(&clip, plan, &source, &self.common, device)?;
        run.learner = run.learner.beside(&others)?;
        let saved = saving.open(run.description(&clip, &self.backend(), &self.common))?;
        let run = run.taken_up(&clip, &saved)?;
        let checkpoints = saving.checkpoints.as_deref();
        let log = display.open_log(checkpoints, saving.resume, run.learner.steps())?;
        Ok(Begun { clip, run, saving: saved, log })
    }

    /// What is to be done, with everything checked that costs no model.
    fn plan(&self) -> anyhow::Result<Plan> {
        let mut experiment = self.args.settings.experiment()?;
        let dataset = open_data(&self.args, &mut experiment)?;
        let samples = dataset.samples(Split::Test, &mut Terminal::default())?;
        let place = || dataset.root.display().to_string();
        let TrainConfig { held_out, seed, .. } = experiment.training;
        let parts = hold_out(samples.clone(), held_out, seed)?;
        check_images(Counts::of(&parts.training)).with_context(place)?;
        Ok(Plan {
            fingerprint: fingerprint(&dataset, &samples, &mut Terminal::default())?,
            samples: parts,
            format: dataset.descriptor.picture_format(),
            cache: self.args.cache.request().open()?,
            experiment,
        })
    }

    /// Backend and devices, as they were given.
    fn backend(&self) -> String {
        let names: Vec<String> = self.args.devices.iter().map(ToString::to_string).collect();
        if names.is_empty() { self.common.device.to_string() } else { names.join(",") }
    }

    fn fit<B: Backend>(
        &self,
        run: &mut Run<B>,
        saving: &mut Saving,
        log: &mut Option<RunLog>,
        device: &B::Device,
        steps: &mut Ends,
    ) -> anyhow::Result<StopReason> {
        let extent = run.extent(self.args.settings.steps);
        let Run { learner, images, .. } = run;
        let mut display = self.args.display.show(extent, learner.steps(), &self.common);
        let mut faults = FileFaults::of(images);
        let ending = fit_watched(learner, images, extent, device, |now, metrics| {
            display.step(metrics);
            if self.common.json {
                // A closed pipe must not cost what was learned.
                let _ = print_json(metrics);
            }
            steps.note(metrics);
            faults.take().into_iter().for_each(|fault| display.warn(fault));
            // The log first: a checkpoint that is there has its steps in the log.
            if let Some(Err(error)) = log.as_mut().map(|log| log.step(metrics)) {
                display.warn(format!("{error}; the log ends before step {}", now.steps()));
                *log = None;
            }
            if let Some(error) = saving.after_step(now) {
                display.warn(error);
            }
            let stop = interrupt::asked() || display.asked_to_stop();
            if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        faults.take().into_iter().for_each(|fault| display.warn(fault));
        display.finish();
        faults.told.rest().iter().for_each(tell);
        // Whatever ended it: a broken picture after hours must not cost the steps since the last.
        if steps.made > 0 {
            saving.at_end(learner);
        }
        Ok(ending?)
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
    let names = options.prompt_names.get_or_insert(described.prompt_names);
    described.prompt_names = *names;
    Ok(Dataset::open(Path::new(name), &options.request(), &mut Terminal::default())?)
}

fn report(trained: &Trained<'_>, ending: StopReason, common: &Common) -> anyhow::Result<()> {
    if common.json {
        return print_json(trained);
    }
    let Trained { out, steps, seconds, chosen, .. } = trained;
    let how = match ending {
        StopReason::Complete => "trained for",
        StopReason::Interrupted => "interrupted after",
        StopReason::OutOfPatience => "ended, for held-out images did not improve, after",
    };
    println!("{out}: {how} {steps} steps in {seconds:.0} s");
    println!("  adapters of step {}: {}", chosen.steps, chosen.because);
    if let (Some(first), Some(last)) = (trained.first, trained.last) {
        let loss = |metrics: &StepMetrics| metrics.report.losses.total;
        println!("  loss  {:.3} at first, {:.3} at last", loss(first), loss(last));
    }
    if let Some(experts) = &trained.experts {
        println!("  experts left at each tap: {experts:?}");
    }
    if let Some(plot) = &trained.plot {
        println!("  losses drawn in {plot}");
    }
    if let Some(skipped) = trained.skipped_steps.filter(|skipped| *skipped > 0) {
        println!("  {skipped} steps moved no weight: gradients overflowed f16 (docs/training.md)");
    }
    println!("  peak memory  {}", trained.peak_bytes.map_or("unknown".into(), gib));
    Ok(())
}
