//! The weights of both towers by open_clip's names: what a CLIP that was trained here is written from.
//!
//! The way back from [`crate::loader`]: the same names, and linear matrices turned again.

use std::collections::BTreeMap;

use burn::module::Param;
use burn::nn::{LayerNorm, Linear};
use burn::tensor::{Tensor, TensorData, backend::Backend};

use crate::block::BlockLayer;
use crate::{ResidualBlock, TextTower, VisionBackbone, VisionTower};

/// Weights by name, on the host.
pub type NamedWeights = BTreeMap<String, TensorData>;

impl<B: Backend> VisionTower<B> {
    /// Every weight of the tower, of the shapes of [`crate::weights::canonical_shapes`].
    pub fn named_weights(&self) -> NamedWeights {
        let mut named = Named::default();
        let patch = VisionBackbone::<B>::spec(self).patch;
        let patches = self.patch_embedding.weight.val().transpose();
        let [width, _] = patches.dims();
        named.add("visual.conv1.weight", patches.reshape([width, 3, patch, patch]));
        named.add("visual.class_embedding", self.class_token.val().reshape([width]));
        let positions = Tensor::cat(vec![self.class_position.val(), self.positions.val()], 1);
        named.add("visual.positional_embedding", positions.squeeze_dim::<2>(0));
        named.norm("visual.ln_pre", &self.pre_norm);
        named.blocks("visual.transformer", &self.blocks);
        named.norm("visual.ln_post", &self.post_norm);
        named.param("visual.proj", &self.projection);
        named.0
    }
}

impl<B: Backend> TextTower<B> {
    /// Every weight of the tower, of the shapes of [`crate::weights::canonical_shapes`].
    pub fn named_weights(&self) -> NamedWeights {
        let mut named = Named::default();
        named.param("token_embedding.weight", &self.token_embedding);
        named.param("positional_embedding", &self.positions);
        named.blocks("transformer", &self.blocks);
        named.norm("ln_final", &self.final_norm);
        named.param("text_projection", &self.projection);
        named.0
    }
}

#[derive(Default)]
struct Named(NamedWeights);

impl Named {
    fn add<B: Backend, const D: usize>(&mut self, name: &str, tensor: Tensor<B, D>) {
        self.0.insert(name.to_owned(), tensor.into_data());
    }

    fn param<B: Backend, const D: usize>(&mut self, name: &str, param: &Param<Tensor<B, D>>) {
        self.add(name, param.val());
    }

    fn norm<B: Backend>(&mut self, prefix: &str, norm: &LayerNorm<B>) {
        self.param(&format!("{prefix}.weight"), &norm.gamma);
        if let Some(beta) = &norm.beta {
            self.param(&format!("{prefix}.bias"), beta);
        }
    }

    fn linear<B: Backend>(&mut self, weight: &str, bias: &str, linear: &Linear<B>) {
        self.add(weight, linear.weight.val().transpose());
        if let Some(values) = &linear.bias {
            self.param(bias, values);
        }
    }

    fn blocks<B: Backend>(&mut self, tower: &str, blocks: &[ResidualBlock<B>]) {
        for (index, block) in blocks.iter().enumerate() {
            let prefix = format!("{tower}.resblocks.{index}");
            self.norm(&format!("{prefix}.ln_1"), &block.norm_attention);
            self.norm(&format!("{prefix}.ln_2"), &block.norm_mlp);
            let layers = &*block.layers();
            for (layer, linear) in [
                (BlockLayer::Qkv, &layers.qkv),
                (BlockLayer::AttentionOut, &layers.attention_out),
                (BlockLayer::MlpIn, &layers.mlp_in),
                (BlockLayer::MlpOut, &layers.mlp_out),
            ] {
                self.linear(&layer.weight(&prefix), &layer.bias(&prefix), linear);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;

    use super::*;
    use crate::weights::canonical_shapes;
    use crate::{ClipSpecBuilder, Precision, RandomWeights, WeightSource};

    #[test]
    fn what_was_loaded_is_given_back_by_the_same_names() {
        let spec = ClipSpecBuilder::new()
            .vision(4, 3, 8, 2)
            .text(8, 2)
            .tokens(6, 20)
            .embed(5)
            .build()
            .unwrap();
        let (source, device) = (RandomWeights::new(3), Default::default());
        let vision = VisionTower::<Flex>::load(&spec, &source, Precision::F32, &device).unwrap();
        let text = TextTower::<Flex>::load(&spec, &source, Precision::F32, &device).unwrap();
        let mut named = vision.named_weights();
        named.append(&mut text.named_weights());
        let mut expected = canonical_shapes(&spec);
        expected.retain(|(name, _)| name != "logit_scale");
        assert_eq!(named.len(), expected.len());
        for (name, shape) in expected {
            let loaded = source.tensor(&name, &shape, Precision::F32).unwrap();
            assert_eq!(named[&name], loaded, "{name}");
        }
    }
}
