//! `convert-adapter`: the authors' adapters into ours, and ours into theirs.

use std::path::PathBuf;

use clap::Args;
use clip_vit::weights::write::refuse_same_file;
use inspect::{ConvertedWeights, MethodName, open_adapter};
use moeclip::{AdapterFormat, Mixture, MoeClipConfig, write_adapter, write_authors};
use serde::Serialize;

use crate::arguments::AssumedArgs;
use crate::cli::{Common, methods};
use crate::output::{Terminal, print_json};

/// Turn the authors' adapters (.pth) into ours, or ours into theirs: the other of what IN is. The published
/// weights of another method become ours with --method.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Example: cargo xtask convert-adapter epoch_20.pth adapter.safetensors\n         cargo xtask convert-adapter adapter.safetensors back.pth"
)]
pub(crate) struct ConvertAdapterArgs {
    /// The adapters
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// The file to write
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// The method whose weights they are
    #[arg(long, value_parser = methods(), default_value = MethodName::default().word())]
    method: MethodName,
    #[command(flatten)]
    assumed: AssumedArgs,
}

#[derive(Serialize)]
struct Converted<'a> {
    output: String,
    from: AdapterFormat,
    to: AdapterFormat,
    tensors: usize,
    config: &'a MoeClipConfig,
}

pub(crate) fn run(args: ConvertAdapterArgs, common: Common) -> anyhow::Result<()> {
    refuse_same_file(&args.input, &args.output)?;
    if args.method != MethodName::default() {
        return convert_method(&args, &common);
    }
    let file = open_adapter(&args.input, &(&args.assumed).into(), &mut Terminal::default())?;
    let tensors = file.tensors()?;
    let to = match file.format() {
        AdapterFormat::Authors => {
            write_adapter(&args.output, &tensors, file.config(), file.provenance())?;
            AdapterFormat::Ours
        }
        AdapterFormat::Ours => {
            let epoch = file.provenance().and_then(|from| from.epoch);
            write_authors(&args.output, &tensors, file.config(), epoch.unwrap_or(0))?;
            AdapterFormat::Authors
        }
    };
    let converted = Converted {
        output: args.output.display().to_string(),
        from: file.format(),
        to,
        tensors: tensors.len(),
        config: file.config(),
    };
    if common.json {
        return print_json(&converted);
    }
    let Converted { output, from, to, tensors, config } = converted;
    println!("{output}: {tensors} tensors, {from:?} to {to:?}");
    let stream = match config.mixture {
        Mixture::MoeLora => format!("{} experts of rank {}", experts(config), config.rank),
        Mixture::SingleLora => format!("a single LoRA of rank {}", config.rank),
        Mixture::None => "no experts".into(),
    };
    println!("  taps {:?}, {stream}", config.taps);
    Ok(())
}

/// Another method's published weights into ours.
fn convert_method(args: &ConvertAdapterArgs, common: &Common) -> anyhow::Result<()> {
    let converted = args.method.convert(&args.input, &args.output)?;
    if common.json {
        return print_json(&converted);
    }
    let ConvertedWeights { output, method, tensors, unused } = converted;
    println!(
        "{output}: {tensors} tensors of {method}; {unused} that it does not need were left out"
    );
    Ok(())
}

/// How many experts there are: at each tap, where training dropped some.
fn experts(config: &MoeClipConfig) -> String {
    match &config.kept_experts {
        None => config.experts.to_string(),
        Some(kept) => format!("{:?}", kept.iter().map(Vec::len).collect::<Vec<_>>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn experts_that_were_dropped_are_not_counted() {
        let config = MoeClipConfig::default();
        assert_eq!(experts(&config), "4");
        let kept = vec![vec![0, 1], vec![0, 1, 2], vec![1, 3], vec![0, 1, 2, 3]];
        assert_eq!(experts(&config.keeping(&kept).unwrap()), "[2, 3, 2, 4]");
    }
}
