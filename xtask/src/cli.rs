//! What can be typed: commands, and the options that all of them share.

use anomaly::Domain;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clip_vit::{Activation, Precision};
use inspect::MethodName;
use inspect::backends::{Compute, DeviceChoice};
use moeclip_data::PromptNames;

use crate::commands;

/// MoECLIP: zero-shot anomaly detection with a frozen CLIP, without Python.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, about, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// Where to compute: flex, ndarray, wgpu or cuda; wgpu:1 is the second such device
    #[arg(long, global = true, default_value = "flex", value_name = "DEVICE")]
    pub(crate) device: DeviceChoice,
    /// Precision of the frozen CLIP; adapters, heads and losses are always f32
    #[arg(long, global = true, value_enum, default_value_t = PrecisionChoice::F32)]
    pub(crate) precision: PrecisionChoice,
    /// Print JSON for machines instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl Common {
    /// Where to compute, and how precisely.
    pub(crate) fn compute(&self) -> Compute {
        Compute { device: self.device, precision: self.precision.into() }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// See the whole method run on a small built-in model and made-up pictures
    Demo(commands::demo::DemoArgs),
    /// Train adapters on a dataset with masks
    Train(commands::train::TrainArgs),
    /// Teach a small CLIP on made-up pictures and captions
    Pretrain(commands::pretrain::PretrainArgs),
    /// Measure a detector on a dataset
    Eval(commands::eval::EvalArgs),
    /// Measure on all fourteen benchmarks, and report beside the paper's numbers
    #[command(name = "bench-14")]
    Bench(Box<commands::bench::BenchArgs>),
    /// Train and measure a grid of runs, and print their table beside the paper's
    Ablate(commands::ablate::AblateArgs),
    /// Measure on normal images what scores mean, and store it with the adapters
    Calibrate(commands::calibrate::CalibrateArgs),
    /// Draw anomaly maps of images
    Predict(commands::predict::PredictArgs),
    /// Show which experts an image asks, and where each adds to its score
    Explain(commands::explain::ExplainArgs),
    /// Turn any CLIP checkpoint into one canonical safetensors
    ConvertOpenclip(commands::convert_openclip::ConvertOpenclipArgs),
    /// Turn the authors' adapters into ours, or ours into theirs
    ConvertAdapter(commands::convert_adapter::ConvertAdapterArgs),
    /// Say what adapters or a checkpoint are
    Inspect(commands::inspect::InspectArgs),
    /// List, verify and show datasets
    Datasets(commands::datasets::DatasetsArgs),
    /// Compare every stage with golden files of the PyTorch reference
    Parity(commands::parity::ParityArgs),
    /// Say what this build can do on this machine
    Doctor(commands::doctor::DoctorArgs),
}

/// Precisions that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PrecisionChoice {
    /// 32 bit
    F32,
    /// 16 bit, IEEE half
    F16,
    /// 16 bit, bfloat
    Bf16,
}

/// Activations that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ActivationChoice {
    /// OpenAI's weights
    QuickGelu,
    /// LAION's weights
    Gelu,
}

/// Whose words for classes can stand in prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PromptNamesChoice {
    /// Plain names of what is seen, the default
    Corrected,
    /// The authors' release's, to the letter
    Release,
}

impl From<PromptNamesChoice> for PromptNames {
    fn from(choice: PromptNamesChoice) -> Self {
        match choice {
            PromptNamesChoice::Corrected => PromptNames::Corrected,
            PromptNamesChoice::Release => PromptNames::Release,
        }
    }
}

impl From<PromptNames> for PromptNamesChoice {
    fn from(names: PromptNames) -> Self {
        match names {
            PromptNames::Corrected => PromptNamesChoice::Corrected,
            PromptNames::Release => PromptNamesChoice::Release,
        }
    }
}

impl From<PrecisionChoice> for Precision {
    fn from(choice: PrecisionChoice) -> Self {
        match choice {
            PrecisionChoice::F32 => Precision::F32,
            PrecisionChoice::F16 => Precision::F16,
            PrecisionChoice::Bf16 => Precision::Bf16,
        }
    }
}

impl From<ActivationChoice> for Activation {
    fn from(choice: ActivationChoice) -> Self {
        match choice {
            ActivationChoice::QuickGelu => Activation::QuickGelu,
            ActivationChoice::Gelu => Activation::Gelu,
        }
    }
}

/// Kinds of pictures that can be asked for, with what they are.
pub(crate) fn domain_values() -> impl TypedValueParser<Value = Domain> {
    let values = Domain::ALL.map(|domain| {
        PossibleValue::new(domain.name()).help(match domain {
            Domain::Industrial => "Parts and surfaces",
            Domain::Medical => "Scans and endoscopy",
        })
    });
    PossibleValuesParser::new(values).try_map(|word| word.parse::<Domain>())
}

/// Methods that can be asked for, with what they are.
pub(crate) fn method_values() -> impl TypedValueParser<Value = MethodName> {
    let value = |method: &MethodName| PossibleValue::new(method.word()).help(method.about());
    PossibleValuesParser::new(MethodName::ALL.iter().map(value)).try_map(|word| word.parse())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_every_command_shows_an_example() {
        let command = Cli::command();
        command.clone().debug_assert();
        for sub in command.get_subcommands() {
            let example = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(example.contains("cargo xtask "), "{} has no example", sub.get_name());
        }
    }
}
