//! `calibrate`: what a detector's numbers mean on normal images, stored with its adapters.

use std::path::PathBuf;

use anomaly::Domain;
use clap::{Args, ValueEnum};
use inspect::{CalibrateRequest, Calibrated, described};
use moeclip_data::Split;

use crate::arguments::{CacheArgs, ClipArgs, DataOptions, MethodArgs};
use crate::cli::{Common, domains};
use crate::interrupt;
use crate::output::{Terminal, print_json};

/// Measure on normal images what a detector's scores mean, and store it with the adapters.
///
/// Stored are the ranges of the maps and of the image head, a threshold of the image score for a rate
/// of false alarms with its intervals, and a threshold of the map's values. `predict` then says normal
/// or anomalous, and `eval` has the protocol `deployed`. Nothing else in the file of adapters changes.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Example: cargo xtask calibrate --data photos-of-good-parts --class \"metal nut\" --clip clip.safetensors --adapter adapter.safetensors\n         cargo xtask calibrate --data visa --split train --fpr 0.05 --clip clip.safetensors --adapter adapter.safetensors"
)]
pub(crate) struct CalibrateArgs {
    #[command(flatten)]
    pub(crate) clip: ClipArgs,
    #[command(flatten)]
    pub(crate) method: MethodArgs,
    /// A folder of normal images (with --class), or a known dataset's name, a list or description, of
    /// which the normal images are taken
    #[arg(long, value_name = "NAME|PATH")]
    pub(crate) data: PathBuf,
    #[command(flatten)]
    pub(crate) options: DataOptions,
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    /// Which normal images of a dataset; train by default, and all of a folder of one's own
    #[arg(long, value_enum)]
    pub(crate) split: Option<SplitChoice>,
    /// Kind of pictures, which decides blur and score; else as the dataset is described, or
    /// industrial
    #[arg(long, value_parser = domains())]
    pub(crate) domain: Option<Domain>,
    /// Share of normal images that may be called anomalous; 0.01 takes 99 images or more
    #[arg(long, default_value_t = 0.01, value_name = "RATE")]
    pub(crate) fpr: f64,
    /// Share of a normal image's pixels that may be called anomalous
    #[arg(long, default_value_t = 0.01, value_name = "RATE")]
    pub(crate) pixel_fpr: f64,
    /// Write the calibrated adapters to this file and leave the others as they are
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// Splits that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SplitChoice {
    /// Normal images that no benchmark measures on
    Train,
    /// The normal ones of those that benchmarks measure on
    Test,
}

pub(crate) fn run(args: CalibrateArgs, common: Common) -> anyhow::Result<()> {
    interrupt::listen()?;
    let split = args.split.map(|split| match split {
        SplitChoice::Train => Split::Train,
        SplitChoice::Test => Split::Test,
    });
    let request = CalibrateRequest {
        clip: args.clip.source(),
        method: args.method.method,
        files: args.method.files(),
        data: args.data,
        options: args.options.request(),
        cache: args.cache.request(),
        split,
        domain: args.domain,
        fpr: args.fpr,
        pixel_fpr: args.pixel_fpr,
        out: args.out,
        compute: common.viewing(None)?,
    };
    let calibrated = request.run(&mut Terminal::default())?;
    if common.json {
        return print_json(&calibrated);
    }
    let Calibrated { file, seconds, calibration } = &calibrated;
    println!("{file}: calibrated in {seconds:.0} s");
    for (name, said) in described(calibration) {
        println!("  {name:18} {said}");
    }
    if calibration.image_threshold.high.is_none() {
        println!("  more images would bound the threshold from above too");
    }
    Ok(())
}
