//! `bench-14`: every benchmark of the paper, measured and reported beside the paper's numbers.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use inspect::backends::DeviceChoice;
use inspect::{
    BenchOutcome, BenchRequest, FurtherWeights, MethodFiles, MethodName, PIXEL_MEMORY, Results,
    WorkKind,
};
use moeclip_data::PromptNames;
use moeclip_eval::report::{Benchmark, Protocol, Published};

use super::run_job::launcher;
use crate::arguments::{AssumedArgs, CacheArgs, CalibrationArgs, ClipArgs};
use crate::cli::{Common, methods, prompt_names};
use crate::interrupt;
use crate::output::{Terminal, print_json};
use crate::system;

/// Measure on all fourteen benchmarks, and report beside the paper's numbers.
///
/// Every known dataset that lies under the data root is measured; the others are named. What adapters
/// were trained on is not measured with them. Whatever is said of an image is stored in the --out
/// folder at once, so the same command goes on after a kill; other weights or settings never mix with
/// what is there. Tables are written as Markdown, CSV, JSON and LaTeX, and report.html shows curves,
/// scores and single images in one file.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Example: cargo xtask bench-14 --clip clip.safetensors --adapter visa.safetensors --adapter-visa mvtec.safetensors --data-root data --out runs/bench-14"
)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    clip: ClipArgs,
    /// Trained adapters: ours or the authors'; of another method as METHOD=FILE, once for each
    #[arg(long, value_name = "[METHOD=]FILE", value_parser = method_weights)]
    adapter: Vec<FurtherWeights>,
    /// Adapters that VisA is measured with, since the others are trained on it
    #[arg(long, value_name = "FILE", requires = "adapter")]
    adapter_visa: Option<PathBuf>,
    #[command(flatten)]
    assumed: AssumedArgs,
    /// Description whose image size and prompts are taken for the method clip, as in configs/
    #[arg(long, value_name = "TOML")]
    config: Option<PathBuf>,
    /// What is measured, as in moeclip,clip
    #[arg(long, value_parser = methods(), value_delimiter = ',', default_value = MethodName::default().word())]
    methods: Vec<MethodName>,
    /// Only these datasets, as in btad,headct
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    datasets: Vec<String>,
    /// Folder that holds the datasets; else MOECLIP_DATA, else data-root in moeclip.toml
    #[arg(long, value_name = "DIR")]
    data_root: Option<PathBuf>,
    /// Words for classes in prompts, where the authors' release has odd ones
    #[arg(long, value_parser = prompt_names())]
    prompt_names: Option<PromptNames>,
    #[command(flatten)]
    cache: CacheArgs,
    #[command(flatten)]
    calibration: CalibrationArgs,
    /// Folder of stored results, tables and report
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Processes at work at the same time, on each device
    #[arg(long, default_value_t = 1, value_name = "N")]
    workers: usize,
    /// Devices to share the work between, as in cuda:0,cuda:1; else --device
    #[arg(long, value_name = "DEVICES", value_delimiter = ',')]
    devices: Vec<DeviceChoice>,
    /// Memory for the pixels of a class; what does not fit goes to temporary files, and no number
    /// changes
    #[arg(long, default_value_t = PIXEL_MEMORY, value_name = "MIB")]
    pixel_memory: usize,
    /// Folder of those files; else the system's
    #[arg(long, value_name = "DIR")]
    pixel_folder: Option<PathBuf>,
    /// Measure and store, and make no tables: to share the work between machines
    #[arg(long, conflicts_with = "report_only")]
    measure_only: bool,
    /// Make tables and report of what is stored, and measure nothing
    #[arg(long)]
    report_only: bool,
}

/// Weights of a method: `METHOD=FILE`, or a file of the first method.
fn method_weights(text: &str) -> Result<FurtherWeights, String> {
    let named = text.split_once('=').and_then(|(word, file)| Some((word.parse().ok()?, file)));
    let (method, file) = named.unwrap_or((MethodName::default(), text));
    Ok(FurtherWeights { method, file: file.into() })
}

impl BenchArgs {
    fn request(&self, common: &Common) -> anyhow::Result<BenchRequest> {
        let args = self.clone();
        let devices = if args.devices.is_empty() { vec![common.device] } else { args.devices };
        let assumed = (&args.assumed).into();
        let (first, further): (Vec<_>, Vec<_>) =
            args.adapter.into_iter().partition(|weights| weights.method == MethodName::default());
        if first.len() > 1 {
            bail!("--adapter: two files of {}; give one", MethodName::default());
        }
        let adapter = first.into_iter().next().map(|weights| weights.file);
        let config = args.config;
        let files = MethodFiles { adapter, assumed, config, ..MethodFiles::default() };
        let calibrated = args.calibration.precision(MethodName::default(), &files)?;
        Ok(BenchRequest {
            clip: args.clip.source(),
            files,
            adapter_visa: args.adapter_visa,
            further,
            methods: args.methods,
            datasets: args.datasets,
            data_root: args.data_root,
            prompt_names: args.prompt_names.unwrap_or_default(),
            cache: args.cache.request(),
            uncalibrated: args.calibration.uncalibrated,
            out: args.out,
            workers: args.workers,
            devices,
            precision: common.measuring(calibrated).precision,
            pixel_memory: args.pixel_memory,
            pixel_folder: args.pixel_folder,
        })
    }
}

pub(crate) fn run(args: Box<BenchArgs>, common: Common) -> anyhow::Result<()> {
    let request = args.request(&common)?;
    if args.measure_only {
        return measure(&request, common.json);
    }
    interrupt::listen()?;
    let launcher = launcher()?;
    let results = if args.report_only { Results::Stored } else { Results::Measured(&launcher) };
    let outcome = request.run(results, &system::described(), &mut Terminal::default())?;
    let BenchOutcome { benchmark, published } = outcome;
    if common.json {
        print_json(&benchmark.whole(&published))?;
    } else {
        print(&benchmark, &published, &request.out);
    }
    if !benchmark.is_whole() {
        bail!(
            "not everything could be measured; the notes of the tables say what, and the same command tries again"
        );
    }
    Ok(())
}

/// Measures in this process, and says of each image that it is done: by lines of JSON or by a bar.
pub(crate) fn measure(request: &BenchRequest, json: bool) -> anyhow::Result<()> {
    interrupt::listen()?;
    let mut unread = None;
    let mut watch = Terminal::without(json.then_some(WorkKind::Images));
    let measured = request.measure(&mut watch, &mut |image| {
        if json {
            unread = print_json(image).err();
        }
        if unread.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    unread.map_or(Ok(()), Err)?;
    Ok(measured?)
}

fn print(benchmark: &Benchmark, published: &Published, out: &Path) {
    for dataset in &benchmark.datasets {
        for (method, outcome) in benchmark.methods.iter().zip(&dataset.outcomes) {
            let reports = outcome.measured().map(|measured| measured.reports.as_slice());
            let reports = reports.unwrap_or_default().iter();
            for report in reports.filter(|report| report.protocol != Protocol::Raw) {
                println!("{}, {method}\n{report}\n", dataset.name);
            }
        }
    }
    benchmark.tables(published).iter().for_each(|table| println!("{table}\n"));
    println!("{}", moeclip_eval::report::TABLE_LEGEND);
    benchmark.notes().iter().for_each(|note| println!("{note}"));
    eprintln!(
        "note: report.html, table.md, table.csv, classes.csv, table.json and table.tex are in {}",
        out.display()
    );
}
