//! Samples as Burn's `Dataset`: reading index `i` decodes, resizes, normalises and, while training,
//! augments.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::data::dataset::Dataset;
use image::GrayImage;

use crate::augment::{Augmentation, Placement};
use crate::batch::Collated;
use crate::cache::{Cache, CacheKey, Resized};
use crate::content::ContentHash;
use crate::decode::{PictureReader, ReadPicture, SampleBits, orientation, read, read_rgb};
use crate::descriptor::MaskFormat;
use crate::error::DataError;
use crate::fault::{Fault, FaultLog};
use crate::masks::unite;
use crate::mosaic::{MosaicDraw, PictureWithMask, mosaic};
use crate::order::{augmentation_rng, mosaic_rng};
use crate::preprocess::Preprocessing;
use crate::sample::{ImageSize, Label, Sample};
use crate::spare;
use crate::verify::{MaskFile, ShownImage};

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
    let read = resize(&read(path)?, path, preprocessing, None)?;
    let Resized { planes, original } = read.resized;
    Ok(PreparedImage { values: preprocessing.normalised(&planes), original })
}

/// A picture brought to size, and what was noticed of its file.
struct ResizedFile {
    resized: Resized,
    faults: Vec<Fault>,
}

fn resize(
    bytes: &[u8],
    path: &Path,
    preprocessing: &Preprocessing,
    bits: Option<SampleBits>,
) -> Result<ResizedFile, DataError> {
    let ReadPicture { pixels, faults, .. } = read_rgb(bytes, path, bits)?;
    let original = ImageSize { width: pixels.width(), height: pixels.height() };
    let planes = preprocessing.resize(&pixels)?;
    spare::give(pixels.into_raw());
    Ok(ResizedFile { resized: Resized { planes, original }, faults })
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

impl LoadedSample {
    pub(crate) fn new(facts: ItemFacts, size: usize, image: Vec<f32>, mask: Vec<f32>) -> Self {
        let ItemFacts { has_mask, label, class, prompt, path, original } = facts;
        Self { image, mask, has_mask, size, label, class, prompt, path, original }
    }

    pub(crate) fn facts(self) -> ItemFacts {
        let Self { has_mask, label, class, prompt, path, original, .. } = self;
        ItemFacts { has_mask, label, class, prompt, path, original }
    }
}

/// What a loaded sample is beside its pixels; the fields are those of [`LoadedSample`].
#[derive(Debug)]
pub(crate) struct ItemFacts {
    pub(crate) has_mask: bool,
    pub(crate) label: Label,
    pub(crate) class: String,
    pub(crate) prompt: String,
    pub(crate) path: PathBuf,
    pub(crate) original: ImageSize,
}

impl ItemFacts {
    fn of(sample: &Sample, original: ImageSize) -> Self {
        Self {
            has_mask: !sample.masks.is_empty(),
            label: sample.label,
            class: sample.class.clone(),
            prompt: sample.prompt.clone(),
            path: sample.image.clone(),
            original,
        }
    }
}

/// Samples with the way to read them. Cheap to clone: the list is shared.
#[derive(Clone, Debug)]
pub struct ImageDataset {
    samples: Arc<[Sample]>,
    preprocessing: Preprocessing,
    augmentation: Option<Augmentation>,
    mosaics: Option<MosaicDraw>,
    cache: Option<Cache>,
    bits: Option<SampleBits>,
    /// What masks are checked against, where they are.
    mask_format: Option<MaskFormat>,
    faults: FaultLog,
    seed: u64,
    epoch: u64,
}

impl ImageDataset {
    /// Without augmentation.
    pub fn new(samples: Vec<Sample>, preprocessing: Preprocessing) -> Self {
        Self {
            samples: samples.into(),
            preprocessing,
            augmentation: None,
            mosaics: None,
            cache: None,
            bits: None,
            mask_format: None,
            faults: FaultLog::default(),
            seed: 0,
            epoch: 0,
        }
    }

    /// The same, augmented; `seed` decides all movements.
    ///
    /// # Errors
    /// [`DataError::Setting`] when a value of `augmentation` is out of its range.
    pub fn augmented(self, augmentation: Augmentation, seed: u64) -> Result<Self, DataError> {
        augmentation.validate()?;
        Ok(Self { augmentation: Some(augmentation), seed, ..self })
    }

    /// The same, where so many of the samples, 0 to 1, give way to a mosaic of four samples of their class
    /// ([`mosaic`]); `seed` decides which and of what.
    ///
    /// # Errors
    /// [`DataError::Setting`] unless `probability` is 0 to 1.
    pub fn with_mosaics(self, probability: f64, seed: u64) -> Result<Self, DataError> {
        if !(0.0..=1.0).contains(&probability) {
            return Err(DataError::setting("mosaic", probability, "use a probability, 0 to 1"));
        }
        let draw = MosaicDraw::new(&self.samples, probability);
        Ok(Self { mosaics: Some(draw).filter(|_| probability > 0.0), seed, ..self })
    }

    /// The same, keeping decoded and resized images on disk. What comes out is the same.
    pub fn cached(self, cache: Cache) -> Self {
        Self { cache: Some(cache), ..self }
    }

    /// The same, taking these bits of 16-bit images, where it is not all of them.
    pub fn with_bits(self, bits: Option<SampleBits>) -> Self {
        Self { bits, ..self }
    }

    /// Reads whole pictures as it reads its own images.
    pub fn picture_reader(&self) -> PictureReader {
        PictureReader::new(self.bits)
    }

    /// The same, holding each mask that it reads against what masks should be. What comes out is the
    /// same; what is wrong, [`ImageDataset::take_faults`] says.
    pub fn checking_masks(self, format: MaskFormat) -> Self {
        Self { mask_format: Some(format), faults: FaultLog::default(), ..self }
    }

    /// The faults of files that were read since this was asked last, each once and by path, as
    /// [`verify`](crate::verify()) names them. Copies of a dataset have them in common.
    pub fn take_faults(&self) -> Vec<Fault> {
        let mut faults = self.faults.take();
        faults.sort();
        faults
    }

    /// The same with the movements of another epoch.
    pub fn at_epoch(&self, epoch: u64) -> Self {
        Self { epoch, ..self.clone() }
    }

    /// The samples, not read.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// Side of the pictures that it gives, in pixels.
    pub(crate) fn image_size(&self) -> usize {
        self.preprocessing.size()
    }

    /// Reads the samples of a batch into memory for them; the first that fails is the error.
    pub(crate) fn collate(
        &self,
        indices: &[usize],
        mut batch: Collated,
    ) -> Result<Collated, DataError> {
        indices.iter().try_for_each(|index| self.append(*index, &mut batch))?;
        Ok(batch)
    }

    fn append(&self, index: usize, batch: &mut Collated) -> Result<(), DataError> {
        let Some(sample) = self.samples.get(index) else {
            let reason = format!("no sample {index} in a dataset of {}", self.samples.len());
            return Err(DataError::Batch { reason });
        };
        let placement = self.placement(index);
        if let Some(parts) = self.mosaic_of(index, sample) {
            return self.append_mosaic(sample, parts, placement, batch);
        }
        let bytes = read(&sample.image)?;
        let Resized { planes, original } = self.resized(&bytes, &sample.image)?;
        match placement {
            None => self.preprocessing.normalise(&planes, &mut batch.images),
            Some(placement) => {
                let values = self.preprocessing.normalised(&planes);
                batch.images.extend(placement.apply(&values, batch.size));
            }
        }
        if !sample.masks.is_empty() {
            let shown = ShownImage { size: original, orientation: orientation(&bytes) };
            let mask = self.load_mask(sample, shown)?;
            let moved = placement.map(|placement| placement.apply(&mask, batch.size));
            batch.next_mask().copy_from_slice(moved.as_ref().unwrap_or(&mask));
        }
        batch.push_facts(ItemFacts::of(sample, original));
        Ok(())
    }

    fn mosaic_of(&self, index: usize, sample: &Sample) -> Option<[usize; 4]> {
        let mut rng = mosaic_rng(self.seed, self.epoch, index);
        self.mosaics.as_ref()?.draw(&sample.class, &mut rng)
    }

    /// A mosaic in the place of a sample, whose class and prompt are those of its parts. It is anomalous
    /// where one of them is.
    fn append_mosaic(
        &self,
        sample: &Sample,
        parts: [usize; 4],
        placement: Option<Placement>,
        batch: &mut Collated,
    ) -> Result<(), DataError> {
        let parts = parts.map(|index| &self.samples[index]);
        let [first, second, third, last] = parts.map(|part| self.whole_picture(part));
        let whole = mosaic(&[first?, second?, third?, last?]);
        let moved = |values: Vec<f32>| match placement {
            Some(placement) => placement.apply(&values, batch.size),
            None => values,
        };
        let image = moved(self.preprocessing.image(&whole.picture)?);
        let mask = moved(self.preprocessing.mask(&whole.mask));
        batch.images.extend(image);
        batch.next_mask().copy_from_slice(&mask);
        let (width, height) = whole.picture.dimensions();
        let anomalous = parts.iter().any(|part| part.label == Label::Anomalous);
        let label = if anomalous { Label::Anomalous } else { Label::Normal };
        let has_mask =
            parts.iter().all(|part| part.label == Label::Normal || !part.masks.is_empty());
        let facts = ItemFacts::of(sample, ImageSize { width, height });
        batch.push_facts(ItemFacts { label, has_mask, ..facts });
        Ok(())
    }

    /// A picture and its mask as they were read.
    fn whole_picture(&self, sample: &Sample) -> Result<PictureWithMask, DataError> {
        let bytes = read(&sample.image)?;
        let ReadPicture { pixels: picture, faults, .. } =
            read_rgb(&bytes, &sample.image, self.bits)?;
        self.faults.note(faults);
        let size = ImageSize { width: picture.width(), height: picture.height() };
        let shown = ShownImage { size, orientation: orientation(&bytes) };
        Ok(PictureWithMask { picture, mask: self.united_mask(sample, shown)? })
    }

    /// A picture resized, or the same from the cache. One that something is to be told of is not kept
    /// there: it would be told only once.
    fn resized(&self, bytes: &[u8], path: &Path) -> Result<Resized, DataError> {
        let bits = self.bits;
        let key = || CacheKey {
            content: ContentHash::of_bytes(bytes),
            size: self.preprocessing.size(),
            bits,
        };
        let cache = self.cache.as_ref().map(|cache| (cache, key()));
        if let Some(kept) = cache.and_then(|(cache, key)| cache.get(key)) {
            return Ok(kept);
        }
        let ResizedFile { resized, faults } = resize(bytes, path, &self.preprocessing, bits)?;
        match cache {
            Some((cache, key)) if faults.is_empty() => cache.put(key, &resized),
            _ => self.faults.note(faults),
        }
        Ok(resized)
    }

    fn placement(&self, index: usize) -> Option<Placement> {
        let mut rng = augmentation_rng(self.seed, self.epoch, index);
        self.augmentation.map(|drawn| drawn.draw(self.preprocessing.size(), &mut rng))
    }

    /// All masks of a sample as one, brought to size.
    fn load_mask(&self, sample: &Sample, shown: ShownImage) -> Result<Vec<f32>, DataError> {
        Ok(self.preprocessing.mask(&self.united_mask(sample, shown)?))
    }

    /// All masks of a sample as one.
    fn united_mask(&self, sample: &Sample, shown: ShownImage) -> Result<GrayImage, DataError> {
        let masks = sample.masks.iter().map(|path| {
            let mask = MaskFile::read(path)?;
            if let Some(format) = self.mask_format {
                self.faults.note(mask.faults(sample, Some(shown), format));
            }
            Ok(mask)
        });
        unite(masks, sample, shown.size)
    }
}

impl Dataset<Result<LoadedSample, DataError>> for ImageDataset {
    fn get(&self, index: usize) -> Option<Result<LoadedSample, DataError>> {
        self.samples.get(index)?;
        let one = Collated::new(1, self.image_size());
        self.collate(&[index], one).map(Collated::into_sample).transpose()
    }

    fn len(&self) -> usize {
        self.samples.len()
    }
}
