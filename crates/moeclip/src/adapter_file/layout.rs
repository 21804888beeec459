//! Which tensors a set of adapters consists of, and what their shapes say about it.

use std::collections::BTreeMap;
use std::path::Path;

use clip_vit::ClipSpec;
use moe_lora::Mixture;
use paa_adapter::{ImageHeadKind, ScaleWeighting};

use super::{AdapterFileError, Assumed};
use crate::MoeClipConfig;

/// Layers between two taps in the paper.
const PAPER_TAP_DISTANCE: usize = 6;

/// Names shown of a list that may be long.
const SHOWN: usize = 6;

/// The sizes that fix every tensor of a set of adapters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AdapterLayout {
    mixture: Mixture,
    /// Experts of each tap; 0 where there is no mixture.
    experts: Vec<usize>,
    /// 0 where there is no LoRA.
    rank: usize,
    /// Learned scale weights of each tap.
    scales: Option<usize>,
    image_head: ImageHeadKind,
    width: usize,
    embed: usize,
    text_width: usize,
}

type Shapes = BTreeMap<String, Vec<usize>>;

impl AdapterLayout {
    /// Reads the sizes off the tensors.
    pub(super) fn infer(file: &Path, shapes: &Shapes) -> Result<Self, AdapterFileError> {
        let [embed, width] = matrix(shapes, "seg_proj.0.fc.weight")
            .ok_or_else(|| AdapterFileError::NotAdapters { file: file.into() })?;
        let text = matrix(shapes, "text_adapter.0.fc.0.weight");
        let any = |prefix: &str| shapes.keys().any(|key| key.starts_with(prefix));
        let count = |prefix: &str| (0..).take_while(|n| any(&format!("{prefix}{n}."))).count();
        let (mixture, expert) = if any("moe_adapters.0.experts.") || any("moe_adapters.0.gate.") {
            (Mixture::MoeLora, "experts.0.")
        } else if any("moe_adapters.") {
            (Mixture::SingleLora, "")
        } else {
            (Mixture::None, "")
        };
        let rank = matrix(shapes, &format!("moe_adapters.0.{expert}lora_A.weight"));
        let experts = |tap| count(&format!("moe_adapters.{tap}.experts."));
        let scales = shapes.get("seg_proj.0.scale_logits");
        let linear = any("det_proj.fc.");
        Ok(Self {
            mixture,
            experts: (0..count("seg_proj.")).map(experts).collect(),
            rank: rank.map_or(0, |[rank, _]| rank),
            scales: scales.map(|shape| shape.first().copied().unwrap_or(0)),
            image_head: if linear { ImageHeadKind::Linear } else { ImageHeadKind::Depthwise },
            width,
            embed,
            text_width: text.map_or(0, |[_, width]| width),
        })
    }

    /// Every tensor with its shape.
    pub(super) fn shapes(&self) -> Shapes {
        let Self { width, embed, text_width, .. } = *self;
        let mut shapes = Shapes::from([
            ("text_adapter.0.fc.0.weight".into(), vec![embed, text_width]),
            ("det_proj.ln.weight".into(), vec![width]),
            ("det_proj.ln.bias".into(), vec![width]),
        ]);
        match self.image_head {
            ImageHeadKind::Depthwise => shapes.extend([
                ("det_proj.adapter.0.weight".into(), vec![width, 1, 3]),
                ("det_proj.adapter.2.weight".into(), vec![embed, width, 1]),
            ]),
            ImageHeadKind::Linear => {
                shapes.insert("det_proj.fc.weight".into(), vec![embed, width]);
            }
        }
        for (tap, experts) in self.experts.iter().enumerate() {
            shapes.insert(format!("seg_proj.{tap}.fc.weight"), vec![embed, width]);
            if let Some(scales) = self.scales {
                shapes.insert(format!("seg_proj.{tap}.scale_logits"), vec![scales]);
            }
            self.stream(&format!("moe_adapters.{tap}"), *experts, &mut shapes);
        }
        shapes
    }

    /// The tensors of what changes the stream at a tap.
    fn stream(&self, prefix: &str, experts: usize, shapes: &mut Shapes) {
        let Self { rank, width, .. } = *self;
        let mut lora = |prefix: &str| {
            shapes.insert(format!("{prefix}.lora_A.weight"), vec![rank, width]);
            shapes.insert(format!("{prefix}.lora_B.weight"), vec![width, rank]);
        };
        match self.mixture {
            Mixture::MoeLora => {
                (0..experts).for_each(|n| lora(&format!("{prefix}.experts.{n}")));
                shapes.insert(format!("{prefix}.gate.weight"), vec![experts, width]);
            }
            Mixture::SingleLora => lora(prefix),
            Mixture::None => {}
        }
    }

    /// Refuses tensors that are missing, too many, or of another shape.
    pub(super) fn check(&self, file: &Path, found: &Shapes) -> Result<(), AdapterFileError> {
        let expected = self.shapes();
        let missing = expected.keys().filter(|name| !found.contains_key(*name));
        let unexpected = found.keys().filter(|name| !expected.contains_key(*name));
        let misshapen = expected.iter().filter_map(|(name, needed)| {
            let shape = found.get(name).filter(|shape| *shape != needed)?;
            Some(format!("{name} is {shape:?}, {needed:?} needed"))
        });
        let problems: Vec<String> = [
            listed("missing", missing.cloned().collect()),
            listed("unexpected", unexpected.cloned().collect()),
            listed("wrong shape", misshapen.collect()),
        ]
        .into_iter()
        .flatten()
        .collect();
        if problems.is_empty() {
            return Ok(());
        }
        let problems = problems.join("; ");
        Err(AdapterFileError::Incomplete { file: file.into(), problems })
    }

    /// The configuration of a file that does not bring its own.
    pub(super) fn config(&self, assumed: &Assumed) -> MoeClipConfig {
        let paper = MoeClipConfig::default();
        let every_sixth = || (1..=self.experts.len()).map(|tap| tap * PAPER_TAP_DISTANCE).collect();
        MoeClipConfig {
            taps: assumed.taps.clone().unwrap_or_else(every_sixth),
            experts: self.experts.first().copied().unwrap_or(0),
            rank: self.rank,
            top_k: assumed.top_k.unwrap_or(paper.top_k),
            alpha: assumed.alpha.unwrap_or(paper.alpha),
            ..paper
        }
    }

    /// Refuses a configuration that contradicts the tensors.
    pub(super) fn matches(
        &self,
        file: &Path,
        config: &MoeClipConfig,
    ) -> Result<(), AdapterFileError> {
        let scales = match config.scale_weights {
            ScaleWeighting::Equal => None,
            ScaleWeighting::Learned => Some(config.scales.len()),
        };
        let weights = |scales: Option<usize>| scales.map_or("no weights".into(), |n| n.to_string());
        let mut pairs = vec![
            ("taps", config.taps.len().to_string(), self.experts.len().to_string()),
            ("mixture", config.mixture.name().into(), self.mixture.name().into()),
            ("image_head", config.image_head.name().into(), self.image_head.name().into()),
            ("scale_weights", weights(scales), weights(self.scales)),
        ];
        if config.mixture != Mixture::None {
            pairs.push(("rank", config.rank.to_string(), self.rank.to_string()));
        }
        if config.mixture == Mixture::MoeLora {
            for (tap, found) in self.experts.iter().enumerate() {
                let said = config.mixture_at(tap, self.width).experts;
                pairs.push(("experts", said.to_string(), found.to_string()));
            }
        }
        contradiction(file, pairs)
    }

    /// Refuses a CLIP of other widths.
    pub(super) fn fits(&self, file: &Path, clip: &ClipSpec) -> Result<(), AdapterFileError> {
        let pairs = [
            ("the CLIP's vision width", clip.vision.width, self.width),
            ("the CLIP's text width", clip.text.width, self.text_width),
            ("the CLIP's embedding", clip.embed, self.embed),
        ];
        let text =
            |(key, said, found): (_, usize, usize)| (key, said.to_string(), found.to_string());
        contradiction(file, pairs.map(text))
    }
}

/// What a setting is called, what the configuration says of it, and what the tensors say.
type Said = (&'static str, String, String);

fn contradiction(
    file: &Path,
    pairs: impl IntoIterator<Item = Said>,
) -> Result<(), AdapterFileError> {
    match pairs.into_iter().find(|(_, said, found)| said != found) {
        None => Ok(()),
        Some((key, said, found)) => {
            Err(AdapterFileError::Contradiction { file: file.into(), key, said, found })
        }
    }
}

fn matrix(shapes: &Shapes, name: &str) -> Option<[usize; 2]> {
    shapes.get(name)?.as_slice().try_into().ok()
}

fn listed(what: &str, names: Vec<String>) -> Option<String> {
    if names.is_empty() {
        return None;
    }
    let more = names.len().saturating_sub(SHOWN);
    let rest = if more == 0 { String::new() } else { format!(" and {more} more") };
    let shown: Vec<String> = names.into_iter().take(SHOWN).collect();
    Some(format!("{what}: {}{rest}", shown.join(", ")))
}
