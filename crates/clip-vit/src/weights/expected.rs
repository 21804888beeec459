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

    #[test]
    fn the_large_model_has_its_known_number_of_parameters() {
        let shapes = canonical_shapes(&Preset::VitL14At336.spec());
        let parameters: usize =
            shapes.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
        // 427.9 million: 304.3 of the image tower, 123.7 of the text tower.
        assert_eq!(parameters, 427_944_193);
    }
}
