//! `convert-openclip`: any CLIP checkpoint into one canonical safetensors.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::cli::Common;
use crate::model::{ClipShapeArgs, note_guesses, read_clip, source_sha256};
use crate::output::print_json;

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
    let clip = read_clip(&args.input, &args.shape)?;
    clip.write_canonical(&args.output)?;
    note_guesses(&clip);
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
