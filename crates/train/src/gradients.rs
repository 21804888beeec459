//! Forward, losses and backward of a batch, on one device or shared out over several.
//!
//! Losses are means over the images of a batch, so the gradient of a batch is the mean of its shards'
//! gradients, weighed by their sizes. The balance loss alone is no mean: it is a statistic of all
//! tokens that are routed together, and with several devices that is a shard.

use std::ops::Range;
use std::thread;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::{BalancedCheckpointing, CheckpointStrategy};
use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Tensor, backend::Backend};
use clip_vit::{Frozen, VisionBackbone};
use moeclip::{Adapters, ClassPrompts, ConfigError, Features, MapResampler, MoeClip, TextFeatures};
use moeclip_data::Batch;

use crate::{BatchValues, LossTerms, LossWeights, Objective, Recompute};

/// A model in training: the frozen tower on the inner backend, the adapters under autodiff.
pub type TrainedModel<B> = MoeClip<Autodiff<B>, Frozen<B>>;

/// How gradients come about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BackwardSettings {
    /// What the loss is multiplied by.
    pub(crate) factor: f32,
    pub(crate) recompute: Recompute,
}

/// The gradients of a batch, and the values of its losses.
pub(crate) struct BatchGradients {
    pub(crate) values: BatchValues,
    pub(crate) gradients: GradientsParams,
}

/// A device that takes its share of every batch, with a frozen tower of its own.
#[derive(Debug)]
pub(crate) struct Replica<B: Backend> {
    device: B::Device,
    model: TrainedModel<B>,
    objective: Objective<Autodiff<B>>,
}

/// One shard of a batch, and the model that is to see it.
struct ShardJob<B: Backend> {
    model: TrainedModel<B>,
    objective: Objective<Autodiff<B>>,
    prompts: Vec<ClassPrompts<B>>,
    batch: Batch<B>,
    /// Its share of the whole batch.
    share: f64,
    /// What the loss is multiplied by before the backward pass.
    factor: f32,
    recompute: Recompute,
}

/// The losses of a batch, and the features they came from.
#[derive(Debug, Clone)]
pub struct ForwardOutput<B: Backend> {
    /// What is minimised, and its parts.
    pub terms: LossTerms<B>,
    /// What the model saw.
    pub features: Features<B>,
}

/// Forward and losses of a batch. One entry of `prompts` per image.
pub fn forward_batch<B: Backend, C: CheckpointStrategy>(
    model: &MoeClip<Autodiff<B, C>, Frozen<B>>,
    objective: &Objective<Autodiff<B, C>>,
    prompts: &[ClassPrompts<B>],
    batch: Batch<B>,
) -> ForwardOutput<Autodiff<B, C>> {
    let features = model.forward(Tensor::from_inner(batch.images));
    let text = &model.adapters().text;
    let rows = prompts.iter().map(|prompts| text.forward(&prompts.clone().under_autodiff()));
    let text = TextFeatures::stack(rows.collect());
    let masks = Tensor::from_inner(batch.masks);
    let labels = Tensor::from_inner(batch.labels.float());
    ForwardOutput { terms: objective.forward(&features, &text, masks, labels), features }
}

/// The objective of a model's maps on a device.
pub(crate) fn objective<B: Backend>(
    model: &TrainedModel<B>,
    weights: LossWeights,
    device: &B::Device,
) -> Objective<Autodiff<B>> {
    let config = model.config();
    let grid = config.grid(VisionBackbone::<Autodiff<B>>::spec(model.backbone()));
    Objective::new(MapResampler::new(grid, config.image_size, device), weights)
}

/// Forward and backward of a batch; `replicas` take their shards of it beside the model's own device. Gradients
/// are those of the loss times the factor. `None` when a device gives no numbers.
pub(crate) fn batch_gradients<B: Backend>(
    model: &TrainedModel<B>,
    objective: &Objective<Autodiff<B>>,
    replicas: &[Replica<B>],
    prompts: &[ClassPrompts<B>],
    batch: Batch<B>,
    settings: BackwardSettings,
) -> Option<BatchGradients> {
    let images = prompts.len();
    let mut shards = shards(images, 1 + replicas.len()).into_iter();
    let work = |model, objective, shard: Range<usize>, device: &B::Device| ShardJob {
        model,
        objective,
        prompts: prompts[shard.clone()].iter().map(|rows| to_device(rows, device)).collect(),
        batch: cut(&batch, shard.clone(), device),
        share: shard.len() as f64 / images.max(1) as f64,
        factor: settings.factor,
        recompute: settings.recompute,
    };
    let main = batch.images.device();
    let first = work(model.clone(), objective.clone(), shards.next()?, &main);
    if replicas.is_empty() {
        return first.run();
    }
    let adapters = model.adapters();
    let others = replicas.iter().zip(shards).map(|(replica, shard)| {
        let model = replica.with(adapters);
        work(model, replica.objective.clone(), shard, &replica.device)
    });
    let others: Vec<ShardJob<B>> = others.collect();
    let shards = thread::scope(|scope| {
        let running: Vec<_> =
            others.into_iter().map(|work| scope.spawn(move || work.run())).collect();
        let first = first.run();
        let rest = running.into_iter().map(|thread| thread.join().ok().flatten());
        // In the order of the devices, whoever is done first: sums of floats depend on it.
        std::iter::once(first).chain(rest.collect::<Vec<_>>()).collect::<Option<Vec<_>>>()
    })?;
    Some(joined(adapters, shards, &main))
}

impl<B: Backend> Replica<B> {
    /// A copy of a model's frozen tower on another device.
    pub(crate) fn new(
        model: &TrainedModel<B>,
        weights: LossWeights,
        device: &B::Device,
    ) -> Result<Self, ConfigError> {
        let tower = Frozen::new(model.backbone().tower().clone().to_device(device));
        let adapters = model.adapters().clone().fork(device);
        let model = MoeClip::new(tower, adapters, model.config().clone(), device)?;
        let objective = objective(&model, weights, device);
        Ok(Self { device: device.clone(), model, objective })
    }

    /// Its model with the adapters as they are now.
    fn with(&self, adapters: &Adapters<Autodiff<B>>) -> TrainedModel<B> {
        let mut model = self.model.clone();
        model.set_adapters(adapters.clone().fork(&self.device));
        model
    }
}

impl<B: Backend> ShardJob<B> {
    fn run(self) -> Option<BatchGradients> {
        match self.recompute {
            Recompute::Blocks => self.differentiate(&self.model, &self.objective),
            Recompute::Balanced => {
                let (model, objective) = (self.model.in_graph(), self.objective.in_graph());
                self.differentiate::<BalancedCheckpointing>(&model, &objective)
            }
        }
    }

    fn differentiate<C: CheckpointStrategy>(
        &self,
        model: &MoeClip<Autodiff<B, C>, Frozen<B>>,
        objective: &Objective<Autodiff<B, C>>,
    ) -> Option<BatchGradients> {
        let ForwardOutput { terms, .. } =
            forward_batch(model, objective, &self.prompts, self.batch.clone());
        let mut values = terms.values(&model.config().taps)?;
        let weight = self.share * f64::from(self.factor);
        let gradients = terms.total.mul_scalar(weight).backward();
        let gradients = GradientsParams::from_grads(gradients, model.adapters());
        values.scale(self.share as f32);
        Some(BatchGradients { values, gradients })
    }
}

/// The sum of shards that were weighed by their shares.
fn joined<B: Backend>(
    adapters: &Adapters<Autodiff<B>>,
    shards: Vec<BatchGradients>,
    device: &B::Device,
) -> BatchGradients {
    let mut sum = GradientsAccumulator::new();
    let mut values = BatchValues::default();
    for shard in shards {
        values.add(&shard.values);
        sum.accumulate(adapters, shard.gradients.to_device(device, adapters));
    }
    BatchGradients { values, gradients: sum.grads() }
}

/// `images` in as many parts as can be filled, at most `parts`, as even as can be.
fn shards(images: usize, parts: usize) -> Vec<Range<usize>> {
    let parts = parts.min(images).max(1);
    let start = |part: usize| part * images / parts;
    (0..parts).map(|part| start(part)..start(part + 1)).collect()
}

fn cut<B: Backend>(batch: &Batch<B>, rows: Range<usize>, device: &B::Device) -> Batch<B> {
    let (start, count) = (rows.start, rows.len());
    Batch {
        images: batch.images.clone().narrow(0, start, count).to_device(device),
        masks: batch.masks.clone().narrow(0, start, count).to_device(device),
        labels: batch.labels.clone().narrow(0, start, count).to_device(device),
        classes: batch.classes[rows.clone()].to_vec(),
        prompts: batch.prompts[rows.clone()].to_vec(),
        paths: batch.paths[rows.clone()].to_vec(),
        has_mask: batch.has_mask[rows.clone()].to_vec(),
        original_sizes: batch.original_sizes[rows].to_vec(),
    }
}

fn to_device<B: Backend>(prompts: &ClassPrompts<B>, device: &B::Device) -> ClassPrompts<B> {
    ClassPrompts {
        normal: prompts.normal.clone().to_device(device),
        abnormal: prompts.abnormal.clone().to_device(device),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_even_whole_and_never_empty() {
        assert_eq!(shards(4, 2), [0..2, 2..4]);
        assert_eq!(shards(5, 2), [0..2, 2..5]);
        assert_eq!(shards(1, 3), shards(1, 1));
        assert_eq!(shards(7, 3).into_iter().flatten().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6]);
    }
}
