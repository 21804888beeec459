//! A run that differs from the one it is to continue is refused by the first key that differs.

use clip_vit::{ClipSpecBuilder, Precision};
use moeclip_train::{CheckpointError, CheckpointPolicy, Checkpoints, KeptEpoch, RunDescription};

use crate::world::{World, ended, every};

type Change = fn(&mut RunDescription);

/// Key, values as JSON, and what changes it.
const CHANGES: [(&str, &str, &str, Change); 28] = [
    ("training.seed", "3", "4", |run| run.training.seed = 4),
    ("training.batch_size", "2", "3", |run| run.training.batch_size = 3),
    ("training.beta_1", "0.5", "0.25", |run| run.training.beta_1 = 0.25),
    ("training.beta_2", "0.999", "0.5", |run| run.training.beta_2 = 0.5),
    ("training.epsilon", "1e-8", "0.5", |run| run.training.epsilon = 0.5),
    ("training.learning_rate.initial", "0.01", "0.5", |run| {
        run.training.learning_rate.initial = 0.5;
    }),
    ("training.learning_rate.milestones[1]", "7", "8", |run| {
        run.training.learning_rate.milestones[1] = 8;
    }),
    ("training.learning_rate.milestones[2]", "absent", "9", |run| {
        run.training.learning_rate.milestones.push(9);
    }),
    ("training.losses.etf", "0.01", "0.0", |run| run.training.losses.etf = 0.0),
    ("training.losses.balance", "0.01", "0.0", |run| run.training.losses.balance = 0.0),
    ("training.held_out", "0.0", "0.2", |run| run.training.held_out = 0.2),
    ("training.keep", "\"last\"", "\"best\"", |run| run.training.keep = KeptEpoch::Best),
    ("training.patience", "0", "3", |run| run.training.patience = 3),
    ("model.image_size", "40", "48", |run| run.model.image_size = 48),
    ("model.taps[0]", "1", "2", |run| run.model.taps[0] = 2),
    ("model.scales[1]", "3", "absent", |run| run.model.scales.truncate(1)),
    ("model.experts", "4", "2", |run| run.model.experts = 2),
    ("model.alpha", "16.0", "8.0", |run| run.model.alpha = 8.0),
    ("model.lambda", "0.1", "0.2", |run| run.model.lambda = 0.2),
    ("augmentation.max_shift", "0.15", "0.1", |run| run.augmentation.max_shift = 0.1),
    ("backend", "\"flex\"", "\"ndarray\"", |run| run.backend = "ndarray".into()),
    ("precision", "\"F32\"", "\"F16\"", |run| run.precision = format!("{:?}", Precision::F16)),
    ("data", "\"nine pictures\"", "\"others\"", |run| run.data = "others".into()),
    ("samples", "9", "10", |run| run.samples = 10),
    ("provenance.version", "\"1.2.3\"", "\"1.2.4\"", |run| {
        run.provenance.version = "1.2.4".into();
    }),
    ("provenance.clip_sha256", "\"c0ffee\"", "null", |run| run.provenance.clip_sha256 = None),
    ("provenance.clip.embed", "32", "64", |run| {
        let towers = ClipSpecBuilder::new().vision(8, 4, 64, 3).text(64, 1).tokens(8, 32);
        run.provenance.clip = towers.vision_heads(2).embed(64).build().ok();
    }),
    ("provenance.prompts.normal[0]", "\"{}\"", "\"my {}\"", |run| {
        run.provenance.prompts.normal[0] = "my {}".into();
    }),
];

#[test]
fn every_difference_is_named_with_both_values() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::write(folder.path());
    let policy = ended(&world, &folder.path().join("checkpoints"), 1);
    for (key, then, now, change) in CHANGES {
        let mut run = world.description();
        change(&mut run);
        let line = refused(&policy, run);
        assert!(line.contains(&format!(": {key} was {then} and is {now} now;")), "{line}");
        assert!(line.contains("step-00000001.safetensors") && !line.contains('\n'), "{line}");
    }
}

#[test]
fn only_the_length_of_a_run_may_change() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::write(folder.path());
    let policy = ended(&world, &folder.path().join("checkpoints"), 1);
    let mut run = world.description();
    run.training.epochs = 100;
    run.provenance.steps = 77;
    run.provenance.run = Some("training.epochs = 100".into());
    assert!(Checkpoints::resume(policy, run).is_ok());
}

#[test]
fn a_new_run_does_not_start_among_the_checkpoints_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::write(folder.path());
    let policy = ended(&world, &folder.path().join("checkpoints"), 2);
    let error = Checkpoints::start(policy, world.description()).unwrap_err();
    assert!(matches!(&error, CheckpointError::Occupied { .. }));
    assert!(error.to_string().contains("step-00000002.safetensors: is of an earlier run"));
    let elsewhere = every(1, &folder.path().join("elsewhere"));
    assert!(Checkpoints::start(elsewhere, world.description()).is_ok());
}

#[test]
fn settings_that_save_nothing_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let run = World::read(folder.path()).description();
    let policy = every(1, folder.path());
    let none_kept = CheckpointPolicy { keep: 0, ..policy.clone() };
    let never_due = CheckpointPolicy { every_steps: Some(0), ..policy };
    for (policy, key) in [(none_kept, "keep"), (never_due, "every_steps")] {
        let error = Checkpoints::start(policy, run.clone()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("checkpoints: {key} = 0")), "{error}");
    }
}

fn refused(policy: &CheckpointPolicy, run: RunDescription) -> String {
    let error = Checkpoints::resume(policy.clone(), run).unwrap_err();
    assert!(matches!(error, CheckpointError::OtherRun { .. }), "{error}");
    error.to_string()
}
