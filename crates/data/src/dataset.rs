//! Samples as Burn's `Dataset`: reading index `i` decodes, resizes, normalises and, while training,
//! augments.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::data::dataset::Dataset;

use crate::augment::Augmentation;
use crate::cache::{Cache, Resized};
use crate::content::ContentHash;
use crate::decode::{decode_mask, decode_rgb_bytes, read};
use crate::error::DataError;
use crate::order::augmentation_rng;
use crate::preprocess::Preprocessing;
use crate::sample::{ImageSize, Label, Sample};

/// A picture as the model takes it.
#[derive(Clone, Debug, PartialEq)]
pub struct PreparedImage {
    /// `[3, size, size]`, row by row, normalised.
    pub values: Vec<f32>,
    /// The picture's own size, upright.
    pub original: ImageSize,
}

/// Decodes and preprocesses one picture.
///
/// # Errors
/// [`DataError`] naming `path`.
pub fn prepare_image(
    path: &Path,
    preprocessing: &Preprocessing,
) -> Result<PreparedImage, DataError> {
    let Resized { planes, original } = resize(&read(path)?, path, preprocessing)?;
    Ok(PreparedImage { values: preprocessing.normalise(&planes), original })
}

/// The same, decoded and resized only where the cache does not hold the picture.
fn prepare_cached(
    path: &Path,
    preprocessing: &Preprocessing,
    cache: &Cache,
) -> Result<PreparedImage, DataError> {
    let bytes = read(path)?;
    let (content, size) = (ContentHash::of_bytes(&bytes), preprocessing.size());
    let kept = cache.get(content, size);
    let Resized { planes, original } = match kept {
        Some(resized) => resized,
        None => {
            let resized = resize(&bytes, path, preprocessing)?;
            cache.put(content, size, &resized);
            resized
        }
    };
    Ok(PreparedImage { values: preprocessing.normalise(&planes), original })
}

fn resize(bytes: &[u8], path: &Path, preprocessing: &Preprocessing) -> Result<Resized, DataError> {
    let picture = decode_rgb_bytes(bytes, path)?;
    let original = ImageSize { width: picture.width(), height: picture.height() };
    Ok(Resized { planes: preprocessing.resize(&picture)?, original })
}

/// One sample in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedSample {
    /// `[3, size, size]`, row by row, normalised.
    pub image: Vec<f32>,
    /// `[1, size, size]` of 0 and 1; zeros when no mask file was read.
    pub mask: Vec<f32>,
    /// Whether a mask file was read. A normal image needs none; an anomalous one without has no
    /// truth per pixel.
    pub has_mask: bool,
    /// Side of image and mask, in pixels.
    pub size: usize,
    /// Normal or anomalous.
    pub label: Label,
    /// The class that the sample is scored with.
    pub class: String,
    /// The class as it stands in a prompt.
    pub prompt: String,
    /// Where the image came from.
    pub path: PathBuf,
    /// The image's size in its file, upright.
    pub original: ImageSize,
}

/// Samples with the way to read them. Cheap to clone: the list is shared.
#[derive(Clone, Debug)]
pub struct ImageDataset {
    samples: Arc<[Sample]>,
    preprocessing: Preprocessing,
    augmentation: Option<Augmentation>,
    cache: Option<Cache>,
    seed: u64,
    epoch: u64,
}

impl ImageDataset {
    /// Without augmentation.
    pub fn new(samples: Vec<Sample>, preprocessing: Preprocessing) -> Self {
        let (augmentation, cache) = (None, None);
        Self { samples: samples.into(), preprocessing, augmentation, cache, seed: 0, epoch: 0 }
    }

    /// The same, augmented; `seed` decides all movements.
    ///
    /// # Errors
    /// [`DataError::Setting`] when a value of `augmentation` is out of its range.
    pub fn augmented(self, augmentation: Augmentation, seed: u64) -> Result<Self, DataError> {
        augmentation.validate()?;
        Ok(Self { augmentation: Some(augmentation), seed, ..self })
    }

    /// The same, keeping decoded and resized images on disk. What comes out is the same.
    pub fn cached(self, cache: Cache) -> Self {
        Self { cache: Some(cache), ..self }
    }

    /// The same with the movements of another epoch.
    pub fn at_epoch(&self, epoch: u64) -> Self {
        Self { epoch, ..self.clone() }
    }

    /// The samples, not read.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    fn load(&self, index: usize, sample: &Sample) -> Result<LoadedSample, DataError> {
        let (path, preprocessing) = (&sample.image, &self.preprocessing);
        let PreparedImage { values, original } = match &self.cache {
            None => prepare_image(path, preprocessing),
            Some(cache) => prepare_cached(path, preprocessing, cache),
        }?;
        let size = self.preprocessing.size();
        let mask = match &sample.mask {
            Some(path) => self.load_mask(path, sample, original)?,
            None => vec![0.0; size * size],
        };
        let loaded = LoadedSample {
            image: values,
            mask,
            has_mask: sample.mask.is_some(),
            size,
            label: sample.label,
            class: sample.class.clone(),
            prompt: sample.prompt.clone(),
            path: sample.image.clone(),
            original,
        };
        Ok(self.augment(index, loaded))
    }

    fn load_mask(
        &self,
        path: &Path,
        sample: &Sample,
        image: ImageSize,
    ) -> Result<Vec<f32>, DataError> {
        let picture = decode_mask(path)?;
        let mask = ImageSize { width: picture.width(), height: picture.height() };
        if mask != image {
            return Err(DataError::MaskSize {
                path: path.to_path_buf(),
                mask,
                image_path: sample.image.clone(),
                image,
            });
        }
        Ok(self.preprocessing.mask(&picture))
    }

    fn augment(&self, index: usize, sample: LoadedSample) -> LoadedSample {
        let Some(augmentation) = &self.augmentation else {
            return sample;
        };
        let mut rng = augmentation_rng(self.seed, self.epoch, index);
        let placement = augmentation.draw(sample.size, &mut rng);
        LoadedSample {
            image: placement.apply(&sample.image, sample.size),
            mask: placement.apply(&sample.mask, sample.size),
            ..sample
        }
    }
}

impl Dataset<Result<LoadedSample, DataError>> for ImageDataset {
    fn get(&self, index: usize) -> Option<Result<LoadedSample, DataError>> {
        let sample = self.samples.get(index)?;
        Some(self.load(index, sample))
    }

    fn len(&self) -> usize {
        self.samples.len()
    }
}
