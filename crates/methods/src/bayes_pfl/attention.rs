//! What connects the text to the patches: residual cross-modal attention, through which every text looks
//! at the patches of a tap before it is compared with them (section 3.3 of the paper), and the fusion of
//! all taps' patches into one vector of the image (stage 2).

use burn::module::{Module, Param};
use burn::tensor::activation::softmax;
use burn::tensor::{Tensor, backend::Backend};
use paa_adapter::unit;

use crate::learned::Dense;

/// A convolution over single places, kept in the shape of the authors' checkpoint.
#[derive(Module, Debug)]
pub struct PointwiseConvolution<B: Backend> {
    /// `[outputs, inputs, 1]`
    pub weight: Param<Tensor<B, 3>>,
    /// `[outputs]`
    pub bias: Param<Tensor<B, 1>>,
}

/// Residual cross-modal attention.
#[derive(Module, Debug)]
pub struct CrossModalAttention<B: Backend> {
    /// Queries from the text.
    pub query: PointwiseConvolution<B>,
    /// For each tap, `[embed, width]`, without bias.
    pub patches: Vec<Dense<B>>,
    /// Heads that the embedding is cut into.
    #[module(skip)]
    pub heads: usize,
}

/// Text and patches of one tap, ready to be compared.
#[derive(Debug, Clone)]
pub struct Attended<B: Backend> {
    /// Unit text as this tap sees it, `[batch, texts, embed]`.
    pub text: Tensor<B, 3>,
    /// Unit patches, `[batch, patches, embed]`.
    pub patches: Tensor<B, 3>,
}

/// Patches of all taps pooled into one vector.
#[derive(Module, Debug)]
pub struct PatchFusion<B: Backend> {
    /// `[hidden, taps * width]`
    pub project_in: Dense<B>,
    /// `[1, hidden]`, how much a patch counts.
    pub patch_weight: Dense<B>,
    /// `[embed, hidden]`
    pub project_out: Dense<B>,
}

impl<B: Backend> PointwiseConvolution<B> {
    /// # Shapes
    ///
    /// - x: `[batch, places, inputs]`
    /// - output: `[batch, places, outputs]`
    pub fn forward(&self, x: Tensor<B, 3>) -> Tensor<B, 3> {
        let weight = self.weight.val().squeeze_dim::<2>(2).transpose();
        x.matmul(weight.unsqueeze()) + self.bias.val().unsqueeze()
    }
}

impl<B: Backend> CrossModalAttention<B> {
    /// Keys and values are the unit patches themselves. As in the release, scores are scaled by the whole
    /// embedding's width, not by a head's.
    ///
    /// # Shapes
    ///
    /// - text: `[batch, texts, embed]`, unit
    /// - patches: `[batch, patches, width]`, those of the tap
    pub fn forward(&self, tap: usize, text: &Tensor<B, 3>, patches: Tensor<B, 3>) -> Attended<B> {
        let [batch, texts, embed] = text.dims();
        let patches = unit(self.patches[tap].forward(patches));
        let queries = self.heads(self.query.forward(text.clone()));
        let keys = self.heads(patches.clone());
        let scores = queries.matmul(keys.clone().swap_dims(2, 3));
        let weights = softmax(scores.div_scalar((embed as f64).sqrt()), 3);
        let seen = weights.matmul(keys).swap_dims(1, 2).reshape([batch, texts, embed]);
        Attended { text: unit(seen + text.clone()), patches }
    }

    /// `[batch, places, embed]` to `[batch, heads, places, embed / heads]`.
    fn heads(&self, x: Tensor<B, 3>) -> Tensor<B, 4> {
        let [batch, places, embed] = x.dims();
        x.reshape([batch, places, self.heads, embed / self.heads]).swap_dims(1, 2)
    }
}

impl<B: Backend> PatchFusion<B> {
    /// # Shapes
    ///
    /// - taps: one `[batch, patches, width]` each
    /// - output: `[batch, embed]`
    pub fn forward(&self, taps: &[Tensor<B, 3>]) -> Tensor<B, 2> {
        let x = self.project_in.forward(Tensor::cat(taps.to_vec(), 2));
        let weights = softmax(self.patch_weight.forward(x.clone()), 1);
        self.project_out.forward((weights * x).sum_dim(1).squeeze_dim::<2>(1))
    }
}
