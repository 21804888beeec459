//! Sizes of a CLIP from the shapes of its tensors.
//!
//! Several tensors know each size. The value that most of them show is taken, so that a single
//! misshapen tensor is found and named instead of being believed.

use super::detect::Named;
use super::names::{Layout, Tower};
use crate::spec::{Activation, ClipSpec, Preset, TextSpec, VisionSpec, heads_of};

/// An axis of a canonical tensor that shows a size.
type Voice<'a> = (&'a str, usize);

/// The sizes, as far as `shape` (of a canonical name) shows them; heads are those of a published
/// tower of this width and depth, else width / 64. A size that no tensor shows is 0.
pub(super) fn infer(named: &Named, shape: impl Fn(&str) -> Option<Vec<usize>>) -> ClipSpec {
    let vision = vision(named, &shape);
    let text = text(named, &shape);
    let embed = vote(&shape, &[("text_projection", 1), ("visual.proj", 1)]);
    let mut spec = ClipSpec { vision, text, embed, activation: Activation::QuickGelu };
    spec.vision.heads = Preset::vision_heads(&spec.vision).unwrap_or(spec.vision.heads);
    spec.text.heads = Preset::text_heads(&spec.text).unwrap_or(spec.text.heads);
    spec
}

fn vision(named: &Named, shape: impl Fn(&str) -> Option<Vec<usize>>) -> VisionSpec {
    let vote = |voices: &[Voice<'_>]| vote(&shape, voices);
    let width = vote(&[
        ("visual.class_embedding", 0),
        ("visual.ln_pre.weight", 0),
        ("visual.ln_post.weight", 0),
        ("visual.positional_embedding", 1),
        ("visual.conv1.weight", 0),
        ("visual.proj", 0),
    ]);
    let positions = vote(&[("visual.positional_embedding", 0)]);
    VisionSpec {
        patch: vote(&[("visual.conv1.weight", 3), ("visual.conv1.weight", 2)]),
        grid: positions.saturating_sub(1).isqrt(),
        width,
        layers: layers(named, Tower::Vision),
        heads: heads_of(width),
        mlp: mlp(&shape, "visual.transformer.resblocks"),
    }
}

fn text(named: &Named, shape: impl Fn(&str) -> Option<Vec<usize>>) -> TextSpec {
    let vote = |voices: &[Voice<'_>]| vote(&shape, voices);
    let width = vote(&[
        ("ln_final.weight", 0),
        ("ln_final.bias", 0),
        ("token_embedding.weight", 1),
        ("positional_embedding", 1),
        ("text_projection", 0),
    ]);
    TextSpec {
        context: vote(&[("positional_embedding", 0)]),
        vocab: vote(&[("token_embedding.weight", 0)]),
        width,
        layers: layers(named, Tower::Text),
        heads: heads_of(width),
        mlp: mlp(&shape, "transformer.resblocks"),
    }
}

/// The value that most voices show, the first of equals.
fn vote(shape: impl Fn(&str) -> Option<Vec<usize>>, voices: &[Voice<'_>]) -> usize {
    let shown: Vec<usize> =
        voices.iter().filter_map(|(name, axis)| shape(name)?.get(*axis).copied()).collect();
    let votes = |size: usize| shown.iter().filter(|other| **other == size).count();
    // `max_by_key` gives the last of equals, hence the reversal.
    shown.iter().rev().copied().max_by_key(|size| votes(*size)).unwrap_or(0)
}

/// Inner width of a tower's feed-forward layers, from its first two blocks.
fn mlp(shape: impl Fn(&str) -> Option<Vec<usize>>, blocks: &str) -> usize {
    let names: Vec<(String, usize)> = [0, 1]
        .iter()
        .flat_map(|block| {
            let part = |tensor: &str| format!("{blocks}.{block}.mlp.{tensor}");
            [(part("c_fc.weight"), 0), (part("c_fc.bias"), 0), (part("c_proj.weight"), 1)]
        })
        .collect();
    let voices: Vec<Voice<'_>> = names.iter().map(|(name, axis)| (name.as_str(), *axis)).collect();
    vote(shape, &voices)
}

/// One more than the highest number of a block. A number beyond the count of all tensors is no
/// block's: it would only make the list of missing names endless.
fn layers(named: &Named, tower: Tower) -> usize {
    let prefix = Layout::blocks(named.layout, tower);
    let numbers = named.names.keys().filter_map(|name| {
        let (number, _) = name.strip_prefix(prefix)?.split_once('.')?;
        number.parse::<usize>().ok().filter(|number| *number < named.names.len())
    });
    numbers.max().map_or(0, |highest| highest + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ClipSpecBuilder;
    use crate::weights::canonical_shapes;
    use std::collections::{BTreeMap, BTreeSet};

    fn inferred(shapes: &BTreeMap<String, Vec<usize>>) -> ClipSpec {
        let named = Named::detect(shapes.keys().map(String::as_str), &BTreeSet::new()).unwrap();
        infer(&named, |name| shapes.get(name).cloned())
    }

    #[test]
    fn every_preset_is_inferred() {
        for preset in Preset::ALL {
            let mut expected = preset.spec();
            expected.activation = Activation::QuickGelu;
            let shapes = canonical_shapes(&expected).into_iter().collect();
            assert_eq!(inferred(&shapes), expected);
        }
    }

    #[test]
    fn heads_that_are_not_of_64_channels_are_the_published_ones() {
        for (preset, by_64) in [
            (Preset::VitH14, 20),
            (Preset::VitH14At378, 20),
            (Preset::VitG14, 22),
            (Preset::VitBigG14, 26),
        ] {
            let published = preset.spec();
            let shapes = canonical_shapes(&published).into_iter().collect();
            let heads = inferred(&shapes).vision.heads;
            assert_eq!((heads, heads_of(published.vision.width)), (16, by_64));
        }
    }

    #[test]
    fn known_heads_depend_on_no_picture_size_and_no_text_context() {
        let clip = |width, layers, text_width, text_layers| {
            ClipSpecBuilder::new().vision(14, 27, width, layers).text(text_width, text_layers)
        };
        let cases = [
            // ViT-H-14-378; ViT-g-14, and with the 12 text layers of its first config; bigG.
            (clip(1280, 32, 1024, 24), [16, 16]),
            (clip(1408, 40, 1024, 24).vision_mlp(6144), [16, 16]),
            (clip(1408, 40, 1024, 12).vision_mlp(6144), [16, 16]),
            (clip(1664, 48, 1280, 32).vision_mlp(8192), [16, 20]),
            (clip(1792, 56, 1280, 36).vision_mlp(15360), [16, 20]),
            (clip(896, 12, 640, 12), [14, 10]),
            // The small CLIP of this project.
            (clip(96, 12, 64, 2), [3, 2]),
        ];
        for (builder, expected) in cases {
            let spec = builder.tokens(32, 49408).embed(128).build().unwrap();
            let inferred = inferred(&canonical_shapes(&spec).into_iter().collect());
            assert_eq!([inferred.vision.heads, inferred.text.heads], expected);
            assert_eq!(Preset::vision_heads(&inferred.vision), Some(expected[0]));
            assert_eq!(Preset::text_heads(&inferred.text), Some(expected[1]));
        }
    }

    #[test]
    fn one_wrong_tensor_is_outvoted() {
        let spec = Preset::VitB32.spec();
        let whole: BTreeMap<_, _> = canonical_shapes(&spec).into_iter().collect();
        let sized = ["visual.class_embedding", "ln_final.weight", "visual.proj", "text_projection"];
        for name in sized {
            let mut shapes = whole.clone();
            shapes.get_mut(name).unwrap()[0] += 1;
            assert_eq!(inferred(&shapes), spec, "{name}");
        }
    }

    #[test]
    fn a_hostile_block_number_is_no_block() {
        let spec = Preset::VitB32.spec();
        let mut shapes: BTreeMap<_, _> = canonical_shapes(&spec).into_iter().collect();
        shapes.insert("transformer.resblocks.99999999999.ln_1.bias".into(), vec![512]);
        assert_eq!(inferred(&shapes), spec);
    }
}
