//! One CLIP in every format, each file written by the library that owns the format: all open to the
//! same names, shapes and values; each broken file gives its one line.

use std::path::Path;

use crate::weights_common::{fixture, open, open_error, shared, values};
use clip_vit::weights::{ActivationSource, Dtype, FileFormat, TensorFile};
use clip_vit::{Activation, ClipSpecBuilder};

/// Half precision rounds to 11 bits; the file's values reach about 4.6.
const HALF: f32 = 5e-3;

fn check_equal(path: &Path, reference: &Path, tolerance: f32) {
    let (found, expected) = (open(path), open(reference));
    assert_eq!(found.spec(), expected.spec(), "{}", path.display());
    let (found_values, expected_values) = (values(&found), values(&expected));
    assert!(found.names().eq(expected.names()), "{}", path.display());
    for (name, expected_tensor) in &expected_values {
        assert_eq!(found.shape(name), expected.shape(name), "{name}");
        let pairs = found_values[name].iter().zip(expected_tensor);
        let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= tolerance, "{}: {name} differs by {worst}", path.display());
    }
}

#[test]
#[ignore = "needs ../shared beside the clone"]
fn shared_files_of_every_format_hold_the_same_clip() {
    let folder = shared();
    let reference = folder.join("open_clip.safetensors");
    let files = [
        ("open_clip.safetensors", FileFormat::Safetensors, 0.0),
        ("open_clip.pt", FileFormat::TorchZip, 0.0),
        ("open_clip_training.pt", FileFormat::TorchZip, 0.0),
        ("open_clip_legacy.bin", FileFormat::TorchLegacy, 0.0),
        ("hf_pytorch_model.bin", FileFormat::TorchZip, 0.0),
        ("hf_transformers/model.safetensors", FileFormat::Safetensors, 0.0),
        ("openai_torchscript.pt", FileFormat::TorchScript, HALF),
    ];
    for (name, format, tolerance) in files {
        let path = folder.join(name);
        assert_eq!(open(&path).source_format(), format, "{name}");
        check_equal(&path, &reference, tolerance);
    }
}

#[test]
#[ignore = "needs ../shared beside the clone"]
fn shared_files_are_told_by_content() {
    let folder = shared();
    let scratch = tempfile::tempdir().unwrap();
    for (name, other) in [("open_clip.pt", "a.safetensors"), ("open_clip.safetensors", "b.jpg")] {
        let renamed = scratch.path().join(other);
        std::fs::copy(folder.join(name), &renamed).unwrap();
        check_equal(&renamed, &folder.join(name), 0.0);
    }
}

#[test]
#[ignore = "needs ../shared beside the clone"]
fn shared_files_with_a_config_beside_them_take_its_activation() {
    let folder = shared();
    let clip = open(&folder.join("hf_transformers/model.safetensors"));
    assert_eq!(clip.activation_source(), ActivationSource::Config);
    let clip = open(&folder.join("open_clip.pt"));
    assert_eq!(clip.activation_source(), ActivationSource::Assumed);
    assert_eq!(clip.preset(), None);
}

#[test]
#[ignore = "needs ../shared beside the clone"]
fn shared_files_that_are_broken_give_one_line_each() {
    let folder = shared();
    let cases = [
        ("missing_key.safetensors", "missing: visual.ln_post.weight; give"),
        ("wrong_shape.safetensors", "wrong shape: visual.proj is [128, 16], [128, 32] needed;"),
        ("nan.safetensors", "NaN or infinite: visual.proj;"),
        ("truncated.safetensors", "truncated"),
        ("hostile_pickle.pt", "asks for posix.system; nothing was executed"),
        ("moeclip_authors.pth", "is a file of MoECLIP adapters, which goes with --adapter"),
    ];
    for (name, expected) in cases {
        let line = open_error(&folder.join(name));
        assert!(line.contains(expected), "{line}");
    }
}

#[test]
#[ignore = "needs ../shared beside the clone"]
fn shared_files_of_the_authors_read_as_they_were_written() {
    let folder = shared();
    let file = TensorFile::open(&folder.join("moeclip_authors.pth")).unwrap();
    let expected = TensorFile::open(&folder.join("moeclip_authors_expected.safetensors")).unwrap();
    assert_eq!(file.metadata()["epoch"], "20");
    for name in expected.names() {
        let whole = match name.strip_prefix("text_adapter.") {
            Some(_) => name.to_owned(),
            None => format!("image_adapter.{name}"),
        };
        assert_eq!(file.shape(&whole), expected.shape(name), "{whole}");
        assert_eq!(file.read_f32(&whole).unwrap(), expected.read_f32(name).unwrap(), "{whole}");
    }
    assert_eq!(file.names().count(), expected.names().count());
}

#[test]
fn the_archive_of_torchscript_opens_without_shared_files() {
    let clip = open(&fixture("openai_torchscript.pt"));
    assert_eq!(clip.source_format(), FileFormat::TorchScript);
    let builder = ClipSpecBuilder::new().vision(14, 4, 128, 2).text(64, 2).tokens(16, 640);
    assert_eq!(*clip.spec(), builder.embed(32).build().unwrap());
    assert_eq!(clip.spec().activation, Activation::QuickGelu);
    assert_eq!(clip.dtype("visual.proj"), Some(Dtype::F16));
    assert!(clip.verify_finite().is_ok());
    let file = clip.file();
    assert_eq!(file.read_i64("input_resolution").unwrap(), [56]);
    assert_eq!(file.metadata()["visual.training"], "false");
}

#[test]
fn a_hostile_pickle_runs_nothing() {
    let mark = Path::new("/tmp/pwned");
    let before = mark.exists();
    let line = open_error(&fixture("hostile_pickle.pt"));
    assert!(line.contains("refused: the pickle asks for posix.system"), "{line}");
    assert_eq!(mark.exists(), before);
}
