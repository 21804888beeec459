//! `parity`: every stage of golden files beside the reference.

use std::path::PathBuf;
use std::time::Instant;

use anomaly_methods::ComparedMethod;
use anyhow::bail;
use burn::tensor::backend::Backend;
use clap::Args;
use clip_vit::ClipCheckpoint;
use inspect::backends::{Job, run_on};
use moeclip_goldens::{Golden, ParityReport};
use serde::Serialize;

use crate::cli::Common;
use crate::output::print_json;
use crate::system::{gib, peak_memory};

/// Compare every stage of golden files with what this program computes.
///
/// Sizes and settings come from each file's metadata, and by them the method is told: MoECLIP's own, or
/// one of those that it is compared with. Exits non-zero when a stage is past its tolerance.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example: cargo xtask parity goldens/tiny.safetensors --device ndarray")]
pub(crate) struct ParityArgs {
    /// Golden files that a reference has written: reference/make_goldens.py, methods/NAME/goldens.py
    #[arg(required = true, value_name = "FILE")]
    goldens: Vec<PathBuf>,
    /// Whose goldens they are; told by a setting that only goldens of that method have, else MoECLIP's
    #[arg(long, value_name = "METHOD")]
    method: Option<ComparedMethod>,
    /// The CLIP of goldens that do not bring theirs along
    #[arg(long, value_name = "FILE")]
    clip: Option<PathBuf>,
}

pub(crate) fn run(args: ParityArgs, common: Common) -> anyhow::Result<()> {
    run_on(common.training(), ParityJob { args, common: common.clone() })
}

struct ParityJob {
    args: ParityArgs,
    common: Common,
}

#[derive(Serialize)]
struct ParityLine<'a> {
    golden: String,
    device: String,
    passes: bool,
    #[serde(flatten)]
    report: &'a ParityReport,
    seconds: f64,
    peak_bytes: Option<u64>,
}

impl Job for ParityJob {
    type Output = ();
    type Error = anyhow::Error;

    fn run<B: Backend>(self, device: B::Device) -> anyhow::Result<()> {
        let mut failed = Vec::new();
        for path in &self.args.goldens {
            let start = Instant::now();
            let golden = Golden::open(path)?;
            let clip = self.clip(&golden)?;
            let precision = self.common.training().precision;
            let (clip, method) = (clip.as_ref(), self.args.method);
            let method = method.or_else(|| ComparedMethod::of(&golden));
            let report = moeclip_parity::run::<B>(method, &golden, clip, precision, &device)?;
            let line = ParityLine {
                golden: path.display().to_string(),
                device: self.common.device.to_string(),
                passes: report.passes(),
                report: &report,
                seconds: start.elapsed().as_secs_f64(),
                peak_bytes: peak_memory(),
            };
            if self.common.json {
                print_json(&line)?
            } else {
                print_table(&line)
            }
            if !report.passes() {
                failed.push(line.golden);
            }
        }
        if failed.is_empty() {
            return Ok(());
        }
        bail!("past tolerance: {}", failed.join(", "))
    }
}

impl ParityJob {
    /// The checkpoint, for a golden that needs one.
    fn clip(&self, golden: &Golden) -> anyhow::Result<Option<ClipCheckpoint>> {
        let needed = self.args.clip.as_ref().filter(|_| !golden.has_clip());
        let open = |path: &PathBuf| {
            let options = golden.open_options();
            ClipCheckpoint::open(path, &options)
        };
        Ok(needed.map(open).transpose()?)
    }
}

fn print_table(line: &ParityLine<'_>) {
    println!("{} on {}", line.golden, line.device);
    let width = line.report.rows.iter().map(|row| row.stage.len()).max().unwrap_or(0);
    for row in &line.report.rows {
        let verdict = if row.passes() { "ok" } else { "FAILED" };
        println!("  {:width$}  {:9.2e}  of {:.0e}  {verdict}", row.stage, row.error, row.tolerance);
    }
    let verdict = if line.passes { "passes" } else { "FAILS" };
    let peak = line.peak_bytes.map_or("unknown".into(), gib);
    let worst = line.report.worst().map_or("-", |row| &row.stage);
    println!(
        "  {verdict}: {} stages, tightest {worst}; weights ready in {:.2} s, all in {:.2} s, peak memory {peak}",
        line.report.rows.len(),
        line.report.load_seconds,
        line.seconds,
    );
}
