//! `train --method NAME`: the weights of a method that MoECLIP is compared with.

use std::ops::ControlFlow;

use anyhow::bail;
use inspect::{MethodTrainRequest, MethodTrained, ProgramVersion, RecipeChanges};
use moeclip_data::PromptNames;

use super::{TrainArgs, TrainSettings};
use crate::cli::Common;
use crate::interrupt;
use crate::output::{Terminal, print_json};
use crate::system;

/// Trains it, and says what was learned.
pub(super) fn run(args: TrainArgs, common: Common) -> anyhow::Result<()> {
    refuse_settings_of_adapters(&args)?;
    interrupt::listen()?;
    let mut options = args.options.request();
    options.prompt_names.get_or_insert(PromptNames::default());
    let TrainSettings { config, epochs, steps, batch, seed, .. } = args.settings;
    let request = MethodTrainRequest {
        clip: args.clip.source(),
        method: args.method,
        config,
        data: args.data,
        options,
        cache: args.cache.request(),
        checkpoints: args.saving.policy()?,
        resume: args.saving.resume,
        out: args.out,
        changes: RecipeChanges { epochs, batch_size: batch, seed },
        steps,
        log: args.display.log,
        program: ProgramVersion {
            version: system::VERSION.into(),
            commit: system::COMMIT.map(str::to_owned),
        },
        compute: common.training(),
    };
    let mut unread = None;
    let trained = request.run(&mut Terminal::default(), &mut |step| {
        if common.json {
            unread = print_json(step).err();
        }
        if unread.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    unread.map_or(Ok(()), Err)?;
    if common.json {
        return print_json(&trained);
    }
    let MethodTrained { out, method, steps, interrupted, first, last, seconds } = &trained;
    let how = if *interrupted { "interrupted after" } else { "trained for" };
    println!("{out}: {method} {how} {steps} steps in {seconds:.0} s");
    if let (Some(first), Some(last)) = (first, last) {
        for (name, before) in &first.losses {
            let after = last.losses.get(name).copied().unwrap_or(f32::NAN);
            println!("  {name:16} {before:.3} at first, {after:.3} at last");
        }
    }
    Ok(())
}

/// Refuses options that only MoECLIP's adapters have, by the first that is given.
fn refuse_settings_of_adapters(args: &TrainArgs) -> anyhow::Result<()> {
    let settings = &args.settings;
    let given = [
        ("--set", !settings.set.is_empty()),
        ("--learning-rate", settings.learning_rate.is_some()),
        ("--image-size", settings.image_size.is_some()),
        ("--taps", settings.taps.is_some()),
        ("--no-augmentation", settings.no_augmentation),
        ("--devices", !args.devices.is_empty()),
    ];
    match given.into_iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((option, _)) => bail!(
            "{option} is for MoECLIP's adapters; write settings of {} into --config, as in configs/methods/",
            args.method
        ),
    }
}
