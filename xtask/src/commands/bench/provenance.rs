//! What the numbers of a page depend on, and nothing of the machine that made them.

use std::path::Path;

use moeclip_eval::report::Provenance;

use super::BenchArgs;
use super::plan::{Method, Plan};
use crate::cli::Common;
use crate::code;

/// Program, command, weights, and where adapters come from.
pub(super) fn of(args: &BenchArgs, common: &Common, plan: &Plan) -> Vec<Provenance> {
    let device = args.devices(common)[0];
    let mut facts = vec![
        fact("Program", format!("MoECLIP in Rust {}", code::described())),
        fact("Command", command(args, plan)),
        fact("Protocol", "paper: scores and maps normalised over the test images of each class"),
        fact(
            "Computed on",
            format!("{device}, frozen CLIP in {:?}", common.precision).to_lowercase(),
        ),
        fact("CLIP, SHA-256", plan.clip.sha256.clone()),
    ];
    for method in &plan.methods {
        facts.extend(of_method(method));
    }
    facts
}

fn of_method(method: &Method) -> Vec<Provenance> {
    let subjects = [("", Some(&method.usual)), (" for VisA", method.auxiliary.as_ref())];
    let subjects = subjects.into_iter().filter_map(|(which, subject)| Some((which, subject?)));
    subjects
        .flat_map(|(which, subject)| subject.facts(&format!("{}{which}", method.name())))
        .collect()
}

/// The command with the names of files in place of their paths.
fn command(args: &BenchArgs, plan: &Plan) -> String {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut command = format!("cargo xtask bench-14 --clip {}", name(&args.clip.clip));
    let files = [
        ("--adapter", &args.adapter),
        ("--adapter-visa", &args.adapter_visa),
        ("--config", &args.config),
    ];
    for (option, path) in files {
        command.extend(path.iter().map(|path| format!(" {option} {}", name(path))));
    }
    let methods: Vec<&str> = plan.methods.iter().map(Method::word).collect();
    command += &format!(" --methods {}", methods.join(","));
    if !args.datasets.is_empty() {
        command += &format!(" --datasets {}", args.datasets.join(","));
    }
    command + " --data-root DATA --out OUT"
}

fn fact(name: &str, value: impl Into<String>) -> Provenance {
    Provenance { name: name.into(), value: value.into() }
}
