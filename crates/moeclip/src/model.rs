//! The whole model in one function: [`MoeClip::forward`].

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::module::AutodiffModule;
use burn::tensor::{DType, Tensor, backend::Backend};
use clip_vit::VisionBackbone;
use moe_lora::{Adapted, PatchAdapter, StreamAdapter};
use paa_adapter::{PatchAverage, ScaleWeights};

use crate::{Adapters, ConfigError, MoeClipConfig, TapAdapter};

/// A frozen backbone with adapters in its stream.
#[derive(Debug, Clone)]
pub struct MoeClip<B: Backend, V> {
    backbone: V,
    adapters: Adapters<B>,
    average: PatchAverage<B>,
    config: MoeClipConfig,
}

/// What the model sees in a batch of images.
#[derive(Debug, Clone)]
pub struct Features<B: Backend> {
    /// Patch features, one per tap and scale, tap by tap: each `[batch, patches, embed]`; unit, times
    /// the weight of their scale where weights are learned.
    pub patches: Vec<Tensor<B, 3>>,
    /// One vector per image, the mean of unit vectors: `[batch, embed]`.
    pub image: Tensor<B, 2>,
    /// Tokens behind each tap and what its experts did.
    pub taps: Vec<Adapted<B>>,
}

impl<B: Backend, V: VisionBackbone<B>> MoeClip<B, V> {
    /// Puts adapters into a backbone.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when the configuration does not fit the backbone.
    pub fn new(
        backbone: V,
        adapters: Adapters<B>,
        config: MoeClipConfig,
        device: &B::Device,
    ) -> Result<Self, ConfigError> {
        config.check(backbone.spec())?;
        let average = PatchAverage::new(config.grid(backbone.spec()), &config.scales, device)?;
        Ok(Self { backbone, adapters, average, config })
    }

    /// # Shapes
    ///
    /// - images: `[batch, 3, image_size, image_size]`, normalised
    pub fn forward(&self, images: Tensor<B, 4>) -> Features<B> {
        self.forward_adapting(images, |_, experts, tokens| experts.adapt(tokens))
    }

    /// The same with another way to ask the experts behind a tap (counted from 0) for their tokens.
    pub(crate) fn forward_adapting(
        &self,
        images: Tensor<B, 4>,
        mut adapt: impl FnMut(usize, &StreamAdapter<B>, Tensor<B, 3>) -> Adapted<B>,
    ) -> Features<B> {
        let mut taps: Vec<Adapted<B>> = Vec::with_capacity(self.config.taps.len());
        let tokens = self.backbone.embed(images);
        let tokens = self.backbone.through_taps(tokens, &self.config.taps, &mut |tap, tokens| {
            let adapted = adapt(tap, &self.adapters.taps[tap].experts, tokens);
            let tokens = adapted.tokens.clone();
            taps.push(adapted);
            tokens
        });
        let patches = taps.iter().enumerate().flat_map(|(i, tap)| self.project(i, &tap.tokens));
        Features { patches: patches.collect(), image: self.pool(tokens), taps }
    }

    /// The configuration.
    pub fn config(&self) -> &MoeClipConfig {
        &self.config
    }

    /// The backbone.
    pub fn backbone(&self) -> &V {
        &self.backbone
    }

    /// The trained part.
    pub fn adapters(&self) -> &Adapters<B> {
        &self.adapters
    }

    /// Replaces the trained part.
    pub fn set_adapters(&mut self, adapters: Adapters<B>) {
        self.adapters = adapters;
    }

    /// The same model once only some experts are left, as [`MoeClipConfig::keeping`] names them per tap.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when an expert is not there or too few are left.
    pub fn keeping(&self, kept: &[Vec<usize>]) -> Result<Self, ConfigError>
    where
        V: Clone,
    {
        Ok(Self {
            backbone: self.backbone.clone(),
            adapters: self.adapters.clone().keeping(kept)?,
            average: self.average.clone(),
            config: self.config.keeping(kept)?,
        })
    }

    /// Patches of a tap averaged at every scale, `[batch, patches, width]` each.
    ///
    /// # Shapes
    ///
    /// - tokens: `[batch, prefix + patches, width]`
    pub fn average(&self, tokens: &Tensor<B, 3>) -> Vec<Tensor<B, 3>> {
        self.average.forward(self.backbone.patches(tokens.clone()))
    }

    /// Features of a tap at every scale. A scale's weight multiplies its features and with them its
    /// logits, so that training and detecting cannot weigh it differently.
    fn project(&self, tap: usize, tokens: &Tensor<B, 3>) -> Vec<Tensor<B, 3>> {
        let TapAdapter { projection, scale_weights, .. } = &self.adapters.taps[tap];
        let weights = scale_weights.as_ref().map(ScaleWeights::weights);
        let feature = |(scale, patches)| {
            let unit = projection.forward(self.post_norm(patches));
            match &weights {
                Some(weights) => unit * weights.clone().narrow(0, scale, 1).unsqueeze(),
                None => unit,
            }
        };
        self.average(tokens).into_iter().enumerate().map(feature).collect()
    }

    /// One vector per image from the last tap.
    fn pool(&self, tokens: Tensor<B, 3>) -> Tensor<B, 2> {
        self.adapters.image.forward(self.post_norm(self.backbone.patches(tokens)))
    }

    /// The backbone's last normalisation, in f32 from here on: heads and losses know no other.
    fn post_norm(&self, patches: Tensor<B, 3>) -> Tensor<B, 3> {
        self.backbone.post_norm(patches).cast(DType::F32)
    }
}

impl<B: Backend, C: CheckpointStrategy, V: Clone> MoeClip<Autodiff<B, C>, V> {
    /// The same model, its parameters under the same ids, in a graph that decides in another way what
    /// it keeps and what it computes again.
    pub fn in_graph<D: CheckpointStrategy>(&self) -> MoeClip<Autodiff<B, D>, V> {
        MoeClip {
            backbone: self.backbone.clone(),
            adapters: Adapters::from_inner(self.adapters.valid()),
            average: PatchAverage::from_inner(self.average.valid()),
            config: self.config.clone(),
        }
    }
}
