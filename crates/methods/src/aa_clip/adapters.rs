//! What AA-CLIP learns: residual adapters in the first layers of both towers, and projections behind them
//! (sections 3.2 and 3.3 of the paper).

use burn::module::{Module, Param};
use burn::tensor::activation::leaky_relu;
use burn::tensor::{DType, Tensor, backend::Backend};
use clip_vit::{ClipSpec, TextBackbone, VisionBackbone, WeightError, WeightSource};
use moeclip::TextFeatures;
use paa_adapter::{unit, xavier_uniform};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::{AaClipSettings, ProjectionActivation};
use crate::learned::{Dense, read_learned};
use crate::sentences::Sentences;
use crate::states::SentenceMean;

/// Slope of every LeakyReLU under zero.
const NEGATIVE_SLOPE: f64 = 0.01;

/// Everything that is learned, of both stages.
#[derive(Module, Debug)]
pub struct AaClipAdapters<B: Backend> {
    /// Learned in the first stage.
    pub text: TextAdapters<B>,
    /// Learned in the second stage.
    pub image: ImageAdapters<B>,
}

/// What changes the text tower.
#[derive(Module, Debug)]
pub struct TextAdapters<B: Backend> {
    /// `[text width, text width]` behind each of the first layers.
    pub layers: Vec<Dense<B>>,
    /// `[embed, text width]`, in the place of CLIP's own projection.
    pub projection: Dense<B>,
    mix: f64,
}

/// What changes the image tower.
#[derive(Module, Debug)]
pub struct ImageAdapters<B: Backend> {
    /// `[width, width]` behind each of the first layers.
    pub layers: Vec<Dense<B>>,
    /// `[embed, width]` for the patches of each tap.
    pub patch_projections: Vec<Dense<B>>,
    /// `[embed, width]` for the image as a whole, read from the patches of the last tap.
    pub projection: Dense<B>,
    mix: f64,
    #[module(skip)]
    activation: ProjectionActivation,
    #[module(skip)]
    taps: Vec<usize>,
}

impl<B: Backend> AaClipAdapters<B> {
    /// Where training starts: Xavier uniform; one seed gives one start, on every backend.
    pub fn init(settings: &AaClipSettings, clip: &ClipSpec, seed: u64, device: &B::Device) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Self::filled(settings, clip, &mut |inputs, outputs| {
            let weight = xavier_uniform([outputs, inputs], inputs, outputs, &mut rng);
            Dense { weight: Param::from_tensor(Tensor::from_data(weight, device)), bias: None }
        })
    }

    /// The adapters of a checkpoint, by the authors' names.
    ///
    /// # Errors
    ///
    /// [`WeightError`] when one is missing, of another shape or not finite.
    pub fn load(
        settings: &AaClipSettings,
        clip: &ClipSpec,
        source: &dyn WeightSource,
        device: &B::Device,
    ) -> Result<Self, WeightError> {
        let zeros = Self::filled(settings, clip, &mut |inputs, outputs| {
            Dense::zeros_without_bias(inputs, outputs, device)
        });
        read_learned(zeros, source, |path| settings.checkpoint_name(path), device)
    }

    fn filled(
        settings: &AaClipSettings,
        clip: &ClipSpec,
        layer: &mut dyn FnMut(usize, usize) -> Dense<B>,
    ) -> Self {
        let (text_width, width, embed) = (clip.text.width, clip.vision.width, clip.embed);
        let text = TextAdapters {
            layers: (0..settings.text_adapters).map(|_| layer(text_width, text_width)).collect(),
            projection: layer(text_width, embed),
            mix: settings.text_mix,
        };
        let image = ImageAdapters {
            layers: (0..settings.image_adapters).map(|_| layer(width, width)).collect(),
            patch_projections: settings.taps.iter().map(|_| layer(width, embed)).collect(),
            projection: layer(width, embed),
            mix: settings.image_mix,
            activation: settings.projection_activation,
            taps: settings.taps.clone(),
        };
        Self { text, image }
    }
}

/// Mixes what a residual adapter says into the stream: `LeakyReLU(W x)`, brought to the length of `x`, and
/// `x` itself.
///
/// # Shapes
///
/// - tokens: `[batch, tokens, width]`, of any floating type
/// - output: `[batch, tokens, width]`, of the same
fn adapted<B: Backend>(adapter: &Dense<B>, mix: f64, tokens: Tensor<B, 3>) -> Tensor<B, 3> {
    let dtype = tokens.dtype();
    let tokens = tokens.cast(DType::F32);
    let said = leaky_relu(adapter.forward(tokens.clone()), NEGATIVE_SLOPE);
    let length = tokens.clone().square().sum_dim(2).sqrt();
    let mixed = (unit(said) * length).mul_scalar(mix) + tokens.mul_scalar(1.0 - mix);
    mixed.cast(dtype)
}

impl<B: Backend> TextAdapters<B> {
    /// The embeddings of sentences, not made unit.
    ///
    /// # Shapes
    ///
    /// - output: `[sentences, embed]`
    pub fn forward<T: TextBackbone<B>>(&self, tower: &T, sentences: &Sentences<B>) -> Tensor<B, 2> {
        let mut tokens = tower.add_positions(sentences.embeddings.clone());
        for index in 0..tower.spec().layers {
            tokens = tower.layer(index, tokens);
            if let Some(adapter) = self.layers.get(index) {
                tokens = adapted(adapter, self.mix, tokens);
            }
        }
        let features = tower.finish(tokens, &sentences.ends).cast(DType::F32);
        leaky_relu(self.projection.forward(features), NEGATIVE_SLOPE)
    }

    /// The directions of a class's two states.
    pub fn directions<T: TextBackbone<B>>(
        &self,
        tower: &T,
        class: &ClassSentences<B>,
    ) -> TextFeatures<B> {
        let direction = |state| SentenceMean::Unit.direction(self.forward(tower, state));
        TextFeatures { normal: direction(&class.normal), abnormal: direction(&class.abnormal) }
    }
}

/// The sentences about the two states of a class.
#[derive(Debug, Clone)]
pub struct ClassSentences<B: Backend> {
    /// Of the normal state.
    pub normal: Sentences<B>,
    /// Of the abnormal state.
    pub abnormal: Sentences<B>,
}

/// Tokens of the adapted image tower.
#[derive(Debug, Clone)]
pub struct AdaptedTokens<B: Backend> {
    /// `[batch, 1 + patches, width]` behind each adapter.
    pub adapted: Vec<Tensor<B, 3>>,
    /// `[batch, 1 + patches, width]` at each tap.
    pub taps: Vec<Tensor<B, 3>>,
}

/// What images and their patches are in the joint embedding, f32.
#[derive(Debug, Clone)]
pub struct AaClipFeatures<B: Backend> {
    /// `[batch, patches, embed]` of each tap.
    pub patches: Vec<Tensor<B, 3>>,
    /// `[batch, embed]`
    pub image: Tensor<B, 2>,
}

impl<B: Backend> ImageAdapters<B> {
    /// # Shapes
    ///
    /// - images: `[batch, 3, image_size, image_size]`, normalised
    pub fn forward<V: VisionBackbone<B>>(
        &self,
        tower: &V,
        images: Tensor<B, 4>,
    ) -> AaClipFeatures<B> {
        self.features(tower, &self.tokens(tower, tower.embed(images)))
    }

    /// The stream through all layers up to the last tap, adapted behind the first ones. A tap behind an
    /// adapted layer sees what the adapter has made.
    ///
    /// # Shapes
    ///
    /// - embedded: `[batch, 1 + patches, width]`, what enters the first layer
    pub fn tokens<V: VisionBackbone<B>>(
        &self,
        tower: &V,
        embedded: Tensor<B, 3>,
    ) -> AdaptedTokens<B> {
        let depth = self.taps.iter().copied().max().unwrap_or(0).max(self.layers.len());
        let (mut tokens, mut behind) = (embedded, Vec::with_capacity(depth));
        for index in 0..depth {
            tokens = tower.layer(index, tokens);
            if let Some(adapter) = self.layers.get(index) {
                tokens = adapted(adapter, self.mix, tokens);
            }
            behind.push(tokens.clone());
        }
        let taps = self.taps.iter().map(|tap| behind[tap - 1].clone()).collect();
        behind.truncate(self.layers.len());
        AdaptedTokens { adapted: behind, taps }
    }

    /// Unit patches of each tap, and the mean of the unit vectors that the image's own projection makes of
    /// the last tap's patches; that mean is shorter than one.
    pub fn features<V: VisionBackbone<B>>(
        &self,
        tower: &V,
        tokens: &AdaptedTokens<B>,
    ) -> AaClipFeatures<B> {
        let normed =
            |tap: &Tensor<B, 3>| tower.post_norm(tower.patches(tap.clone())).cast(DType::F32);
        let taps: Vec<Tensor<B, 3>> = tokens.taps.iter().map(normed).collect();
        let projections = self.patch_projections.iter().zip(&taps);
        let patches =
            projections.map(|(projection, tap)| self.projected(projection, tap)).collect();
        let last = &taps[taps.len() - 1];
        let image = self.projected(&self.projection, last).mean_dim(1).squeeze_dim(1);
        AaClipFeatures { patches, image }
    }

    fn projected(&self, projection: &Dense<B>, patches: &Tensor<B, 3>) -> Tensor<B, 3> {
        let projected = projection.forward(patches.clone());
        unit(match self.activation {
            ProjectionActivation::None => projected,
            ProjectionActivation::LeakyRelu => leaky_relu(projected, NEGATIVE_SLOPE),
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;
    use burn::tensor::{Distribution, Tolerance};

    use super::*;

    #[test]
    fn an_adapter_says_something_as_long_as_what_it_was_told() {
        let device = Default::default();
        let random = |shape| Tensor::<Flex, 3>::random(shape, Distribution::Default, &device);
        let weight = random([1, 6, 6]).squeeze_dim::<2>(0);
        let adapter = Dense { weight: Param::from_tensor(weight), bias: None };
        let tokens = random([2, 3, 6]);
        let length = |tokens: Tensor<Flex, 3>| tokens.square().sum_dim(2).sqrt().into_data();
        let said = adapted(&adapter, 1.0, tokens.clone());
        let close = Tolerance::absolute(1e-5);
        length(said).assert_approx_eq::<f32>(&length(tokens.clone()), close);
        let untouched = adapted(&adapter, 0.0, tokens.clone()).into_data();
        untouched.assert_approx_eq::<f32>(&tokens.into_data(), close);
    }
}
