//! Puts loaded samples into tensors on a device: Burn's `Batcher`.

use std::path::PathBuf;

use burn::data::dataloader::batcher::Batcher;
use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor, TensorData};

use crate::dataset::LoadedSample;
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
        collate(items.into_iter().collect::<Result<_, _>>()?, device)
    }
}

fn collate<B: Backend>(
    samples: Vec<LoadedSample>,
    device: &B::Device,
) -> Result<Batch<B>, DataError> {
    let count = samples.len();
    let size = common_size(&samples)?;
    let mut images = Vec::with_capacity(count * 3 * size * size);
    let mut masks = vec![0.0; count * size * size];
    let mut labels = Vec::with_capacity(count);
    for sample in &samples {
        images.extend_from_slice(&sample.image);
        labels.push(sample.label.index());
    }
    let rows = samples.iter().zip(masks.chunks_exact_mut((size * size).max(1)));
    for (sample, mask) in rows.filter(|(sample, _)| sample.has_mask) {
        mask.copy_from_slice(&sample.mask);
    }
    Ok(Batch {
        images: Tensor::from_data(TensorData::new(images, [count, 3, size, size]), device),
        masks: Tensor::from_data(TensorData::new(masks, [count, 1, size, size]), device),
        labels: Tensor::from_data(TensorData::new(labels, [count]), device),
        has_mask: samples.iter().map(|s| s.has_mask).collect(),
        original_sizes: samples.iter().map(|s| s.original).collect(),
        classes: samples.iter().map(|s| s.class.clone()).collect(),
        prompts: samples.iter().map(|s| s.prompt.clone()).collect(),
        paths: samples.into_iter().map(|s| s.path).collect(),
    })
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
