//! The finished CLIP's cosines at CLIP's own scale.
//!
//! CLIP learns to multiply its cosines by 100, and detectors that stand on it do so whatever it has learned
//! (MoECLIP's maps among them). A short run ends at a tenth of that, with sentences far apart: a detector
//! would be sure of everything before its first step, and adapters that begin there end at "all is
//! normal". So a constant is added to all sentences' features, which brings them together by as much.

use burn::module::AutodiffModule;
use burn::tensor::{ElementConversion, TensorData, backend::Backend};
use clip_vit::TextBackbone;
use synthetic_world::{Category, Role};

use crate::learner::Pretraining;
use crate::model::PupilError;

/// What CLIP multiplies cosines with, and what MoECLIP's maps multiply them with.
pub(crate) const CLIP_SCALE: f64 = 100.0;

/// The shift of the layer norm behind the text tower, to whose every number the constant is added.
pub(crate) const SHIFT: &str = "ln_final.bias";

/// From the normalised tokens to the joint space, `[width, embed]`.
pub(crate) const PROJECTION: &str = "text_projection";

impl<B: Backend> Pretraining<B> {
    /// What cosines were multiplied with in training.
    pub(crate) fn learned_scale(&self) -> f64 {
        self.pupil.logit_scale.val().into_scalar().elem::<f64>().exp()
    }

    /// The shift `[width]` with which cosines come at [`CLIP_SCALE`]: what was `learned_scale` times a cosine
    /// is then 100 times one, but for what all sentences have in common. A normalised token has no mean, so
    /// the constant stands at right angles to all that sentences differ in, and the projection turns it
    /// little.
    pub(crate) fn scaled_shift(
        &self,
        shift: &TensorData,
        projection: &TensorData,
    ) -> Result<TensorData, PupilError> {
        let grows = CLIP_SCALE / self.learned_scale();
        let constant = grows * self.typical_length()? / length_of_ones(projection);
        let values: Vec<f32> = shift.iter::<f32>().map(|value| value + constant as f32).collect();
        Ok(TensorData::new(values, shift.shape.clone()))
    }

    /// Mean length of a sentence's features before they are made unit ones.
    fn typical_length(&self) -> Result<f64, PupilError> {
        let pairs =
            Category::of(Role::Auxiliary).map(|category| self.captions.plain_pair(category));
        let ids: Vec<Vec<i64>> =
            pairs.flat_map(|pair| [pair.normal.tokens, pair.defective.tokens]).collect();
        let text = self.pupil.valid().text;
        let features = text.project(text.encode(&ids)?);
        Ok(features.square().sum_dim(1).sqrt().mean().into_scalar().elem())
    }
}

/// Length of what a projection `[width, embed]` makes of a token of ones.
fn length_of_ones(projection: &TensorData) -> f64 {
    let embed = projection.shape.last().copied().unwrap_or(1).max(1);
    let mut sums = vec![0.0_f64; embed];
    for (place, value) in projection.iter::<f32>().enumerate() {
        sums[place % embed] += f64::from(value);
    }
    sums.iter().map(|sum| sum * sum).sum::<f64>().sqrt().max(f64::MIN_POSITIVE)
}
