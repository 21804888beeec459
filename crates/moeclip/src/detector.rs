//! From images and a class's name to maps and scores on the host.

use std::collections::HashMap;

use anomaly::{
    AnomalyMap, DetectError, Detection, Detector, Domain, ImageInput, ScoreRule, to_host,
};
use burn::tensor::{Tensor, backend::Backend};
use clip_vit::{Normalisation, VisionBackbone, VisionTower};

use crate::{Features, MapResampler, MoeClip, PromptBook, TextFeatures};

/// MoECLIP with its prompts at hand.
#[derive(Debug)]
pub struct MoeClipDetector<B: Backend, V = VisionTower<B>> {
    model: MoeClip<B, V>,
    resampler: MapResampler<B>,
    book: PromptBook<B>,
    domain: Domain,
    text: HashMap<String, TextFeatures<B>>,
    normalisation: Normalisation,
}

impl<B: Backend, V: VisionBackbone<B>> MoeClipDetector<B, V> {
    /// A detector for the classes in the book.
    pub fn new(
        model: MoeClip<B, V>,
        book: PromptBook<B>,
        domain: Domain,
        device: &B::Device,
    ) -> Self {
        let config = model.config();
        let grid = config.grid(model.backbone().spec());
        let resampler = MapResampler::new(grid, config.image_size, device);
        let normalisation = Normalisation::CLIP;
        Self { model, resampler, book, domain, text: HashMap::new(), normalisation }
    }

    /// The same detector of a backbone whose images are normalised otherwise than CLIP's.
    pub fn with_normalisation(self, normalisation: Normalisation) -> Self {
        Self { normalisation, ..self }
    }

    /// Projected text features of a class, computed once.
    fn text(&mut self, class: &str) -> Result<TextFeatures<B>, DetectError> {
        if let Some(text) = self.text.get(class) {
            return Ok(text.clone());
        }
        let Some(prompts) = self.book.get(class) else {
            let known: Vec<&str> = self.book.classes().collect();
            return Err(DetectError::Class { class: class.into(), known: known.join(", ") });
        };
        let text = self.model.adapters().text.forward(prompts);
        self.text.insert(class.into(), text.clone());
        Ok(text)
    }

    fn check(&self, images: &Tensor<B, 4>) -> Result<(), DetectError> {
        let [_, _, height, width] = images.dims();
        let size = self.model.config().image_size;
        if (height, width) == (size, size) {
            return Ok(());
        }
        Err(DetectError::Size { width, height, size })
    }
}

impl<B: Backend, V: VisionBackbone<B> + Send> Detector<B> for MoeClipDetector<B, V> {
    fn input(&self) -> ImageInput {
        image_input(self.model.config().image_size, self.normalisation)
    }

    fn score_rule(&self) -> ScoreRule {
        ScoreRule::of(self.domain)
    }

    fn detect(&mut self, images: Tensor<B, 4>, class: &str) -> Result<Vec<Detection>, DetectError> {
        self.check(&images)?;
        let text = self.text(class)?;
        let features = self.model.forward(images);
        detections(&features, &self.resampler, &text, self.domain)
    }
}

/// Square images of `size` pixels a side, normalised so.
pub(crate) fn image_input(size: usize, normalisation: Normalisation) -> ImageInput {
    let Normalisation { mean, deviation } = normalisation;
    ImageInput { size, mean, std: deviation }
}

/// What the features of a batch say of each image.
pub(crate) fn detections<B: Backend>(
    features: &Features<B>,
    resampler: &MapResampler<B>,
    text: &TextFeatures<B>,
    domain: Domain,
) -> Result<Vec<Detection>, DetectError> {
    let maps = resampler.anomaly_map(&features.patches, text, domain);
    let scores = image_score(features.image.clone(), text);
    let [_, size, _] = maps.dims();
    let (maps, scores) = (to_host(maps)?, to_host(scores)?);
    let detection = |(values, &image_score): (&[f32], &f32)| {
        let map = AnomalyMap { size, values: values.to_vec() };
        Detection::new(map, image_score, ScoreRule::of(domain))
    };
    Ok(maps.chunks_exact(size * size).zip(&scores).map(detection).collect())
}

/// `(cosine to the abnormal text + 1) / 2`, `[batch]`, in `[0, 1]`.
///
/// # Shapes
///
/// - image: `[batch, embed]`
/// - text: one row per image, or one for all
pub fn image_score<B: Backend>(image: Tensor<B, 2>, text: &TextFeatures<B>) -> Tensor<B, 1> {
    let cosine = (image * text.abnormal.clone()).sum_dim(1).squeeze_dim::<1>(1);
    cosine.add_scalar(1.0).div_scalar(2.0)
}
