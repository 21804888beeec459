//! `datasets synth`: the synthetic inspection world as two datasets.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use synthetic_world::{Quota, Quotas, World, WorldSummary, write_world};

use crate::cli::Common;
use crate::interrupt;
use crate::output::{Progress, print_json};
use crate::system::cores;

#[derive(Debug, Clone, Args)]
#[command(after_help = "Example: cargo xtask datasets synth runs/world --seed 1 --size 112

OUT/auxiliary is for training, OUT/test for measuring: other things, and some other defects.")]
pub(super) struct SynthArgs {
    /// Folder to write to; must not exist or be empty
    #[arg(value_name = "OUT")]
    out: PathBuf,
    /// Decides every pixel
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Side of the square pictures
    #[arg(long, default_value_t = 112, value_name = "PIXELS")]
    size: u32,
    /// Pictures in each category's test split: 90 % defective in auxiliary, 50 % in test
    #[arg(long, default_value_t = 40, value_name = "N", conflicts_with_all = ["normal", "defective"])]
    per_category: usize,
    /// Normal pictures in each category's test split, in both halves
    #[arg(long, value_name = "N", requires = "defective")]
    normal: Option<usize>,
    /// Defective pictures in each category's test split, in both halves
    #[arg(long, value_name = "N", requires = "normal")]
    defective: Option<usize>,
    /// Normal pictures in each category's train split
    #[arg(long, default_value_t = 8, value_name = "N")]
    train: usize,
}

pub(super) fn run(args: &SynthArgs, common: &Common) -> anyhow::Result<()> {
    interrupt::listen()?;
    let world = World::new(args.seed, args.size)?;
    let Some(written) = make_world(&args.out, &world, &args.quotas())? else {
        bail!("interrupted; {} was not written", args.out.display());
    };
    if common.json {
        return print_json(&written);
    }
    let WorldSummary { seed, size, auxiliary, test } = written;
    let out = args.out.display();
    println!(
        "{out}: world {seed} at {size} pixels; {auxiliary} pictures in auxiliary, {test} in test"
    );
    Ok(())
}

/// Writes a world on all cores and shows how far it is; `None` when it was interrupted, and then nothing
/// of it is there.
pub(crate) fn make_world(
    out: &Path,
    world: &World,
    quotas: &Quotas,
) -> anyhow::Result<Option<WorldSummary>> {
    let mut progress: Option<Progress> = None;
    let written = write_world(out, world, quotas, cores(), |drawn| {
        let progress = progress.get_or_insert_with(|| Progress::new("pictures", drawn.total));
        progress.advance(String::new());
        if interrupt::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if let Some(progress) = progress {
        progress.finish();
    }
    Ok(written)
}

impl SynthArgs {
    fn quotas(&self) -> Quotas {
        match (self.normal, self.defective) {
            (Some(normal), Some(defective)) => {
                let quota = Quota { train: self.train, normal, defective };
                Quotas { auxiliary: quota, test: quota }
            }
            _ => Quotas::per_category(self.train, self.per_category),
        }
    }
}
