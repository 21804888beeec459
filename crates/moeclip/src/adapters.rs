//! Everything that MoECLIP trains.

use burn::module::Module;
use burn::tensor::{DType, Tensor, backend::Backend};
use clip_vit::{ClipSpec, Precision, WeightError, WeightSource};
use moe_lora::{
    Identity, Mixture, MoeLoraConfig, MoeLoraWeights, SingleLora, SingleLoraWeights, StreamAdapter,
};
use paa_adapter::{
    DepthwiseHead, DepthwiseHeadWeights, ImageHead, ImageHeadKind, LinearHead, LinearHeadWeights,
    ScaleWeighting, ScaleWeights, UnitProjection,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use thiserror::Error;

use crate::{ConfigError, MoeClipConfig, Partition, TextProjection};

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
    /// What changes the stream: the mixture, or what an ablation puts in its place.
    pub experts: StreamAdapter<B>,
    /// The projection that the scales of this tap share.
    pub projection: UnitProjection<B>,
    /// What each scale has to say, where that is learned.
    pub scale_weights: Option<ScaleWeights<B>>,
}

/// The trained part of the model (of which the down matrices `A` stay as FOFS made them, unless the
/// configuration has them learn).
#[derive(Module, Debug)]
pub struct Adapters<B: Backend> {
    /// Behind the frozen text tower.
    pub text: TextProjection<B>,
    /// One per tap, in the order of the layers.
    pub taps: Vec<TapAdapter<B>>,
    /// On the last tap, for the image as a whole.
    pub image: ImageHead<B>,
}

/// The parts whose start is drawn.
#[derive(Debug, Clone, Copy)]
enum Part {
    Text,
    Image,
    Projection(usize),
    Experts(usize),
}

impl Part {
    /// A generator of its own for each part, so that another value of one setting leaves the draws of
    /// everything else as they are.
    fn rng(self, seed: u64) -> ChaCha8Rng {
        let stream = match self {
            Self::Text => 0,
            Self::Image => 1,
            Self::Projection(tap) => 2 + 2 * tap as u64,
            Self::Experts(tap) => 3 + 2 * tap as u64,
        };
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        rng
    }
}

impl<B: Backend> Adapters<B> {
    /// Where training starts: projections and heads Xavier uniform, gate zero, `A` and `B` as
    /// configured (by FOFS and zero in the paper), scales equal; one seed gives one start, on every
    /// backend.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when the configuration does not fit the CLIP, or asks for slices by an energy
    /// that is not measured yet.
    pub fn init(
        config: &MoeClipConfig,
        clip: &ClipSpec,
        seed: u64,
        device: &B::Device,
    ) -> Result<Self, ConfigError> {
        config.check(&clip.vision)?;
        if config.partition == Partition::Energy && config.slices.is_none() {
            return Err(ConfigError::NotMeasured);
        }
        let (width, embed) = (clip.vision.width, clip.embed);
        let text = TextProjection::init(clip.text.width, embed, &mut Part::Text.rng(seed), device);
        let mut taps = Vec::with_capacity(config.taps.len());
        for tap in 0..config.taps.len() {
            let experts = config.mixture_at(tap, width);
            let rng = &mut Part::Experts(tap).rng(seed);
            let projection = &mut Part::Projection(tap).rng(seed);
            taps.push(TapAdapter {
                experts: StreamAdapter::init(config.mixture, &experts, rng, device)?,
                projection: UnitProjection::init(width, embed, projection, device),
                scale_weights: (config.scale_weights == ScaleWeighting::Learned)
                    .then(|| ScaleWeights::init(config.scales.len(), device)),
            });
        }
        let rng = &mut Part::Image.rng(seed);
        let image = ImageHead::init(config.image_head, width, embed, rng, device);
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
            .map(|tap| loader.tap(tap, config, clip))
            .collect::<Result<_, _>>()?;
        let image = loader.image(config.image_head, width, embed)?;
        Ok(Self { text: TextProjection::with_weight(text), taps, image })
    }
}

impl<B: Backend> Adapters<B> {
    /// The adapters once only some experts are left, as [`MoeClipConfig::keeping`] names them per tap.
    /// Parameters keep their identity; taps without a mixture stay as they are.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Mixture`] when an expert is not there or fewer are left than are asked per token.
    pub fn keeping(mut self, kept: &[Vec<usize>]) -> Result<Self, ConfigError> {
        for (tap, kept) in self.taps.iter_mut().zip(kept) {
            if let StreamAdapter::Mixture(mixture) = &tap.experts {
                tap.experts = StreamAdapter::Mixture(mixture.keeping(kept)?);
            }
        }
        Ok(self)
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
        config: &MoeClipConfig,
        clip: &ClipSpec,
    ) -> Result<TapAdapter<B>, AdapterError> {
        let (width, embed) = (clip.vision.width, clip.embed);
        let (prefix, sizes) = (format!("moe_adapters.{tap}"), config.mixture_at(tap, width));
        let experts = match config.mixture {
            Mixture::MoeLora => {
                let weights = self.mixture(&prefix, &sizes)?;
                StreamAdapter::Mixture(sizes.with_weights(weights).map_err(ConfigError::from)?)
            }
            Mixture::SingleLora => {
                let MoeLoraConfig { rank, .. } = sizes;
                let down = self.tensor(&format!("{prefix}.lora_A.weight"), [rank, width])?;
                let up = self.tensor(&format!("{prefix}.lora_B.weight"), [width, rank])?;
                let weights = SingleLoraWeights { down, up };
                let lora = SingleLora::with_weights(&sizes, weights).map_err(ConfigError::from)?;
                StreamAdapter::Single(lora)
            }
            Mixture::None => StreamAdapter::Identity(Identity),
        };
        let projection = self.tensor(&format!("seg_proj.{tap}.fc.weight"), [embed, width])?;
        let scale_weights = match config.scale_weights {
            ScaleWeighting::Equal => None,
            ScaleWeighting::Learned => {
                let name = format!("seg_proj.{tap}.scale_logits");
                Some(ScaleWeights::with_logits(self.tensor(&name, [config.scales.len()])?))
            }
        };
        let projection = UnitProjection::with_weight(projection);
        Ok(TapAdapter { experts, projection, scale_weights })
    }

    /// The matrices of a mixture, stacked.
    fn mixture(
        &self,
        prefix: &str,
        config: &MoeLoraConfig,
    ) -> Result<MoeLoraWeights<B>, WeightError> {
        let MoeLoraConfig { width, experts, rank, .. } = *config;
        let expert = |n: usize, matrix: &str, shape: [usize; 2]| {
            self.tensor(&format!("{prefix}.experts.{n}.{matrix}.weight"), shape)
        };
        let down: Vec<Tensor<B, 2>> =
            (0..experts).map(|n| expert(n, "lora_A", [rank, width])).collect::<Result<_, _>>()?;
        let up: Vec<Tensor<B, 2>> =
            (0..experts).map(|n| expert(n, "lora_B", [width, rank])).collect::<Result<_, _>>()?;
        Ok(MoeLoraWeights {
            gate: self.tensor(&format!("{prefix}.gate.weight"), [experts, width])?,
            down: Tensor::cat(down, 0),
            up: Tensor::cat(up, 1),
        })
    }

    fn image(
        &self,
        kind: ImageHeadKind,
        width: usize,
        embed: usize,
    ) -> Result<ImageHead<B>, WeightError> {
        let norm_weight = self.tensor("det_proj.ln.weight", [width])?;
        let norm_bias = self.tensor("det_proj.ln.bias", [width])?;
        Ok(match kind {
            ImageHeadKind::Depthwise => {
                let depthwise = self.tensor("det_proj.adapter.0.weight", [width, 1, 3])?;
                let pointwise: Tensor<B, 3> =
                    self.tensor("det_proj.adapter.2.weight", [embed, width, 1])?;
                let pointwise = pointwise.squeeze_dim(2);
                ImageHead::Depthwise(DepthwiseHead::with_weights(DepthwiseHeadWeights {
                    norm_weight,
                    norm_bias,
                    depthwise,
                    pointwise,
                }))
            }
            ImageHeadKind::Linear => {
                let projection = self.tensor("det_proj.fc.weight", [embed, width])?;
                let weights = LinearHeadWeights { norm_weight, norm_bias, projection };
                ImageHead::Linear(LinearHead::with_weights(weights))
            }
        })
    }
}
