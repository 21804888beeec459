//! `inspect`: what a file of adapters says about itself.

use std::path::PathBuf;

use anomaly::Calibration;
use clap::Args;
use clip_vit::TensorFile;
use inspect::{described, open_adapter};
use moeclip::{AdapterFile, AdapterFormat, MoeClipConfig, Provenance};
use moeclip_train::{Checkpoint, Position};
use serde::Serialize;

use crate::arguments::AssumedArgs;
use crate::cli::Common;
use crate::output::{Terminal, print_json};

/// Say what adapters or a checkpoint are: configuration, CLIP, data, code, metrics,
/// calibration.
///
/// A checkpoint is also proved whole: every byte is as it was written.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example: cargo xtask inspect adapter.safetensors")]
pub(crate) struct InspectArgs {
    /// Adapters, ours or the authors', or a checkpoint of a run
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    assumed: AssumedArgs,
}

#[derive(Serialize)]
struct Inspected<'a> {
    file: String,
    format: AdapterFormat,
    /// Where a checkpoint's run stands; `None` for adapters.
    position: Option<Position>,
    config: &'a MoeClipConfig,
    provenance: Option<&'a Provenance>,
    calibration: Option<&'a Calibration>,
}

pub(crate) fn run(args: InspectArgs, common: Common) -> anyhow::Result<()> {
    let is_checkpoint = Checkpoint::is_claimed_by(&TensorFile::open(&args.file)?);
    let checkpoint = is_checkpoint.then(|| Checkpoint::open(&args.file)).transpose()?;
    let adapters = open_adapter(&args.file, &(&args.assumed).into(), &mut Terminal::default())?;
    let inspected = Inspected {
        file: args.file.display().to_string(),
        format: adapters.format(),
        position: checkpoint.map(|checkpoint| checkpoint.position()),
        config: adapters.config(),
        provenance: adapters.provenance(),
        calibration: adapters.calibration(),
    };
    if common.json {
        return print_json(&inspected);
    }
    print(&inspected, &adapters)
}

fn print(inspected: &Inspected<'_>, adapters: &AdapterFile) -> anyhow::Result<()> {
    let Inspected { file, format, position, config, provenance, calibration } = inspected;
    match (position, format) {
        (Some(Position { step, epoch, batch }), _) => {
            println!("{file}: checkpoint after {step} steps, epoch {epoch}, batch {batch}; whole");
        }
        (None, AdapterFormat::Ours) => println!("{file}: adapters"),
        (None, AdapterFormat::Authors) => println!("{file}: the authors' adapters"),
    }
    line("tensors", adapters.tensors()?.len());
    line("model", serde_json::to_string(config)?);
    if let Some(calibration) = calibration {
        described(calibration).into_iter().for_each(|(name, said)| line(name, said));
    }
    if let Some(provenance) = provenance {
        print_provenance(provenance)?;
    }
    Ok(())
}

/// Where adapters come from, without what the file leaves out.
fn print_provenance(provenance: &Provenance) -> anyhow::Result<()> {
    let Provenance { version, epoch, clip, data, prompts, metrics, .. } = provenance;
    if !version.is_empty() {
        let commit = provenance.commit.as_deref().unwrap_or("no commit");
        line("code", format!("{version} ({commit})"));
    }
    if let Some(clip) = clip {
        let preset = provenance.preset.as_deref().unwrap_or("custom");
        line("clip", format!("{preset}, {:?}", clip.activation));
    }
    if let Some(hash) = &provenance.clip_sha256 {
        line("clip sha256", hash);
    }
    if let Some(data) = data {
        let licence = if data.licence.is_empty() { "licence not stated" } else { &data.licence };
        line("data", format!("{}, {} images; {licence}", data.name, data.images.len()));
    }
    if !provenance.classes.is_empty() {
        line("classes", provenance.classes.join(", "));
    }
    line("prompts", serde_json::to_string(prompts)?);
    line("steps", provenance.steps);
    line("seed", provenance.seed);
    if let Some(epoch) = epoch {
        line("epoch", epoch);
    }
    metrics.iter().for_each(|(name, value)| line(name, value));
    if let Some(run) = &provenance.run {
        println!("\n{}", run.trim_end());
    }
    Ok(())
}

fn line(name: &str, value: impl std::fmt::Display) {
    println!("  {name:18} {value}");
}
