//! The whole model against the PyTorch reference: every stage, losses, gradients and an Adam step.
//!
//! `goldens/*.safetensors` are written by the reference's make_goldens.py with `--set image_size=42
//! patch=7 width=24 layers=4 heads=3 embed=20 text_width=16 text_layers=2 text_heads=2 vocab=64
//! context=10 rank=3` and: small, seed 11, taps 2 3 4; small-init, seed 12, taps 2 4, all B zero as
//! training starts; small-uneven, seed 13, taps 1 3, five experts of which one is asked, scales 1 5,
//! GELU, positions from a grid of nine. The larger goldens are read from `../shared` beside the
//! repository when they are there.

use std::path::{Path, PathBuf};

use burn::backend::{Flex, NdArray};
use burn::tensor::backend::Backend;
use clip_vit::Precision;
use moeclip_train::parity::{Golden, ParityError, run};

fn own() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    ["small", "small-init", "small-uneven"]
        .map(|name| folder.join(name).with_extension("safetensors"))
        .to_vec()
}

fn shared() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/goldens");
    let named = ["tiny", "tiny-init", "tiny-uneven"]
        .map(|name| folder.join(name).with_extension("safetensors"));
    let there: Vec<PathBuf> = named.into_iter().filter(|path| path.exists()).collect();
    if there.is_empty() {
        println!("skipped: no goldens in {}", folder.display());
    }
    there
}

/// Every stage within 1e-4, gradients within 1e-3, in relative L2.
fn check<B: Backend>() {
    for path in own().into_iter().chain(shared()) {
        let golden = Golden::open(&path).unwrap();
        let report = run::<B>(&golden, None, Precision::F32, &Default::default()).unwrap();
        let failed: Vec<_> = report.rows.iter().filter(|row| !row.passes()).collect();
        assert!(failed.is_empty(), "{}: {failed:?}", path.display());
        assert!(report.rows.iter().any(|row| row.stage.starts_with("grad.")));
        assert!(report.rows.iter().any(|row| row.stage.starts_with("adam.")));
    }
}

#[test]
fn flex_computes_the_references_numbers() {
    check::<Flex>();
}

#[test]
fn ndarray_computes_the_references_numbers() {
    check::<NdArray>();
}

#[test]
fn half_precision_of_the_frozen_part_runs_and_stays_near() {
    for precision in [Precision::F16, Precision::Bf16] {
        let golden = Golden::open(&own()[0]).unwrap();
        let report = run::<Flex>(&golden, None, precision, &Default::default()).unwrap();
        let image = report.rows.iter().find(|row| row.stage == "image").unwrap();
        assert!(image.error > 0.0 && image.error < 0.05, "{precision:?}: {image:?}");
    }
}

#[test]
fn a_changed_weight_is_noticed() {
    let bytes = std::fs::read(&own()[0]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changed.safetensors");
    let mut changed = bytes.clone();
    // Tensors lie in the order of their offsets; the middle of the file is within weights or outputs.
    let at = bytes.len() / 2 / 4 * 4;
    for value in changed[at..at + 4096].chunks_exact_mut(4) {
        value.copy_from_slice(&0.5f32.to_le_bytes());
    }
    std::fs::write(&path, changed).unwrap();
    let golden = Golden::open(&path).unwrap();
    let report = run::<Flex>(&golden, None, Precision::F32, &Default::default());
    assert!(report.is_err() || !report.unwrap().passes());
}

#[test]
fn what_is_no_golden_is_refused() {
    let weights = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../clip-vit/tests/fixtures/expected.safetensors");
    assert!(matches!(Golden::open(&weights), Err(ParityError::Config { .. })));
    assert!(Golden::open(Path::new("no such golden")).is_err());
}
