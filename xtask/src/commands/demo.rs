//! `demo`: the whole method on a small built-in model and made-up pictures, from data to report.

mod clips;
mod inspection;
mod measure;
mod plain;
mod routing;
mod statistics;

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};

use crate::cli::Common;

/// See the whole method run: make an inspection world, train adapters on some of its categories, measure
/// them on others that were never seen, and write a report.
///
/// The report is one file, OUT/report.html. A demo that was interrupted goes on where it was when the
/// same command is given again.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example: cargo xtask demo --out runs/demo")]
pub(crate) struct DemoArgs {
    /// Folder to write to
    #[arg(long, default_value = "runs/demo", value_name = "DIR")]
    out: PathBuf,
    /// What is looked at
    #[arg(long, value_enum, default_value_t = WorldChoice::Inspection)]
    world: WorldChoice,
    /// CLIP that looks at the inspection world: the small one of this program, random weights of the same
    /// sizes, or a checkpoint
    #[arg(long, default_value = "small", value_name = "small|random|FILE")]
    clip: ClipChoice,
    /// Steps of training; 60 in the plain world, else as configs/demo.toml has it
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    /// Pictures of each category of the inspection world
    #[arg(long, default_value_t = 40, value_name = "N")]
    per_category: usize,
    /// Seed of pictures and training
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Worlds that can be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WorldChoice {
    /// Surfaces and objects of 22 categories, looked at by --clip
    Inspection,
    /// Two surfaces, seen by a CLIP with random weights: seconds, to try that everything runs
    Plain,
}

/// CLIPs that can look at the inspection world.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ClipChoice {
    /// The one that comes with the program.
    Small,
    /// Weights that nobody taught.
    Random,
    /// A checkpoint.
    File(PathBuf),
}

impl FromStr for ClipChoice {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "small" => Self::Small,
            "random" => Self::Random,
            file => Self::File(file.into()),
        })
    }
}

/// Steps of training in the plain world.
const PLAIN_STEPS: usize = 60;

pub(crate) fn run(args: DemoArgs, common: Common) -> anyhow::Result<()> {
    let DemoArgs { out, world, clip, steps, per_category, seed } = args;
    match world {
        WorldChoice::Inspection => {
            inspection::run(inspection::Settings { out, clip, steps, per_category, seed }, common)
        }
        WorldChoice::Plain => plain::run(out, steps.unwrap_or(PLAIN_STEPS), seed, common),
    }
}
