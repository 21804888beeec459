//! What is written reads back, is the same every time, and never half replaces a file.

use std::collections::BTreeMap;
use std::path::Path;

use crate::weights_common::{fixture, hugging_face, open, saved, tiny_tensors, values};
use clip_vit::Activation;
use clip_vit::weights::write::{
    HostTensor, TorchValue, refuse_same_file, write_safetensors, write_torch_zip,
};
use clip_vit::weights::{
    ActivationSource, ClipCheckpoint, Dtype, FileFormat, OpenOptions, TensorFile,
};

#[test]
fn a_canonical_file_opens_again_without_options() {
    let folder = tempfile::tempdir().unwrap();
    let path = saved(folder.path(), "source", &hugging_face(&tiny_tensors()));
    let options = OpenOptions {
        vision_heads: Some(2),
        text_heads: Some(4),
        activation: Some(Activation::Gelu),
        ..OpenOptions::default()
    };
    let clip = ClipCheckpoint::open(&path, &options).unwrap();
    let out = folder.path().join("canonical.safetensors");
    clip.write_canonical(&out).unwrap();
    // A config beside the canonical file has no say.
    std::fs::write(folder.path().join("config.json"), "{").unwrap();
    let again = open(&out);
    assert_eq!(again.spec(), clip.spec());
    assert_eq!(again.activation_source(), ActivationSource::Metadata);
    assert_eq!(values(&again), values(&clip));
    let metadata = again.file().metadata();
    assert_eq!(metadata["preset"], "custom");
    assert_eq!(metadata["source_format"], "safetensors");
    assert_eq!(metadata["source_sha256"], TensorFile::open(&path).unwrap().sha256());
    assert_eq!(
        serde_json::from_str::<clip_vit::ClipSpec>(&metadata["spec"]).unwrap(),
        *clip.spec()
    );
}

#[test]
fn converting_keeps_the_type_and_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let clip = open(&fixture("openai_torchscript.pt"));
    let paths = ["one", "two"].map(|name| folder.path().join(name));
    for path in &paths {
        clip.write_canonical(path).unwrap();
    }
    let [one, two] = paths.map(|path| std::fs::read(path).unwrap());
    assert!(one == two);
    let again = open(&folder.path().join("one"));
    assert_eq!(again.dtype("visual.proj"), Some(Dtype::F16));
    assert_eq!(values(&again), values(&clip));
    let sizes = again.file().names().map(|name| again.file().stored(name).unwrap().len());
    // The header is padded, so that what follows it is aligned.
    assert_eq!((one.len() - sizes.sum::<usize>()) % 8, 0);
}

#[test]
fn a_known_hash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hash");
    write_safetensors(&path, &BTreeMap::new(), &BTreeMap::new()).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"\x08\0\0\0\0\0\0\0{}      ");
    let hash = "9bbcbf73561f6bc5d0a17ea6a2081feed2d1304e87602d8c502d9a5c4bd85576";
    assert_eq!(TensorFile::open(&path).unwrap().sha256(), hash);
}

fn checkpoint() -> TorchValue {
    let tensor =
        |shape: &[usize], values: &[f32]| TorchValue::Tensor(HostTensor::from_f32(shape, values));
    let adapter = TorchValue::Dict(vec![
        ("0.fc.weight".into(), tensor(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])),
        ("scalar".into(), tensor(&[], &[7.0])),
        ("empty".into(), tensor(&[0, 4], &[])),
    ]);
    TorchValue::Dict(vec![
        ("epoch".into(), TorchValue::Int(20)),
        ("far".into(), TorchValue::Int(-5_000_000_000)),
        ("rate".into(), TorchValue::Float(0.25)),
        ("name".into(), TorchValue::Text("größe".into())),
        ("on".into(), TorchValue::Bool(true)),
        ("nothing".into(), TorchValue::None),
        ("steps".into(), TorchValue::List(vec![TorchValue::Int(1), TorchValue::Bool(false)])),
        ("counts".into(), TorchValue::Tensor(HostTensor::from_i64(&[2], &[3, -4]))),
        ("image_adapter".into(), adapter),
        ("optimizer_state_dict".into(), TorchValue::Dict(vec![])),
    ])
}

#[test]
fn a_torch_file_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("adapter.pth");
    write_torch_zip(&path, &checkpoint()).unwrap();
    let file = TensorFile::open(&path).unwrap();
    assert_eq!(file.format(), FileFormat::TorchZip);
    let weight = "image_adapter.0.fc.weight";
    assert_eq!(file.shape(weight), Some(&[2, 3][..]));
    assert_eq!(file.read_f32(weight).unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(file.read_f32("image_adapter.scalar").unwrap(), [7.0]);
    assert_eq!(file.read_f32("image_adapter.empty").unwrap(), [0.0; 0]);
    assert_eq!(file.read_i64("counts").unwrap(), [3, -4]);
    let expected = [
        ("epoch", "20"),
        ("far", "-5000000000"),
        ("name", "größe"),
        ("on", "true"),
        ("rate", "0.25"),
        ("steps.0", "1"),
        ("steps.1", "false"),
    ];
    let pairs = file.metadata().iter().map(|(key, value)| (key.as_str(), value.as_str()));
    assert!(pairs.eq(expected));
    let again = folder.path().join("again.pth");
    write_torch_zip(&again, &checkpoint()).unwrap();
    assert!(std::fs::read(path).unwrap() == std::fs::read(again).unwrap());
}

#[test]
fn wrong_types_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("adapter.pth");
    write_torch_zip(&path, &checkpoint()).unwrap();
    let file = TensorFile::open(&path).unwrap();
    let line = file.read_f32("counts").unwrap_err().to_string();
    assert!(line.contains("tensor counts is I64, a floating-point type needed"), "{line}");
    assert!(file.read_i64("image_adapter.scalar").is_err());
    let line = file.read_f32("absent").unwrap_err().to_string();
    assert!(line.contains("holds no tensor absent; its names begin with counts"), "{line}");
}

#[test]
fn targets_that_cannot_be_written_are_one_line_each() {
    let folder = tempfile::tempdir().unwrap();
    let source = fixture("openai_torchscript.pt");
    let clip = open(&source);
    let line = |path: &Path| clip.write_canonical(path).unwrap_err().to_string();
    assert!(line(&source).contains("is the input file"));
    assert!(line(folder.path()).contains("cannot be written: is a directory"));
    let absent = folder.path().join("absent/out");
    assert!(line(&absent).contains("check that its folder exists"));
    assert!(!absent.exists());
    assert!(refuse_same_file(&source, &folder.path().join("new")).is_ok());
    #[cfg(unix)]
    {
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&source, &link).unwrap();
        assert!(line(&link).contains("is the input file"));
    }
}

#[test]
fn a_failed_write_leaves_the_old_file_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights");
    std::fs::write(&path, "old").unwrap();
    let short = HostTensor { dtype: Dtype::F32, shape: vec![2], bytes: vec![0; 4] };
    let tensors = BTreeMap::from([("w".to_owned(), short.clone())]);
    let line = write_safetensors(&path, &tensors, &BTreeMap::new()).unwrap_err().to_string();
    assert!(line.contains("tensor w cannot be written: its 4 bytes do not fill F32 [2]"), "{line}");
    assert!(write_torch_zip(&path, &TorchValue::Tensor(short)).is_err());
    let unsigned = HostTensor { dtype: Dtype::U32, shape: vec![1], bytes: vec![0; 4] };
    let root = TorchValue::Dict(vec![("w".into(), TorchValue::Tensor(unsigned))]);
    let line = write_torch_zip(&path, &root).unwrap_err().to_string();
    assert!(line.contains("tensor w cannot be written: torch has no storage for U32"), "{line}");
    let reserved = BTreeMap::from([("__metadata__".to_owned(), HostTensor::from_f32(&[], &[1.0]))]);
    assert!(write_safetensors(&path, &reserved, &BTreeMap::new()).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_clip_with_nan_is_not_converted() {
    let folder = tempfile::tempdir().unwrap();
    let mut tensors = tiny_tensors();
    tensors.insert("ln_final.bias".into(), HostTensor::from_f32(&[4], &[0.0, f32::NAN, 0.0, 0.0]));
    let clip = open(&saved(folder.path(), "nan", &tensors));
    let out = folder.path().join("out");
    let line = clip.write_canonical(&out).unwrap_err().to_string();
    assert!(line.contains("NaN or infinite: ln_final.bias;"), "{line}");
    assert!(!out.exists());
}
