//! What the process of a dataset and a method is told.

use std::ffi::OsString;

use clap::ValueEnum;

use super::BenchArgs;
use crate::cli::Common;
use inspect::backends::DeviceChoice;

/// The command line of a process.
pub(super) fn of(
    args: &BenchArgs,
    common: &Common,
    dataset: &str,
    method: &str,
    device: DeviceChoice,
) -> Vec<OsString> {
    let mut line: Vec<OsString> = ["bench-14", "--measure-only", "--json"].map(Into::into).into();
    let mut option = |name: &str, value: OsString| line.extend([name.into(), value]);
    option("--datasets", dataset.into());
    option("--methods", method.into());
    option("--device", device.to_string().into());
    option("--precision", name_of(common.precision).into());
    let paths = [
        ("--clip", Some(&args.clip.clip)),
        ("--adapter", args.adapter.as_ref()),
        ("--adapter-visa", args.adapter_visa.as_ref()),
        ("--config", args.config.as_ref()),
        ("--data-root", args.data_root.as_ref()),
        ("--out", Some(&args.out)),
        ("--cache", args.cache.cache.as_ref()),
        ("--prompt-cache", args.clip.prompting.prompt_cache.as_ref()),
    ];
    for (name, path) in paths {
        path.into_iter().for_each(|path| option(name, path.into()));
    }
    for (name, text) in settings(args) {
        text.into_iter().for_each(|text| option(name, text.into()));
    }
    line
}

/// Options that are no paths, where they were given.
fn settings(args: &BenchArgs) -> [(&'static str, Option<String>); 8] {
    let taps = args.assumed.taps.as_ref().map(|taps| {
        let taps: Vec<String> = taps.iter().map(ToString::to_string).collect();
        taps.join(",")
    });
    [
        ("--vision-heads", args.clip.shape.vision_heads.map(|heads| heads.to_string())),
        ("--text-heads", args.clip.shape.text_heads.map(|heads| heads.to_string())),
        ("--activation", args.clip.shape.activation.map(name_of)),
        ("--taps", taps),
        ("--top-k", args.assumed.top_k.map(|k| k.to_string())),
        ("--alpha", args.assumed.alpha.map(|alpha| alpha.to_string())),
        ("--prompt-names", args.prompt_names.map(name_of)),
        ("--cache-limit", args.cache.cache_limit.map(|limit| limit.to_string())),
    ]
}

/// A choice as it is typed.
fn name_of(choice: impl ValueEnum) -> String {
    choice.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}
