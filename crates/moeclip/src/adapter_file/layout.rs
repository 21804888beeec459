//! Which tensors a set of adapters consists of, and what their shapes say about it.

use std::collections::BTreeMap;
use std::path::Path;

use clip_vit::ClipSpec;

use super::{AdapterFileError, Assumed};
use crate::MoeClipConfig;

/// Layers between two taps in the paper.
const PAPER_TAP_DISTANCE: usize = 6;

/// Names shown of a list that may be long.
const SHOWN: usize = 6;

/// The sizes that fix every tensor of a set of adapters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    taps: usize,
    experts: usize,
    rank: usize,
    width: usize,
    embed: usize,
    text_width: usize,
}

type Shapes = BTreeMap<String, Vec<usize>>;

impl Layout {
    /// Reads the sizes off the tensors.
    pub(super) fn infer(file: &Path, shapes: &Shapes) -> Result<Self, AdapterFileError> {
        let [embed, width] = matrix(shapes, "seg_proj.0.fc.weight")
            .ok_or_else(|| AdapterFileError::NotAdapters { file: file.into() })?;
        let rank = matrix(shapes, "moe_adapters.0.experts.0.lora_A.weight");
        let text = matrix(shapes, "text_adapter.0.fc.0.weight");
        let count = |prefix: &str| {
            (0..)
                .take_while(|n| shapes.keys().any(|k| k.starts_with(&format!("{prefix}{n}."))))
                .count()
        };
        Ok(Self {
            taps: count("seg_proj."),
            experts: count("moe_adapters.0.experts."),
            rank: rank.map_or(0, |[rank, _]| rank),
            width,
            embed,
            text_width: text.map_or(0, |[_, width]| width),
        })
    }

    /// Every tensor with its shape.
    pub(super) fn shapes(&self) -> Shapes {
        let Self { taps, experts, rank, width, embed, text_width } = *self;
        let mut shapes = Shapes::from([
            ("text_adapter.0.fc.0.weight".into(), vec![embed, text_width]),
            ("det_proj.ln.weight".into(), vec![width]),
            ("det_proj.ln.bias".into(), vec![width]),
            ("det_proj.adapter.0.weight".into(), vec![width, 1, 3]),
            ("det_proj.adapter.2.weight".into(), vec![embed, width, 1]),
        ]);
        for tap in 0..taps {
            let mixture = format!("moe_adapters.{tap}");
            shapes.insert(format!("seg_proj.{tap}.fc.weight"), vec![embed, width]);
            shapes.insert(format!("{mixture}.gate.weight"), vec![experts, width]);
            for n in 0..experts {
                let expert = format!("{mixture}.experts.{n}");
                shapes.insert(format!("{expert}.lora_A.weight"), vec![rank, width]);
                shapes.insert(format!("{expert}.lora_B.weight"), vec![width, rank]);
            }
        }
        shapes
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
        let every_sixth = || (1..=self.taps).map(|tap| tap * PAPER_TAP_DISTANCE).collect();
        MoeClipConfig {
            taps: assumed.taps.clone().unwrap_or_else(every_sixth),
            experts: self.experts,
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
        let pairs = [
            ("taps", config.taps.len(), self.taps),
            ("experts", config.experts, self.experts),
            ("rank", config.rank, self.rank),
        ];
        contradiction(file, &pairs)
    }

    /// Refuses a CLIP of other widths.
    pub(super) fn fits(&self, file: &Path, clip: &ClipSpec) -> Result<(), AdapterFileError> {
        let pairs = [
            ("the CLIP's vision width", clip.vision.width, self.width),
            ("the CLIP's text width", clip.text.width, self.text_width),
            ("the CLIP's embedding", clip.embed, self.embed),
        ];
        contradiction(file, &pairs)
    }
}

fn contradiction(
    file: &Path,
    pairs: &[(&'static str, usize, usize)],
) -> Result<(), AdapterFileError> {
    match pairs.iter().find(|(_, said, found)| said != found) {
        None => Ok(()),
        Some(&(key, said, found)) => Err(AdapterFileError::Contradiction {
            file: file.into(),
            key,
            said: said.to_string(),
            found: found.to_string(),
        }),
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
