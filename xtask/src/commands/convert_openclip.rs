//! `convert-openclip`: any CLIP checkpoint into one canonical safetensors.

use std::path::PathBuf;

use clap::Args;
use clip_vit::{ClipCheckpoint, ClipSpec, Normalisation, Preset};
use inspect::{source_sha256, warn_of_guesses};
use serde::Serialize;

use crate::arguments::ClipShapeArgs;
use crate::cli::Common;
use crate::output::{Terminal, print_json};

/// Turn any CLIP checkpoint into one canonical safetensors.
///
/// Reads open_clip's safetensors, state dicts, training checkpoints and legacy pickles, OpenAI's
/// TorchScript archives, and Hugging Face's safetensors and .bin, each told by its content, in one file
/// or in shards (give the index or any shard). Whatever stands before all names is taken off. Nothing in
/// a pickle is executed.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example: cargo xtask convert-openclip ViT-L-14-336px.pt clip.safetensors")]
pub(crate) struct ConvertOpenclipArgs {
    /// The checkpoint
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// The canonical file to write
    #[arg(value_name = "OUT")]
    output: PathBuf,
    #[command(flatten)]
    shape: ClipShapeArgs,
}

#[derive(Serialize)]
struct Converted {
    output: String,
    #[serde(flatten)]
    clip: DescribedClip,
}

/// What a CLIP is, for people and machines.
#[derive(Serialize)]
pub(crate) struct DescribedClip {
    source_format: String,
    preset: Option<&'static str>,
    tensors: usize,
    source_sha256: String,
    normalisation: Normalisation,
    #[serde(flatten)]
    spec: ClipSpec,
}

impl DescribedClip {
    pub(crate) fn of(clip: &ClipCheckpoint) -> Self {
        Self {
            source_format: clip.source_format().to_string(),
            preset: clip.preset().map(Preset::name),
            tensors: clip.names().count(),
            source_sha256: source_sha256(clip),
            normalisation: clip.normalisation(),
            spec: clip.spec().clone(),
        }
    }

    /// How many tensors, and of which format.
    pub(crate) fn extent(&self) -> String {
        format!("{} tensors from {}", self.tensors, self.source_format)
    }

    pub(crate) fn print(&self) {
        let ClipSpec { vision, text, activation, .. } = &self.spec;
        println!("  preset      {}", self.preset.unwrap_or("custom"));
        println!(
            "  vision      width {}, {} layers, {} heads, patch {}, grid {}",
            vision.width, vision.layers, vision.heads, vision.patch, vision.grid
        );
        println!(
            "  text        width {}, {} layers, {} heads, {} tokens of {}",
            text.width, text.layers, text.heads, text.context, text.vocab
        );
        println!("  activation  {activation:?}");
        let Normalisation { mean, deviation } = self.normalisation;
        if self.normalisation != Normalisation::CLIP {
            println!("  normalised  mean {mean:?}, deviation {deviation:?}");
        }
        println!("  source      sha256 {}", self.source_sha256);
    }
}

pub(crate) fn run(args: ConvertOpenclipArgs, common: Common) -> anyhow::Result<()> {
    let clip = args.shape.source(args.input.clone()).read()?;
    clip.write_canonical(&args.output)?;
    warn_of_guesses(&clip, &mut Terminal::default());
    let output = args.output.display().to_string();
    let converted = Converted { output, clip: DescribedClip::of(&clip) };
    if common.json {
        return print_json(&converted);
    }
    println!("{}: {}", converted.output, converted.clip.extent());
    converted.clip.print();
    Ok(())
}
