//! Everything that MoECLIP trains.

use burn::module::Module;
use burn::tensor::{DType, Tensor, backend::Backend};
use clip_vit::{ClipSpec, Precision, WeightError, WeightSource};
use moe_lora::{MoeLora, MoeLoraConfig, MoeLoraWeights};
use paa_adapter::{DepthwiseHead, DepthwiseHeadWeights, UnitProjection};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use thiserror::Error;

use crate::{ConfigError, MoeClipConfig, TextProjection};

/// Adapters that cannot be built.
#[derive(Debug, Error)]
pub enum AdapterError {
    /// The configuration does not fit the CLIP.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A weight is missing or unusable.
    #[error(transparent)]
    Weights(#[from] WeightError),
}

/// What stands behind one tapped layer.
#[derive(Module, Debug)]
pub struct TapAdapter<B: Backend> {
    /// The mixture in the stream.
    pub experts: MoeLora<B>,
    /// The projection that the scales of this tap share.
    pub projection: UnitProjection<B>,
}

/// The trained part of the model (of which the down matrices `A` stay as FOFS made them).
#[derive(Module, Debug)]
pub struct Adapters<B: Backend> {
    /// Behind the frozen text tower.
    pub text: TextProjection<B>,
    /// One per tap, in the order of the layers.
    pub taps: Vec<TapAdapter<B>>,
    /// On the last tap, for the image as a whole.
    pub image: DepthwiseHead<B>,
}

impl<B: Backend> Adapters<B> {
    /// Where training starts: projections and convolutions Xavier uniform, gate and `B` zero, `A`
    /// by FOFS; one seed gives one start, on every backend.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when the configuration does not fit the CLIP.
    pub fn init(
        config: &MoeClipConfig,
        clip: &ClipSpec,
        seed: u64,
        device: &B::Device,
    ) -> Result<Self, ConfigError> {
        config.check(&clip.vision)?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (width, embed) = (clip.vision.width, clip.embed);
        let text = TextProjection::init(clip.text.width, embed, &mut rng, device);
        let mut taps = Vec::with_capacity(config.taps.len());
        for _ in &config.taps {
            taps.push(TapAdapter {
                experts: config.mixture(width).init(&mut rng, device)?,
                projection: UnitProjection::init(width, embed, &mut rng, device),
            });
        }
        let image = DepthwiseHead::init(width, embed, &mut rng, device);
        Ok(Self { text, taps, image })
    }
}

impl<B: Backend> Adapters<B> {
    /// Adapters with the weights of a source, by the names of the authors' checkpoints.
    ///
    /// # Errors
    ///
    /// [`AdapterError`] when the configuration does not fit the CLIP, or the source lacks a tensor
    /// or holds one of another shape.
    pub fn load(
        config: &MoeClipConfig,
        clip: &ClipSpec,
        source: &dyn WeightSource,
        device: &B::Device,
    ) -> Result<Self, AdapterError> {
        config.check(&clip.vision)?;
        let loader = Loader { source, device };
        let (width, embed) = (clip.vision.width, clip.embed);
        let text = loader.tensor("text_adapter.0.fc.0.weight", [embed, clip.text.width])?;
        let taps = (0..config.taps.len())
            .map(|tap| loader.tap(tap, &config.mixture(width), embed))
            .collect::<Result<_, _>>()?;
        let pointwise: Tensor<B, 3> =
            loader.tensor("det_proj.adapter.2.weight", [embed, width, 1])?;
        let image = DepthwiseHead::with_weights(DepthwiseHeadWeights {
            norm_weight: loader.tensor("det_proj.ln.weight", [width])?,
            norm_bias: loader.tensor("det_proj.ln.bias", [width])?,
            depthwise: loader.tensor("det_proj.adapter.0.weight", [width, 1, 3])?,
            pointwise: pointwise.squeeze_dim(2),
        });
        Ok(Self { text: TextProjection::with_weight(text), taps, image })
    }
}

/// Named tensors to a device, in f32: adapters know no other precision.
struct Loader<'a, B: Backend> {
    source: &'a dyn WeightSource,
    device: &'a B::Device,
}

impl<B: Backend> Loader<'_, B> {
    fn tensor<const D: usize>(
        &self,
        name: &str,
        shape: [usize; D],
    ) -> Result<Tensor<B, D>, WeightError> {
        let data = self.source.tensor(name, &shape, Precision::F32)?;
        Ok(Tensor::from_data(data, (self.device, DType::F32)))
    }

    fn tap(
        &self,
        tap: usize,
        config: &MoeLoraConfig,
        embed: usize,
    ) -> Result<TapAdapter<B>, AdapterError> {
        let MoeLoraConfig { width, experts, rank, .. } = *config;
        let expert = |n: usize, matrix: &str, shape: [usize; 2]| {
            self.tensor(&format!("moe_adapters.{tap}.experts.{n}.{matrix}.weight"), shape)
        };
        let down: Vec<Tensor<B, 2>> =
            (0..experts).map(|n| expert(n, "lora_A", [rank, width])).collect::<Result<_, _>>()?;
        let up: Vec<Tensor<B, 2>> =
            (0..experts).map(|n| expert(n, "lora_B", [width, rank])).collect::<Result<_, _>>()?;
        let weights = MoeLoraWeights {
            gate: self.tensor(&format!("moe_adapters.{tap}.gate.weight"), [experts, width])?,
            down: Tensor::cat(down, 0),
            up: Tensor::cat(up, 1),
        };
        let projection = self.tensor(&format!("seg_proj.{tap}.fc.weight"), [embed, width])?;
        Ok(TapAdapter {
            experts: config.with_weights(weights).map_err(ConfigError::from)?,
            projection: UnitProjection::with_weight(projection),
        })
    }
}
