//! One CLIP, many names: from any known layout to the names of open_clip.
//!
//! A file may wrap its names (`state_dict.`, `module.`) and may be laid out as open_clip and OpenAI
//! do, or as Hugging Face's `CLIPModel` does: there q, k and v are three linear layers, and the two
//! projections are linear weights, the transposes of CLIP's matrices.

use std::collections::BTreeMap;

/// Who named the tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// open_clip and OpenAI, the canonical names.
    OpenClip,
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

impl Layout {
    /// From which of its tensors the canonical `name` is made.
    pub(super) fn source(self, name: &str) -> Source {
        match self {
            Layout::OpenClip => Source::Same(name.to_owned()),
            Layout::HuggingFace => hugging_face(name),
        }
    }

    /// What the names of an image or text tower's blocks begin with, up to their number.
    pub(super) fn blocks(self, tower: Tower) -> &'static str {
        match (self, tower) {
            (Layout::OpenClip, Tower::Vision) => "visual.transformer.resblocks.",
            (Layout::OpenClip, Tower::Text) => "transformer.resblocks.",
            (Layout::HuggingFace, Tower::Vision) => "vision_model.encoder.layers.",
            (Layout::HuggingFace, Tower::Text) => "text_model.encoder.layers.",
        }
    }

    fn knows(self, name: &str) -> bool {
        let (starts, whole): (&[&str], &[&str]) = match self {
            Layout::OpenClip => (
                &["visual.", "transformer.resblocks.", "ln_final."],
                &[
                    "positional_embedding",
                    "token_embedding.weight",
                    "text_projection",
                    "logit_scale",
                ],
            ),
            Layout::HuggingFace => (
                &["vision_model.", "text_model."],
                &["visual_projection.weight", "text_projection.weight", "logit_scale"],
            ),
        };
        whole.contains(&name) || starts.iter().any(|start| name.starts_with(start))
    }
}

/// One of the two towers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tower {
    Vision,
    Text,
}

/// The tensors of a file that make its CLIP, without what wraps their names.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) layout: Layout,
    /// The name in the layout, and the whole name in the file.
    pub(super) names: BTreeMap<String, String>,
    /// Whole names that are not wrapped as the others are.
    pub(super) stray: Vec<String>,
}

impl Named {
    /// The layout and wrapping under which most of `names` are a CLIP's; `None` where none is.
    pub(super) fn detect<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Option<Named> {
        const CONTAINERS: [&str; 4] = ["", "state_dict.", "model_state_dict.", "model."];
        const WRAPPERS: [&str; 4] = ["", "module.", "_orig_mod.", "module._orig_mod."];
        let mut best: Option<(usize, &str, String, Layout)> = None;
        for container in CONTAINERS {
            for prefix in WRAPPERS.map(|wrapper| format!("{container}{wrapper}")) {
                for layout in [Layout::OpenClip, Layout::HuggingFace] {
                    let inner = names.clone().filter_map(|name| name.strip_prefix(&prefix));
                    let known = inner.filter(|name| layout.knows(name)).count();
                    if known > best.as_ref().map_or(0, |(most, ..)| *most) {
                        best = Some((known, container, prefix.clone(), layout));
                    }
                }
            }
        }
        let (_, container, prefix, layout) = best?;
        let mut named = Named { layout, names: BTreeMap::new(), stray: Vec::new() };
        // What lies outside the container (an optimizer) is no part of the CLIP; what lies inside
        // it but is named unlike the rest is reported.
        for whole in names.filter(|name| name.starts_with(container) && !is_no_weight(name)) {
            match whole.strip_prefix(&prefix) {
                Some(name) => drop(named.names.insert(name.into(), whole.into())),
                None => named.stray.push(whole.into()),
            }
        }
        Some(named)
    }
}

/// Buffers that describe a model or can be computed: no CLIP needs them from a file.
fn is_no_weight(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    matches!(
        last,
        "input_resolution" | "context_length" | "vocab_size" | "attn_mask" | "position_ids"
    )
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

    fn detected(names: &[&str]) -> (Layout, Vec<String>) {
        let named = Named::detect(names.iter().copied()).unwrap();
        (named.layout, named.names.into_keys().collect())
    }

    #[test]
    fn wrapping_is_stripped_and_optimizers_are_left_out() {
        let names = [
            "optimizer.state.0.exp_avg",
            "state_dict.module.logit_scale",
            "state_dict.module.visual.proj",
            "state_dict.module.visual.attn_mask",
            "state_dict.stray",
        ];
        let expected = vec!["logit_scale".to_owned(), "visual.proj".into()];
        assert_eq!(detected(&names), (Layout::OpenClip, expected));
        assert_eq!(Named::detect(names.into_iter()).unwrap().stray, ["state_dict.stray"]);
    }

    #[test]
    fn hugging_face_is_known_by_its_towers() {
        let names = ["logit_scale", "text_model.embeddings.position_ids", "vision_model.x"];
        let expected = vec!["logit_scale".to_owned(), "vision_model.x".into()];
        assert_eq!(detected(&names), (Layout::HuggingFace, expected));
        assert!(Named::detect(["image_adapter.seg_proj.0.fc.weight"].into_iter()).is_none());
    }

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
}
