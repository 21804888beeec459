//! The image tower of the first stage: nothing in it is learned, and its last layers attend among values.

use burn::tensor::{DType, Tensor, backend::Backend};
use clip_vit::{VisionBackbone, VisionTower};
use paa_adapter::unit;

use super::{AaClipFeatures, AaClipSettings};

/// CLIP's image tower in two forms: as it is, and with attention among values in its last layers.
#[derive(Debug, Clone)]
pub struct ValueTower<B: Backend> {
    ordinary: VisionTower<B>,
    values: VisionTower<B>,
    /// The first layer that differs, counted from 0.
    first: usize,
    taps: Vec<usize>,
}

/// Tokens of both forms.
#[derive(Debug, Clone)]
pub struct ValueTokens<B: Backend> {
    /// `[batch, 1 + patches, width]` at each tap, of the form that attends among values.
    pub taps: Vec<Tensor<B, 3>>,
    /// `[batch, 1 + patches, width]` behind the last layer of the ordinary one.
    pub ordinary: Tensor<B, 3>,
}

impl<B: Backend> ValueTower<B> {
    /// Both forms of a tower.
    pub fn new(settings: &AaClipSettings, tower: VisionTower<B>) -> Self {
        let first = VisionBackbone::<B>::spec(&tower).layers - settings.value_layers;
        let values = tower.clone().with_attention(first, settings.value_axis.attention());
        Self { ordinary: tower, values, first, taps: settings.taps.clone() }
    }

    /// # Shapes
    ///
    /// - images: `[batch, 3, image_size, image_size]`, normalised
    pub fn forward(&self, images: Tensor<B, 4>) -> AaClipFeatures<B> {
        self.features(&self.tokens(self.ordinary.embed(images)))
    }

    /// Both forms, each a stream of its own from the first layer that differs.
    ///
    /// # Shapes
    ///
    /// - embedded: `[batch, 1 + patches, width]`, what enters the first layer
    pub fn tokens(&self, embedded: Tensor<B, 3>) -> ValueTokens<B> {
        let layers = self.ordinary.spec().layers;
        let (mut ordinary, mut behind) = (embedded, Vec::with_capacity(layers));
        for layer in 0..self.first {
            ordinary = self.ordinary.layer(layer, ordinary);
            behind.push(ordinary.clone());
        }
        let mut tokens = ordinary.clone();
        for layer in self.first..layers {
            tokens = self.values.layer(layer, tokens);
            behind.push(tokens.clone());
        }
        let taps = self.taps.iter().map(|tap| behind[tap - 1].clone()).collect();
        ValueTokens { taps, ordinary: self.ordinary.layers(self.first..layers, ordinary) }
    }

    /// Patches and image in CLIP's own joint embedding: to each unit patch the image's unit vector is added,
    /// and the sum is not made unit.
    pub fn features(&self, tokens: &ValueTokens<B>) -> AaClipFeatures<B> {
        let embedding = |tokens: Tensor<B, 3>| {
            let tokens = self.ordinary.project(self.ordinary.post_norm(tokens));
            unit(tokens.cast(DType::F32))
        };
        let class = embedding(tokens.ordinary.clone().narrow(1, 0, 1));
        let patches =
            |tap: &Tensor<B, 3>| embedding(self.ordinary.patches(tap.clone())) + class.clone();
        let patches = tokens.taps.iter().map(patches).collect();
        AaClipFeatures { patches, image: class.squeeze_dim(1) }
    }
}
