//! Puts loaded samples into tensors on a device: Burn's `Batcher`.

use std::path::PathBuf;

use burn::data::dataloader::batcher::Batcher;
use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor, TensorData};

use crate::dataset::{ItemFacts, LoadedSample};
use crate::error::DataError;
use crate::sample::ImageSize;

/// Samples that go through the model together. Row `i` of everything belongs to sample `i`.
#[derive(Clone, Debug)]
pub struct Batch<B: Backend> {
    /// `[batch, 3, size, size]`, normalised.
    pub images: Tensor<B, 4>,
    /// `[batch, 1, size, size]` of 0 and 1; zeros where no mask file was read.
    pub masks: Tensor<B, 4>,
    /// `[batch]`, 0 normal and 1 anomalous.
    pub labels: Tensor<B, 1, Int>,
    /// The class that each sample is scored with.
    pub classes: Vec<String>,
    /// Each sample's class as it stands in a prompt.
    pub prompts: Vec<String>,
    /// Each sample's image file.
    pub paths: Vec<PathBuf>,
    /// Whether each sample's mask was read from a file.
    pub has_mask: Vec<bool>,
    /// Each image's size in its file.
    pub original_sizes: Vec<ImageSize>,
}

/// Makes a [`Batch`] of samples that have one size; the first failed sample is the batch's error.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImageBatcher;

impl<B: Backend> Batcher<B, Result<LoadedSample, DataError>, Result<Batch<B>, DataError>>
    for ImageBatcher
{
    fn batch(
        &self,
        items: Vec<Result<LoadedSample, DataError>>,
        device: &B::Device,
    ) -> Result<Batch<B>, DataError> {
        let samples = items.into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut collated = Collated::new(samples.len(), common_size(&samples)?);
        samples.into_iter().for_each(|sample| collated.push(sample));
        Ok(collated.into_batch(device))
    }
}

/// Samples of one size, put together as they are read; their tensors are made later, on the thread
/// that needs them.
#[derive(Debug)]
pub(crate) struct Collated {
    pub(crate) size: usize,
    /// `[samples so far, 3, size, size]`.
    pub(crate) images: Vec<f32>,
    /// `[samples, 1, size, size]`, zeros for those to come.
    masks: Vec<f32>,
    facts: Vec<ItemFacts>,
}

impl Collated {
    /// Room for `count` samples of `size` pixels a side.
    pub(crate) fn new(count: usize, size: usize) -> Self {
        let area = size * size;
        let images = Vec::with_capacity(count * 3 * area);
        Self { size, images, masks: vec![0.0; count * area], facts: Vec::with_capacity(count) }
    }

    /// The mask of the sample whose facts come next.
    pub(crate) fn next_mask(&mut self) -> &mut [f32] {
        let area = self.size * self.size;
        self.masks.chunks_exact_mut(area.max(1)).nth(self.facts.len()).unwrap_or_default()
    }

    /// Completes a sample whose pixels are there.
    pub(crate) fn push_facts(&mut self, facts: ItemFacts) {
        self.facts.push(facts);
    }

    fn push(&mut self, sample: LoadedSample) {
        self.images.extend_from_slice(&sample.image);
        self.next_mask().copy_from_slice(&sample.mask);
        self.push_facts(sample.facts());
    }

    /// The only sample.
    pub(crate) fn into_sample(mut self) -> Option<LoadedSample> {
        let facts = self.facts.pop()?;
        Some(LoadedSample::new(facts, self.size, self.images, self.masks))
    }

    pub(crate) fn into_batch<B: Backend>(self, device: &B::Device) -> Batch<B> {
        let Self { size, images, masks, facts } = self;
        let count = facts.len();
        let labels: Vec<i64> = facts.iter().map(|f| f.label.index()).collect();
        Batch {
            images: Tensor::from_data(TensorData::new(images, [count, 3, size, size]), device),
            masks: Tensor::from_data(TensorData::new(masks, [count, 1, size, size]), device),
            labels: Tensor::from_data(TensorData::new(labels, [count]), device),
            has_mask: facts.iter().map(|f| f.has_mask).collect(),
            original_sizes: facts.iter().map(|f| f.original).collect(),
            classes: facts.iter().map(|f| f.class.clone()).collect(),
            prompts: facts.iter().map(|f| f.prompt.clone()).collect(),
            paths: facts.into_iter().map(|f| f.path).collect(),
        }
    }
}

/// The side that all samples share, checked against what they hold.
fn common_size(samples: &[LoadedSample]) -> Result<usize, DataError> {
    let refuse = |reason: String| Err(DataError::Batch { reason });
    let Some(size) = samples.first().map(|sample| sample.size) else {
        return refuse("no samples; give it at least one".into());
    };
    let area = size * size;
    let misfit = samples
        .iter()
        .find(|s| s.size != size || s.image.len() != 3 * area || s.mask.len() != area);
    match misfit {
        None => Ok(size),
        Some(sample) => refuse(format!(
            "{} is not {size}x{size} as the others are; prepare all samples with one size",
            sample.path.display()
        )),
    }
}
