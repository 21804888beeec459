//! What the processes of a run are told.

use std::ffi::OsString;

use clap::ValueEnum;
use moeclip_train::{Method, PlannedRun, RunFolder};

use super::AblateArgs;
use crate::cli::{Common, PromptNamesChoice};

/// `train` of a run, from wherever it was left.
pub(super) fn train(args: &AblateArgs, common: &Common, folder: &RunFolder) -> Vec<OsString> {
    let mut line: Vec<OsString> = vec!["train".into(), "--json".into(), "--resume".into()];
    let mut option = |name: &str, value: OsString| line.extend([name.into(), value]);
    option("--config", folder.description().into());
    option("--out", folder.adapter().into());
    option("--checkpoints", folder.checkpoints().into());
    if let Some(steps) = args.checkpoint_every {
        option("--checkpoint-every", steps.to_string().into());
    }
    if let Some(minutes) = args.checkpoint_minutes {
        option("--checkpoint-minutes", minutes.to_string().into());
    }
    line.extend(shared(args, common));
    line
}

/// `eval` of a run on one dataset.
pub(super) fn eval(
    args: &AblateArgs,
    common: &Common,
    run: &PlannedRun,
    folder: &RunFolder,
    dataset: &str,
) -> Vec<OsString> {
    let mut line: Vec<OsString> = vec!["eval".into(), "--json".into()];
    let mut option = |name: &str, value: OsString| line.extend([name.into(), value]);
    option("--data", dataset.into());
    let names = PromptNamesChoice::from(run.experiment.data.prompt_names);
    option("--prompt-names", name_of(names).into());
    match run.method {
        Method::Moeclip => option("--adapter", folder.adapter().into()),
        Method::Clip => {
            option("--method", "clip".into());
            option("--config", folder.description().into());
        }
    }
    line.extend(shared(args, common));
    line
}

/// The options that change results, for the record of a run.
pub(super) fn deciding(args: &AblateArgs, common: &Common) -> Vec<String> {
    let mut options = vec![
        format!("--device={}", common.device),
        format!("--precision={}", name_of(common.precision)),
    ];
    let shape = &args.shape;
    let heads = [("vision", shape.vision_heads), ("text", shape.text_heads)];
    for (tower, heads) in heads {
        options.extend(heads.map(|heads| format!("--{tower}-heads={heads}")));
    }
    options.extend(shape.activation.map(|choice| format!("--activation={}", name_of(choice))));
    options
}

/// What both are told: the CLIP, where data lie, and where to compute.
fn shared(args: &AblateArgs, common: &Common) -> Vec<OsString> {
    let mut line: Vec<OsString> = deciding(args, common).into_iter().map(Into::into).collect();
    let paths =
        [("--clip", &args.clip), ("--data-root", &args.data_root), ("--cache", &args.cache.cache)];
    for (name, path) in paths {
        if let Some(path) = path {
            line.extend([name.into(), path.into()]);
        }
    }
    if let Some(limit) = args.cache.cache_limit {
        line.extend(["--cache-limit".into(), limit.to_string().into()]);
    }
    line
}

/// A choice as it is typed.
fn name_of(choice: impl ValueEnum) -> String {
    choice.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}
