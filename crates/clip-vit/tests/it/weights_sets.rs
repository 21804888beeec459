//! CLIPs as people have them: behind any prefix, beside another set of weights, in shards, with one tower
//! only, or with values that nothing can read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::weights_common::{
    Tensors, hugging_face, open, open_error, saved, state_dict, tiny_tensors, values,
};
use clip_vit::weights::write::{HostTensor, TorchValue, write_torch_zip};
use clip_vit::weights::{ClipCheckpoint, Dtype, OpenOptions, TensorFile};

fn behind(prefix: &str, tensors: &Tensors) -> Tensors {
    tensors.iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor.clone())).collect()
}

/// The tensors, every value negative.
fn other(tensors: &Tensors) -> Tensors {
    let negated = |tensor: &HostTensor| {
        let values: Vec<f32> = bytemuck::pod_collect_to_vec(&tensor.bytes);
        let values: Vec<f32> = values.iter().map(|value| -value).collect();
        HostTensor::from_f32(&tensor.shape, &values)
    };
    tensors.iter().map(|(name, tensor)| (name.clone(), negated(tensor))).collect()
}

#[test]
fn what_stands_before_all_names_does_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = tiny_tensors();
    let expected = values(&open(&saved(folder.path(), "plain", &tensors)));
    let prefixes = [
        "_orig_mod.module.",
        "module.model.",
        "clip_model.",
        "model.clip.",
        "state_dict.model.",
        "net.",
        "visual.",
        "text.",
        "model.visual.",
        "transformer.",
        "text_model.",
        "a.b.c.d.e.f.g.h.",
        "0.",
    ];
    for prefix in prefixes {
        for tensors in [&tensors, &hugging_face(&tensors)] {
            let path = saved(folder.path(), "wrapped", &behind(prefix, tensors));
            assert_eq!(values(&open(&path)), expected, "{prefix}");
        }
    }
    let lightning = TorchValue::Dict(vec![
        ("epoch".into(), TorchValue::Int(3)),
        ("state_dict".into(), state_dict(&tensors, "model.")),
        ("optimizer_states".into(), TorchValue::List(vec![state_dict(&tensors, "exp_avg.")])),
        ("loops".into(), TorchValue::Dict(vec![])),
    ]);
    let path = folder.path().join("lightning.ckpt");
    write_torch_zip(&path, &lightning).unwrap();
    assert_eq!(values(&open(&path)), expected);
}

#[test]
fn what_is_beside_a_nested_clip_is_no_part_of_it_and_what_is_in_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = tiny_tensors();
    let path = folder.path().join("nested.pt");
    let root = |inner: &[(&str, TorchValue)], outer: &str| {
        let mut dict = vec![("clip".to_owned(), state_dict(&tensors, ""))];
        dict.extend(inner.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let loss = TorchValue::Tensor(HostTensor::from_f32(&[1], &[0.5]));
        TorchValue::Dict(vec![("net".into(), TorchValue::Dict(dict)), (outer.into(), loss)])
    };
    write_torch_zip(&path, &root(&[], "loss")).unwrap();
    assert_eq!(open(&path).names().count(), tensors.len());
    // A flat dictionary shows no such border: whatever else is in it is told.
    let mut flat = behind("clip.", &tensors);
    flat.insert("head.weight".into(), HostTensor::from_f32(&[1], &[0.5]));
    write_torch_zip(&path, &state_dict(&flat, "")).unwrap();
    assert!(open_error(&path).contains("unexpected: head.weight;"));
}

#[test]
fn two_sets_of_weights_are_not_chosen_from() {
    let folder = tempfile::tempdir().unwrap();
    let (tensors, average) = (tiny_tensors(), other(&tiny_tensors()));
    let path = folder.path().join("both");
    for (first, second) in [
        ("student.", "teacher."),
        ("model.", "model_ema."),
        ("model.module.", "ema.module."),
        ("state_dict.", "state_dict_ema."),
        ("", "ema_model."),
    ] {
        let both = [behind(first, &tensors), behind(second, &average)].into_iter().flatten();
        let both = both.collect();
        saved(folder.path(), "both", &both);
        let line = open_error(&path);
        assert!(line.contains("several sets of weights") && line.contains("--weights"), "{line}");
        assert!(line.contains(first) && line.contains(second), "{line}");
        write_torch_zip(&path, &state_dict(&both, "")).unwrap();
        assert!(open_error(&path).contains(second));
    }
    let root = TorchValue::Dict(vec![
        ("model".into(), state_dict(&tensors, "module.")),
        ("model_ema".into(), state_dict(&average, "module.")),
    ]);
    write_torch_zip(&path, &root).unwrap();
    assert!(open_error(&path).contains("model.module., model_ema.module."));
    let opened = |weights: &str| {
        let options = OpenOptions { weights: Some(weights.into()), ..OpenOptions::default() };
        ClipCheckpoint::open(&path, &options)
    };
    for (weights, expected) in [("model", &tensors), ("model_ema", &average)] {
        let expected = values(&open(&saved(folder.path(), "one", expected)));
        assert_eq!(values(&opened(weights).unwrap()), expected, "{weights}");
        assert_eq!(values(&opened(&format!("{weights}.module.")).unwrap()), expected);
    }
    let hashes = ["model", "model_ema"].map(|weights| opened(weights).unwrap().source_sha256());
    assert_ne!(hashes[0], hashes[1], "results of the one are not those of the other");
    for absent in ["ema", "model_em", "mod", "model_ema.modul"] {
        let line = opened(absent).unwrap_err().to_string();
        assert!(line.contains(&format!("no CLIP is in the part {absent}")), "{line}");
    }
    let both = [behind("", &tensors), behind("ema_", &average)].into_iter().flatten().collect();
    saved(folder.path(), "both", &both);
    for (weights, expected) in [("", &tensors), ("ema_", &average)] {
        let expected = values(&open(&saved(folder.path(), "one", expected)));
        assert_eq!(values(&opened(weights).unwrap()), expected, "{weights:?}");
    }
}

#[test]
fn a_custom_text_clip_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = tiny_tensors();
    let expected = values(&open(&saved(folder.path(), "plain", &tensors)));
    let renamed = |(name, tensor): (&String, &HostTensor)| {
        let plain = name.starts_with("visual.") || name == "logit_scale";
        (if plain { name.clone() } else { format!("text.{name}") }, tensor.clone())
    };
    let custom: Tensors = tensors.iter().map(renamed).collect();
    for prefix in ["", "module.", "model.text."] {
        let path = saved(folder.path(), "custom", &behind(prefix, &custom));
        assert_eq!(values(&open(&path)), expected, "{prefix}");
    }
}

#[test]
fn what_is_half_a_clip_or_another_model_is_called_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let check = |tensors: &Tensors, expected: &str| {
        let line = open_error(&saved(folder.path(), "file", tensors));
        assert!(line.contains(expected), "{expected} not in: {line}");
        assert!(line.len() < 400, "{line}");
    };
    let tensors = tiny_tensors();
    let image = |name: &str| name.starts_with("visual.") || name.starts_with("vision");
    let towers = |tensors: &Tensors, wanted: bool| {
        let kept = |(name, tensor): (&String, &HostTensor)| {
            (image(name) == wanted).then(|| (name.clone(), tensor.clone()))
        };
        tensors.iter().filter_map(kept).collect::<Tensors>()
    };
    let visual = towers(&tensors, true);
    check(&visual, "has no text tower");
    check(&behind("model.", &visual), "has no text tower");
    let bare = visual.iter().map(|(name, tensor)| (name["visual.".len()..].into(), tensor.clone()));
    check(&bare.collect(), "has no text tower");
    check(&towers(&tensors, false), "has no image tower");
    let face = hugging_face(&tensors);
    check(&towers(&face, true), "has no text tower");
    check(&towers(&face, false), "has no image tower");
    let one = HostTensor::from_f32(&[1], &[-10.0]);
    for (name, expected) in [
        ("logit_bias", "SigLIP"),
        ("visual.trunk.cls_token", "timm"),
        ("visual.attnpool.positional_embedding", "ResNet"),
        ("text_decoder.cross_attn.0.ln_1_kv.weight", "CoCa"),
    ] {
        let mut marked = tensors.clone();
        marked.insert(name.into(), one.clone());
        check(&marked, expected);
        check(&Tensors::from([(name.to_owned(), one.clone())]), expected);
    }
    let adapters = Tensors::from([("image_adapter.seg_proj.0.fc.weight".to_owned(), one)]);
    check(&adapters, "--adapter");
}

#[test]
fn a_long_list_of_missing_tensors_is_cut_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut tensors = tiny_tensors();
    tensors.retain(|name, _| !name.contains(".resblocks.1."));
    let last = "transformer.resblocks.1.ln_1.bias";
    tensors.insert(last.into(), tiny_tensors()[last].clone());
    let line = open_error(&saved(folder.path(), "cut", &tensors));
    let missing = line.split_once("missing: ").unwrap().1;
    assert_eq!(missing.split(", ").count(), 3, "{line}");
    assert!(missing.contains(" and 8 more (11 in all);"), "{line}");
}

#[test]
fn a_scale_of_one_number_is_a_scale() {
    let folder = tempfile::tempdir().unwrap();
    let mut tensors = tiny_tensors();
    tensors.insert("logit_scale".into(), HostTensor::from_f32(&[1], &[4.6]));
    let clip = open(&saved(folder.path(), "vector", &tensors));
    let out = folder.path().join("canonical");
    clip.write_canonical(&out).unwrap();
    assert_eq!(open(&out).file().shape("logit_scale"), Some(&[][..]));
}

/// Writes the tensors in two shards and gives their paths.
fn shards(folder: &Path, tensors: &Tensors, ending: &str) -> [PathBuf; 2] {
    let half = tensors.len() / 2;
    let parts: [Tensors; 2] = [
        tensors.iter().take(half).map(|(n, t)| (n.clone(), t.clone())).collect(),
        tensors.iter().skip(half).map(|(n, t)| (n.clone(), t.clone())).collect(),
    ];
    let mut map = BTreeMap::new();
    let paths = [1, 2].map(|number| format!("model-0000{number}-of-00002.{ending}"));
    for (name, part) in paths.iter().zip(&parts) {
        map.extend(part.keys().map(|key| (key.clone(), name.clone())));
        match ending {
            "bin" => write_torch_zip(&folder.join(name), &state_dict(part, "")).unwrap(),
            _ => drop(saved(folder, name, part)),
        }
    }
    let index = serde_json::json!({"metadata": {"total_size": 0}, "weight_map": map});
    std::fs::write(folder.join("index.json"), index.to_string()).unwrap();
    paths.map(|name| folder.join(name))
}

#[test]
fn shards_open_by_their_index_and_by_each_of_them() {
    let tensors = tiny_tensors();
    let plain = tempfile::tempdir().unwrap();
    let expected = values(&open(&saved(plain.path(), "plain", &tensors)));
    for ending in ["safetensors", "bin"] {
        let folder = tempfile::tempdir().unwrap();
        let [first, second] = shards(folder.path(), &tensors, ending);
        let index = folder.path().join("index.json");
        let mut hashes = Vec::new();
        for path in [&index, &first, &second] {
            let clip = open(path);
            assert_eq!(values(&clip), expected, "{}", path.display());
            hashes.push(clip.source_sha256());
            let line = clip.write_canonical(&second).unwrap_err().to_string();
            assert!(line.contains("is the input file"), "{line}");
        }
        hashes.dedup();
        assert_eq!(hashes.len(), 1, "the same weights whichever file was given");
        let config = r#"{"vision_config": {"num_attention_heads": 4}}"#;
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        assert_eq!(open(&index).spec().vision.heads, 4);
        let text = std::fs::read_to_string(&index).unwrap();
        std::fs::write(&index, text.replace("logit_scale", "logit_scala")).unwrap();
        let line = open_error(&index);
        assert!(line.contains("promises tensors that no shard has: logit_scala;"), "{line}");
        std::fs::copy(&first, &second).unwrap();
        assert!(TensorFile::open(&first).unwrap_err().to_string().contains("in another shard too"));
        std::fs::remove_file(&second).unwrap();
        let line = open_error(&first);
        assert!(line.contains("is one of 2 shards, of which one is not beside it"), "{line}");
        assert!(open_error(&index).contains("which is not beside it"));
    }
}

#[test]
fn doubles_beyond_singles_are_not_converted() {
    let folder = tempfile::tempdir().unwrap();
    let doubles = |value: f64| {
        let mut tensors = tiny_tensors();
        let bytes = [value; 8].iter().flat_map(|value| value.to_le_bytes()).collect();
        let bias = HostTensor { dtype: Dtype::F64, shape: vec![8], bytes };
        tensors.insert("visual.ln_pre.bias".into(), bias);
        open(&saved(folder.path(), "doubles", &tensors))
    };
    let out = folder.path().join("out");
    for value in [1e300, -1e39, 3.5e38] {
        let line = doubles(value).write_canonical(&out).unwrap_err().to_string();
        assert!(
            line.contains("tensor visual.ln_pre.bias holds values too large for F32"),
            "{line}"
        );
        assert!(!line.contains("read it as F32") && !out.exists(), "{line}");
    }
    doubles(3.4e38).write_canonical(&out).unwrap();
    assert_eq!(open(&out).dtype("visual.ln_pre.bias"), Some(Dtype::F64));
}
