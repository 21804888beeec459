//! Zero-shot means that no test image was trained on: what was trained on is stored with adapters,
//! and refused as a test set.

use std::collections::HashSet;
use std::path::Path;

use anomaly::{AuxiliaryData, Calibration};
use anyhow::bail;
use moeclip::AdapterFile;
use moeclip_data::{ContentHash, Sample};

use super::{Dataset, catalogue};
use crate::interrupt;
use crate::progress::Progress;

/// What is known of the images of a training run.
pub(crate) struct Fingerprint {
    /// What adapters remember of them.
    pub(crate) data: AuxiliaryData,
    /// Of images, masks, labels and names in their order: a run goes on only with the same.
    pub(crate) in_order: String,
}

/// Reads all images and masks once.
pub(crate) fn fingerprint(dataset: &Dataset, samples: &[Sample]) -> anyhow::Result<Fingerprint> {
    let mut images = fingerprints(samples)?;
    let mut lines = String::new();
    for (sample, image) in std::iter::zip(samples, &images) {
        let mask = sample.mask.as_deref().map(ContentHash::of_file).transpose()?;
        let mask = mask.map_or_else(String::new, |mask| mask.short());
        let (label, prompt) = (sample.label.index(), &sample.prompt);
        lines.push_str(&format!("{image} {mask} {label} {prompt}\n"));
    }
    images.sort();
    let descriptor = &dataset.descriptor;
    let (name, licence) = (descriptor.name.clone(), descriptor.licence.clone());
    let data = AuxiliaryData { name, licence, images };
    Ok(Fingerprint { data, in_order: ContentHash::of_bytes(lines.as_bytes()).to_string() })
}

/// An image file and the [short hash](ContentHash::short) of its content.
#[derive(Debug, Clone)]
pub(crate) struct HashedImage<'a> {
    pub(crate) path: &'a Path,
    pub(crate) hash: String,
}

/// Refuses a test set that adapters were trained on, as a whole or in part.
pub(crate) fn refuse_training_data(
    adapter: &AdapterFile,
    dataset: &Dataset,
    samples: &[Sample],
) -> anyhow::Result<()> {
    let why = trained_on(adapter, dataset, || hashed(samples))?;
    let file = adapter.path().display();
    why.map_or(Ok(()), |why| Err(anyhow::anyhow!("{file}: {why}")))
}

/// Refuses a test set that the adapters were calibrated on, as a whole or in part: under `deployed`
/// nothing may be taken from test images.
pub(crate) fn refuse_calibration_data(
    adapter: &AdapterFile,
    calibration: &Calibration,
    samples: &[Sample],
) -> anyhow::Result<()> {
    let Some(why) = calibrated_on(calibration, &hashed(samples)?) else { return Ok(()) };
    let file = adapter.path().display();
    bail!(
        "{file}: {why}; calibrate it on others, or leave the calibration aside with --uncalibrated"
    )
}

/// Why adapters must not be measured on a dataset, if they must not. `images` are its files, asked for
/// only where adapters say what they were trained on.
pub(crate) fn trained_on<'a>(
    adapter: &AdapterFile,
    dataset: &Dataset,
    images: impl FnOnce() -> anyhow::Result<Vec<HashedImage<'a>>>,
) -> anyhow::Result<Option<String>> {
    let Some(trained) = adapter.provenance().and_then(|from| from.data.as_ref()) else {
        return Ok(None);
    };
    let name = &dataset.descriptor.name;
    let is_known = catalogue::find(&trained.name)?.is_some();
    if is_known && dataset.descriptor.is_called(&trained.name) {
        return Ok(Some(format!("was trained on {name}; measure it on another dataset")));
    }
    let why = shared(&images()?, trained);
    Ok(why.map(|why| format!("was trained on {why}; measure it on images that it has not seen")))
}

/// Why a calibration must not be used on these images, if it must not.
pub(crate) fn calibrated_on(
    calibration: &Calibration,
    images: &[HashedImage<'_>],
) -> Option<String> {
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
fn hashed(samples: &[Sample]) -> anyhow::Result<Vec<HashedImage<'_>>> {
    let images = samples.iter().zip(fingerprints(samples)?);
    Ok(images.map(|(sample, hash)| HashedImage { path: &sample.image, hash }).collect())
}

/// One short hash per image, in order.
fn fingerprints(samples: &[Sample]) -> anyhow::Result<Vec<String>> {
    let mut progress = Progress::of_short_work("hashing", samples.len());
    let mut hashes = Vec::with_capacity(samples.len());
    for sample in samples {
        if interrupt::asked() {
            bail!("interrupted while hashing images; nothing was done");
        }
        hashes.push(ContentHash::of_file(&sample.image)?.short());
        progress.advance(String::new());
    }
    progress.finish();
    Ok(hashes)
}
