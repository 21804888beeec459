//! Attention of a few heads at a time, forwards and backwards: the `[tokens, tokens]` matrices of all
//! heads never exist together.

use burn::tensor::activation::softmax;
use burn::tensor::{Bool, DType, Tensor, backend::Backend};
use serde::{Deserialize, Serialize};

/// Heads whose attention matrices exist at the same time. Four are enough to keep a CPU's cores on
/// separate heads, and take 30 MB at 1370 tokens.
const HEADS_AT_ONCE: usize = 4;

/// What the tokens of a block compare with one another; the weights are the same for all kinds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttentionKind {
    /// Queries with keys, as the tower was trained.
    #[default]
    QueryKey,
    /// Values with values: AnomalyCLIP (arXiv 2310.18961), AA-CLIP's paper (arXiv 2503.06661). A token
    /// takes most from itself and its like.
    ValueValue,
    /// Values with values of the other images of the batch at the same place, as AA-CLIP's release does
    /// it. What a token becomes depends on the batch.
    ValueValueAcrossBatch,
}

/// Which tokens a token may attend to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Visibility {
    /// All of them, as among patches.
    All,
    /// Itself and those before it, as in text.
    Causal,
}

/// Query, key and value, split into heads: each `[batch, heads, tokens, channels]`.
pub(crate) struct Heads<B: Backend> {
    pub(crate) query: Tensor<B, 4>,
    pub(crate) key: Tensor<B, 4>,
    pub(crate) value: Tensor<B, 4>,
}

/// `softmax(q k' / sqrt(channels)) v` of every head, merged to `[batch, tokens, width]`.
pub(crate) fn attention<B: Backend>(heads: &Heads<B>, visibility: Visibility) -> Tensor<B, 3> {
    let mixed = heads.groups().map(|some| {
        let weights = attention_weights(&some, visibility);
        weights.matmul(some.value)
    });
    merge_heads(Tensor::cat(mixed.collect(), 1))
}

/// Gradients of query, key and value, each `[batch, tokens, width]`.
pub(crate) struct AttentionGradient<B: Backend> {
    pub(crate) query: Tensor<B, 3>,
    pub(crate) key: Tensor<B, 3>,
    pub(crate) value: Tensor<B, 3>,
}

/// The gradients from that of what attention mixed, `[batch, tokens, width]`.
pub(crate) fn attention_gradient<B: Backend>(
    heads: &Heads<B>,
    visibility: Visibility,
    mixed_gradient: Tensor<B, 3>,
) -> AttentionGradient<B> {
    let [_, count, _, _] = heads.query.dims();
    let gradient = split_heads(mixed_gradient, count);
    let mut parts = [Vec::new(), Vec::new(), Vec::new()];
    for (group, some) in heads.groups().enumerate() {
        let [_, taken, _, _] = some.query.dims();
        let gradient = gradient.clone().narrow(1, group * HEADS_AT_ONCE, taken);
        let some = group_gradient(some, visibility, gradient);
        for (part, gradient) in parts.iter_mut().zip([some.query, some.key, some.value]) {
            part.push(gradient);
        }
    }
    let [query, key, value] = parts.map(|part| merge_heads(Tensor::cat(part, 1)));
    AttentionGradient { query, key, value }
}

impl<B: Backend> Heads<B> {
    /// Values that are compared with themselves, in f32: such scores are squared lengths, and large.
    ///
    /// # Shapes
    ///
    /// - values: `[batch, tokens, width]`
    pub(crate) fn of_values(values: Tensor<B, 3>, heads: usize) -> Self {
        let value = split_heads(values.cast(DType::F32), heads);
        Self { query: value.clone(), key: value.clone(), value }
    }

    /// The heads, a few at a time.
    fn groups(&self) -> impl Iterator<Item = Heads<B>> {
        let [_, count, _, _] = self.query.dims();
        (0..count).step_by(HEADS_AT_ONCE).map(move |first| {
            let taken = HEADS_AT_ONCE.min(count - first);
            let some = |heads: &Tensor<B, 4>| heads.clone().narrow(1, first, taken);
            Heads { query: some(&self.query), key: some(&self.key), value: some(&self.value) }
        })
    }
}

/// Gradients of query, key and value of a few heads, in f32.
fn group_gradient<B: Backend>(
    heads: Heads<B>,
    visibility: Visibility,
    gradient: Tensor<B, 4>,
) -> Heads<B> {
    let dtype = gradient.dtype();
    let wide = |tensor: Tensor<B, 4>| tensor.cast(DType::F32);
    let gradient = wide(gradient);
    let heads = Heads { query: wide(heads.query), key: wide(heads.key), value: wide(heads.value) };
    let weights = attention_weights(&heads, visibility);
    let Heads { query, key, value } = heads;
    let scale = scale(&query);

    let value_gradient = weights.clone().transpose().matmul(gradient.clone());
    let weights_gradient = gradient.matmul(value.transpose());
    let along = (weights_gradient.clone() * weights.clone()).sum_dim(3);
    let scores_gradient = (weights_gradient - along) * weights;
    let query_gradient = scores_gradient.clone().matmul(key).mul_scalar(scale);
    let key_gradient = scores_gradient.transpose().matmul(query).mul_scalar(scale);
    Heads {
        query: query_gradient.cast(dtype),
        key: key_gradient.cast(dtype),
        value: value_gradient.cast(dtype),
    }
}

/// How much each token takes of each other, `[batch, heads, tokens, tokens]`.
fn attention_weights<B: Backend>(heads: &Heads<B>, visibility: Visibility) -> Tensor<B, 4> {
    let query = heads.query.clone().mul_scalar(scale(&heads.query));
    let scores = query.matmul(heads.key.clone().transpose());
    softmax(hide_future(scores, visibility), 3)
}

fn scale<B: Backend>(query: &Tensor<B, 4>) -> f64 {
    let [_, _, _, channels] = query.dims();
    (channels as f64).sqrt().recip()
}

fn hide_future<B: Backend>(scores: Tensor<B, 4>, visibility: Visibility) -> Tensor<B, 4> {
    match visibility {
        Visibility::All => scores,
        Visibility::Causal => {
            let [_, _, rows, columns] = scores.dims();
            let future = Tensor::<B, 2, Bool>::tril_mask([rows, columns], 0, &scores.device());
            scores.mask_fill(future.unsqueeze(), f32::NEG_INFINITY)
        }
    }
}

/// `[batch, tokens, width]` to `[batch, heads, tokens, width / heads]`.
pub(crate) fn split_heads<B: Backend>(tokens: Tensor<B, 3>, heads: usize) -> Tensor<B, 4> {
    let [batch, count, width] = tokens.dims();
    tokens.reshape([batch, count, heads, width / heads]).swap_dims(1, 2)
}

/// `[batch, heads, tokens, channels]` to `[batch, tokens, heads * channels]`.
fn merge_heads<B: Backend>(heads: Tensor<B, 4>) -> Tensor<B, 3> {
    let [batch, count, tokens, channels] = heads.dims();
    heads.swap_dims(1, 2).reshape([batch, tokens, count * channels])
}
