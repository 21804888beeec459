//! Zero-shot means that no test image was trained on: what was trained on is stored with adapters,
//! and refused as a test set.

use std::collections::HashSet;

use anyhow::bail;
use moeclip::{AdapterFile, AuxiliaryData};
use moeclip_data::{ContentHash, Sample};

use super::{Dataset, catalogue};
use crate::interrupt;
use crate::progress::Progress;

/// What adapters remember of the images they are trained on.
pub(crate) fn auxiliary_data(
    dataset: &Dataset,
    samples: &[Sample],
) -> anyhow::Result<AuxiliaryData> {
    let mut images = fingerprints(samples)?;
    images.sort();
    let descriptor = &dataset.descriptor;
    Ok(AuxiliaryData { name: descriptor.name.clone(), licence: descriptor.licence.clone(), images })
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
    let known: HashSet<&String> = trained.images.iter().collect();
    let shared: Vec<_> = std::iter::zip(samples, fingerprints(samples)?)
        .filter(|(_, fingerprint)| known.contains(fingerprint))
        .collect();
    if let Some((first, _)) = shared.first() {
        let (count, first) = (shared.len(), first.image.display());
        bail!(
            "{file}: was trained on {count} of these images, {first} among them; measure it on \
             images that it has not seen"
        );
    }
    Ok(())
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
