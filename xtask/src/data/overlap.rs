//! Zero-shot means that no test image was trained on: what was trained on is stored with adapters,
//! and refused as a test set.

use std::collections::HashSet;

use anyhow::bail;
use moeclip::{AdapterFile, AuxiliaryData, Calibration};
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

/// Refuses a test set that adapters were trained on, as a whole or in part.
pub(crate) fn refuse_training_data(
    adapter: &AdapterFile,
    dataset: &Dataset,
    samples: &[Sample],
) -> anyhow::Result<()> {
    let Some(trained) = adapter.provenance().and_then(|from| from.data.as_ref()) else {
        return Ok(());
    };
    let (file, name) = (adapter.path().display(), &dataset.descriptor.name);
    let is_known = catalogue::find(&trained.name)?.is_some();
    if is_known && dataset.descriptor.is_called(&trained.name) {
        bail!("{file}: was trained on {name}; measure it on another dataset");
    }
    let shared = shared(samples, trained)?;
    if let Some(first) = shared.first() {
        let (count, first) = (shared.len(), first.image.display());
        bail!(
            "{file}: was trained on {count} of these images, {first} among them; measure it on \
             images that it has not seen"
        );
    }
    Ok(())
}

/// Refuses a test set that the adapters were calibrated on, as a whole or in part: under `deployed`
/// nothing may be taken from test images.
pub(crate) fn refuse_calibration_data(
    adapter: &AdapterFile,
    calibration: &Calibration,
    samples: &[Sample],
) -> anyhow::Result<()> {
    let shared = shared(samples, &calibration.images.data)?;
    let Some(first) = shared.first() else { return Ok(()) };
    let (file, count, first) = (adapter.path().display(), shared.len(), first.image.display());
    bail!(
        "{file}: was calibrated on {count} of these images, {first} among them; calibrate it on \
         others, or leave the calibration aside with --uncalibrated"
    );
}

/// The samples that are among the images of `data`.
fn shared<'a>(samples: &'a [Sample], data: &AuxiliaryData) -> anyhow::Result<Vec<&'a Sample>> {
    let known: HashSet<&String> = data.images.iter().collect();
    let hashed = std::iter::zip(samples, fingerprints(samples)?);
    Ok(hashed.filter(|(_, hash)| known.contains(hash)).map(|(sample, _)| sample).collect())
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
