//! Zero-shot means that no test image was trained on: what was trained on is stored with adapters,
//! and refused as a test set.

use std::collections::HashSet;
use std::path::Path;

use anyhow::bail;
use moeclip::{AdapterFile, AuxiliaryData};
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
    let why = trained_on(adapter, dataset, || {
        let hashes = fingerprints(samples)?;
        Ok(samples.iter().map(|sample| sample.image.as_path()).zip(hashes).collect())
    })?;
    let file = adapter.path().display();
    why.map_or(Ok(()), |why| Err(anyhow::anyhow!("{file}: {why}")))
}

/// Why adapters must not be measured on a dataset, if they must not. `images` are its files with the
/// [short hash](ContentHash::short) of each, asked for only where adapters say what they were trained
/// on.
pub(crate) fn trained_on<'a>(
    adapter: &AdapterFile,
    dataset: &Dataset,
    images: impl FnOnce() -> anyhow::Result<Vec<(&'a Path, String)>>,
) -> anyhow::Result<Option<String>> {
    let Some(trained) = adapter.provenance().and_then(|from| from.data.as_ref()) else {
        return Ok(None);
    };
    let name = &dataset.descriptor.name;
    let is_known = catalogue::find(&trained.name)?.is_some();
    if is_known && dataset.descriptor.is_called(&trained.name) {
        return Ok(Some(format!("was trained on {name}; measure it on another dataset")));
    }
    let known: HashSet<&String> = trained.images.iter().collect();
    let images = images()?;
    let shared: Vec<_> = images.iter().filter(|(_, hash)| known.contains(hash)).collect();
    Ok(shared.first().map(|(first, _)| {
        let (count, first) = (shared.len(), first.display());
        format!(
            "was trained on {count} of these images, {first} among them; measure it on images that \
             it has not seen"
        )
    }))
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
