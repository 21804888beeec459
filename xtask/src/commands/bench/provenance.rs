//! What the numbers of a page depend on, and nothing of the machine that made them.

use std::path::Path;

use inspect::described;
use moeclip::AdapterFile;
use moeclip_data::ContentHash;
use moeclip_eval::report::Provenance;

use super::BenchArgs;
use super::plan::{Method, Plan};
use crate::cli::Common;
use crate::code;
use crate::commands::eval::Subject;

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
        fact("CLIP, SHA-256", plan.clip.clone()),
    ];
    for method in &plan.methods {
        facts.extend(of_method(method));
    }
    facts
}

fn of_method(method: &Method) -> Vec<Provenance> {
    let subjects = [("", Some(&method.usual)), (" for VisA", method.auxiliary.as_ref())];
    let subjects = subjects.into_iter().filter_map(|(which, subject)| Some((which, subject?)));
    let facts = subjects.flat_map(|(which, subject)| {
        let name = format!("{}{which}", method.name());
        match subject {
            Subject::Moeclip(file) => of_adapters(&name, file),
            Subject::Clip(experiment) => {
                let size = experiment.model.image_size;
                vec![fact(&name, format!("CLIP as it is, images of {size}x{size} pixels"))]
            }
        }
    });
    facts.collect()
}

fn of_adapters(name: &str, file: &AdapterFile) -> Vec<Provenance> {
    let (config, hash) = (file.config(), ContentHash::of_file(file.path()));
    let hash = hash.map_or_else(|error| error.to_string(), |hash| hash.to_string());
    let size = config.image_size;
    let mut facts = vec![
        fact(&format!("{name}, adapters, SHA-256"), hash),
        fact(&format!("{name}, images"), format!("{size}x{size} pixels, taps {:?}", config.taps)),
    ];
    if let Some(from) = file.provenance() {
        let data = from.data.as_ref().map_or("data that it does not name", |data| &data.name);
        let commit = from.commit.as_ref().map(|commit| format!(" ({commit})")).unwrap_or_default();
        let made = format!(
            "trained on {data}, {} steps, seed {}, by version {}{commit}",
            from.steps, from.seed, from.version
        );
        facts.push(fact(&format!("{name}, training"), made));
    }
    if let Some(calibration) = file.calibration() {
        let described = described(calibration).into_iter();
        let lines: Vec<String> = described.map(|(what, said)| format!("{what} {said}")).collect();
        facts.push(fact(&format!("{name}, calibration"), lines.join("; ")));
    }
    facts
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
