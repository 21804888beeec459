//! What APRIL-GAN sees of an image: tokens as they leave some layers of the frozen tower, and the image in
//! CLIP's own embedding.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::{DType, Tensor, backend::Backend};
use clip_vit::{VisionBackbone, VisionTower};
use paa_adapter::unit;

/// Images behind a frozen tower, in f32.
#[derive(Debug, Clone)]
pub struct LayerTokens<B: Backend> {
    /// By the layer's number, counted from 1: `[batch, 1 + patches, width]`, the class token first,
    /// straight out of the block, without any normalisation behind it.
    pub tokens: BTreeMap<usize, Tensor<B, 3>>,
    /// `[batch, embed]`, CLIP's own embedding of the images, unit.
    pub image: Tensor<B, 2>,
}

impl<B: Backend> LayerTokens<B> {
    /// Runs the whole tower and keeps what leaves the layers of these numbers.
    ///
    /// # Shapes
    ///
    /// - images: `[batch, 3, height, width]`, normalised
    pub fn of(
        tower: &VisionTower<B>,
        images: Tensor<B, 4>,
        numbers: impl IntoIterator<Item = usize>,
    ) -> Self {
        let wanted: BTreeSet<usize> = numbers.into_iter().collect();
        let mut kept = BTreeMap::new();
        let mut tokens = tower.embed(images);
        for number in 1..=tower.spec().layers {
            tokens = tower.layer(number - 1, tokens);
            if wanted.contains(&number) {
                kept.insert(number, tokens.clone().cast(DType::F32));
            }
        }
        let class = tower.project(tower.post_norm(tokens.narrow(1, 0, 1)));
        let image = unit(class.squeeze_dim::<2>(1).cast(DType::F32));
        Self { tokens: kept, image }
    }

    /// The patches of some layers, in the order asked for.
    ///
    /// # Shapes
    ///
    /// - output: one `[batch, patches, width]` for each number
    pub fn patches(&self, numbers: &[usize]) -> Vec<Tensor<B, 3>> {
        let patches = |tokens: &Tensor<B, 3>| {
            let [_, count, _] = tokens.dims();
            tokens.clone().narrow(1, 1, count - 1)
        };
        numbers.iter().filter_map(|number| self.tokens.get(number).map(patches)).collect()
    }
}
