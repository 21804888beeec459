//! `convert-openclip`: any CLIP checkpoint into one canonical safetensors.

use std::path::PathBuf;

use clap::Args;
use inspect::{source_sha256, warn_of_guesses};
use serde::Serialize;

use crate::arguments::ClipShapeArgs;
use crate::cli::Common;
use crate::output::{Terminal, print_json};

/// Turn any CLIP checkpoint into one canonical safetensors.
///
/// Reads open_clip's safetensors, state dicts, training checkpoints and legacy pickles, OpenAI's
/// TorchScript archives, and Hugging Face's safetensors and .bin, each told by its content. Nothing
/// in a pickle is executed.
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
    source_format: String,
    preset: Option<&'static str>,
    tensors: usize,
    source_sha256: String,
    #[serde(flatten)]
    spec: clip_vit::ClipSpec,
}

pub(crate) fn run(args: ConvertOpenclipArgs, common: Common) -> anyhow::Result<()> {
    let clip = args.shape.source(args.input.clone()).read()?;
    clip.write_canonical(&args.output)?;
    warn_of_guesses(&clip, &mut Terminal::default());
    let converted = Converted {
        output: args.output.display().to_string(),
        source_format: clip.source_format().to_string(),
        preset: clip.preset().map(clip_vit::Preset::name),
        tensors: clip.names().count(),
        source_sha256: source_sha256(&clip),
        spec: clip.spec().clone(),
    };
    if common.json {
        return print_json(&converted);
    }
    let (vision, text) = (&converted.spec.vision, &converted.spec.text);
    println!(
        "{}: {} tensors from {}",
        converted.output, converted.tensors, converted.source_format
    );
    println!("  preset      {}", converted.preset.unwrap_or("custom"));
    println!(
        "  vision      width {}, {} layers, {} heads, patch {}, grid {}",
        vision.width, vision.layers, vision.heads, vision.patch, vision.grid
    );
    println!("  text        width {}, {} layers, {} heads", text.width, text.layers, text.heads);
    println!("  activation  {:?}", converted.spec.activation);
    println!("  source      sha256 {}", converted.source_sha256);
    Ok(())
}
