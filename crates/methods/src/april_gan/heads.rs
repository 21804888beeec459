//! What APRIL-GAN trains: one linear layer per tap.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use clip_vit::{ClipSpec, WeightError, WeightSource};
use paa_adapter::unit;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::AprilGanSettings;
use crate::learned::{Dense, read_learned};

/// Maps of patches into the joint embedding. Paths are the names in the release's files, behind their
/// `trainable_linearlayer.`
#[derive(Module, Debug)]
pub struct TapHeads<B: Backend> {
    /// One per tap, in the order of the taps; with bias.
    pub fc: Vec<Dense<B>>,
}

impl<B: Backend> TapHeads<B> {
    /// Where training starts, as PyTorch starts linear layers: weights and biases uniform within
    /// `1 / sqrt(width)`.
    pub fn init(
        settings: &AprilGanSettings,
        clip: &ClipSpec,
        seed: u64,
        device: &B::Device,
    ) -> Self {
        let (width, embed) = (clip.vision.width, clip.embed);
        let bound = (width as f32).sqrt().recip();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut uniform = |count: usize| -> Vec<f32> {
            (0..count).map(|_| rng.random_range(-bound..=bound)).collect()
        };
        let mut head = || {
            let weight = TensorData::new(uniform(embed * width), [embed, width]);
            let bias = TensorData::new(uniform(embed), [embed]);
            Dense {
                weight: Param::from_data(weight, device),
                bias: Some(Param::from_data(bias, device)),
            }
        };
        Self { fc: settings.taps.iter().map(|_| head()).collect() }
    }

    /// Heads with the weights of a source, by the names `fc.0.weight`, `fc.0.bias` and so on.
    ///
    /// # Errors
    ///
    /// [`WeightError`] when a tensor is missing or of another shape.
    pub fn load(
        settings: &AprilGanSettings,
        clip: &ClipSpec,
        source: &dyn WeightSource,
        device: &B::Device,
    ) -> Result<Self, WeightError> {
        let empty = |_: &usize| Dense::zeros(clip.vision.width, clip.embed, device);
        let heads = Self { fc: settings.taps.iter().map(empty).collect() };
        read_learned(heads, source, str::to_owned, device)
    }

    /// Unit patch features of each tap.
    ///
    /// # Shapes
    ///
    /// - taps: one `[batch, patches, width]` for each head
    /// - output: one `[batch, patches, embed]` for each head
    pub fn forward(&self, taps: Vec<Tensor<B, 3>>) -> Vec<Tensor<B, 3>> {
        self.fc.iter().zip(taps).map(|(head, patches)| unit(head.forward(patches))).collect()
    }
}
