//! Both towers against the library that wrote each format: embeddings of the same pictures and
//! prompts, whatever file the weights come from.
//!
//! `fixtures/expected.safetensors` holds the inputs and transformers' outputs for the tiny CLIP of
//! `fixtures/openai_torchscript.pt` (f16, so 5e-3); the f32 formats (1e-4) lie in `../shared`
//! beside the clone, and their test is ignored unless asked for.

use std::path::{Path, PathBuf};

use burn::backend::{Flex, NdArray};
use burn::tensor::{Tensor, backend::Backend};
use clip_vit::weights::OpenOptions;
use clip_vit::{ClipCheckpoint, Precision, TensorFile, TextBackbone, TextTower, VisionTower};

/// A file and how far its embeddings may be from the expected ones.
struct Case {
    path: PathBuf,
    tolerance: f64,
}

/// The CLIP of `fixtures/` in every format that has f32.
fn shared_cases() -> [Case; 6] {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures/checkpoints");
    [
        "open_clip.safetensors",
        "open_clip.pt",
        "open_clip_training.pt",
        "open_clip_legacy.bin",
        "hf_transformers/model.safetensors",
        "hf_pytorch_model.bin",
    ]
    .map(|name| Case { path: folder.join(name), tolerance: 1e-4 })
}

/// OpenAI's format, in f16.
fn own_case() -> Case {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    Case { path: root.join("tests/fixtures/openai_torchscript.pt"), tolerance: 5e-3 }
}

fn relative_error<B: Backend>(ours: Tensor<B, 2>, expected: &[f32]) -> f64 {
    let ours: Vec<f64> = ours.into_data().iter::<f64>().collect();
    assert_eq!(ours.len(), expected.len());
    let pairs = || ours.iter().zip(expected.iter().map(|&value| f64::from(value)));
    let distance: f64 = pairs().map(|(a, b)| (a - b).powi(2)).sum();
    let norm: f64 = pairs().map(|(_, b)| b.powi(2)).sum();
    (distance / norm).sqrt()
}

fn check<B: Backend>(case: &Case) {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let expected = TensorFile::open(&fixtures.join("expected.safetensors")).unwrap();
    let clip = ClipCheckpoint::open(&case.path, &OpenOptions::default()).unwrap();
    let device = Default::default();

    let vision = VisionTower::<B>::load(clip.spec(), &clip, Precision::F32, &device).unwrap();
    let images = expected.tensor_data("in.images", Precision::F32).unwrap();
    let image = vision.encode(Tensor::from_data(images, &device));
    let error = relative_error(image, &expected.read_f32("out.image").unwrap());
    assert!(error < case.tolerance, "{}: image off by {error}", case.path.display());

    let text = TextTower::<B>::load(clip.spec(), &clip, Precision::F32, &device).unwrap();
    let ids = expected.read_i64("in.tokens").unwrap();
    let prompts: Vec<Vec<i64>> = ids.chunks(text.spec().context).map(<[i64]>::to_vec).collect();
    let features = text.project(text.encode(&prompts).unwrap());
    let error = relative_error(features, &expected.read_f32("out.text").unwrap());
    assert!(error < case.tolerance, "{}: text off by {error}", case.path.display());
}

#[test]
fn openais_format_gives_the_expected_embeddings() {
    check::<Flex>(&own_case());
    check::<NdArray>(&own_case());
}

#[test]
#[ignore = "needs ../shared beside the clone"]
fn shared_files_of_every_format_give_the_expected_embeddings() {
    for case in shared_cases() {
        check::<Flex>(&case);
        check::<NdArray>(&case);
    }
}

#[test]
fn a_canonical_file_gives_the_same_embeddings_as_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let source = own_case().path;
    let canonical = folder.path().join("clip.safetensors");
    let clip = ClipCheckpoint::open(&source, &OpenOptions::default()).unwrap();
    clip.write_canonical(&canonical).unwrap();
    check::<Flex>(&Case { path: canonical, tolerance: 5e-3 });
}
