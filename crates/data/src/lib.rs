//! Pictures in, batches out: finds the images of a dataset, decodes and resizes them as Pillow
//! does, augments and batches them.
//!
//! The way of the data: a folder is scanned into [`Sample`]s ([`scan`]), an [`ImageDataset`] turns
//! a sample into a [`LoadedSample`] (decode, [`Preprocessing`], [`Augmentation`]), and [`Batches`]
//! yields [`Batch`]es in a fixed order while threads decode ahead. One seed gives one sequence,
//! whatever the number of threads.
//!
//! This crate never prints, never chooses a device and names no dataset: a bad file is a
//! [`DataError`] that says which file it was and what to do.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use burn::backend::Flex;
//! use moeclip_data::{
//!     Augmentation, Batches, ImageDataset, LoaderOptions, Preprocessing, Split, epoch_order, scan,
//! };
//!
//! let samples = scan(Path::new("hazelnut"), Split::Test)?;
//! let dataset = ImageDataset::new(samples, Preprocessing::clip(518)?);
//! let (seed, epoch) = (7, 0);
//! let dataset = dataset.augmented(Augmentation::default(), seed)?.at_epoch(epoch);
//! let order = epoch_order(seed, epoch, dataset.samples().len());
//! let device = Default::default();
//! for batch in Batches::<Flex>::start(&dataset, order, LoaderOptions::new(2), device)? {
//!     let batch = batch?;
//!     assert_eq!(batch.images.dims(), [batch.paths.len(), 3, 518, 518]);
//! }
//! # Ok::<(), moeclip_data::DataError>(())
//! ```

pub use conditions::JPEG_DECODER;

mod augment;
mod batch;
mod cache;
mod content;
mod dataset;
mod decode;
mod descriptor;
mod dicom;
mod error;
mod fault;
mod folder;
mod hold_out;
mod jpeg;
mod layout;
mod loader;
mod masks;
mod mosaic;
mod order;
mod preprocess;
mod sample;
mod spare;
mod turbo;
mod verify;
mod written;

pub use augment::{Augmentation, Placement};
pub use batch::{Batch, ImageBatcher};
pub use cache::Cache;
pub use content::ContentHash;
pub use dataset::{ImageDataset, LoadedSample, PreparedImage, prepare_image};
pub use decode::{
    PictureReader, SampleBits, decode_mask, decode_mask_bytes, decode_rgb, decode_rgb_bytes,
};
pub use descriptor::{
    Class, Descriptor, Grouping, MaskFormat, MaskValues, Percent, PictureFormat, PromptNames,
};
pub use error::DataError;
pub use fault::{Fault, FaultKind};
pub use folder::{FoundImages, IMAGE_EXTENSIONS, by_ending, images, is_passed_over};
pub use hold_out::{HeldOutSplit, hold_out};
pub use layout::{
    CsvList, Folder, Jsonl, LabelsCsv, Layout, ListFormat, Listing, Masked, MetaJson, Record, Scan,
    SplitCsv, Tree, scan,
};
pub use loader::{Batches, LoaderOptions};
pub use masks::read_masks;
pub use mosaic::{PictureWithMask, mosaic};
pub use order::{augmentation_rng, epoch_order};
pub use preprocess::{CLIP_MEAN, CLIP_STD, MAX_SIZE, MaskResize, MaskRule, Preprocessing};
pub use sample::{Counts, ImageSize, Label, Sample, Split};
pub use verify::{Checked, ClassTally, ExpectedCount, Verification, verify};
pub use written::{
    EXPERTS_SUFFIX, MAP_SUFFIX, MARK_KEYWORD, MARK_TEXT, OVERLAY_SUFFIX, PREDICTIONS, is_written,
};
