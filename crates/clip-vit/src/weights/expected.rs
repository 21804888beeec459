//! The tensors of a CLIP of given sizes, by open_clip's names.

use crate::spec::ClipSpec;

/// Channels of a picture.
const CHANNELS: usize = 3;

/// Every tensor of a CLIP with these sizes: its open_clip name and shape. Linear weights are
/// `[out, in]`; `visual.proj` and `text_projection` are `[width, embed]`, for they multiply from
/// the right.
pub fn canonical_shapes(spec: &ClipSpec) -> Vec<(String, Vec<usize>)> {
    let (vision, text) = (&spec.vision, &spec.text);
    // Sizes come from files, so products stay within bounds.
    let positions = vision.grid.saturating_mul(vision.grid).saturating_add(1);
    let mut shapes = Shapes(Vec::new());
    shapes.add("visual.class_embedding", &[vision.width]);
    shapes.add("visual.positional_embedding", &[positions, vision.width]);
    shapes.add("visual.conv1.weight", &[vision.width, CHANNELS, vision.patch, vision.patch]);
    shapes.norm("visual.ln_pre", vision.width);
    shapes.tower("visual.transformer", vision.layers, vision.width, vision.mlp);
    shapes.norm("visual.ln_post", vision.width);
    shapes.add("visual.proj", &[vision.width, spec.embed]);
    shapes.add("token_embedding.weight", &[text.vocab, text.width]);
    shapes.add("positional_embedding", &[text.context, text.width]);
    shapes.tower("transformer", text.layers, text.width, text.mlp);
    shapes.norm("ln_final", text.width);
    shapes.add("text_projection", &[text.width, spec.embed]);
    shapes.add("logit_scale", &[]);
    shapes.0
}

struct Shapes(Vec<(String, Vec<usize>)>);

impl Shapes {
    fn add(&mut self, name: &str, shape: &[usize]) {
        self.0.push((name.to_owned(), shape.to_vec()));
    }

    fn norm(&mut self, name: &str, width: usize) {
        self.add(&format!("{name}.weight"), &[width]);
        self.add(&format!("{name}.bias"), &[width]);
    }

    fn linear(&mut self, name: &str, out: usize, width: usize) {
        self.add(&format!("{name}.weight"), &[out, width]);
        self.add(&format!("{name}.bias"), &[out]);
    }

    fn tower(&mut self, name: &str, layers: usize, width: usize, mlp: usize) {
        let fused = width.saturating_mul(3);
        for layer in 0..layers {
            let block = format!("{name}.resblocks.{layer}");
            self.norm(&format!("{block}.ln_1"), width);
            self.add(&format!("{block}.attn.in_proj_weight"), &[fused, width]);
            self.add(&format!("{block}.attn.in_proj_bias"), &[fused]);
            self.linear(&format!("{block}.attn.out_proj"), width, width);
            self.norm(&format!("{block}.ln_2"), width);
            self.linear(&format!("{block}.mlp.c_fc"), mlp, width);
            self.linear(&format!("{block}.mlp.c_proj"), width, mlp);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Preset;

    /// Parameters of the tensors whose names begin so, or do not.
    fn parameters(preset: Preset, is_vision: bool) -> usize {
        let shapes = canonical_shapes(&preset.spec());
        let tower = shapes.iter().filter(|(name, _)| name.starts_with("visual.") == is_vision);
        tower.map(|(_, shape)| shape.iter().product::<usize>()).sum()
    }

    #[test]
    fn every_preset_has_as_many_parameters_as_open_clip_counts() {
        // Millions of the image and the text tower, as in open_clip's docs/model_profile.csv.
        let known = [
            (Preset::VitB32, 87.85, 63.43),
            (Preset::VitB16, 86.19, 63.43),
            (Preset::VitB16PlusAt240, 117.21, 91.16),
            (Preset::VitL14, 303.97, 123.65),
            (Preset::VitL14At336, 304.29, 123.65),
            (Preset::VitH14, 632.08, 354.03),
            (Preset::VitH14At378, 632.68, 354.03),
            (Preset::VitG14, 1012.65, 354.03),
            (Preset::VitBigG14, 1844.91, 694.66),
        ];
        assert_eq!(known.map(|(preset, ..)| preset), Preset::ALL);
        for (preset, vision, text) in known {
            let millions =
                [true, false].map(|is_vision| parameters(preset, is_vision) as f64 / 1e6);
            let is_near = |a: f64, b: f64| (a - b).abs() < 0.006;
            assert!(is_near(millions[0], vision), "{preset:?}: {millions:?}");
            assert!(is_near(millions[1], text), "{preset:?}: {millions:?}");
        }
        let whole = [true, false].map(|is_vision| parameters(Preset::VitL14At336, is_vision));
        assert_eq!(whole.iter().sum::<usize>(), 427_944_193);
    }
}
