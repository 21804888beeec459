//! `eval`: what a detector is worth on labelled images.

use std::path::PathBuf;

use anomaly::Domain;
use clap::Args;
use inspect::{EvalRequest, Evaluated, Measuring, PIXEL_MEMORY};

use crate::arguments::{CacheArgs, CalibrationArgs, ClipArgs, DataOptions, MethodArgs};
use crate::cli::{Common, domains};
use crate::interrupt;
use crate::output::{Terminal, print_json};

/// Measure trained adapters on a dataset, or CLIP as it is with --method clip.
///
/// Reads a known dataset, a folder in MVTec layout, a list, or a tree of one's own; images that the
/// adapters were trained on are refused.
///
/// Prints image and pixel AUROC, AP and F1-max, calibration error, IoU and AUPRO per class, under the
/// paper's protocol (scores normalised over each class's test images), raw, and as deployed where the
/// adapters carry a calibration. Everything is exact; what is undefined is n/a.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Example: cargo xtask eval --data mvtec --clip clip.safetensors --adapter adapter.safetensors"
)]
pub(crate) struct EvalArgs {
    #[command(flatten)]
    pub(crate) clip: ClipArgs,
    #[command(flatten)]
    pub(crate) method: MethodArgs,
    /// A known dataset's name, or a folder, list or description
    #[arg(long, value_name = "NAME|PATH")]
    pub(crate) data: PathBuf,
    #[command(flatten)]
    pub(crate) options: DataOptions,
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    /// Kind of pictures, which decides blur and score; else as the dataset is described, or
    /// industrial
    #[arg(long, value_parser = domains())]
    pub(crate) domain: Option<Domain>,
    #[command(flatten)]
    pub(crate) calibration: CalibrationArgs,
    #[command(flatten)]
    pub(crate) measuring: MeasuringArgs,
}

/// How images are measured.
#[derive(Debug, Clone, Args)]
pub(crate) struct MeasuringArgs {
    /// Write every map and mask as float32 .npy, and image scores and labels as images.jsonl, into a
    /// new folder
    #[arg(long, value_name = "DIR")]
    save_maps: Option<PathBuf>,
    /// Add 95 % intervals of the image metrics: draw the images, or their groups, so many times anew
    #[arg(long, value_name = "DRAWS")]
    bootstrap: Option<usize>,
    /// Add intervals of the pixel metrics too: 8 bytes a pixel of a class, and time by the draws
    #[arg(long, requires = "bootstrap")]
    bootstrap_pixels: bool,
    /// Decides the draws of --bootstrap
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    bootstrap_seed: u64,
    /// Memory for the pixels of a class; what does not fit goes to temporary files, and no number
    /// changes
    #[arg(long, default_value_t = PIXEL_MEMORY, value_name = "MIB")]
    pixel_memory: usize,
    /// Folder of those files; else the system's
    #[arg(long, value_name = "DIR")]
    pixel_folder: Option<PathBuf>,
}

impl From<MeasuringArgs> for Measuring {
    fn from(args: MeasuringArgs) -> Self {
        let MeasuringArgs {
            save_maps,
            bootstrap,
            bootstrap_pixels,
            bootstrap_seed,
            pixel_memory,
            pixel_folder,
        } = args;
        Self { save_maps, bootstrap, bootstrap_pixels, bootstrap_seed, pixel_memory, pixel_folder }
    }
}

pub(crate) fn run(args: EvalArgs, common: Common) -> anyhow::Result<()> {
    let files = args.method.files();
    let compute = common.measuring(args.calibration.precision(args.method.method, &files)?);
    let request = EvalRequest {
        clip: args.clip.source(),
        method: args.method.method,
        files,
        data: args.data,
        options: args.options.request(),
        cache: args.cache.request(),
        domain: args.domain,
        uncalibrated: args.calibration.uncalibrated,
        measuring: args.measuring.into(),
        compute,
    };
    run_request(&request, &common)
}

/// Measures, and prints what was asked for.
pub(crate) fn run_request(request: &EvalRequest, common: &Common) -> anyhow::Result<()> {
    interrupt::listen()?;
    let evaluated = request.run(&mut Terminal::default())?;
    if common.json {
        return print_json(&evaluated);
    }
    let Evaluated { data, images, seconds, reports, .. } = &evaluated;
    println!("{data}: {images} images in {seconds:.0} s");
    reports.iter().for_each(|report| println!("\n{report}"));
    Ok(())
}
