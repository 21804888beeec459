//! Every method against goldens of its PyTorch reference: stages, losses, gradients and optimiser steps, on
//! both CPU backends.
//!
//! `goldens/NAME.safetensors` are written by the goldens.py of each method's reference; how stands in the table
//! below. The larger ones lie in `../shared` beside the clone; their test is ignored unless asked for, and
//! `GOLDEN=PART` restricts it to paths that hold this part.
//!
//! - `adaclip`: `--seed 24 --pretrain-grid 3` and `--set` with `image_size=28`, `patch=7`, `width=16`, `heads=2`,
//!   `layers=3`, `embed=16`, `text_width=16`, `text_heads=2`, `text_layers=3`, `context=9`, `vocab=32`, `taps=[1,3]`,
//!   `depth=2`, `length=1`, `clusters=2`, `per_cluster=3`, `half_prompts=true`
//! - `april-gan`: `--seed 23 --shots 1 --pretrain-grid 3` and `--set` with `image_size=28`, `patch=7`, `width=16`,
//!   `layers=2`, `heads=2`, `embed=12`, `text_width=12`, `text_layers=1`, `text_heads=2`, `context=8`, `vocab=40`,
//!   `taps=[1,2]`, `memory_taps=[2]`
//! - `winclip`: `--seed 34 --shots 1 --pretrain-grid 3` and `--set` with `image_size=32`, `patch=8`, `width=16`,
//!   `layers=2`, `heads=2`, `embed=12`, `text_width=12`, `text_layers=1`, `text_heads=2`, `context=8`, `vocab=40`,
//!   `scales=[2,3]`, `temperature=0.3`
//! - `anomalyclip`: `--seed 7 --batch 2 --pretrain-grid 3` and `--set` with `image_size=35`, `patch=7`, `width=12`,
//!   `layers=3`, `heads=2`, `embed=12`, `text_width=16`, `text_layers=3`, `text_heads=2`, `vocab=20`, `context=10`,
//!   `context_tokens=3`, `vv_layers=2`, `taps=[1,3]`, `deep_depth=2`, `sigma=2.0`
//! - `aa-clip`: `--seed 7 --batch 3 --pretrain-grid 4` and `--set` with `image_size=25`, `patch=5`, `width=12`, `layers=3`,
//!   `heads=2`, `embed=10`, `text_width=12`, `text_layers=2`, `text_heads=2`, `vocab=20`, `context=8`, `taps=[1,3]`,
//!   `text_adapters=1`, `image_adapters=1`, `vv_layers=2`
//! - `bayes-pfl`: `--seed 6 --batch 2 --pretrain-grid 3` and `--set` with `image_size=28`, `width=12`, `heads=2`,
//!   `layers=2`, `taps=[1,2]`, `embed=8`, `text_width=8`, `text_layers=1`, `text_heads=2`, `context=14`, `vocab=32`,
//!   `flows=2`, `samples=2`, `rca_heads=2`; `bayes-pfl-two`: `--seed 4 --stage 2` and the same, but `taps=[2]` and
//!   `activation="quick_gelu"`

use std::path::{Path, PathBuf};

use anomaly_methods::{ComparedMethod, compare};
use burn::backend::{Flex, NdArray};
use burn::tensor::backend::Backend;
use clip_vit::Precision;
use moeclip_goldens::Golden;

/// The goldens in a folder and those below it.
fn goldens_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = entries
        .flat_map(|path| if path.is_dir() { goldens_below(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|ending| ending == "safetensors"))
        .collect();
    found.sort();
    found
}

/// Every stage of a golden within its tolerance; `None` when it is of no method here.
fn check<B: Backend>(path: &Path) -> Option<()> {
    let golden = Golden::open(path).unwrap();
    let method = ComparedMethod::of(&golden)?;
    let report = compare::<B>(method, &golden, None, Precision::F32, &Default::default());
    let report = report.unwrap_or_else(|error| panic!("{error}"));
    for row in &report.rows {
        println!("  {:40} {:9.2e} of {:.0e}", row.stage, row.error, row.tolerance);
    }
    let failed: Vec<_> = report.rows.iter().filter(|row| !row.passes()).collect();
    assert!(failed.is_empty(), "{} ({}): {failed:#?}", path.display(), method.word());
    println!("{}: {} stages, tightest {:?}", path.display(), report.rows.len(), report.worst());
    Some(())
}

#[test]
fn flex_computes_the_references_numbers() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    goldens_below(&folder).iter().for_each(|path| check::<Flex>(path).unwrap());
}

#[test]
fn ndarray_computes_the_references_numbers() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    goldens_below(&folder).iter().for_each(|path| check::<NdArray>(path).unwrap());
}

#[test]
#[ignore = "needs ../shared beside the clone"]
fn shared_files_have_the_references_numbers() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/methods");
    let folder = std::env::var_os("GOLDENS").map_or(folder, PathBuf::from);
    let part = std::env::var("GOLDEN").unwrap_or_default();
    for path in goldens_below(&folder) {
        if path.to_string_lossy().contains(&part) {
            check::<Flex>(&path).unwrap_or_else(|| panic!("{} is of no method", path.display()));
            check::<NdArray>(&path).unwrap_or_else(|| panic!("{} is of no method", path.display()));
        }
    }
}
