//! The command line of MoECLIP: parse, call the libraries, print. Everything it can do is the one
//! `match` in `run`; `cargo xtask` and `moeclip` are two names of it.

mod arguments;
mod cli;
mod commands;
mod dashboard;
mod interrupt;
mod output;
mod system;

use std::process::ExitCode;
use std::sync::OnceLock;

use cli::{Cli, Command};

pub use cli::Program;

/// The program that is running.
static PROGRAM: OnceLock<Program> = OnceLock::new();

/// Does what was typed after the name of `program`, and says how it went.
pub fn main(program: Program) -> ExitCode {
    let program = *PROGRAM.get_or_init(|| program);
    match run(Cli::of(program)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", program.naming(&inspect::one_line(error.as_ref())));
            ExitCode::FAILURE
        }
    }
}

/// The program that is running.
pub(crate) fn program() -> Program {
    PROGRAM.get().copied().unwrap_or(Program::Xtask)
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
        Command::RunJob(args) => commands::run_job::run(args),
        Command::Doctor(args) => commands::doctor::run(args, common),
    }
}
