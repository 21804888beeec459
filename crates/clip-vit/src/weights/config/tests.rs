//! What each file beside the weights tells, and one line for each way to be wrong.

use super::*;
use crate::spec::Preset;

/// What files of these names and contents tell beside a ViT-B/32.
fn told_by(files: &[(&str, &str)]) -> Result<Hints, String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let weights = folder.path().join("model.safetensors");
    hints_beside(&weights, &Preset::VitB32.spec()).map_err(|error| error.to_string())
}

fn told(config: &str) -> Result<Hints, String> {
    told_by(&[("config.json", config)])
}

#[test]
fn a_clip_config_tells_heads_and_activation() {
    let config = r#"{"vision_config": {"num_attention_heads": 6, "hidden_act": "gelu", "hidden_size": 768},
        "text_config": {"num_attention_heads": 4}}"#;
    let hints = Hints {
        vision_heads: Some(6),
        text_heads: Some(4),
        activation: Some(Activation::Gelu),
        ..Hints::default()
    };
    assert_eq!(told(config), Ok(hints));
    assert_eq!(told(&format!("\u{feff}{config}")), Ok(hints), "a byte-order mark");
    assert_eq!(told("{\"model_type\": \"other\"}"), Ok(Hints::default()));
}

#[test]
fn malformed_configs_are_one_line_each() {
    let cases = [
        ("version https://git-lfs.github.com/spec/v1", "is a Git LFS pointer"),
        ("<!doctype html>", "is a web page"),
        ("{", "no valid JSON"),
        (r#"{"vision_config": 3}"#, "vision_config is no object"),
        (r#"{"vision_config": {"num_attention_heads": 0}}"#, "num_attention_heads is 0"),
        (r#"{"text_config": {"num_attention_heads": "8"}}"#, "a whole number"),
        (r#"{"text_config": {"hidden_act": "gelu_new"}}"#, "quick_gelu and gelu"),
        (r#"{"text_config": {"hidden_size": 768}}"#, "belongs to another model"),
        (r#"{"vision_config": {"num_hidden_layers": 24}}"#, "is 24 but the weights"),
        (
            r#"{"text_config": {"hidden_act": "gelu"}, "vision_config": {"hidden_act": "quick_gelu"}}"#,
            "differs",
        ),
    ];
    for (config, expected) in cases {
        let line = told(config).unwrap_err();
        assert!(line.contains(expected) && !line.contains('\n'), "{line}");
        assert!(line.contains("config.json"));
    }
}

#[test]
fn metadata_is_believed_only_in_canonical_files() {
    let mut written = Preset::VitB32.spec();
    written.vision.heads = 3;
    let json = serde_json::to_string(&written).unwrap();
    let hints = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter().map(|(key, value)| ((*key).into(), (*value).into()));
        from_metadata(Path::new("x"), &pairs.collect(), &Preset::VitB32.spec())
            .map_err(|error| error.to_string())
    };
    assert_eq!(hints(&[("vision_heads", "3")]), Ok(None));
    let mut whole = [
        ("format", FORMAT),
        ("version", VERSION),
        ("vision_heads", "3"),
        ("text_heads", "8"),
        ("activation", "quick_gelu"),
        ("spec", &json),
    ];
    let told = hints(&whole).unwrap().unwrap();
    assert!(told.vision_heads == Some(3) && told.normalisation == Some(Normalisation::CLIP));
    assert!(hints(&whole[..5]).unwrap_err().contains("spec"));
    assert!(hints(&whole[..4]).unwrap_err().contains("activation"));
    assert!(hints(&whole[..2]).unwrap_err().contains("vision_heads"));
    assert!(hints(&whole[..1]).unwrap_err().contains("version"));
    whole[3].1 = "4";
    assert!(hints(&whole).unwrap_err().contains("differs from the tensors"));
}

const OPEN_CLIP: &str = r#"{"model_cfg": {"embed_dim": 512, "quick_gelu": true,
    "vision_cfg": {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32, "head_width": 48},
    "text_cfg": {"width": 512, "heads": 4, "layers": 12}},
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.5, 0.5]}}"#;

const HALVES: Normalisation = Normalisation { mean: [0.5; 3], deviation: [0.25, 0.5, 0.5] };

#[test]
fn open_clips_config_tells_everything() {
    let hints = Hints {
        vision_heads: Some(16),
        text_heads: Some(4),
        activation: Some(Activation::QuickGelu),
        normalisation: Some(HALVES),
        image_size: Some(224),
    };
    assert_eq!(told_by(&[("open_clip_config.json", OPEN_CLIP)]), Ok(hints));
    let plain = r#"{"model_cfg": {"vision_cfg": {}, "text_cfg": {}}}"#;
    let hints = told_by(&[("open_clip_config.json", plain)]).unwrap();
    assert_eq!((hints.vision_heads, hints.text_heads), (Some(12), Some(8)), "its own defaults");
    assert_eq!((hints.activation, hints.normalisation), (Some(Activation::Gelu), None));
}

#[test]
fn a_preprocessor_tells_mean_deviation_and_size() {
    let told = |text: &str| told_by(&[("preprocessor_config.json", text)]);
    let numbers = r#""image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.5, 0.5]"#;
    for size in ["336", r#"{"shortest_edge": 336}"#, r#"{"height": 336, "width": 336}"#] {
        let hints = told(&format!(r#"{{{numbers}, "size": {size}}}"#)).unwrap();
        assert_eq!((hints.normalisation, hints.image_size), (Some(HALVES), Some(336)));
    }
    let one = told(r#"{"image_mean": 0.5, "image_std": 0.25}"#).unwrap().normalisation.unwrap();
    assert_eq!((one.mean, one.deviation), ([0.5; 3], [0.25; 3]));
    let plain = told(r#"{"do_normalize": false}"#).unwrap().normalisation.unwrap();
    assert_eq!((plain.mean, plain.deviation), ([0.0; 3], [1.0; 3]));
}

#[test]
fn open_clips_config_wins_over_hugging_faces() {
    let hugging_face = r#"{"vision_config": {"num_attention_heads": 6, "hidden_act": "gelu"}}"#;
    let files = [("open_clip_config.json", OPEN_CLIP), ("config.json", hugging_face)];
    let hints = told_by(&files).unwrap();
    assert_eq!((hints.vision_heads, hints.activation), (Some(16), Some(Activation::QuickGelu)));
}

#[test]
fn malformed_files_of_open_clip_and_preprocessors_are_one_line_each() {
    let cases = [
        ("open_clip_config.json", r#"{"model_cfg": {"embed_dim": 640}}"#, "is 640 but the weights"),
        ("open_clip_config.json", r#"{"model_cfg": 3}"#, "model_cfg is no object"),
        (
            "open_clip_config.json",
            r#"{"model_cfg": {"vision_cfg": {"act_kwargs": {"approximate": "tanh"}}}}"#,
            "act_kwargs changes the activation",
        ),
        (
            "open_clip_config.json",
            r#"{"model_cfg": {"vision_cfg": {}, "quick_gelu": 1}}"#,
            "true or",
        ),
        ("preprocessor_config.json", r#"{"image_mean": [1, 2]}"#, "three numbers"),
        (
            "preprocessor_config.json",
            r#"{"image_mean": [0, 0, 0], "image_std": [1, 0, 1]}"#,
            "positive numbers",
        ),
    ];
    for (name, text, expected) in cases {
        let line = told_by(&[(name, text)]).unwrap_err();
        assert!(line.contains(expected) && !line.contains('\n'), "{line}");
        assert!(line.contains(name), "{line}");
    }
}
