//! A description of a run is read strictly: every rule is one line that names the key.

use std::path::Path;

use small_clip::PretrainConfig;

fn refused(assignment: &str) -> String {
    let line = PretrainConfig::default().set(assignment).unwrap_err().to_string();
    assert!(!line.contains('\n'), "{line}");
    line
}

#[test]
fn every_rule_names_its_key() {
    PretrainConfig::default().check().unwrap();
    for (assignment, key) in [
        ("steps=0", "steps"),
        ("model.layers=3", "model.layers"),
        ("model.context=20", "model.context"),
        ("model.grid=200", "model.patch * model.grid"),
        ("model.heads=5", "vision.heads"),
        ("pictures.count=10", "pictures.count"),
        ("pictures.defective=1.0", "pictures.defective"),
        ("pictures.crops=[4, 15]", "pictures.crops"),
        ("pictures.crops=[]", "pictures.crops"),
        ("model.patch=3", "model.patch * pictures.crops"),
        ("pictures.crops=[8, 1]", "pictures.crops"),
        ("pictures.unknown-names=1.5", "pictures.unknown_names"),
        ("pictures.nameless=0.9", "pictures.nameless"),
        ("batch.shards=0", "batch.shards"),
        ("batch.shards=65", "batch.shards"),
        ("batch.pairs=1", "batch.pairs"),
        ("batch.pairs=4097", "batch.pairs"),
        ("batch.normal=4097", "batch.normal"),
        ("batch.replaced=1", "batch.replaced"),
        ("batch.replaced=4097", "batch.replaced"),
        ("learning-rate.peak=0.0", "learning_rate.peak"),
        ("losses.pairs=-1.0", "losses.pairs"),
        ("losses.state=-1.0", "losses.state"),
        ("losses.patches=-1.0", "losses.patches"),
        ("losses.replaced=-1.0", "losses.replaced"),
    ] {
        let line = refused(assignment);
        assert!(line.contains(key), "{assignment}: {line}");
    }
}

#[test]
fn keys_that_nobody_knows_are_named_with_the_nearest() {
    assert!(refused("losses.patch=1").contains("did you mean patches?"));
    assert!(refused("steps").contains("is no key=value"));
    let error = PretrainConfig::parse("steps = 3\nsed = 1", Path::new("run.toml")).unwrap_err();
    assert!(error.to_string().contains("did you mean seed?"), "{error}");
}

#[test]
fn a_description_written_out_reads_back() {
    let config = PretrainConfig::default().set("steps=123").unwrap();
    let again = PretrainConfig::parse(&config.to_toml(), Path::new("again.toml")).unwrap();
    assert_eq!(again, config);
}

#[test]
fn the_file_of_the_small_clip_writes_the_defaults_out() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/pretrain-small.toml");
    let config = PretrainConfig::parse(&std::fs::read_to_string(&path).unwrap(), &path).unwrap();
    assert_eq!(config, PretrainConfig::default());
}
