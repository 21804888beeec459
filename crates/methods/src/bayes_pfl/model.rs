//! Everything that Bayes-PFL learns, and its forward pass: an image's embedding and its taps to samples of
//! prompts, their text, and how alike patches and text are.

use std::convert::Infallible;

use burn::backend::Autodiff;
use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use clip_vit::{
    ClipSpec, Precision, TextBackbone, VisionBackbone, VisionTower, WeightError, WeightSource,
};
use moeclip_train::with_parameters;
use paa_adapter::unit;

use super::attention::{Attended, CrossModalAttention, PatchFusion, PointwiseConvolution};
use super::flow::{FlowSamples, GaussianEncoder, ImageFlow, Perceptron, StateFlow};
use super::start::StartingWeights;
use super::text::{ClassSentence, PromptBank};
use super::{BayesPflConfig, BayesPflStage};
use crate::learned::{Dense, read_learned};

/// The learned part of the model.
#[derive(Module, Debug)]
pub struct PromptFlow<B: Backend> {
    /// Learned vectors of the prompts.
    pub prompts: PromptBank<B>,
    /// Logarithm of the scale of patches' logits, `[1]`.
    pub temperature_pixel: Param<Tensor<B, 1>>,
    /// Logarithm of the scale of images' logits, `[1]`.
    pub temperature_image: Param<Tensor<B, 1>>,
    /// Base of the image's distribution.
    pub context_encoder: GaussianEncoder<B>,
    /// Base of both states' distributions.
    pub state_encoder: GaussianEncoder<B>,
    /// Flow of the image's distribution, which shifts the context.
    pub context_flow: ImageFlow<B>,
    /// Flow of the normal state's distribution.
    pub normal_flow: StateFlow<B>,
    /// Flow of the abnormal state's distribution.
    pub abnormal_flow: StateFlow<B>,
    /// All taps in one vector of the image; stage 2.
    pub fusion: PatchFusion<B>,
    /// Texts looking at patches.
    pub attention: CrossModalAttention<B>,
    /// Text before it is compared with an image, `[embed, embed]`.
    pub class_mapping: Dense<B>,
    /// The image with its patches before it is compared with text, `[embed, embed]`; stage 2.
    pub image_mapping: Dense<B>,
}

/// What the frozen image tower says of a batch, in f32.
#[derive(Debug, Clone)]
pub struct ImageFeatures<B: Backend> {
    /// CLIP's own embedding, not unit: `[batch, embed]`.
    pub image: Tensor<B, 2>,
    /// Patches behind each tap, as they leave the layer: each `[batch, patches, width]`.
    pub taps: Vec<Tensor<B, 3>>,
}

/// The standard normal numbers that samples are made of.
#[derive(Debug, Clone)]
pub struct FlowNoise<B: Backend> {
    /// Drawn for every image: `[batch, samples, embed]`.
    pub context: Tensor<B, 3>,
    /// Drawn once for a run: `[samples, embed]`.
    pub normal: Tensor<B, 2>,
    /// Drawn once for a run: `[samples, embed]`.
    pub abnormal: Tensor<B, 2>,
}

/// Samples of all three distributions; those of the states are a batch of one.
#[derive(Debug, Clone)]
pub struct PromptFlowSamples<B: Backend> {
    /// What is added to the context vectors.
    pub context: FlowSamples<B>,
    /// What is added to the vectors of the normal state.
    pub normal: FlowSamples<B>,
    /// What is added to the vectors of the abnormal state.
    pub abnormal: FlowSamples<B>,
}

/// One tap beside the text.
#[derive(Debug, Clone)]
pub struct TapAlignment<B: Backend> {
    /// What is compared.
    pub attended: Attended<B>,
    /// `[batch, patches, texts]`
    pub logits: Tensor<B, 3>,
}

/// The image and its patches beside the text.
#[derive(Debug, Clone)]
pub struct Alignment<B: Backend> {
    /// `[batch, texts]`
    pub image_logits: Tensor<B, 2>,
    /// One for each tap.
    pub taps: Vec<TapAlignment<B>>,
}

/// All that a forward pass makes.
#[derive(Debug, Clone)]
pub struct PromptFlowOutput<B: Backend> {
    /// Samples of the distributions.
    pub samples: PromptFlowSamples<B>,
    /// Unit text of every prompt of every sample, `[batch, 2 * samples * bank, embed]`: all of the normal
    /// state, then all of the abnormal.
    pub text: Tensor<B, 3>,
    /// What it says of image and patches.
    pub alignment: Alignment<B>,
}

impl<B: Backend> ImageFeatures<B> {
    /// The image tower's features of a batch.
    ///
    /// # Shapes
    ///
    /// - images: `[batch, 3, image_size, image_size]`, normalised
    pub fn of(tower: &VisionTower<B>, taps: &[usize], images: Tensor<B, 4>) -> Self {
        let mut patches = Vec::with_capacity(taps.len());
        let tokens = tower.through_taps(tower.embed(images), taps, &mut |_, tokens| {
            patches.push(tower.patches(tokens.clone()).cast(DType::F32));
            tokens
        });
        let last = taps.last().copied().unwrap_or(0);
        let tokens = tower.layers(last..VisionBackbone::<B>::spec(tower).layers, tokens);
        let class = tower.project(tower.post_norm(tokens.narrow(1, 0, 1)));
        Self { image: class.squeeze_dim::<2>(1).cast(DType::F32), taps: patches }
    }

    /// The same features as constants of a graph.
    pub fn under_autodiff(self) -> ImageFeatures<Autodiff<B>> {
        ImageFeatures {
            image: Tensor::from_inner(self.image),
            taps: self.taps.into_iter().map(Tensor::from_inner).collect(),
        }
    }
}

impl<B: Backend> PromptFlow<B> {
    /// The weights of a source by the names of the authors' checkpoint.
    ///
    /// # Errors
    ///
    /// [`WeightError`] when the source lacks a tensor or holds one of another shape.
    pub fn load(
        config: &BayesPflConfig,
        clip: &ClipSpec,
        source: &dyn WeightSource,
        device: &B::Device,
    ) -> Result<Self, WeightError> {
        let source = ScalarTemperatures { source };
        read_learned(Self::zeros(config, clip, device), &source, checkpoint_name, device)
    }

    /// Where training starts.
    pub fn start(
        config: &BayesPflConfig,
        clip: &ClipSpec,
        weights: &StartingWeights,
        device: &B::Device,
    ) -> Self {
        let value = |path: &str, shape: &[usize]| -> Result<TensorData, Infallible> {
            Ok(weights.values(&checkpoint_name(path), shape))
        };
        let zeros = Self::zeros(config, clip, device);
        match with_parameters::<B, _, _>(zeros, device, value) {
            Ok(learned) => learned,
            Err(never) => match never {},
        }
    }

    /// A model of zeros, to be filled.
    fn zeros(config: &BayesPflConfig, clip: &ClipSpec, device: &B::Device) -> Self {
        let BayesPflConfig { bank, flows, rca_heads: heads, .. } = *config;
        let (embed, width, taps) = (clip.embed, clip.vision.width, config.taps.len());
        let hidden = width / 2;
        let dense = |inputs, outputs| Dense::zeros(inputs, outputs, device);
        let perceptron = || Perceptron {
            input: dense(embed, hidden),
            hidden: dense(hidden, hidden),
            output: dense(hidden, embed),
        };
        let encoder = || GaussianEncoder { mean: perceptron(), log_variance: perceptron() };
        let state_flow = || StateFlow {
            u: zeros([1, flows, embed, 1], device),
            w: zeros([1, flows, 1, embed], device),
            b: zeros([1, flows, 1, 1], device),
            state: zeros([1, embed], device),
        };
        let tap = |_| Dense::zeros_without_bias(width, embed, device);
        let (weight, bias) = (zeros([embed, embed, 1], device), zeros([embed], device));
        let query = PointwiseConvolution { weight, bias };
        Self {
            prompts: PromptBank {
                context: zeros([bank, config.context_len, embed], device),
                state_normal: zeros([bank, config.state_len, embed], device),
                state_abnormal: zeros([bank, config.state_len, embed], device),
            },
            temperature_pixel: zeros([1], device),
            temperature_image: zeros([1], device),
            context_encoder: encoder(),
            state_encoder: encoder(),
            context_flow: ImageFlow {
                u: dense(embed, flows * embed),
                w: dense(embed, flows * embed),
                b: dense(embed, flows),
            },
            normal_flow: state_flow(),
            abnormal_flow: state_flow(),
            fusion: PatchFusion {
                project_in: dense(width * taps, hidden),
                patch_weight: dense(hidden, 1),
                project_out: dense(hidden, embed),
            },
            attention: CrossModalAttention { query, patches: (0..taps).map(tap).collect(), heads },
            class_mapping: dense(embed, embed),
            image_mapping: dense(embed, embed),
        }
    }

    /// # Shapes
    ///
    /// - features: of a batch of images
    /// - sentences: one for each image
    pub fn forward(
        &self,
        tower: &impl TextBackbone<B>,
        features: &ImageFeatures<B>,
        sentences: &[&ClassSentence<B>],
        noise: FlowNoise<B>,
        stage: BayesPflStage,
    ) -> PromptFlowOutput<B> {
        let samples = self.sample(features.image.clone(), noise);
        let text = self.prompts.features(tower, sentences, &samples);
        // Stage 2 leaves prompts and flows as they are: no gradient needs to run through the text tower.
        let text = match stage {
            BayesPflStage::One => text,
            BayesPflStage::Two => text.detach(),
        };
        let alignment = self.align(&text, features, stage);
        PromptFlowOutput { samples, text, alignment }
    }

    /// Width of what it samples: the joint embedding's.
    pub fn embed(&self) -> usize {
        self.class_mapping.weight.val().dims()[0]
    }

    /// Samples of the three distributions.
    fn sample(&self, image: Tensor<B, 2>, noise: FlowNoise<B>) -> PromptFlowSamples<B> {
        PromptFlowSamples {
            context: self.context_flow.forward(&self.context_encoder, image, noise.context),
            normal: self.normal_flow.forward(&self.state_encoder, noise.normal),
            abnormal: self.abnormal_flow.forward(&self.state_encoder, noise.abnormal),
        }
    }

    /// Images and patches beside text, `[batch, texts, embed]`.
    fn align(
        &self,
        text: &Tensor<B, 3>,
        features: &ImageFeatures<B>,
        stage: BayesPflStage,
    ) -> Alignment<B> {
        let ImageFeatures { image, taps } = features;
        let image = match stage {
            BayesPflStage::One => image.clone(),
            BayesPflStage::Two => {
                self.image_mapping.forward(image.clone() + self.fusion.forward(taps))
            }
        };
        let mapped = unit(self.class_mapping.forward(text.clone()));
        let cosines = mapped.matmul(unit(image).unsqueeze_dim::<3>(2)).squeeze_dim::<2>(2);
        let image_logits = cosines * self.temperature_image.val().exp().unsqueeze();
        let scale = self.temperature_pixel.val().exp().unsqueeze::<3>();
        let tap = |(tap, patches): (usize, &Tensor<B, 3>)| {
            let attended = self.attention.forward(tap, text, patches.clone());
            let cosines = attended.patches.clone().matmul(attended.text.clone().swap_dims(1, 2));
            TapAlignment { attended, logits: cosines * scale.clone() }
        };
        Alignment { image_logits, taps: taps.iter().enumerate().map(tap).collect() }
    }
}

fn zeros<B: Backend, const D: usize>(shape: [usize; D], device: &B::Device) -> Param<Tensor<B, D>> {
    Param::from_tensor(Tensor::zeros(shape, device))
}

/// The name that a path of [`PromptFlow`] has in the authors' checkpoint.
pub fn checkpoint_name(path: &str) -> String {
    let path = path.replacen("prompts.", "prompt_", 1);
    let renamed = path.split('.').map(|part| {
        let found = CHECKPOINT_PARTS.iter().find(|(own, _)| *own == part);
        found.map_or(part, |(_, theirs)| theirs)
    });
    renamed.collect::<Vec<_>>().join(".")
}

/// Parts of a path and of the authors' names.
const CHECKPOINT_PARTS: [(&str, &str); 18] = [
    ("context_flow", "PFL_context"),
    ("normal_flow", "PFL_normal"),
    ("abnormal_flow", "PFL_abnormal"),
    ("u", "amor_u"),
    ("w", "amor_w"),
    ("b", "amor_b"),
    ("mean", "weight_mean"),
    ("log_variance", "weight_log_variance"),
    ("input", "module.0"),
    ("hidden", "module.2"),
    ("output", "module.4"),
    ("fusion", "fuse"),
    ("project_in", "fuse_modules"),
    ("patch_weight", "compress"),
    ("project_out", "post_process"),
    ("attention", "RCA"),
    ("query", "q_proj_pre"),
    ("patches", "linear_proj"),
];

/// The temperatures of the authors' checkpoint have no axis; here every tensor has one.
struct ScalarTemperatures<'a> {
    source: &'a dyn WeightSource,
}

impl WeightSource for ScalarTemperatures<'_> {
    fn tensor(
        &self,
        name: &str,
        shape: &[usize],
        precision: Precision,
    ) -> Result<TensorData, WeightError> {
        if name.starts_with("temperature_")
            && let Ok(mut scalar) = self.source.tensor(name, &[], precision)
        {
            scalar.shape = shape.into();
            return Ok(scalar);
        }
        self.source.tensor(name, shape, precision)
    }
}
