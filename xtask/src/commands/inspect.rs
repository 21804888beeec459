//! `inspect`: what a file of adapters, a checkpoint or a CLIP says about itself.

use std::path::{Path, PathBuf};

use anomaly::Calibration;
use clap::Args;
use clip_vit::weights::OpenOptions;
use clip_vit::{ClipCheckpoint, TensorFile, WeightError};
use inspect::{InspectError, described, open_adapter, warn_of_guesses};
use moeclip::{AdapterFile, AdapterFileError, AdapterFormat, MoeClipConfig, Provenance};
use moeclip_train::{Checkpoint, Position};
use serde::Serialize;

use crate::arguments::AssumedArgs;
use crate::cli::Common;
use crate::commands::convert_openclip::DescribedClip;
use crate::output::{Terminal, print_json};

/// Say what adapters, a checkpoint or a CLIP are: configuration, CLIP, data, code, metrics,
/// calibration.
///
/// A checkpoint is also proved whole: every byte is as it was written. Of a CLIP are said its sizes, and
/// what of them is a guess.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example: cargo xtask inspect adapter.safetensors")]
pub(crate) struct InspectArgs {
    /// Adapters, ours or the authors', a checkpoint of a run, or a CLIP
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
    let opened = open_adapter(&args.file, &(&args.assumed).into(), &mut Terminal::default());
    let adapters = match opened {
        Err(error) if is_of_none(&error) => return inspect_clip(&args.file, error, &common),
        opened => opened?,
    };
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

/// Whether a file holds no adapters at all.
fn is_of_none(error: &InspectError) -> bool {
    let InspectError::Below(error) = error else { return false };
    let error = error.downcast_ref::<AdapterFileError>();
    matches!(error, Some(AdapterFileError::IsClip { .. } | AdapterFileError::NotAdapters { .. }))
}

#[derive(Serialize)]
struct InspectedClip {
    file: String,
    is_clip: bool,
    #[serde(flatten)]
    clip: DescribedClip,
}

/// What a CLIP is; of a file that is nearly one, why it is none; of any other, that it has no adapters.
fn inspect_clip(path: &Path, no_adapters: InspectError, common: &Common) -> anyhow::Result<()> {
    let clip = match ClipCheckpoint::open(path, &OpenOptions::default()) {
        Ok(clip) => clip,
        Err(WeightError::NotClip { .. }) => return Err(no_adapters.into()),
        Err(error) => return Err(error.into()),
    };
    warn_of_guesses(&clip, &mut Terminal::default());
    let file = path.display().to_string();
    let inspected = InspectedClip { file, is_clip: true, clip: DescribedClip::of(&clip) };
    if common.json {
        return print_json(&inspected);
    }
    let InspectedClip { file, clip, .. } = inspected;
    println!("{file}: a CLIP, {}; it goes with --clip", clip.extent());
    clip.print();
    Ok(())
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
