//! What CLIP sees of an image and of every window of it, and how all that it says becomes one map and score.

use burn::tensor::{DType, Tensor, backend::Backend};
use clip_vit::{VisionBackbone, VisionTower};
use grid_resample::{AxisMatrix, GridResampler};
use moeclip::TextFeatures;

use super::windows::reciprocal;
use super::{
    Association, MapFusion, PatchWindows, WinClipScore, WinClipSettings, WindowMemory, ZeroShot,
};
use crate::{MethodError, settings};

/// A batch of images and their windows behind CLIP, in f32.
#[derive(Debug, Clone)]
pub struct WinClipFeatures<B: Backend> {
    /// What windows are cut from: class token and patches at their positions, before the first
    /// normalisation, `[batch, 1 + patches, width]`.
    pub tokens: Tensor<B, 3>,
    /// Whole images in the joint embedding, not made unit, `[batch, embed]`.
    pub image: Tensor<B, 2>,
    /// The windows of each scale in the joint embedding, not made unit, `[batch, windows, embed]`.
    pub windows: Vec<Tensor<B, 3>>,
    /// Patches behind the last normalisation, not projected, `[batch, patches, width]`.
    pub patches: Tensor<B, 3>,
}

/// Map and score of a batch, with whatever references there are.
#[derive(Debug, Clone)]
pub struct FusedMaps<B: Backend> {
    /// On the patch grid, `[batch, patches]`.
    pub grid: Tensor<B, 2>,
    /// At the image's size, `[batch, image_size, image_size]`.
    pub whole: Tensor<B, 3>,
    /// `[batch]`
    pub score: Tensor<B, 1>,
}

/// CLIP's image tower and the windows that it looks through.
#[derive(Debug)]
pub struct WinClipModel<B: Backend> {
    tower: VisionTower<B>,
    windows: Vec<PatchWindows<B>>,
    upsample: GridResampler<B>,
    grid: usize,
    settings: WinClipSettings,
}

impl<B: Backend> WinClipModel<B> {
    /// The method on a tower.
    ///
    /// # Errors
    ///
    /// [`MethodError::Settings`] when the settings do not fit it.
    pub fn new(
        tower: VisionTower<B>,
        settings: WinClipSettings,
        device: &B::Device,
    ) -> Result<Self, MethodError> {
        settings.check(tower.spec())?;
        let grid = settings::grid(settings.image_size, tower.spec())?;
        let windows =
            settings.scales.iter().map(|&side| PatchWindows::new(side, grid, device)).collect();
        let upsample = GridResampler::new(&AxisMatrix::bilinear(grid, settings.image_size), device);
        Ok(Self { tower, windows, upsample, grid, settings })
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &WinClipSettings {
        &self.settings
    }

    /// The tower.
    pub fn tower(&self) -> &VisionTower<B> {
        &self.tower
    }

    /// Patches along one side of an image.
    pub fn grid(&self) -> usize {
        self.grid
    }

    /// Runs the tower on images, and on every window as a picture of its own.
    ///
    /// # Shapes
    ///
    /// - images: `[batch, 3, image_size, image_size]`, normalised
    pub fn encode(&self, images: Tensor<B, 4>) -> WinClipFeatures<B> {
        let [batch, _, _, _] = images.dims();
        let tokens = self.tower.tokens_before_norm(images);
        let last = self.tower.post_norm(self.through_tower(tokens.clone()));
        let image = self.class_vector(last.clone());
        let windows = self.windows.iter().map(|windows| {
            let cut = self.through_tower(windows.cut(tokens.clone()));
            let vectors = self.class_vector(self.tower.post_norm(cut.narrow(1, 0, 1)));
            let [rows, embed] = vectors.dims();
            vectors.reshape([batch, rows / batch, embed])
        });
        let windows = windows.collect();
        let patches = self.tower.patches(last).cast(DType::F32);
        WinClipFeatures { tokens: tokens.cast(DType::F32), image, windows, patches }
    }

    /// Any tokens through the first normalisation and all layers.
    fn through_tower(&self, tokens: Tensor<B, 3>) -> Tensor<B, 3> {
        self.tower.layers(0..self.tower.spec().layers, self.tower.pre_norm(tokens))
    }

    /// The class token of normalised tokens in the joint embedding: `[rows, tokens, width]` to `[rows, embed]`.
    fn class_vector(&self, tokens: Tensor<B, 3>) -> Tensor<B, 2> {
        self.tower.project(tokens.narrow(1, 0, 1)).squeeze_dim::<2>(1).cast(DType::F32)
    }

    /// What sentences say of a batch.
    pub fn zero_shot(&self, features: &WinClipFeatures<B>, text: &TextFeatures<B>) -> ZeroShot<B> {
        ZeroShot::of(features, text, &self.windows, &self.settings)
    }

    /// How unlike the references a batch is.
    pub fn associate(
        &self,
        features: &WinClipFeatures<B>,
        memory: &WindowMemory<B>,
    ) -> Association<B> {
        Association::of(features, memory, &self.windows, &self.settings)
    }

    /// One map and one score of both; `association` is there where references are.
    pub fn fuse(&self, zero: &ZeroShot<B>, association: Option<&Association<B>>) -> FusedMaps<B> {
        let grid = self.fused_grid(zero, association);
        let [batch, _] = grid.dims();
        let map = grid.clone().reshape([batch, 1, self.grid, self.grid]);
        let whole = self.upsample.maps(map).squeeze_dim::<3>(1);
        let text = zero.image_score.clone();
        let score = match (self.settings.score, association) {
            (WinClipScore::MapMaximum, _) => maximum(whole.clone().flatten(1, 2)),
            (WinClipScore::ClassToken, None) => text,
            (WinClipScore::ClassToken, Some(association)) => {
                (text + maximum(association.map.clone())).div_scalar(2.0)
            }
        };
        FusedMaps { grid, whole, score }
    }

    fn fused_grid(&self, zero: &ZeroShot<B>, association: Option<&Association<B>>) -> Tensor<B, 2> {
        let zero = zero.map.clone();
        let association = association.map(|association| association.map.clone());
        match (self.settings.fusion, association) {
            (MapFusion::Mean, None) => zero,
            (MapFusion::Mean, Some(association)) => (zero + association).div_scalar(2.0),
            (MapFusion::ProductOverSum, association) => {
                let other = association.unwrap_or_else(|| zero.clone());
                (reciprocal(zero) + reciprocal(other)).recip()
            }
        }
    }
}

/// The highest value of each row: `[batch, values]` to `[batch]`.
fn maximum<B: Backend>(rows: Tensor<B, 2>) -> Tensor<B, 1> {
    rows.max_dim(1).squeeze_dim(1)
}
