//! Bytes of unknown origin as two masks of an image, the whole way: read, united, held against what masks
//! should be and brought to the model's size. An error or zeros and ones, never a crash.
#![no_main]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use burn::data::dataset::Dataset;
use libfuzzer_sys::fuzz_target;
use moeclip_data::{
    ImageDataset, Label, MaskFormat, MaskRule, Preprocessing, Sample, decode_mask_bytes,
};
use tempfile::TempDir;

/// Larger masks only cost time.
const PIXELS: u32 = 1 << 16;
const SIZE: usize = 16;

static FOLDER: LazyLock<TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("a folder can be made"));

/// A black picture of the mask's size, so that the two go together.
fn image_beside(mask: &[u8]) -> Option<Vec<u8>> {
    let (width, height) = decode_mask_bytes(mask, Path::new("fuzzed")).ok()?.dimensions();
    let pixels = width.saturating_mul(height);
    let header = format!("P5\n{width} {height}\n255\n").into_bytes();
    (pixels <= PIXELS).then(|| [header, vec![0; pixels as usize]].concat())
}

fn written(name: &str, bytes: &[u8]) -> PathBuf {
    let path = FOLDER.path().join(name);
    fs::write(&path, bytes).expect("the folder takes files");
    path
}

// The first byte chooses label and rule, the second where the first mask ends.
fuzz_target!(|bytes: &[u8]| {
    let [choice, cut, masks @ ..] = bytes else { return };
    let (first, second) = masks.split_at(masks.len() * usize::from(*cut) / 255);
    let Some(image) = image_beside(first) else { return };
    let label = if choice & 1 == 0 { Label::Anomalous } else { Label::Normal };
    let mut sample = Sample::new(written("image.pgm", &image), "a", label, "b");
    sample.masks.push(written("first", first));
    if !second.is_empty() {
        sample.masks.push(written("second", second));
    }
    let rule = if choice & 2 == 0 { MaskRule::NonZero } else { MaskRule::Above(127) };
    let preprocessing = Preprocessing::clip(SIZE).expect("16 is a size").with_mask_rule(rule);
    let format = MaskFormat { rule, ..MaskFormat::default() };
    let dataset = ImageDataset::new(vec![sample], preprocessing).checking_masks(format);
    let Some(Ok(loaded)) = dataset.get(0) else { return };
    assert_eq!(loaded.mask.len(), SIZE * SIZE);
    assert!(loaded.mask.iter().all(|value| *value == 0.0 || *value == 1.0));
    assert!(dataset.take_faults().iter().all(|fault| !fault.detail.contains('\n')));
});
