//! One CLIP, many names: from any known layout to the names of open_clip.
//!
//! A file may be laid out as open_clip's `CLIP` and OpenAI do, as open_clip's `CustomTextCLIP` does,
//! whose text tower stands under `text.`, or as Hugging Face's `CLIPModel` does: there q, k and v are
//! three linear layers, and the two projections are linear weights, the transposes of CLIP's matrices.

/// Who named the tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Layout {
    /// open_clip and OpenAI, the canonical names.
    OpenClip,
    /// open_clip's `CustomTextCLIP`: the text tower's names are behind `text.`.
    CustomText,
    /// Hugging Face's `CLIPModel`.
    HuggingFace,
}

/// From which tensors of a layout a canonical one is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// The tensor itself.
    Same(String),
    /// A matrix with its axes exchanged.
    Transposed(String),
    /// Three tensors, one below the other.
    Stacked([String; 3]),
}

impl Source {
    /// The tensors it needs, each with the shape it must have for the canonical one to be `shape`.
    pub(super) fn parts(&self, shape: &[usize]) -> Vec<(&str, Vec<usize>)> {
        match self {
            Source::Same(name) => vec![(name, shape.to_vec())],
            Source::Transposed(name) => vec![(name, shape.iter().rev().copied().collect())],
            Source::Stacked(names) => {
                let mut part = shape.to_vec();
                if let Some(rows) = part.first_mut() {
                    *rows /= names.len();
                }
                names.iter().map(|name| (name.as_str(), part.clone())).collect()
            }
        }
    }
}

/// What stands before the text tower's names in a `CustomTextCLIP`.
const CUSTOM_TEXT: &str = "text.";

impl Layout {
    /// Every layout; of two that fit equally well the first is meant.
    pub(super) const ALL: [Layout; 3] = [Layout::OpenClip, Layout::CustomText, Layout::HuggingFace];

    /// From which of its tensors the canonical `name` is made.
    pub(super) fn source(self, name: &str) -> Source {
        match self {
            Layout::OpenClip => Source::Same(name.to_owned()),
            Layout::CustomText if name.starts_with("visual.") || name == LOGIT_SCALE => {
                Source::Same(name.to_owned())
            }
            Layout::CustomText => Source::Same(format!("{CUSTOM_TEXT}{name}")),
            Layout::HuggingFace => hugging_face(name),
        }
    }

    /// What the names of an image or text tower's blocks begin with, up to their number.
    pub(super) fn blocks(self, tower: Tower) -> &'static str {
        match (self, tower) {
            (Layout::HuggingFace, Tower::Vision) => "vision_model.encoder.layers.",
            (Layout::HuggingFace, Tower::Text) => "text_model.encoder.layers.",
            (_, Tower::Vision) => "visual.transformer.resblocks.",
            (Layout::OpenClip, Tower::Text) => "transformer.resblocks.",
            (Layout::CustomText, Tower::Text) => "text.transformer.resblocks.",
        }
    }

    /// Whether a CLIP may have a tensor of this name, as far as its beginning shows.
    pub(super) fn knows(self, name: &str) -> bool {
        name == LOGIT_SCALE || self.tower(name).is_some()
    }

    /// The tower that a name of this layout belongs to.
    pub(super) fn tower(self, name: &str) -> Option<Tower> {
        let vision = match self {
            Layout::HuggingFace => {
                name.strip_prefix("vision_model.").is_some_and(is_in_hugging_face)
                    || name == "visual_projection.weight"
            }
            _ => name.strip_prefix("visual.").is_some_and(is_image),
        };
        let text = match self {
            Layout::OpenClip => is_text(name),
            Layout::CustomText => name.strip_prefix(CUSTOM_TEXT).is_some_and(is_text),
            Layout::HuggingFace => {
                name.strip_prefix("text_model.").is_some_and(is_in_hugging_face)
                    || name == "text_projection.weight"
            }
        };
        vision.then_some(Tower::Vision).or(text.then_some(Tower::Text))
    }

    /// Whether exactly one tensor of a CLIP has this name, one that stands outside of the blocks.
    pub(super) fn is_anchor(self, name: &str) -> bool {
        ANCHORS.iter().any(|canonical| match self.source(canonical) {
            Source::Same(own) | Source::Transposed(own) => own == name,
            Source::Stacked(_) => false,
        })
    }
}

const LOGIT_SCALE: &str = "logit_scale";

/// Canonical tensors that every CLIP has once, whatever its sizes.
const ANCHORS: [&str; 10] = [
    "visual.class_embedding",
    "visual.positional_embedding",
    "visual.conv1.weight",
    "visual.ln_pre.weight",
    "visual.ln_post.weight",
    "visual.proj",
    "token_embedding.weight",
    "positional_embedding",
    "ln_final.weight",
    "text_projection",
];

/// Whether open_clip gives such a name to a tensor of an image tower, behind `visual.`.
fn is_image(name: &str) -> bool {
    const WHOLE: [&str; 4] = ["class_embedding", "positional_embedding", "conv1.weight", "proj"];
    const STARTS: [&str; 3] = ["ln_pre.", "ln_post.", "transformer.resblocks."];
    WHOLE.contains(&name) || STARTS.iter().any(|start| name.starts_with(start))
}

/// Whether Hugging Face gives such a name to a tensor of either tower, behind the tower's own name.
fn is_in_hugging_face(name: &str) -> bool {
    const STARTS: [&str; 5] =
        ["embeddings.", "encoder.layers.", "pre_layrnorm.", "post_layernorm.", "final_layer_norm."];
    STARTS.iter().any(|start| name.starts_with(start))
}

/// Whether open_clip gives such a name to a tensor of a text tower.
fn is_text(name: &str) -> bool {
    const WHOLE: [&str; 3] = ["positional_embedding", "token_embedding.weight", "text_projection"];
    WHOLE.contains(&name)
        || name.starts_with("transformer.resblocks.")
        || name.starts_with("ln_final.")
}

/// One of the two towers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tower {
    Vision,
    Text,
}

fn hugging_face(name: &str) -> Source {
    let (model, inner) = match name.strip_prefix("visual.") {
        Some(inner) => ("vision_model", inner),
        None => ("text_model", name),
    };
    if let Some(block) = inner.strip_prefix("transformer.resblocks.")
        && let Some((layer, tensor)) = block.split_once('.')
    {
        return in_block(&format!("{model}.encoder.layers.{layer}"), tensor);
    }
    let same = |tensor: &str| Source::Same(format!("{model}.{tensor}"));
    match inner {
        "class_embedding" => same("embeddings.class_embedding"),
        "positional_embedding" => same("embeddings.position_embedding.weight"),
        "conv1.weight" => same("embeddings.patch_embedding.weight"),
        "token_embedding.weight" => same("embeddings.token_embedding.weight"),
        // Hugging Face's own spelling.
        "ln_pre.weight" => same("pre_layrnorm.weight"),
        "ln_pre.bias" => same("pre_layrnorm.bias"),
        "ln_post.weight" => same("post_layernorm.weight"),
        "ln_post.bias" => same("post_layernorm.bias"),
        "ln_final.weight" => same("final_layer_norm.weight"),
        "ln_final.bias" => same("final_layer_norm.bias"),
        "proj" => Source::Transposed("visual_projection.weight".into()),
        "text_projection" => Source::Transposed("text_projection.weight".into()),
        other => Source::Same(other.into()),
    }
}

fn in_block(block: &str, tensor: &str) -> Source {
    let stacked = |kind: &str| {
        Source::Stacked(["q", "k", "v"].map(|part| format!("{block}.self_attn.{part}_proj.{kind}")))
    };
    match tensor {
        "attn.in_proj_weight" => return stacked("weight"),
        "attn.in_proj_bias" => return stacked("bias"),
        _ => {}
    }
    const RENAMED: [(&str, &str); 5] = [
        ("ln_1.", "layer_norm1."),
        ("ln_2.", "layer_norm2."),
        ("attn.out_proj.", "self_attn.out_proj."),
        ("mlp.c_fc.", "mlp.fc1."),
        ("mlp.c_proj.", "mlp.fc2."),
    ];
    let renamed = RENAMED
        .iter()
        .find_map(|(from, to)| Some(format!("{block}.{to}{}", tensor.strip_prefix(from)?)));
    Source::Same(renamed.unwrap_or_else(|| format!("{block}.{tensor}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hugging_face_sources() {
        let layout = Layout::HuggingFace;
        let fused = layout.source("visual.transformer.resblocks.7.attn.in_proj_weight");
        let parts = fused.parts(&[12, 4]);
        assert_eq!(parts[1].0, "vision_model.encoder.layers.7.self_attn.k_proj.weight");
        assert_eq!(parts[1].1, [4, 4]);
        let projection = layout.source("text_projection");
        assert_eq!(projection.parts(&[6, 4]), [("text_projection.weight", vec![4, 6])]);
        let second = layout.source("transformer.resblocks.0.mlp.c_proj.bias");
        assert_eq!(second, Source::Same("text_model.encoder.layers.0.mlp.fc2.bias".into()));
    }

    #[test]
    fn a_custom_text_tower_stands_behind_text() {
        let layout = Layout::CustomText;
        let same = |name: &str| Source::Same(name.into());
        assert_eq!(layout.source("ln_final.bias"), same("text.ln_final.bias"));
        assert_eq!(layout.source("visual.proj"), same("visual.proj"));
        assert_eq!(layout.source("logit_scale"), same("logit_scale"));
        assert!(layout.knows("text.token_embedding.weight") && !layout.knows("ln_final.bias"));
        assert!(layout.is_anchor("text.text_projection") && !layout.is_anchor("text_projection"));
    }
}
