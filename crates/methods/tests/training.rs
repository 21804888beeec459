//! Training of every method with weights of its own: its steps move them, and a run that is taken up at a
//! checkpoint ends with the bytes of one that was never stopped.

use std::path::{Path, PathBuf};

use anomaly_methods::aa_clip::AaClip;
use anomaly_methods::adaclip::AdaClip;
use anomaly_methods::anomalyclip::AnomalyClip;
use anomaly_methods::april_gan::AprilGan;
use anomaly_methods::bayes_pfl::BayesPfl;
use anomaly_methods::training::{
    MethodRun, MethodTraining, Recipe, TrainedMethod, TrainingParts, TrainingStage,
};
use burn::backend::Flex;
use burn::tensor::{Tensor, TensorData};
use clip_vit::tokenizer::VOCABULARY;
use clip_vit::{ClipSpec, ClipSpecBuilder, Precision, RandomWeights};
use conditions::Conditions;
use moeclip::Provenance;
use moeclip_data::{Batch, ImageSize};
use moeclip_train::{CheckpointPolicy, Checkpoints, Trainer};
use serde_json::{Value, json};

/// Images of the set that is trained on.
const IMAGES: usize = 4;
/// Their side.
const SIZE: usize = 24;
/// Steps behind which the interrupted run ends.
const INTERRUPTED: usize = 3;

type Training<M> = Trainer<Flex, MethodTraining<Flex, M>>;

fn clip() -> ClipSpec {
    let clip = ClipSpecBuilder::new().vision(8, 3, 16, 3).text(16, 3).embed(16);
    clip.tokens(40, VOCABULARY).build().unwrap()
}

/// The method's stages, each of two epochs in batches of two.
fn recipe<M: TrainedMethod>() -> Recipe {
    let stage = TrainingStage { epochs: 2, batch_size: 2 };
    Recipe::new(vec![stage; M::recipe().stages.len()], 5)
}

fn method<M: TrainedMethod>(settings: &Value) -> MethodTraining<Flex, M> {
    let (clip, weights, device) = (clip(), RandomWeights::new(5), Default::default());
    let parts = TrainingParts::<Flex> {
        clip: &clip,
        weights: &weights,
        classes: &["metal_nut".to_owned()],
        precision: Precision::F32,
        device: &device,
    };
    let settings: M::Settings = serde_json::from_value(settings.clone()).unwrap();
    MethodTraining::new(settings, recipe::<M>(), IMAGES, &parts).unwrap()
}

/// A normal image and one with a defect, other ones at each step.
fn batch(step: usize) -> Batch<Flex> {
    let device = Default::default();
    let pixel = |at: usize| ((at * 31 + step * 17) as f32 * 0.37).sin();
    let images: Vec<f32> = (0..2 * 3 * SIZE * SIZE).map(pixel).collect();
    let marked = |at: usize| at >= SIZE * SIZE && at % SIZE < 9;
    let masks: Vec<f32> = (0..2 * SIZE * SIZE).map(|at| f32::from(u8::from(marked(at)))).collect();
    let side = SIZE as u32;
    Batch {
        images: Tensor::from_data(TensorData::new(images, [2, 3, SIZE, SIZE]), &device),
        masks: Tensor::from_data(TensorData::new(masks, [2, 1, SIZE, SIZE]), &device),
        labels: Tensor::from_data([0, 1], &device),
        classes: vec!["metal_nut".to_owned(); 2],
        prompts: vec!["metal_nut".to_owned(); 2],
        paths: vec![PathBuf::new(); 2],
        has_mask: vec![true; 2],
        original_sizes: vec![ImageSize { width: side, height: side }; 2],
    }
}

fn checkpoints<M: TrainedMethod>(folder: &Path, settings: &Value) -> (CheckpointPolicy, MethodRun) {
    let run = MethodRun {
        method: M::WORD.to_owned(),
        model: settings.clone(),
        training: recipe::<M>(),
        backend: "flex".to_owned(),
        precision: "F32".to_owned(),
        data: "four images".to_owned(),
        samples: IMAGES,
        shared: Conditions::here("flex"),
        provenance: Provenance::default(),
    };
    (CheckpointPolicy { every: None, ..CheckpointPolicy::new(folder) }, run)
}

/// Steps until so many are made; the losses of each.
fn train<M: TrainedMethod>(trainer: &mut Training<M>, steps: usize) -> Vec<f32> {
    let mut losses = Vec::new();
    while trainer.steps() < steps {
        let report = trainer.step(batch(trainer.steps())).unwrap();
        losses.push(report.losses["total"]);
    }
    losses
}

fn check<M: TrainedMethod>(settings: Value) {
    let folder = tempfile::tempdir().unwrap();
    let (straight, taken_up) = (folder.path().join("straight"), folder.path().join("taken-up"));
    let steps = recipe::<M>().steps(IMAGES);
    let mut trainer = method::<M>(&settings).start();
    let before = trainer.weights();
    let losses = train(&mut trainer, steps);
    assert!(losses.iter().all(|loss| loss.is_finite()), "{losses:?}");
    let after = trainer.weights();
    assert!(before.iter().any(|(name, data)| after[name] != *data), "no step moved anything");
    let (policy, run) = checkpoints::<M>(&straight, &settings);
    let straight = Checkpoints::start(policy, run).unwrap().save(&trainer).unwrap();

    let mut trainer = method::<M>(&settings).start();
    train(&mut trainer, INTERRUPTED);
    let (policy, run) = checkpoints::<M>(&taken_up, &settings);
    Checkpoints::start(policy.clone(), run.clone()).unwrap().save(&trainer).unwrap();
    let mut resumed = Checkpoints::resume(policy, run).unwrap();
    let mut trainer = method::<M>(&settings).restore(&resumed.checkpoint.unwrap()).unwrap();
    assert_eq!(trainer.steps(), INTERRUPTED);
    train(&mut trainer, steps);
    let taken_up = resumed.checkpoints.save(&trainer).unwrap();
    assert_eq!(std::fs::read(straight).unwrap(), std::fs::read(taken_up).unwrap());
}

#[test]
fn april_gan_is_taken_up_where_it_was() {
    check::<AprilGan>(json!({ "image_size": SIZE, "taps": [1, 3], "memory_taps": [1] }));
}

#[test]
fn anomalyclip_is_taken_up_where_it_was() {
    check::<AnomalyClip>(json!({
        "image_size": SIZE, "taps": [3], "value_layers": 2, "deep_depth": 2,
    }));
}

#[test]
fn aa_clip_is_taken_up_where_it_was() {
    check::<AaClip>(json!({
        "image_size": SIZE, "taps": [1, 3], "text_adapters": 1, "image_adapters": 2, "value_layers": 2,
    }));
}

#[test]
fn adaclip_is_taken_up_where_it_was() {
    check::<AdaClip>(json!({
        "image_size": SIZE, "taps": [1, 3], "prompt_depth": 2, "prompt_length": 2, "clusters": 2,
    }));
}

#[test]
fn bayes_pfl_is_taken_up_where_it_was() {
    check::<BayesPfl>(json!({
        "image_size": SIZE, "taps": [1, 3], "bank": 2, "context_len": 2, "state_len": 2, "flows": 2,
        "samples": 2, "top_pixels": 20,
    }));
}

#[test]
fn another_seed_is_another_run() {
    let settings = json!({ "image_size": SIZE, "taps": [1, 3], "memory_taps": [1] });
    let folder = tempfile::tempdir().unwrap();
    let (policy, run) = checkpoints::<AprilGan>(folder.path(), &settings);
    let trainer = method::<AprilGan>(&settings).start();
    Checkpoints::start(policy.clone(), run.clone()).unwrap().save(&trainer).unwrap();
    let other = MethodRun { training: Recipe { seed: 6, ..run.training.clone() }, ..run };
    let error = Checkpoints::resume(policy, other).unwrap_err().to_string();
    assert!(error.contains("of another run") && error.contains("training.seed"), "{error}");
}
