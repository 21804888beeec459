//! A calibration in a file of adapters: it comes back, nothing else changes, and a file that cannot
//! carry one, or carries a broken one, says so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anomaly::{
    AuxiliaryData, Calibration, CalibrationConditions, CalibrationImages, Domain, ImageThreshold,
    PixelThreshold, RateInterval, ScoreRange,
};
use burn::backend::Flex;
use burn::tensor::TensorData;
use clip_vit::weights::write::write_safetensors;
use clip_vit::{ClipSpec, ClipSpecBuilder, TensorFile};
use conditions::Conditions;
use moeclip::{
    AdapterFile, Adapters, Assumed, MoeClipConfig, PromptSet, Provenance, weights, write_adapter,
    write_authors,
};

fn spec() -> ClipSpec {
    ClipSpecBuilder::new().vision(7, 4, 64, 4).text(64, 1).embed(32).build().unwrap()
}

fn config() -> MoeClipConfig {
    MoeClipConfig { image_size: 42, taps: vec![2, 4], ..MoeClipConfig::default() }
}

fn tensors() -> BTreeMap<String, TensorData> {
    let adapters = Adapters::<Flex>::init(&config(), &spec(), 5, &Default::default()).unwrap();
    weights(&adapters).into_iter().map(|tensor| (tensor.name, tensor.data)).collect()
}

fn calibration() -> Calibration {
    let data =
        AuxiliaryData { name: "nuts".into(), licence: "".into(), images: vec!["0a".into(); 99] };
    let prompts = PromptSet::default();
    Calibration {
        map: ScoreRange { low: -0.1, high: 12.345_679 },
        image: ScoreRange { low: 0.487_654_3, high: 0.5 },
        image_threshold: ImageThreshold {
            value: 0.987_654_3,
            target_fpr: 0.01,
            level: 0.95,
            low: Some(1e-7),
            high: None,
            fpr: RateInterval { low: 0.000_255_7, high: 0.036_575_7 },
        },
        pixel_threshold: PixelThreshold { value: 11.1, target_fpr: 0.01, measured_fpr: 0.0 },
        images: CalibrationImages {
            data,
            split: "train".into(),
            classes: vec!["nut".into()],
            trained_on: 0,
        },
        conditions: CalibrationConditions {
            domain: Domain::Industrial,
            image_size: 42,
            precision: "F32".into(),
            clip_sha256: "c".repeat(64),
            prompts_sha256: prompts.sha256(),
            shared: Conditions::here("flex"),
        },
        rule: None,
    }
}

fn open(path: &Path) -> AdapterFile {
    AdapterFile::open(path, &Assumed::default()).unwrap()
}

fn adapters(folder: &Path) -> PathBuf {
    let path = folder.join("adapter.safetensors");
    let provenance = Provenance { clip: Some(spec()), ..Provenance::default() };
    write_adapter(&path, &tensors(), &config(), Some(&provenance)).unwrap();
    path
}

#[test]
fn it_comes_back_and_nothing_else_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = adapters(folder.path());
    let before = std::fs::read(&path).unwrap();
    let described = TensorFile::open(&path).unwrap().metadata().clone();
    let plain = open(&path);
    assert_eq!(plain.calibration(), None);
    plain.write_calibrated(&path, &calibration()).unwrap();

    let calibrated = open(&path);
    assert_eq!(calibrated.calibration(), Some(&calibration()));
    assert_eq!(calibrated.provenance(), plain.provenance());
    let after = std::fs::read(&path).unwrap();
    assert_eq!(elements(&before), elements(&after), "tensors, to the byte");
    let mut metadata = TensorFile::open(&path).unwrap().metadata().clone();
    metadata.remove("calibration").unwrap();
    assert_eq!(metadata, described);

    calibrated.write_calibrated(&path, &calibration()).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), after, "the same again gives the same bytes");
}

/// What follows a safetensors header.
fn elements(file: &[u8]) -> &[u8] {
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    &file[8 + length..]
}

#[test]
fn a_file_that_cannot_carry_one_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let theirs = folder.path().join("theirs.pth");
    write_authors(&theirs, &tensors(), &config(), 20).unwrap();
    let assumed = Assumed { taps: Some(vec![2, 4]), ..Assumed::default() };
    let authors = AdapterFile::open(&theirs, &assumed).unwrap();
    let path = adapters(folder.path());
    let checkpoint = rewritten(&path, "format", "moeclip-checkpoint");
    for (file, says) in [(authors, "in the authors' format"), (open(&checkpoint), "a checkpoint")] {
        let before = std::fs::read(file.path()).unwrap();
        let error = file.write_calibrated(file.path(), &calibration()).unwrap_err().to_string();
        assert!(error.contains(says) && error.lines().count() == 1, "{error}");
        assert_eq!(std::fs::read(file.path()).unwrap(), before);
    }
    let nowhere = folder.path().join("no/adapter.safetensors");
    let error = open(&path).write_calibrated(&nowhere, &calibration()).unwrap_err().to_string();
    assert!(error.contains("no/adapter.safetensors") && error.lines().count() == 1, "{error}");
}

#[test]
fn a_broken_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = adapters(folder.path());
    let text = serde_json::to_string(&calibration()).unwrap();
    let broken = [
        ("{}".to_owned(), "missing field"),
        (text.replace("0.9876543", "1e99"), "image_threshold"),
        (text.replace("12.345679", "-7"), "a range from -0.1 to -7"),
    ];
    for (text, says) in broken {
        let file = rewritten(&path, "calibration", &text);
        let error = AdapterFile::open(&file, &Assumed::default()).unwrap_err().to_string();
        assert!(error.contains("metadata \"calibration\" is broken"), "{error}");
        assert!(error.contains(says) && error.lines().count() == 1, "{error}");
    }
}

/// A copy with one metadata entry set.
fn rewritten(path: &Path, key: &str, value: &str) -> PathBuf {
    let file = TensorFile::open(path).unwrap();
    let mut metadata = file.metadata().clone();
    metadata.insert(key.into(), value.into());
    let copy = path.with_extension("copy");
    write_safetensors(&copy, &file.host_tensors().unwrap(), &metadata).unwrap();
    copy
}
