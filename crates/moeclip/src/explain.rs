//! Why a detector says what it says of an image: which experts its patches ask, where each expert adds
//! to the score, and how alike the experts are.

mod grad_cam;

use anomaly::{DetectError, Domain, ExpertExplanation, Explanation, TapExplanation, to_host};
use burn::backend::Autodiff;
use burn::tensor::{Int, Tensor, backend::Backend};
use clip_vit::{Frozen, FrozenLayers, VisionBackbone, VisionTower};
use moe_lora::{Adapted, ExpertCodes, Mixture, PatchAdapter, Routing, StreamAdapter};
use thiserror::Error;

use crate::detector::detections;
use crate::{
    ConfigError, Features, MapResampler, MoeClip, MoeClipConfig, PromptBook, TextFeatures,
};
use grad_cam::grad_cam;

/// Outputs shorter than this count as zero, as in the ETF loss.
const SHORTEST: f64 = 1e-6;

/// An explanation that could not be made.
#[derive(Debug, Error)]
pub enum ExplainError {
    /// A model without experts.
    #[error(
        "model.mixture = {mixture} has no experts: nothing is routed, and there is nothing to explain"
    )]
    NoExperts {
        /// What stands in the mixture's place.
        mixture: &'static str,
    },
    /// Several images, or none.
    #[error("{images} images at once cannot be explained; give one")]
    Images {
        /// How many were given.
        images: usize,
    },
    /// A model that cannot be built.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What also keeps a detector from its work.
    #[error(transparent)]
    Detect(#[from] DetectError),
}

/// MoECLIP with its prompts at hand, under a graph that tells what each expert does to the score.
#[derive(Debug)]
pub struct Explainer<B: Backend, V = VisionTower<B>> {
    model: MoeClip<Autodiff<B>, Frozen<B, V>>,
    resampler: MapResampler<Autodiff<B>>,
    book: PromptBook<B>,
    domain: Domain,
}

/// A forward pass with a probe at each mixture.
struct Probed<B: Backend> {
    features: Features<Autodiff<B>>,
    probes: Vec<Tensor<Autodiff<B>, 2>>,
}

impl<B, V> Explainer<B, V>
where
    B: Backend,
    V: VisionBackbone<B> + FrozenLayers<B> + Clone,
{
    /// An explainer for the classes in the book; the domain decides blur and score.
    ///
    /// # Errors
    ///
    /// [`ExplainError::NoExperts`] when something else stands in the mixture's place.
    pub fn new(
        model: MoeClip<B, V>,
        book: PromptBook<B>,
        domain: Domain,
        device: &B::Device,
    ) -> Result<Self, ExplainError> {
        let config = model.config().clone();
        if config.mixture != Mixture::MoeLora {
            return Err(ExplainError::NoExperts { mixture: config.mixture.name() });
        }
        let grid = config.grid(model.backbone().spec());
        let resampler = MapResampler::new(grid, config.image_size, device);
        let adapters = burn::module::AutodiffModule::from_inner(model.adapters().clone());
        // Nothing learns here: the probes alone carry gradients.
        let adapters = burn::module::Module::no_grad(adapters);
        let backbone = Frozen::new(model.backbone().clone());
        let model = MoeClip::new(backbone, adapters, config, device)?;
        Ok(Self { model, resampler, book, domain })
    }

    /// What the experts do with an image of this class.
    ///
    /// # Shapes
    ///
    /// - image: `[1, 3, size, size]`, normalised
    ///
    /// # Errors
    ///
    /// [`ExplainError`] when the class is unknown, the image has another size, or the device fails.
    pub fn explain(&self, image: Tensor<B, 4>, class: &str) -> Result<Explanation, ExplainError> {
        let config = self.model.config();
        self.check(&image)?;
        let text = self.text(class)?;
        let Probed { features, probes } = self.probed(image);
        let detected = detections(&features, &self.resampler, &text, self.domain)?;
        let images = detected.len();
        let detection = detected.into_iter().next().ok_or(ExplainError::Images { images })?;
        let gradients = self.score(&features, &text).backward();
        let prefix = self.tower().prefix_tokens();
        let mut taps = Vec::with_capacity(features.taps.len());
        for (tap, (adapted, probe)) in features.taps.into_iter().zip(&probes).enumerate() {
            let Some(seen) = Seen::of(adapted, prefix) else { continue };
            let numbers = numbers(config, tap, seen.codes.experts);
            let gradient = match probe.grad(&gradients) {
                Some(gradient) => gradient.narrow(0, prefix, seen.patches()),
                None => seen.codes.codes.zeros_like(),
            };
            taps.push(seen.explain(config.taps[tap], &numbers, gradient)?);
        }
        Ok(Explanation { grid: self.grid(), detection, taps })
    }

    /// The side of the images that it takes, in pixels.
    pub fn image_size(&self) -> usize {
        self.model.config().image_size
    }

    fn grid(&self) -> usize {
        self.model.config().grid(self.tower().spec())
    }

    fn tower(&self) -> &V {
        self.model.backbone().tower()
    }

    fn check(&self, image: &Tensor<B, 4>) -> Result<(), ExplainError> {
        let ([images, _, height, width], size) = (image.dims(), self.image_size());
        if images != 1 {
            return Err(ExplainError::Images { images });
        }
        if (height, width) != (size, size) {
            return Err(DetectError::Size { width, height, size }.into());
        }
        Ok(())
    }

    fn text(&self, class: &str) -> Result<TextFeatures<Autodiff<B>>, DetectError> {
        let Some(prompts) = self.book.get(class) else {
            let known: Vec<&str> = self.book.classes().collect();
            return Err(DetectError::Class { class: class.into(), known: known.join(", ") });
        };
        Ok(self.model.adapters().text.forward(&prompts.clone().under_autodiff()))
    }

    /// What the gradients are of: the sum of the anomaly map on the patch grid before its blur.
    fn score(
        &self,
        features: &Features<Autodiff<B>>,
        text: &TextFeatures<Autodiff<B>>,
    ) -> Tensor<Autodiff<B>, 1> {
        self.resampler.grid_sum(&features.patches, text).sum()
    }

    fn probed(&self, image: Tensor<B, 4>) -> Probed<B> {
        let mut probes = Vec::new();
        let image = Tensor::from_inner(image);
        let features = self.model.forward_adapting(image, |_, experts, tokens| match experts {
            StreamAdapter::Mixture(mixture) => {
                let ([batch, count, _], device) = (tokens.dims(), tokens.device());
                let [_, stacked] = mixture.up.val().dims();
                let probe = Tensor::zeros([batch * count, stacked], &device).require_grad();
                probes.push(probe.clone());
                mixture.adapt_probed(tokens, probe)
            }
            other => other.adapt(tokens),
        });
        Probed { features, probes }
    }
}

/// The numbers that the experts of a tap started with, from 0.
fn numbers(config: &MoeClipConfig, tap: usize, experts: usize) -> Vec<usize> {
    let kept = config.kept_experts.as_ref().and_then(|taps| taps.get(tap));
    kept.cloned().unwrap_or_else(|| (0..experts).collect())
}

/// What the experts of a tap saw of the patches, outside the graph.
struct Seen<B: Backend> {
    routing: Routing<B>,
    codes: ExpertCodes<B>,
}

impl<B: Backend> Seen<B> {
    /// `None` without experts. `prefix` tokens stand before the patches.
    fn of(adapted: Adapted<Autodiff<B>>, prefix: usize) -> Option<Self> {
        let (routing, codes) = (adapted.routing?, adapted.codes?);
        let [tokens, _] = codes.codes.dims();
        let patches = tokens - prefix;
        let ranking: Tensor<Autodiff<B>, 2, Int> = routing.ranking.narrow(0, prefix, patches);
        Some(Self {
            routing: Routing {
                probabilities: routing.probabilities.inner().narrow(0, prefix, patches),
                weights: routing.weights.inner().narrow(0, prefix, patches),
                ranking: ranking.inner(),
                top_k: routing.top_k,
            },
            codes: ExpertCodes {
                codes: codes.codes.inner().narrow(0, prefix, patches),
                up: codes.up.inner(),
                experts: codes.experts,
            },
        })
    }

    fn patches(&self) -> usize {
        self.codes.codes.dims()[0]
    }

    /// `gradient` is that of the weighted codes, `[patches, experts * rank]`.
    fn explain(
        &self,
        layer: usize,
        numbers: &[usize],
        gradient: Tensor<B, 2>,
    ) -> Result<TapExplanation, DetectError> {
        let (patches, experts) = (self.patches(), self.codes.experts);
        let first_choices = self.first_choices()?;
        let choices = self.choices()?;
        let mean = |shares: &Tensor<B, 2>| to_host(shares.clone().mean_dim(0));
        let weights = mean(&self.routing.weights)?;
        let probabilities = mean(&self.routing.probabilities)?;
        let weighted = self.codes.weighted(self.routing.weights.clone());
        let cams = to_host(grad_cam(weighted, gradient, experts))?;
        let expert = |at: usize| ExpertExplanation {
            number: 1 + numbers.get(at).unwrap_or(&at),
            first_choices: first_choices.iter().filter(|first| **first == at).count(),
            choices: choices[at],
            mean_weight: weights[at],
            mean_probability: probabilities[at],
            grad_cam: cams[at * patches..][..patches].to_vec(),
        };
        let expert = (0..experts).map(expert).collect();
        let similarity = similarity(&self.codes)?;
        let mean_similarity = off_diagonal_mean(&similarity);
        Ok(TapExplanation { layer, first_choices, experts: expert, similarity, mean_similarity })
    }

    fn first_choices(&self) -> Result<Vec<usize>, DetectError> {
        let Routing { probabilities, weights, ranking, .. } = self.routing.clone();
        let first = Routing { probabilities, weights, ranking, top_k: 1 }.selected();
        let first = to_host(first.float())?;
        Ok(first.into_iter().map(|expert| expert as usize).collect())
    }

    /// How many patches asked each expert.
    fn choices(&self) -> Result<Vec<usize>, DetectError> {
        let asked = self.routing.ranking.clone().lower_elem(self.routing.top_k as i64);
        let counts = to_host(asked.float().sum_dim(0))?;
        Ok(counts.into_iter().map(|count| count as usize).collect())
    }
}

/// Mean cosine over the tokens between the outputs of any two experts. For one image the outputs may
/// be built; the ETF loss, which has a batch at every step, does without.
fn similarity<B: Backend>(codes: &ExpertCodes<B>) -> Result<Vec<Vec<f32>>, DetectError> {
    let outputs = codes.outputs();
    let lengths = outputs.clone().square().sum_dim(2).clamp_min(SHORTEST * SHORTEST).sqrt();
    let unit = outputs / lengths;
    let cosines = unit.clone().matmul(unit.transpose()).mean_dim(0);
    let cosines = to_host(cosines)?;
    Ok(cosines.chunks_exact(codes.experts).map(<[f32]>::to_vec).collect())
}

fn off_diagonal_mean(matrix: &[Vec<f32>]) -> f32 {
    let pairs = matrix.iter().enumerate().flat_map(|(row, values)| {
        values.iter().enumerate().filter(move |(column, _)| *column != row)
    });
    let (sum, count) = pairs.fold((0.0, 0), |(sum, count), (_, cos)| (sum + cos, count + 1));
    sum / count.max(1) as f32
}

#[cfg(test)]
mod tests;
