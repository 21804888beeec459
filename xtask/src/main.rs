//! The command line of MoECLIP: parse, call the libraries, print. Everything it can do is the one
//! `match` in [`run`].

mod arguments;
mod cli;
mod code;
mod commands;
mod dashboard;
mod interrupt;
mod output;
mod progress;
mod system;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", one_line(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let common = cli.common;
    match cli.command {
        Command::Demo(args) => commands::demo::run(args, common),
        Command::Train(args) => commands::train::run(args, common),
        Command::Pretrain(args) => commands::pretrain::run(args, common),
        Command::Eval(args) => commands::eval::run(args, common),
        Command::Bench(args) => commands::bench::run(args, common),
        Command::Ablate(args) => commands::ablate::run(args, common),
        Command::Calibrate(args) => commands::calibrate::run(args, common),
        Command::Predict(args) => commands::predict::run(args, common),
        Command::Explain(args) => commands::explain::run(args, common),
        Command::ConvertOpenclip(args) => commands::convert_openclip::run(args, common),
        Command::ConvertAdapter(args) => commands::convert_adapter::run(args, common),
        Command::Inspect(args) => commands::inspect::run(args, common),
        Command::Datasets(args) => commands::datasets::run(args, common),
        Command::Parity(args) => commands::parity::run(args, common),
        Command::Doctor(args) => commands::doctor::run(args, common),
    }
}

/// An error and its causes on one line; what a message says already is not said again.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    inspect::one_line(error.as_ref())
}
