//! A tiny CLIP in every layout, made here, for the tests of weight files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clip_vit::weights::write::{HostTensor, TorchValue, write_safetensors};
use clip_vit::weights::{ClipCheckpoint, OpenOptions, Precision, canonical_shapes};
use clip_vit::{ClipSpec, ClipSpecBuilder};

/// Tensors by name.
pub(crate) type Tensors = BTreeMap<String, HostTensor>;

/// A CLIP of some 2 thousand parameters.
pub(crate) fn tiny_spec() -> ClipSpec {
    let builder = ClipSpecBuilder::new().vision(2, 2, 8, 1).text(4, 2).tokens(3, 5).embed(6);
    builder.build().unwrap()
}

/// Its tensors, every value different.
pub(crate) fn tiny_tensors() -> Tensors {
    let shapes = canonical_shapes(&tiny_spec()).into_iter().enumerate();
    let tensor = |(index, (name, shape)): (usize, (String, Vec<usize>))| {
        let count = shape.iter().product::<usize>();
        let values: Vec<f32> = (0..count).map(|i| index as f32 + i as f32 / 1024.0).collect();
        (name, HostTensor::from_f32(&shape, &values))
    };
    shapes.map(tensor).collect()
}

/// What Hugging Face calls the parts of a name.
const RENAMED: [(&str, &str); 12] = [
    ("transformer.resblocks", "encoder.layers"),
    ("ln_1", "layer_norm1"),
    ("ln_2", "layer_norm2"),
    ("attn.out_proj", "self_attn.out_proj"),
    ("c_fc", "fc1"),
    ("c_proj", "fc2"),
    ("ln_pre", "pre_layrnorm"),
    ("ln_post", "post_layernorm"),
    ("class_embedding", "embeddings.class_embedding"),
    ("positional_embedding", "embeddings.position_embedding.weight"),
    ("token_embedding", "embeddings.token_embedding"),
    ("conv1", "embeddings.patch_embedding"),
];

/// The tensors under Hugging Face's names, q, k and v apart and the projections turned.
pub(crate) fn hugging_face(tensors: &Tensors) -> Tensors {
    let mut renamed: Tensors =
        tensors.iter().flat_map(|(name, tensor)| renamed(name, tensor)).collect();
    let positions = HostTensor::from_i64(&[1, 3], &[0, 1, 2]);
    renamed.insert("text_model.embeddings.position_ids".into(), positions);
    renamed
}

fn renamed(name: &str, tensor: &HostTensor) -> Vec<(String, HostTensor)> {
    match name {
        "visual.proj" => return vec![("visual_projection.weight".into(), turned(tensor))],
        "text_projection" => return vec![("text_projection.weight".into(), turned(tensor))],
        "logit_scale" => return vec![(name.into(), tensor.clone())],
        _ => {}
    }
    let (model, inner) = match name.strip_prefix("visual.") {
        Some(inner) => ("vision_model", inner),
        None => ("text_model", name),
    };
    let inner = inner.replace("ln_final", "final_layer_norm");
    let inner = RENAMED.iter().fold(inner, |name, (from, to)| name.replace(from, to));
    let Some((block, kind)) = inner.split_once("attn.in_proj_") else {
        return vec![(format!("{model}.{inner}"), tensor.clone())];
    };
    let name = |part: &str| format!("{model}.{block}self_attn.{part}_proj.{kind}");
    ["q", "k", "v"].map(name).into_iter().zip(thirds(tensor)).collect()
}

/// A matrix of singles with its axes exchanged.
fn turned(tensor: &HostTensor) -> HostTensor {
    let [rows, columns] = tensor.shape[..] else { panic!("no matrix") };
    let values: Vec<f32> = bytemuck::pod_collect_to_vec(&tensor.bytes);
    let turned: Vec<f32> = (0..columns)
        .flat_map(|column| (0..rows).map(move |row| row * columns + column))
        .map(|index| values[index])
        .collect();
    HostTensor::from_f32(&[columns, rows], &turned)
}

fn thirds(tensor: &HostTensor) -> Vec<HostTensor> {
    let mut shape = tensor.shape.clone();
    shape[0] /= 3;
    let parts = tensor.bytes.chunks(tensor.bytes.len() / 3);
    parts
        .map(|bytes| HostTensor {
            dtype: tensor.dtype,
            shape: shape.clone(),
            bytes: bytes.to_vec(),
        })
        .collect()
}

/// The tensors as a dictionary of `torch.save`.
pub(crate) fn state_dict(tensors: &Tensors, prefix: &str) -> TorchValue {
    let entry = |(name, tensor): (&String, &HostTensor)| {
        (format!("{prefix}{name}"), TorchValue::Tensor(tensor.clone()))
    };
    TorchValue::Dict(tensors.iter().map(entry).collect())
}

/// Writes tensors as safetensors without metadata and gives the path.
pub(crate) fn saved(folder: &Path, name: &str, tensors: &Tensors) -> PathBuf {
    let path = folder.join(name);
    write_safetensors(&path, tensors, &BTreeMap::new()).unwrap();
    path
}

/// Opens a CLIP without options.
pub(crate) fn open(path: &Path) -> ClipCheckpoint {
    ClipCheckpoint::open(path, &OpenOptions::default())
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The one line that opening `path` as a CLIP ends with.
pub(crate) fn open_error(path: &Path) -> String {
    let opened = ClipCheckpoint::open(path, &OpenOptions::default());
    let line = match opened.and_then(|clip| clip.verify_finite()) {
        Ok(()) => panic!("{} opens", path.display()),
        Err(error) => error.to_string(),
    };
    assert!(!line.contains('\n'), "{line}");
    assert!(line.contains(&*path.file_name().unwrap().to_string_lossy()), "{line}");
    line
}

/// Every tensor of a CLIP as singles.
pub(crate) fn values(clip: &ClipCheckpoint) -> BTreeMap<String, Vec<f32>> {
    let read = |name: &str| clip.tensor_data(name, Precision::F32).unwrap().to_vec().unwrap();
    clip.names().map(|name| (name.to_owned(), read(name))).collect()
}

/// The large fixtures, which lie beside the clone.
pub(crate) fn shared() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures/checkpoints")
}

/// A file of this crate's own fixtures.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}
