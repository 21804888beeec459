//! `bench-14`: every benchmark of the paper, measured and reported beside the paper's numbers.
//!
//! The work is done in processes of their own, one for each dataset and method: one that is out of
//! memory takes no other with it, a GPU has a process to itself, and each loads only the prompts that
//! its dataset needs. What they say of an image is on disk before the next image, so that whoever was
//! killed goes on there.

mod arguments;
mod drawing;
mod gather;
mod identity;
mod lock;
mod measure;
mod plan;
mod provenance;
mod workers;

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use inspect::backends::DeviceChoice;
use inspect::{MethodName, PIXEL_MEMORY, published};
use moeclip_eval::report::{Benchmark, BenchmarkPage, Protocol, Published, StageTime};

use self::gather::Gathered;
use self::plan::Plan;
use self::workers::Worked;
use crate::arguments::{AssumedArgs, CacheArgs, CalibrationArgs, ClipArgs};
use crate::cli::{Common, PromptNamesChoice, method_values};
use crate::interrupt;
use crate::output::print_json;

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
    /// Trained adapters: ours or the authors'
    #[arg(long, value_name = "FILE")]
    adapter: Option<PathBuf>,
    /// Adapters that VisA is measured with, since the others are trained on it
    #[arg(long, value_name = "FILE", requires = "adapter")]
    adapter_visa: Option<PathBuf>,
    #[command(flatten)]
    assumed: AssumedArgs,
    /// Description whose image size and prompts are taken for the method clip, as in configs/
    #[arg(long, value_name = "TOML")]
    config: Option<PathBuf>,
    /// What is measured, as in moeclip,clip
    #[arg(long, value_parser = method_values(), value_delimiter = ',', default_value = MethodName::default().word())]
    methods: Vec<MethodName>,
    /// Only these datasets, as in btad,headct
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    datasets: Vec<String>,
    /// Folder that holds the datasets; else MOECLIP_DATA, else data-root in moeclip.toml
    #[arg(long, value_name = "DIR")]
    data_root: Option<PathBuf>,
    /// Words for classes in prompts, where the authors' release has odd ones
    #[arg(long, value_enum)]
    prompt_names: Option<PromptNamesChoice>,
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

pub(crate) fn run(args: Box<BenchArgs>, common: Common) -> anyhow::Result<()> {
    interrupt::listen()?;
    args.check()?;
    let plan = Plan::make(&args, &common)?;
    if args.measure_only {
        return measure::run(&args, &common, &plan);
    }
    let lock = lock::hold(&args.out)?;
    let mut worked = Worked::default();
    if !args.report_only {
        worked = workers::run(&args, &common, &plan, &lock)?;
    }
    if interrupt::asked() {
        bail!("interrupted; the same command goes on where this one was");
    }
    let mut gathered = gather::run(&args, &plan, &worked.failed)?;
    if worked.images > 0 {
        let Worked { images, seconds, .. } = worked;
        gathered.times.push(StageTime { stage: "this run, on the clock".into(), images, seconds });
    }
    report(&args, &common, &plan, gathered)
}

impl BenchArgs {
    /// What no parser can know: which options need which.
    fn check(&self) -> anyhow::Result<()> {
        if self.workers == 0 {
            bail!("--workers 0: nobody would do the work; use 1 or more");
        }
        let kind = |device: &DeviceChoice| std::mem::discriminant(device);
        if self.devices.iter().any(|device| kind(device) != kind(&self.devices[0])) {
            bail!(
                "--devices: two kinds of devices do not say the same to the last bit; name one kind"
            );
        }
        if self.methods.iter().any(|method| method.is_trained()) && self.adapter.is_none() {
            bail!(
                "--adapter FILE is missing; give the adapters, or --methods clip for CLIP as it is"
            );
        }
        Ok(())
    }

    /// The devices that work is shared between.
    fn devices(&self, common: &Common) -> Vec<DeviceChoice> {
        if self.devices.is_empty() { vec![common.device] } else { self.devices.clone() }
    }
}

/// Writes and prints everything. A benchmark with faults is reported and is an error.
fn report(
    args: &BenchArgs,
    common: &Common,
    plan: &Plan,
    gathered: Gathered,
) -> anyhow::Result<()> {
    let Gathered { benchmark, pictures, times } = gathered;
    let published = published()?;
    benchmark.write(&published, &args.out)?;
    let page = BenchmarkPage {
        benchmark: &benchmark,
        published: &published,
        pictures: &pictures,
        provenance: &provenance::of(args, common, plan),
        times: &times,
    };
    page.write(&args.out)?;
    if common.json {
        print_json(&benchmark.whole(&published))?;
    } else {
        print(&benchmark, &published, &args.out);
    }
    if !benchmark.is_whole() {
        bail!(
            "not everything could be measured; the notes of the tables say what, and the same command tries again"
        );
    }
    Ok(())
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
