//! `moeclip`, the same commands installed.

use std::process::ExitCode;

fn main() -> ExitCode {
    xtask::main(xtask::Program::Moeclip)
}
