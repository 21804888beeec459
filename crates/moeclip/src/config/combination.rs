//! Settings that make sense alone and none together.

use moe_lora::{Mixture, UpStart};
use paa_adapter::ScaleWeighting;

use super::{ConfigError, MoeClipConfig, Partition};

/// Refuses settings that another one leaves without meaning: whoever gives them expects something
/// that would not happen.
pub(super) fn check(config: &MoeClipConfig) -> Result<(), ConfigError> {
    let paper = MoeClipConfig::default();
    if let Some(key) = unused(config, &paper) {
        let given = format!("mixture = {}", config.mixture.name());
        return Err(ConfigError::Meaningless { key, given });
    }
    if config.up == UpStart::Zero && config.up_scale != paper.up_scale {
        return Err(ConfigError::Meaningless { key: "up_scale", given: "up = zero".into() });
    }
    if config.mixture == Mixture::MoeLora && config.experts == 1 {
        return Err(ConfigError::OneExpert);
    }
    if config.scale_weights == ScaleWeighting::Learned && config.scales.len() == 1 {
        return Err(ConfigError::OneScale);
    }
    check_partition(config)?;
    check_kept(config)
}

/// The first setting that departs from the paper and that this mixture has no use for.
fn unused(config: &MoeClipConfig, paper: &MoeClipConfig) -> Option<&'static str> {
    let of_experts = [
        ("experts", config.experts != paper.experts),
        ("top_k", config.top_k != paper.top_k),
        ("partition", config.partition != paper.partition),
        ("partition_sizes", config.partition_sizes.is_some()),
        ("slices", config.slices.is_some()),
        ("kept_experts", config.kept_experts.is_some()),
    ];
    let of_loras = [
        ("rank", config.rank != paper.rank),
        ("alpha", config.alpha != paper.alpha),
        ("lambda", config.lambda != paper.lambda),
        ("fofs", config.fofs != paper.fofs),
        ("up", config.up != paper.up),
        ("up_scale", config.up_scale != paper.up_scale),
    ];
    let changed = |settings: &[(&'static str, bool)]| {
        settings.iter().find(|(_, changed)| *changed).map(|(key, _)| *key)
    };
    match config.mixture {
        Mixture::MoeLora => None,
        Mixture::SingleLora => changed(&of_experts),
        Mixture::None => changed(&of_experts).or_else(|| changed(&of_loras)),
    }
}

fn check_partition(config: &MoeClipConfig) -> Result<(), ConfigError> {
    let meaningless = |key, given: String| Err(ConfigError::Meaningless { key, given });
    if !config.fofs.partitions() {
        let fofs = format!("fofs = {}", config.fofs.name());
        if config.partition == Partition::Energy {
            return meaningless("partition", fofs);
        }
        if config.partition_sizes.is_some() {
            return meaningless("partition_sizes", fofs);
        }
    }
    match (config.partition, &config.partition_sizes, &config.slices) {
        (Partition::Energy, Some(_), _) => {
            meaningless("partition_sizes", "partition = energy".into())
        }
        (Partition::Equal, _, Some(_)) => meaningless("slices", "partition = equal".into()),
        (Partition::Energy, None, Some(slices)) => per_tap("slices", slices.len(), config),
        (_, _, None) => Ok(()),
    }
}

fn check_kept(config: &MoeClipConfig) -> Result<(), ConfigError> {
    let Some(taps) = &config.kept_experts else { return Ok(()) };
    per_tap("kept_experts", taps.len(), config)?;
    let fits = |kept: &&Vec<usize>| {
        let ascending = kept.windows(2).all(|pair| pair[0] < pair[1]);
        ascending && kept.len() >= 2 && kept.last().is_some_and(|last| *last < config.experts)
    };
    match taps.iter().find(|kept| !fits(kept)) {
        Some(kept) => Err(ConfigError::Kept { kept: kept.clone(), experts: config.experts }),
        None => Ok(()),
    }
}

pub(super) fn per_tap(
    key: &'static str,
    found: usize,
    config: &MoeClipConfig,
) -> Result<(), ConfigError> {
    let taps = config.taps.len();
    if found == taps { Ok(()) } else { Err(ConfigError::PerTap { key, found, taps }) }
}
