//! `run-job`: what this program asks of its own processes, one JSON value each.

use anyhow::Context;
use clap::Args;
use inspect::{ChildJob, Launcher, MethodName, TrainRequest};

use crate::arguments::{CacheArgs, ClipArgs, ClipShapeArgs, DataOptions, PromptArgs};
use crate::cli::Common;
use crate::commands::{bench, eval, train};

/// The sub-command's name.
const NAME: &str = "run-job";

/// Do one job of a grid or a benchmark, and print its result as JSON. Grids and benchmarks start it.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example: cargo xtask run-job '{\"eval\": ...}'")]
pub(crate) struct RunJobArgs {
    /// The job
    #[arg(value_name = "JSON")]
    job: String,
}

/// How such processes are started.
pub(crate) fn launcher() -> anyhow::Result<Launcher> {
    let program = std::env::current_exe().context("this program cannot be found again")?;
    Ok(Launcher { program, arguments: vec![NAME.into()] })
}

pub(crate) fn run(args: RunJobArgs) -> anyhow::Result<()> {
    match serde_json::from_str(&args.job).context("this is no job")? {
        ChildJob::Train(request) => {
            let common = Common::printing_json(request.compute);
            train::run(train_args(request), common)
        }
        ChildJob::Eval(request) => {
            eval::run_request(&request, &Common::printing_json(request.compute))
        }
        ChildJob::Bench(request) => bench::measure(&request, true),
    }
}

/// `train` from wherever it was left.
fn train_args(request: TrainRequest) -> train::TrainArgs {
    let clip = request.clip;
    let shape = ClipShapeArgs {
        vision_heads: clip.vision_heads,
        text_heads: clip.text_heads,
        activation: clip.activation,
        weights: clip.weights,
    };
    let prompting = PromptArgs { prompt_cache: clip.prompt_cache };
    let (cache, cache_limit) = (request.cache.cache, request.cache.cache_limit);
    train::TrainArgs {
        clip: ClipArgs { clip: clip.path, shape, prompting },
        method: MethodName::default(),
        data: None,
        options: DataOptions { data_root: request.data_root, ..DataOptions::default() },
        cache: CacheArgs { cache, cache_limit },
        out: request.out,
        devices: Vec::new(),
        settings: train::TrainSettings {
            config: Some(request.config),
            ..train::TrainSettings::default()
        },
        saving: train::CheckpointArgs {
            checkpoints: Some(request.checkpoints),
            checkpoint_every: request.checkpoint_every,
            checkpoint_minutes: request.checkpoint_minutes,
            resume: true,
            ..train::CheckpointArgs::default()
        },
        display: train::DisplayArgs::default(),
    }
}
