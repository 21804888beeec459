//! The image tower with a second path: through the deep layers runs a stream beside the ordinary one, to
//! which attention among values adds (DPAM, section 3.3 of the paper). Patches are read from it, the image
//! from the ordinary stream.

use burn::tensor::{DType, Tensor, backend::Backend};
use clip_vit::{
    AttentionKind, ClipSpec, PositionResize, Precision, VisionBackbone, VisionTower, WeightError,
    WeightSource,
};
use paa_adapter::unit;

use super::{AnomalyClipSettings, ClassTokenNorm};

/// CLIP's image tower, read in two ways; never trained.
#[derive(Debug, Clone)]
pub struct TwoPathTower<B: Backend> {
    tower: VisionTower<B>,
    taps: Vec<usize>,
    value_layers: usize,
    class_token_norm: ClassTokenNorm,
}

/// Tokens of both paths.
#[derive(Debug, Clone)]
pub struct TwoPathTokens<B: Backend> {
    /// `[batch, 1 + patches, width]` of the second path at each tap; where it has not begun yet, those of
    /// the ordinary one.
    pub local: Vec<Tensor<B, 3>>,
    /// `[batch, 1 + patches, width]` behind the last layer.
    pub plain: Tensor<B, 3>,
}

/// What images and their patches are in the joint embedding, f32.
#[derive(Debug, Clone)]
pub struct TwoPathFeatures<B: Backend> {
    /// `[batch, patches, embed]` of each tap, unit.
    pub patches: Vec<Tensor<B, 3>>,
    /// `[batch, embed]`, unit.
    pub image: Tensor<B, 2>,
}

impl<B: Backend> TwoPathTower<B> {
    /// Loads the tower, its positions resized as the release does it: bilinear.
    ///
    /// # Errors
    ///
    /// [`WeightError`] when the source lacks a tensor or holds one of another shape.
    pub fn load(
        settings: &AnomalyClipSettings,
        clip: &ClipSpec,
        source: &dyn WeightSource,
        precision: Precision,
        device: &B::Device,
    ) -> Result<Self, WeightError> {
        let tower = VisionTower::load(clip, source, precision, device)?;
        Ok(Self {
            tower: tower.with_position_resize(PositionResize::Bilinear),
            taps: settings.taps.clone(),
            value_layers: settings.value_layers,
            class_token_norm: settings.class_token_norm,
        })
    }

    /// The tower itself.
    pub fn tower(&self) -> &VisionTower<B> {
        &self.tower
    }

    /// # Shapes
    ///
    /// - images: `[batch, 3, image_size, image_size]`, normalised
    pub fn forward(&self, images: Tensor<B, 4>) -> TwoPathFeatures<B> {
        self.features(&self.tokens(self.tower.embed(images)))
    }

    /// Both paths through all layers. The second one takes what it adds from the ordinary one's tokens, has
    /// no feed-forward, and never flows back.
    ///
    /// # Shapes
    ///
    /// - embedded: `[batch, 1 + patches, width]`, what enters the first layer
    pub fn tokens(&self, embedded: Tensor<B, 3>) -> TwoPathTokens<B> {
        let layers = self.tower.spec().layers;
        let first = layers - self.value_layers;
        let mut plain = embedded;
        let mut local = plain.clone();
        let mut seen = Vec::with_capacity(layers);
        for layer in 0..layers {
            if layer < first {
                plain = self.tower.layer(layer, plain);
                local = plain.clone();
            } else {
                let (kind, tokens) = (AttentionKind::ValueValue, plain.clone());
                local = local + self.tower.attention_update(layer, tokens, kind);
                plain = self.tower.layer(layer, plain);
            }
            seen.push(self.taps.contains(&(layer + 1)).then(|| local.clone()));
        }
        let local = self.taps.iter().filter_map(|tap| seen[tap - 1].clone()).collect();
        TwoPathTokens { local, plain }
    }

    /// Patches of the second path and the class token of the ordinary one in the joint embedding.
    pub fn features(&self, tokens: &TwoPathTokens<B>) -> TwoPathFeatures<B> {
        let patches = |local: &Tensor<B, 3>| {
            let patches = self.tower.post_norm(self.tower.patches(local.clone()));
            unit(self.tower.project(patches).cast(DType::F32))
        };
        let class = tokens.plain.clone().narrow(1, 0, 1);
        let class = match self.class_token_norm {
            ClassTokenNorm::None => class,
            ClassTokenNorm::PostNorm => self.tower.post_norm(class),
        };
        let image = self.tower.project(class).squeeze_dim::<2>(1);
        TwoPathFeatures {
            patches: tokens.local.iter().map(patches).collect(),
            image: unit(image.cast(DType::F32)),
        }
    }
}
