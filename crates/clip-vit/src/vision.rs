//! The image tower: patch embedding, positions resized to the grid at hand, and the blocks.

use burn::module::{Module, Param};
use burn::nn::{LayerNorm, Linear};
use burn::tensor::{Int, Tensor, TensorData, backend::Backend};
use grid_resample::{AxisMatrix, GridResampler};

use crate::attention::Visibility;
use crate::block::{BlockSpec, ResidualBlock, project};
use crate::loader::{Loader, frozen};
use crate::{
    AttentionKind, ClipSpec, FrozenLayers, ImageTextBackbone, JointEmbedding, Precision,
    VisionBackbone, VisionSpec, WeightError, WeightSource,
};

/// The class token stands before the patches.
const PREFIX_TOKENS: usize = 1;

/// How learned positions are resized to a grid other than the one of pretraining; corners are never
/// aligned, the class token's position stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PositionResize {
    /// Bicubic with antialiasing (a = -0.5), open_clip's way.
    #[default]
    BicubicAntialias,
    /// Bicubic without antialiasing (a = -0.75).
    Bicubic,
    /// Bilinear without antialiasing.
    Bilinear,
}

/// CLIP's vision transformer.
#[derive(Module, Debug)]
pub struct VisionTower<B: Backend> {
    /// The patch convolution as a matrix `[3 * patch * patch, width]`.
    pub(crate) patch_embedding: Linear<B>,
    /// `[1, 1, width]`
    pub(crate) class_token: Param<Tensor<B, 3>>,
    /// `[1, 1, width]`, the position of the class token
    pub(crate) class_position: Param<Tensor<B, 3>>,
    /// `[1, grid * grid, width]`
    pub(crate) positions: Param<Tensor<B, 3>>,
    pub(crate) pre_norm: LayerNorm<B>,
    pub(crate) blocks: Vec<ResidualBlock<B>>,
    pub(crate) post_norm: LayerNorm<B>,
    /// `[width, embed]`, CLIP's own image projection.
    pub(crate) projection: Param<Tensor<B, 2>>,
    #[module(skip)]
    spec: VisionSpec,
    #[module(skip)]
    precision: Precision,
    #[module(skip)]
    position_resize: PositionResize,
}

impl<B: Backend> VisionTower<B> {
    /// Loads the tower, its weights held in `precision`.
    ///
    /// # Errors
    ///
    /// [`WeightError`] when the source lacks a tensor or holds one of another shape.
    pub fn load(
        clip: &ClipSpec,
        source: &dyn WeightSource,
        precision: Precision,
        device: &B::Device,
    ) -> Result<Self, WeightError> {
        let loader = Loader::new(source, precision, device)?;
        let spec = clip.vision.clone();
        let VisionSpec { patch, grid, width, layers, heads, mlp } = spec;
        let activation = clip.activation;
        let block = BlockSpec { width, mlp, heads, activation, visibility: Visibility::All };
        let blocks = (0..layers)
            .map(|i| {
                ResidualBlock::load(&loader, &format!("visual.transformer.resblocks.{i}"), block)
            })
            .collect::<Result<_, _>>()?;
        let patches = loader.tensor("visual.conv1.weight", [width, 3, patch, patch])?;
        let patches = patches.reshape([width, 3 * patch * patch]).transpose();
        let positions = loader
            .tensor("visual.positional_embedding", [1 + grid * grid, width])?
            .unsqueeze::<3>();
        Ok(Self {
            patch_embedding: Linear { weight: frozen(patches), bias: None },
            class_token: frozen(loader.tensor("visual.class_embedding", [width])?.unsqueeze()),
            class_position: frozen(positions.clone().narrow(1, 0, 1)),
            positions: frozen(positions.narrow(1, 1, grid * grid)),
            pre_norm: loader.layer_norm("visual.ln_pre", width)?,
            blocks,
            post_norm: loader.layer_norm("visual.ln_post", width)?,
            projection: frozen(loader.tensor("visual.proj", [width, clip.embed])?),
            spec,
            precision,
            position_resize: PositionResize::default(),
        })
    }

    /// CLIP's image embedding: the class token of the last layer, normalised and projected; not
    /// made unit.
    ///
    /// # Shapes
    ///
    /// - images: `[batch, 3, height, width]`
    /// - output: `[batch, embed]`
    pub fn encode(&self, images: Tensor<B, 4>) -> Tensor<B, 2> {
        self.image_embedding(self.layers(0..self.blocks.len(), self.embed(images)))
    }

    /// CLIP's own joint embedding of normalised tokens, patches too; not made unit.
    ///
    /// # Shapes
    ///
    /// - tokens: `[batch, any, width]`, behind [`post_norm`](VisionBackbone::post_norm)
    /// - output: `[batch, any, embed]`
    pub fn project(&self, tokens: Tensor<B, 3>) -> Tensor<B, 3> {
        tokens.matmul(self.projection.val().unsqueeze())
    }

    /// As [`embed`](VisionBackbone::embed), for crops of the picture that the learned positions span:
    /// each crop gets the positions of the patches from which it was cut. `corners` are the row and
    /// column of each crop's first patch; what would lie past the last position takes the last one.
    ///
    /// # Shapes
    ///
    /// - images: `[batch, 3, height, width]`, a corner for each
    /// - output: `[batch, 1 + patches, width]`
    pub fn embed_crops(&self, images: Tensor<B, 4>, corners: &[[usize; 2]]) -> Tensor<B, 3> {
        let VisionSpec { patch, grid, width, .. } = self.spec;
        let [batch, _, high, wide] = images.dims();
        let (rows, columns) = (high / patch, wide / patch);
        let places = corners.iter().flat_map(|[top, left]| {
            let at = move |row: usize, column: usize| {
                (top + row).min(grid - 1) * grid + (left + column).min(grid - 1)
            };
            (0..rows).flat_map(move |row| (0..columns).map(move |column| at(row, column) as i64))
        });
        let places = TensorData::new(places.collect::<Vec<_>>(), [batch * rows * columns]);
        let places = Tensor::<B, 1, Int>::from_data(places, &images.device());
        let positions = self.positions.val().squeeze_dim::<2>(0).select(0, places);
        self.embed_with(images, positions.reshape([batch, rows * columns, width]))
    }

    /// The tower with positions that are resized in another way.
    pub fn with_position_resize(self, position_resize: PositionResize) -> Self {
        Self { position_resize, ..self }
    }

    /// The tower with another kind of attention in the layers from `first` on, counted from 0.
    pub fn with_attention(mut self, first: usize, kind: AttentionKind) -> Self {
        self.blocks.iter_mut().skip(first).for_each(|block| block.attend_by(kind));
        self
    }

    /// What attention of a kind adds to the stream in a layer, whatever the layer's own kind, as a
    /// second path beside the stream takes it.
    ///
    /// # Shapes
    ///
    /// - tokens: `[batch, tokens, width]`, those that enter the layer
    /// - output: `[batch, tokens, width]`
    pub fn attention_update(
        &self,
        layer: usize,
        tokens: Tensor<B, 3>,
        kind: AttentionKind,
    ) -> Tensor<B, 3> {
        self.blocks[layer].attention_update(tokens, kind)
    }

    /// The precision that its weights are held in.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The positions of a class token and of a square grid of patches behind it.
    ///
    /// # Shapes
    ///
    /// - output: `[1 + grid * grid, width]`
    pub fn resized_positions(&self, grid: usize) -> Tensor<B, 2> {
        let positions = vec![self.class_position.val(), self.positions(grid, grid)];
        Tensor::cat(positions, 1).squeeze_dim(0)
    }

    /// What [`pre_norm`](Self::pre_norm) makes the tokens of the first layer of: patches and class token
    /// at their positions. A window of patches is cut here.
    ///
    /// # Shapes
    ///
    /// - images: `[batch, 3, height, width]`, normalised
    /// - output: `[batch, 1 + patches, width]`
    pub fn tokens_before_norm(&self, images: Tensor<B, 4>) -> Tensor<B, 3> {
        let patch = self.spec.patch;
        let [_, _, height, width] = images.dims();
        let positions = self.positions(height / patch, width / patch);
        self.placed_tokens(images, positions)
    }

    /// The normalisation in front of the first layer.
    ///
    /// # Shapes
    ///
    /// - tokens: `[batch, tokens, width]`
    /// - output: `[batch, tokens, width]`
    pub fn pre_norm(&self, tokens: Tensor<B, 3>) -> Tensor<B, 3> {
        self.pre_norm.forward(tokens)
    }

    /// Tokens of images whose patches stand at `positions`, `[batch or 1, patches, width]`.
    fn embed_with(&self, images: Tensor<B, 4>, positions: Tensor<B, 3>) -> Tensor<B, 3> {
        self.pre_norm(self.placed_tokens(images, positions))
    }

    fn placed_tokens(&self, images: Tensor<B, 4>, positions: Tensor<B, 3>) -> Tensor<B, 3> {
        let [batch, _, _, _] = images.dims();
        let patches = unfold(images.cast(positions.dtype()), self.spec.patch);
        let patches = project(&self.patch_embedding, patches) + positions;
        let class = self.class_token.val() + self.class_position.val();
        let class = class.expand([batch, 1, self.spec.width]);
        Tensor::cat(vec![class, patches], 1)
    }

    /// The learned positions resized to a grid of `rows` by `columns` patches, in f32,
    /// `[1, rows * columns, width]`.
    fn positions(&self, rows: usize, columns: usize) -> Tensor<B, 3> {
        let positions = self.positions.val();
        let grid = self.spec.grid;
        if (rows, columns) == (grid, grid) {
            return positions;
        }
        let device = positions.device();
        let axis = match self.position_resize {
            PositionResize::BicubicAntialias => AxisMatrix::bicubic_antialias,
            PositionResize::Bicubic => AxisMatrix::bicubic,
            PositionResize::Bilinear => AxisMatrix::bilinear,
        };
        let (rows, columns) = (axis(grid, rows), axis(grid, columns));
        GridResampler::rectangular(&rows, &columns, &device).patches(positions)
    }
}

impl<B: Backend> VisionBackbone<B> for VisionTower<B> {
    fn spec(&self) -> &VisionSpec {
        &self.spec
    }

    fn prefix_tokens(&self) -> usize {
        PREFIX_TOKENS
    }

    fn embed(&self, images: Tensor<B, 4>) -> Tensor<B, 3> {
        self.pre_norm(self.tokens_before_norm(images))
    }

    fn layer(&self, index: usize, tokens: Tensor<B, 3>) -> Tensor<B, 3> {
        self.blocks[index].forward(tokens)
    }

    fn post_norm(&self, tokens: Tensor<B, 3>) -> Tensor<B, 3> {
        self.post_norm.forward(tokens)
    }
}

impl<B: Backend> ImageTextBackbone<B> for VisionTower<B> {
    fn joint_embedding(&self, tokens: Tensor<B, 3>) -> JointEmbedding<B> {
        let tokens = self.project(VisionBackbone::post_norm(self, tokens));
        let [batch, _, embed] = tokens.dims();
        let image = tokens.clone().narrow(1, 0, PREFIX_TOKENS).reshape([batch, embed]);
        JointEmbedding { image, patches: self.patches(tokens) }
    }

    fn image_embedding(&self, tokens: Tensor<B, 3>) -> Tensor<B, 2> {
        let class = tokens.narrow(1, 0, PREFIX_TOKENS);
        self.project(VisionBackbone::post_norm(self, class)).squeeze_dim(1)
    }
}

impl<B: Backend> FrozenLayers<B> for VisionTower<B> {
    type Layer = ResidualBlock<B>;

    fn frozen_layer(&self, index: usize) -> &ResidualBlock<B> {
        &self.blocks[index]
    }

    fn last_norm(&self) -> &LayerNorm<B> {
        &self.post_norm
    }
}

/// Images to rows of patch pixels: `[batch, 3, height, width]` to `[batch, patches, 3 * patch²]`.
fn unfold<B: Backend>(images: Tensor<B, 4>, patch: usize) -> Tensor<B, 3> {
    let [batch, channels, height, width] = images.dims();
    let (rows, columns) = (height / patch, width / patch);
    images
        .narrow(2, 0, rows * patch)
        .narrow(3, 0, columns * patch)
        .reshape([batch, channels, rows, patch, columns, patch])
        .permute([0, 2, 4, 1, 3, 5])
        .reshape([batch, rows * columns, channels * patch * patch])
}
