//! Zero-shot means that no test image was trained on: what was trained on is stored with adapters,
//! and refused as a test set.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anomaly::{AuxiliaryData, Calibration};
use moeclip_data::{ContentHash, Sample};

use crate::catalogue::find;
use crate::data::Dataset;
use crate::error::refuse;
use crate::{InspectError, TrainedFile, Watcher, WorkKind};

/// What is known of the images of a training run.
pub struct Fingerprint {
    /// What adapters remember of them.
    pub data: AuxiliaryData,
    /// Of images, masks, labels and names in their order: a run goes on only with the same.
    pub in_order: String,
}

/// Reads all images and masks once.
///
/// # Errors
/// A file that cannot be read; cancellation.
pub fn fingerprint(
    dataset: &Dataset,
    samples: &[Sample],
    watch: &mut dyn Watcher,
) -> Result<Fingerprint, InspectError> {
    let mut images = fingerprints(samples, watch)?;
    let descriptor = &dataset.descriptor;
    // Said only where it is not as it always was.
    let bits = descriptor.bits.filter(|bits| !bits.is_all());
    let mut lines = bits.map_or_else(String::new, |bits| format!("{bits} bits\n"));
    for (sample, image) in std::iter::zip(samples, &images) {
        let masks = sample.masks.iter().map(|mask| Ok(ContentHash::of_file(mask)?.short()));
        let mask = masks.collect::<Result<Vec<_>, InspectError>>()?.join("+");
        let (label, prompt) = (sample.label.index(), &sample.prompt);
        lines.push_str(&format!("{image} {mask} {label} {prompt}\n"));
    }
    images.sort();
    let (name, licence) = (descriptor.name.clone(), descriptor.licence.clone());
    let data = AuxiliaryData { name, licence, images };
    Ok(Fingerprint { data, in_order: ContentHash::of_bytes(lines.as_bytes()).to_string() })
}

/// An image file and the [short hash](ContentHash::short) of its content.
#[derive(Debug, Clone)]
pub struct HashedImage<'a> {
    /// Where it is.
    pub path: &'a Path,
    /// The hash.
    pub hash: String,
}

/// Refuses a test set that adapters were trained on, as a whole or in part.
///
/// # Errors
/// The refusal; a file that cannot be read; cancellation.
pub fn refuse_training_data(
    trained: &dyn TrainedFile,
    dataset: &Dataset,
    samples: &[Sample],
    watch: &mut dyn Watcher,
) -> Result<(), InspectError> {
    let why = trained_on(trained, dataset, || hashed(samples, watch))?;
    let file = trained.path().display();
    why.map_or(Ok(()), |why| Err(InspectError::refused(format!("{file}: {why}"))))
}

/// Refuses a test set that the adapters were calibrated on, as a whole or in part: under `deployed`
/// nothing may be taken from test images.
///
/// # Errors
/// The refusal; a file that cannot be read; cancellation.
pub fn refuse_calibration_data(
    trained: &dyn TrainedFile,
    calibration: &Calibration,
    samples: &[Sample],
    watch: &mut dyn Watcher,
) -> Result<(), InspectError> {
    let Some(why) = calibrated_on(calibration, &hashed(samples, watch)?) else { return Ok(()) };
    let file = trained.path().display();
    refuse!(
        "{file}: {why}; calibrate it on others, or leave the calibration aside with --uncalibrated"
    )
}

/// Refuses a test set that holds an image which the method is shown beforehand.
///
/// # Errors
/// The refusal; a file that cannot be read; cancellation.
pub fn refuse_reference_images(
    references: &[PathBuf],
    samples: &[Sample],
    watch: &mut dyn Watcher,
) -> Result<(), InspectError> {
    if references.is_empty() {
        return Ok(());
    }
    let hash = |file: &PathBuf| Ok(ContentHash::of_file(file)?.short());
    let images = references.iter().map(hash).collect::<Result<_, InspectError>>()?;
    let shown = AuxiliaryData { images, ..AuxiliaryData::default() };
    let Some(why) = shared(&hashed(samples, watch)?, &shown) else { return Ok(()) };
    refuse!("--references: holds {why}, which are to be measured; give images of a training set")
}

/// Why adapters must not be measured on a dataset, if they must not. `images` are its files, asked for
/// only where adapters say what they were trained on.
///
/// # Errors
/// As `images`.
pub fn trained_on<'a>(
    trained: &dyn TrainedFile,
    dataset: &Dataset,
    images: impl FnOnce() -> Result<Vec<HashedImage<'a>>, InspectError>,
) -> Result<Option<String>, InspectError> {
    let Some(trained) = trained.provenance().and_then(|from| from.data.as_ref()) else {
        return Ok(None);
    };
    let name = &dataset.descriptor.name;
    let is_known = find(&trained.name)?.is_some();
    if is_known && dataset.descriptor.is_called(&trained.name) {
        return Ok(Some(format!("was trained on {name}; measure it on another dataset")));
    }
    let why = shared(&images()?, trained);
    Ok(why.map(|why| format!("was trained on {why}; measure it on images that it has not seen")))
}

/// Why a calibration must not be used on these images, if it must not.
pub fn calibrated_on(calibration: &Calibration, images: &[HashedImage<'_>]) -> Option<String> {
    let why = shared(images, &calibration.images.data);
    why.map(|why| format!("was calibrated on {why}"))
}

/// Which images are among those of `data`; `None` where none is.
fn shared(images: &[HashedImage<'_>], data: &AuxiliaryData) -> Option<String> {
    let known: HashSet<&String> = data.images.iter().collect();
    let mut shared = images.iter().filter(|image| known.contains(&image.hash));
    let first = shared.next()?;
    let count = 1 + shared.count();
    Some(format!("{count} of these images, {} among them", first.path.display()))
}

/// The images of samples, in order.
fn hashed<'a>(
    samples: &'a [Sample],
    watch: &mut dyn Watcher,
) -> Result<Vec<HashedImage<'a>>, InspectError> {
    let images = samples.iter().zip(fingerprints(samples, watch)?);
    Ok(images.map(|(sample, hash)| HashedImage { path: &sample.image, hash }).collect())
}

/// One short hash per image, in order.
fn fingerprints(samples: &[Sample], watch: &mut dyn Watcher) -> Result<Vec<String>, InspectError> {
    watch.begin(WorkKind::Hashing, samples.len());
    let mut hashes = Vec::with_capacity(samples.len());
    for sample in samples {
        if watch.is_cancelled() {
            return Err(InspectError::cancelled(
                "interrupted while hashing images; nothing was done",
            ));
        }
        hashes.push(ContentHash::of_file(&sample.image)?.short());
        watch.advance(String::new());
    }
    watch.end();
    Ok(hashes)
}
