//! The adapters as named tensors on the host: their weights, or a pass's gradients, under the names
//! of the authors' checkpoints. What the authors do not have goes by names of our own beside theirs.
//!
//! The mixture keeps its experts stacked; here each expert's matrices stand alone again.

use burn::module::Param;
use burn::nn::LayerNorm;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Tensor, TensorData};
use moe_lora::{MoeLora, StreamAdapter};
use paa_adapter::ImageHead;

use crate::Adapters;

/// A tensor and its name in the authors' checkpoints.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// As in `moe_adapters.0.experts.1.lora_B.weight`.
    pub name: String,
    /// Its values, f32.
    pub data: TensorData,
}

/// All weights of the adapters, the frozen `A` included.
pub fn weights<B: Backend>(adapters: &Adapters<B>) -> Vec<NamedTensor> {
    named(adapters, &Weights)
}

/// The gradients of all weights that have one.
pub fn gradients<B: AutodiffBackend>(
    adapters: &Adapters<B>,
    gradients: &B::Gradients,
) -> Vec<NamedTensor> {
    named(adapters, &GradientsOf::<B> { gradients })
}

/// Which tensor of a parameter is wanted.
trait Pick<B: Backend> {
    fn pick<const D: usize>(&self, param: &Param<Tensor<B, D>>) -> Option<TensorData>;
}

struct Weights;

impl<B: Backend> Pick<B> for Weights {
    fn pick<const D: usize>(&self, param: &Param<Tensor<B, D>>) -> Option<TensorData> {
        Some(param.val().into_data())
    }
}

struct GradientsOf<'a, B: AutodiffBackend> {
    gradients: &'a B::Gradients,
}

impl<B: AutodiffBackend> Pick<B> for GradientsOf<'_, B> {
    fn pick<const D: usize>(&self, param: &Param<Tensor<B, D>>) -> Option<TensorData> {
        param.val().grad(self.gradients).map(Tensor::into_data)
    }
}

fn named<B: Backend>(adapters: &Adapters<B>, pick: &impl Pick<B>) -> Vec<NamedTensor> {
    let mut list = NamedList::default();
    list.push("text_adapter.0.fc.0.weight", pick.pick(&adapters.text.weight));
    for (tap, adapter) in adapters.taps.iter().enumerate() {
        list.push(&format!("seg_proj.{tap}.fc.weight"), pick.pick(&adapter.projection.weight));
        let scales = adapter.scale_weights.as_ref();
        list.push(
            &format!("seg_proj.{tap}.scale_logits"),
            scales.and_then(|scales| pick.pick(&scales.logits)),
        );
        list.stream(&format!("moe_adapters.{tap}"), &adapter.experts, pick);
    }
    list.image(&adapters.image, pick);
    list.tensors
}

#[derive(Default)]
struct NamedList {
    tensors: Vec<NamedTensor>,
}

impl NamedList {
    fn push(&mut self, name: &str, data: Option<TensorData>) {
        let tensor = |data| NamedTensor { name: name.to_owned(), data };
        self.tensors.extend(data.map(tensor));
    }

    fn norm<B: Backend>(&mut self, norm: &LayerNorm<B>, pick: &impl Pick<B>) {
        self.push("det_proj.ln.weight", pick.pick(&norm.gamma));
        self.push("det_proj.ln.bias", norm.beta.as_ref().and_then(|beta| pick.pick(beta)));
    }

    fn image<B: Backend>(&mut self, head: &ImageHead<B>, pick: &impl Pick<B>) {
        match head {
            ImageHead::Depthwise(head) => {
                self.norm(&head.norm, pick);
                self.push("det_proj.adapter.0.weight", pick.pick(&head.depthwise));
                let pointwise = pick.pick(&head.pointwise).map(|mut data| {
                    data.shape.push(1);
                    data
                });
                self.push("det_proj.adapter.2.weight", pointwise);
            }
            ImageHead::Linear(head) => {
                self.norm(&head.norm, pick);
                self.push("det_proj.fc.weight", pick.pick(&head.projection.weight));
            }
        }
    }

    fn stream<B: Backend>(&mut self, prefix: &str, stream: &StreamAdapter<B>, pick: &impl Pick<B>) {
        match stream {
            StreamAdapter::Mixture(mixture) => self.mixture(prefix, mixture, pick),
            StreamAdapter::Single(lora) => {
                self.push(&format!("{prefix}.lora_A.weight"), pick.pick(&lora.down));
                self.push(&format!("{prefix}.lora_B.weight"), pick.pick(&lora.up));
            }
            StreamAdapter::Identity(_) => {}
        }
    }

    fn mixture<B: Backend>(&mut self, prefix: &str, moe: &MoeLora<B>, pick: &impl Pick<B>) {
        let experts = moe.config().experts;
        self.push(&format!("{prefix}.gate.weight"), pick.pick(&moe.gate));
        let (down, up) = (pick.pick(&moe.down), pick.pick(&moe.up));
        for expert in 0..experts {
            let name = |matrix: &str| format!("{prefix}.experts.{expert}.{matrix}.weight");
            self.push(&name("lora_A"), down.as_ref().map(|d| block(d, 0, expert, experts)));
            self.push(&name("lora_B"), up.as_ref().map(|d| block(d, 1, expert, experts)));
        }
    }
}

/// The part of a stacked matrix that belongs to one expert, cut along `axis` (0 rows, 1 columns).
fn block(stacked: &TensorData, axis: usize, expert: usize, experts: usize) -> TensorData {
    let [rows, columns] = [stacked.shape[0], stacked.shape[1]];
    let values: Vec<f32> = stacked.iter::<f32>().collect();
    let size = stacked.shape[axis] / experts;
    let mine = expert * size..(expert + 1) * size;
    let inside = |index: usize| mine.contains(&[index / columns, index % columns][axis]);
    let kept: Vec<f32> =
        values.into_iter().enumerate().filter(|(i, _)| inside(*i)).map(|(_, v)| v).collect();
    let shape = if axis == 0 { [size, columns] } else { [rows, size] };
    TensorData::new(kept, shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_experts_block_is_its_rows_or_its_columns() {
        let stacked = TensorData::new((0..12).map(|v| v as f32).collect(), [4, 3]);
        let rows = block(&stacked, 0, 1, 2);
        assert_eq!(rows, TensorData::new(vec![6.0f32, 7.0, 8.0, 9.0, 10.0, 11.0], [2, 3]));
        let columns = block(&stacked, 1, 2, 3);
        assert_eq!(columns, TensorData::new(vec![2.0f32, 5.0, 8.0, 11.0], [4, 1]));
    }
}
