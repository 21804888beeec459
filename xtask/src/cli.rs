//! What can be typed: commands, and the options that all of them share.

use anomaly::Domain;
use clap::builder::{PossibleValue, PossibleValuesParser, StyledStr, TypedValueParser};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use clip_vit::{Activation, Precision};
use inspect::backends::{Compute, DeviceChoice};
use inspect::{InspectError, MethodName, PrecisionChoice};
use moeclip_data::PromptNames;

use crate::commands;

/// MoECLIP: zero-shot anomaly detection with a frozen CLIP, without Python.
#[derive(Debug, Parser)]
#[command(name = XTASK, bin_name = XTASK, version, about, max_term_width = 100)]
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
    #[arg(long, global = true, value_parser = precisions(), default_value = "auto")]
    pub(crate) precision: PrecisionChoice,
    /// Print JSON for machines instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl Cli {
    /// What was typed after the name of this program; ends the program where it is wrong or asks for help.
    pub(crate) fn of(program: Program) -> Self {
        let matches = program.command().get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// The programs that have these commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `cargo xtask`, in a clone of the project.
    Xtask,
    /// `moeclip`, installed.
    Moeclip,
}

impl Program {
    /// As it is typed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Xtask => XTASK,
            Self::Moeclip => "moeclip",
        }
    }

    /// A text that names `cargo xtask`, naming this program instead.
    pub(crate) fn naming(self, text: &str) -> String {
        // Not the aliases that begin like it, such as cargo xtask-cuda.
        let parts: Vec<&str> = text.split(XTASK).collect();
        let mut named = String::from(parts[0]);
        for part in &parts[1..] {
            named += if part.starts_with('-') { XTASK } else { self.name() };
            named += part;
        }
        named
    }

    /// The commands, their help naming this program.
    fn command(self) -> clap::Command {
        self.renamed(Cli::command()).name(self.name()).bin_name(self.name())
    }

    fn renamed(self, command: clap::Command) -> clap::Command {
        let text = |text: Option<&StyledStr>| text.map(|text| self.naming(&text.to_string()));
        let about = text(command.get_about());
        let long_about = text(command.get_long_about());
        let after_help = text(command.get_after_help());
        let mut command = command.mut_subcommands(|command| self.renamed(command));
        if let Some(about) = about {
            command = command.about(about);
        }
        if let Some(long_about) = long_about {
            command = command.long_about(long_about);
        }
        match after_help {
            None => command,
            Some(after_help) => command.after_help(after_help),
        }
    }
}

/// As the commands are typed in a clone of the project.
const XTASK: &str = "cargo xtask";

impl Common {
    /// Where to train, and how precisely.
    pub(crate) fn training(&self) -> Compute {
        Compute { device: self.device, precision: self.precision.for_training() }
    }

    /// Where to look at pictures, and how precisely: as the calibration in use was measured, if there
    /// is one.
    ///
    /// # Errors
    /// As [`DeviceChoice::fastest_precision`].
    pub(crate) fn viewing(&self, calibrated: Option<Precision>) -> Result<Compute, InspectError> {
        let precision = self.precision.for_viewing(calibrated, self.device.fastest_precision()?);
        Ok(Compute { device: self.device, precision })
    }

    /// Where to measure, and how precisely, likewise.
    pub(crate) fn measuring(&self, calibrated: Option<Precision>) -> Compute {
        Compute { device: self.device, precision: self.precision.for_measuring(calibrated) }
    }

    /// What a process of this program is told.
    pub(crate) fn printing_json(compute: Compute) -> Self {
        let precision = PrecisionChoice::Named(compute.precision);
        Self { device: compute.device, precision, json: true }
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
    /// Do one job of a grid or a benchmark
    #[command(hide = true)]
    RunJob(commands::run_job::RunJobArgs),
    /// Say what this build can do on this machine
    Doctor(commands::doctor::DoctorArgs),
}

/// A choice: as it is typed, what it is, and its value.
type Choice<T> = (&'static str, &'static str, T);

/// Parses one of these.
fn choices<T: Clone + Send + Sync + 'static>(
    choices: &'static [Choice<T>],
) -> impl TypedValueParser<Value = T> {
    let values = choices.iter().map(|(word, help, _)| PossibleValue::new(*word).help(*help));
    PossibleValuesParser::new(values).try_map(|word| {
        let choice = choices.iter().find(|(known, ..)| *known == word);
        choice.map(|(.., value)| value.clone()).ok_or("it is none of these")
    })
}

/// What is taken where nobody names a precision.
const AUTO: &str = "That of the calibration in use; without one predict, explain and calibrate take bf16 \
                    where this CPU is fast in it, and all else is f32";

/// Precisions that can be asked for.
pub(crate) fn precisions() -> impl TypedValueParser<Value = PrecisionChoice> {
    choices(&[
        ("auto", AUTO, PrecisionChoice::Auto),
        ("f32", "32 bit", PrecisionChoice::Named(Precision::F32)),
        ("f16", "16 bit, IEEE half", PrecisionChoice::Named(Precision::F16)),
        ("bf16", "16 bit, bfloat", PrecisionChoice::Named(Precision::Bf16)),
    ])
}

/// Activations that can be asked for.
pub(crate) fn activations() -> impl TypedValueParser<Value = Activation> {
    choices(&[
        ("quick-gelu", "OpenAI's weights", Activation::QuickGelu),
        ("gelu", "LAION's weights", Activation::Gelu),
    ])
}

/// Whose words for classes can stand in prompts.
pub(crate) fn prompt_names() -> impl TypedValueParser<Value = PromptNames> {
    choices(&[
        ("corrected", "Plain names of what is seen, the default", PromptNames::Corrected),
        ("release", "The authors' release's, to the letter", PromptNames::Release),
    ])
}

/// Kinds of pictures that can be asked for, with what they are.
pub(crate) fn domains() -> impl TypedValueParser<Value = Domain> {
    choices(&[
        ("industrial", "Parts and surfaces", Domain::Industrial),
        ("medical", "Scans and endoscopy", Domain::Medical),
    ])
}

/// Methods that can be asked for, with what they are.
pub(crate) fn methods() -> impl TypedValueParser<Value = MethodName> {
    let value = |method: &MethodName| PossibleValue::new(method.word()).help(method.about());
    PossibleValuesParser::new(MethodName::ALL.iter().map(value)).try_map(|word| word.parse())
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn an_installed_program_is_called_by_its_own_name() {
        fn helps(command: &mut clap::Command, found: &mut Vec<String>) {
            found.push(command.render_long_help().to_string());
            command.get_subcommands_mut().for_each(|command| helps(command, found));
        }
        let (mut xtask, mut moeclip) = (Vec::new(), Vec::new());
        helps(&mut Program::Xtask.command(), &mut xtask);
        helps(&mut Program::Moeclip.command(), &mut moeclip);
        assert!(xtask.len() > 15 && xtask[0].contains("Usage: cargo xtask "));
        assert!(moeclip[0].contains("Usage: moeclip "), "{}", moeclip[0]);
        for (there, here) in xtask.iter().zip(&moeclip) {
            assert_eq!(&Program::Moeclip.naming(there), here);
            assert!(!here.contains("xtask"), "{here}");
        }
    }
}
