//! `pretrain`: a small CLIP of one's own.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use burn::tensor::backend::Backend;
use clap::{Args, value_parser};
use conditions::Conditions;
use inspect::backends::{Job, run_on};
use moeclip_train::{
    CheckpointError, CheckpointPolicy, Checkpoints, Resumed, RunLog, Trainer, train,
};
use serde::Serialize;
use small_clip::{
    Pictures, PretrainConfig, PretrainLearner, PretrainMetrics, PretrainPictures, PretrainRun,
    PretrainValues, Pretraining,
};

use crate::cli::Common;
use crate::interrupt;
use crate::output::{Progress, print_json};
use crate::system::cores;
use inspect::refuse_unwritable;

/// Checkpoints that are kept.
const KEPT: usize = 3;

/// Teach a small CLIP on made-up pictures and captions.
///
/// The pictures are those of `datasets synth`, of its auxiliary half only; captions say what is seen and
/// whether something is wrong with it. Ctrl-C finishes the step under way and writes what was learned;
/// with --checkpoints, --resume goes on from there.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Example: cargo xtask pretrain --config configs/pretrain-small.toml --out small-clip.safetensors"
)]
pub(crate) struct PretrainArgs {
    /// A description of the run; what it does not name has its default
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Change one setting, as in steps=2000; may stand several times
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// End after this many steps; the learning rate still falls as the description's own steps say
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    /// The CLIP to write: safetensors, f16
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Folder for checkpoints, and for the log below it; with each, --out is written too
    #[arg(long, value_name = "DIR")]
    checkpoints: Option<PathBuf>,
    /// Go on from the newest checkpoint
    #[arg(long, requires = "checkpoints")]
    resume: bool,
    /// Minutes between two checkpoints
    #[arg(long, default_value_t = 5, value_name = "MINUTES", value_parser = value_parser!(u64).range(1..))]
    checkpoint_minutes: u64,
}

pub(crate) fn run(args: PretrainArgs, common: Common) -> anyhow::Result<()> {
    interrupt::listen()?;
    let config = read_config(&args)?;
    run_on(common.training(), PretrainJob { args, config, common: common.clone() })
}

fn read_config(args: &PretrainArgs) -> anyhow::Result<PretrainConfig> {
    let mut config = PretrainConfig::default();
    if let Some(path) = &args.config {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{}: cannot be read; give a description", path.display()))?;
        config = PretrainConfig::parse(&text, path)?;
    }
    for assignment in &args.set {
        config = config.set(assignment)?;
    }
    Ok(config)
}

struct PretrainJob {
    args: PretrainArgs,
    config: PretrainConfig,
    common: Common,
}

/// What a run leaves on the way.
struct Saving {
    checkpoints: Checkpoints<PretrainRun>,
    log: RunLog<PretrainMetrics>,
    /// The CLIP so far is written with every checkpoint, to be tried out.
    out: PathBuf,
}

#[derive(Serialize)]
struct Pretrained {
    out: String,
    steps: usize,
    interrupted: bool,
    last: Option<PretrainMetrics>,
    plot: Option<String>,
    seconds: f64,
}

impl Job for PretrainJob {
    type Output = ();
    type Error = anyhow::Error;

    fn run<B: Backend>(self, device: B::Device) -> anyhow::Result<()> {
        let start = Instant::now();
        let out = &self.args.out;
        refuse_unwritable(out)?;
        let (mut learner, mut saving) =
            self.taken_up(Pretraining::<B>::new(self.config.clone(), &device)?)?;
        let drawn = self.draw()?.zip(Pictures::draw_held_out(&self.config, cores())?);
        let Some((pictures, held_out)) = drawn else {
            bail!("interrupted before the first step; {} was not written", out.display());
        };
        let before = learner.steps();
        let pictures = PretrainPictures { training: &pictures, held_out: &held_out };
        let fitted = self.fit(&mut learner, pictures, &mut saving);
        // Hours of steps are kept, whatever ended them; a run that failed at its first has none.
        if fitted.is_ok() || learner.steps() > before {
            learner.write_clip(learner.steps(), out)?;
        }
        if let Some(saving) = &mut saving {
            saving.checkpoints.save(&learner)?;
        }
        let last = fitted?;
        let plot = saving.map(|saving| saving.log.plot()).transpose()?.flatten();
        let done = Pretrained {
            out: out.display().to_string(),
            steps: learner.steps(),
            interrupted: learner.steps() < self.config.steps,
            last,
            plot: plot.map(|file| file.display().to_string()),
            seconds: start.elapsed().as_secs_f64(),
        };
        report(&done, &self.common)
    }
}

impl PretrainJob {
    /// The learner as it stood at its newest checkpoint, and where it goes on saving.
    fn taken_up<B: Backend>(
        &self,
        start: Pretraining<B>,
    ) -> anyhow::Result<(PretrainLearner<B>, Option<Saving>)> {
        let Some(folder) = &self.args.checkpoints else { return Ok((Trainer::start(start), None)) };
        let every = Some(Duration::from_secs(self.args.checkpoint_minutes.saturating_mul(60)));
        let policy = CheckpointPolicy { keep: KEPT, every, ..CheckpointPolicy::new(folder) };
        let shared = Conditions::here(&self.common.device.to_string());
        let run = PretrainRun { config: self.config.clone(), shared };
        let (checkpoints, checkpoint) = match self.args.resume {
            true => {
                let resumed = Checkpoints::resume(policy, run)?;
                let Resumed { checkpoints, checkpoint, damaged } = resumed;
                damaged.iter().for_each(|error| eprintln!("warning: passed over: {error}"));
                (checkpoints, checkpoint)
            }
            false => (Checkpoints::start(policy, run).map_err(to_resume)?, None),
        };
        let learner = match &checkpoint {
            Some(checkpoint) => start.restore(checkpoint)?,
            None => Trainer::start(start),
        };
        let log = RunLog::resume(&folder.join("log"), learner.steps())?;
        Ok((learner, Some(Saving { checkpoints, log, out: self.args.out.clone() })))
    }

    /// The pictures to be looked at; `None` when it was asked to stop.
    fn draw(&self) -> anyhow::Result<Option<Pictures>> {
        let mut progress = Progress::new("pictures", self.config.pictures.count);
        let pictures = Pictures::draw(&self.config, cores(), |_| {
            progress.advance(String::new());
            if interrupt::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        progress.finish();
        Ok(pictures)
    }

    /// Steps to the end, or until it was asked to stop; returns the last.
    fn fit<B: Backend>(
        &self,
        learner: &mut PretrainLearner<B>,
        mut pictures: PretrainPictures<'_>,
        saving: &mut Option<Saving>,
    ) -> anyhow::Result<Option<PretrainMetrics>> {
        let left = self.config.steps.saturating_sub(learner.steps());
        let mut progress = Progress::new("pretraining", left);
        let (mut last, mut trouble) = (None, None);
        train(learner, &mut pictures, self.config.steps, |learner, metrics| {
            progress.advance(line(metrics));
            last = Some(*metrics);
            trouble = saving.as_mut().and_then(|saving| saving.step(learner, metrics).err());
            let is_last = self.args.steps.is_some_and(|last| metrics.step >= last);
            let ends = trouble.is_some() || is_last || interrupt::asked();
            if ends { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        progress.finish();
        trouble.map_or(Ok(last), Err)
    }
}

impl Saving {
    fn step<B: Backend>(
        &mut self,
        learner: &PretrainLearner<B>,
        metrics: &PretrainMetrics,
    ) -> anyhow::Result<()> {
        self.log.step(metrics)?;
        if self.checkpoints.after_step(learner)?.is_some() {
            learner.write_clip(learner.steps(), &self.out)?;
        }
        Ok(())
    }
}

/// Names the flag that takes an earlier run up.
fn to_resume(error: CheckpointError) -> anyhow::Error {
    match error {
        CheckpointError::Occupied { newest } => {
            anyhow!("{}: is of an earlier run; give --resume or another folder", newest.display())
        }
        error => error.into(),
    }
}

fn line(metrics: &PretrainMetrics) -> String {
    let PretrainValues { total, pairs, state, patches, replaced, .. } = metrics.losses;
    let terms = format!("pairs {pairs:.3}  state {state:.3}  patches {patches:.3}");
    let speed = metrics.images_per_second;
    let shown = format!("loss {total:.3}  {terms}  replaced {replaced:.3}  {speed:.0} images/s");
    match &metrics.held_out {
        None => shown,
        Some(PretrainValues { total, state_accuracy, patch_accuracy, .. }) => format!(
            "{shown}  held out: loss {total:.3}  state {:.1} %  by patches {:.1} %",
            100.0 * state_accuracy,
            100.0 * patch_accuracy
        ),
    }
}

fn report(done: &Pretrained, common: &Common) -> anyhow::Result<()> {
    if common.json {
        return print_json(done);
    }
    let Pretrained { out, steps, interrupted, last, plot, seconds } = done;
    let how = if *interrupted { "ended early, after" } else { "made" };
    println!("{how} {steps} steps, {seconds:.0} s; wrote {out}");
    if let Some(metrics) = last {
        println!("{}", line(metrics));
    }
    if let Some(plot) = plot {
        println!("losses: {plot}");
    }
    Ok(())
}
