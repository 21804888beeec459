//! Wrapped, renamed and incomplete CLIPs, written here: the same CLIP comes out, or every tensor at
//! fault is named; options, metadata and `config.json` settle what shapes do not show.

use std::collections::BTreeMap;

use crate::weights_common::{
    Tensors, hugging_face, open, open_error, saved, state_dict, tiny_spec, tiny_tensors, values,
};
use clip_vit::weights::write::{HostTensor, TorchValue, write_safetensors, write_torch_zip};
use clip_vit::weights::{
    ActivationSource, ClipCheckpoint, Dtype, OpenOptions, Precision, TensorFile, canonical_shapes,
};
use clip_vit::{Activation, Normalisation, Preset};

#[test]
fn every_layout_gives_the_same_clip() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = tiny_tensors();
    let expected = values(&open(&saved(folder.path(), "plain", &tensors)));
    let optimizer = TorchValue::Dict(vec![("0".into(), state_dict(&tensors, "exp_"))]);
    let training = TorchValue::Dict(vec![
        ("epoch".into(), TorchValue::Int(3)),
        ("name".into(), TorchValue::Text("run".into())),
        ("state_dict".into(), state_dict(&tensors, "module.")),
        ("optimizer".into(), optimizer),
    ]);
    let roots = [
        ("plain.pt", state_dict(&tensors, "")),
        ("module.pt", state_dict(&tensors, "module.")),
        ("compiled.pt", state_dict(&tensors, "_orig_mod.")),
        ("training.pt", training),
        ("face.bin", state_dict(&hugging_face(&tensors), "")),
    ];
    for (name, root) in roots {
        let path = folder.path().join(name);
        write_torch_zip(&path, &root).unwrap();
        let clip = open(&path);
        assert_eq!(*clip.spec(), tiny_spec(), "{name}");
        assert_eq!(values(&clip), expected, "{name}");
    }
}

#[test]
fn every_tensor_at_fault_is_named_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut tensors = tiny_tensors();
    tensors.remove("ln_final.bias");
    tensors.insert("visual.head.weight".into(), HostTensor::from_f32(&[1], &[0.0]));
    tensors.insert("visual.proj".into(), HostTensor::from_f32(&[8, 5], &[0.0; 40]));
    tensors.insert("logit_scale".into(), HostTensor::from_i64(&[], &[1]));
    tensors.insert("visual.ln_pre.bias".into(), HostTensor::from_f32(&[8], &[f32::INFINITY; 8]));
    let line = open_error(&saved(folder.path(), "broken", &tensors));
    for part in [
        "missing: ln_final.bias;",
        "unexpected: visual.head.weight;",
        "wrong shape: visual.proj is [8, 5], [8, 6] needed;",
        "not floating point: logit_scale is I64;",
        "NaN or infinite: visual.ln_pre.bias;",
    ] {
        assert!(line.contains(part), "{part} not in: {line}");
    }
}

#[test]
fn a_file_of_hugging_face_is_blamed_in_its_own_names() {
    let folder = tempfile::tempdir().unwrap();
    let mut tensors = hugging_face(&tiny_tensors());
    tensors.remove("vision_model.encoder.layers.0.self_attn.k_proj.bias");
    let wide = HostTensor::from_f32(&[6, 9], &[0.0; 54]);
    tensors.insert("visual_projection.weight".into(), wide);
    let line = open_error(&saved(folder.path(), "face", &tensors));
    assert!(line.contains("missing: vision_model.encoder.layers.0.self_attn.k_proj.bias;"));
    assert!(line.contains("visual_projection.weight is [6, 9], [6, 8] needed"), "{line}");
    let mut mixed = hugging_face(&tiny_tensors());
    let half = HostTensor { dtype: Dtype::F16, shape: vec![8], bytes: vec![0; 16] };
    mixed.insert("vision_model.encoder.layers.0.self_attn.k_proj.bias".into(), half);
    let line = open_error(&saved(folder.path(), "mixed", &mixed));
    assert!(line.contains("k_proj.bias is F16, F32 needed"), "{line}");
}

#[test]
fn a_tower_without_layers_is_no_whole_clip() {
    let folder = tempfile::tempdir().unwrap();
    let mut tensors = tiny_tensors();
    tensors.retain(|name, _| !(name.starts_with("visual.") && name.contains("resblocks")));
    let line = open_error(&saved(folder.path(), "layerless", &tensors));
    assert!(line.contains("vision.layers is 0"), "{line}");
    let stranger = Tensors::from([("a".to_owned(), HostTensor::from_f32(&[1], &[1.0]))]);
    let line = open_error(&saved(folder.path(), "stranger", &stranger));
    assert!(line.contains("none of its 1 tensors has a name"), "{line}");
}

#[test]
fn options_win_over_the_config_beside_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = saved(folder.path(), "model.safetensors", &tiny_tensors());
    assert_eq!(open(&path).activation_source(), ActivationSource::Assumed);
    let config = r#"{"vision_config": {"num_attention_heads": 4, "hidden_act": "gelu"},
        "text_config": {"num_attention_heads": 2, "hidden_act": "gelu"}}"#;
    std::fs::write(folder.path().join("config.json"), config).unwrap();
    let clip = open(&path);
    assert_eq!((clip.spec().vision.heads, clip.spec().text.heads), (4, 2));
    assert_eq!(clip.spec().activation, Activation::Gelu);
    assert_eq!(clip.activation_source(), ActivationSource::Config);
    let mut options = OpenOptions { vision_heads: Some(8), ..OpenOptions::default() };
    options.activation = Some(Activation::QuickGelu);
    let clip = ClipCheckpoint::open(&path, &options).unwrap();
    assert_eq!((clip.spec().vision.heads, clip.spec().text.heads), (8, 2));
    assert_eq!(clip.activation_source(), ActivationSource::Option);
    options.vision_heads = Some(3);
    let error = ClipCheckpoint::open(&path, &options).unwrap_err().to_string();
    assert!(error.contains("vision.heads = 3 does not divide"), "{error}");
    std::fs::write(folder.path().join("config.json"), "{").unwrap();
    let error = ClipCheckpoint::open(&path, &OpenOptions::default()).unwrap_err().to_string();
    assert!(error.contains("config.json") && error.contains("no valid JSON"), "{error}");
}

#[test]
fn what_a_config_says_is_kept_in_a_converted_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = saved(folder.path(), "model.safetensors", &tiny_tensors());
    let guessed = open(&path);
    let towers = guessed.guessed_heads().iter().map(|guess| guess.tower).collect::<Vec<_>>();
    assert_eq!(towers, ["vision", "text"]);
    assert_eq!((guessed.normalisation(), guessed.image_size()), (Normalisation::CLIP, 4));
    let plain = folder.path().join("plain.safetensors");
    guessed.write_canonical(&plain).unwrap();
    let names = TensorFile::open(&plain).unwrap().metadata().keys().cloned().collect::<Vec<_>>();
    assert!(!names.contains(&"normalisation".to_owned()), "CLIP's own is not written: {names:?}");
    let config = "\u{feff}{\"model_cfg\": {\"vision_cfg\": {\"head_width\": 2}, \"text_cfg\": {\"heads\": 2}}, \
        \"preprocess_cfg\": {\"mean\": [0.5, 0.5, 0.5], \"std\": [0.5, 0.25, 0.5], \"size\": [6, 6]}}";
    std::fs::write(folder.path().join("open_clip_config.json"), config).unwrap();
    let told = open(&path);
    let halves = Normalisation { mean: [0.5; 3], deviation: [0.5, 0.25, 0.5] };
    assert_eq!((told.normalisation(), told.image_size()), (halves, 6));
    assert!(told.guessed_heads().is_empty());
    let apart = tempfile::tempdir().unwrap();
    let converted = apart.path().join("clip.safetensors");
    told.write_canonical(&converted).unwrap();
    let again = open(&converted);
    assert_eq!((again.spec(), again.normalisation()), (told.spec(), halves));
    assert!(again.guessed_heads().is_empty());
    assert_eq!(again.activation_source(), ActivationSource::Metadata);
}

#[test]
fn a_preset_says_its_activation() {
    // The smallest published CLIP in zeros; sparse on disk, for zeros are not worth writing.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b32");
    let shapes = canonical_shapes(&Preset::VitB32.spec());
    let mut offset = 0;
    let mut entries = Vec::new();
    for (name, shape) in &shapes {
        let end = offset + 2 * shape.iter().product::<usize>();
        entries.push(format!(
            r#""{name}":{{"dtype":"F16","shape":{shape:?},"data_offsets":[{offset},{end}]}}"#
        ));
        offset = end;
    }
    let header = format!("{{{}}}", entries.join(","));
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len((bytes.len() + offset) as u64).unwrap();
    let clip = open(&path);
    assert_eq!(clip.preset(), Some(Preset::VitB32));
    assert_eq!(clip.activation_source(), ActivationSource::Preset);
    let gelu = OpenOptions { activation: Some(Activation::Gelu), ..OpenOptions::default() };
    assert_eq!(ClipCheckpoint::open(&path, &gelu).unwrap().preset(), None);
}

#[test]
fn precisions_round_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut tensors = tiny_tensors();
    tensors.insert("logit_scale".into(), HostTensor::from_f32(&[1], &[1e6]));
    let path = folder.path().join("clip");
    write_safetensors(&path, &tensors, &BTreeMap::new()).unwrap();
    let clip = open(&path);
    let read = |precision| clip.tensor_data("visual.proj", precision).unwrap();
    let singles: Vec<f32> = read(Precision::F32).to_vec().unwrap();
    let halves: Vec<half::f16> = read(Precision::F16).to_vec().unwrap();
    let brains: Vec<half::bf16> = read(Precision::Bf16).to_vec().unwrap();
    let rounded: Vec<half::f16> = singles.iter().map(|v| half::f16::from_f32(*v)).collect();
    assert_eq!(halves, rounded);
    assert_eq!(brains.len(), 48);
    assert_eq!(clip.tensor_data("logit_scale", Precision::F32).unwrap().shape.to_vec(), [0; 0]);
    let error = clip.tensor_data("logit_scale", Precision::F16).unwrap_err().to_string();
    assert!(error.contains("logit_scale holds values too large for F16"), "{error}");
    assert!(clip.tensor_data("nothing", Precision::F16).is_err());
}
