//! A batch that is shared out over devices has the gradient of the whole batch, and one whose graph
//! keeps less has the same.

#[allow(dead_code, reason = "the world of the tests in resume/, which use more of it")]
#[path = "resume/world.rs"]
mod world;

use burn::backend::Flex;
use moeclip_data::{Batch, Batches, LoaderOptions};
use moeclip_train::{Checkpoint, Learner, Recompute, StepReport, TrainState};

use world::{World, ended, file};

fn batch(world: &World, images: usize) -> Batch<Flex> {
    let (dataset, options) = (world.images().training, LoaderOptions::new(images));
    let order = (0..images).map(|index| 2 * index).collect();
    let mut batches = Batches::start(&dataset, order, options, Default::default()).unwrap();
    batches.next().unwrap().unwrap()
}

/// A step on a batch, and the state behind it.
struct Step {
    report: StepReport,
    behind: TrainState,
}

fn step(mut learner: Learner<Flex>, batch: Batch<Flex>) -> Step {
    let report = learner.step(batch).unwrap();
    Step { report, behind: learner.state() }
}

/// The gradient of a parameter: Adam's first moment behind the step, where it decays at once.
fn gradient(step: &Step, parameter: &str) -> Vec<f32> {
    step.behind.moments[parameter].first.iter::<f32>().collect()
}

fn relative_error(ours: &[f32], theirs: &[f32]) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let difference = ours.iter().zip(theirs).map(|(a, b)| f64::from(a - b));
    norm(&mut { difference }) / norm(&mut theirs.iter().map(|v| f64::from(*v))).max(1e-12)
}

/// Compares a step on `1 + others` devices with one on a single device.
fn check(images: usize, others: usize) {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::write(folder.path());
    // The balance loss is a statistic of a shard, not a mean over images.
    world.training.losses.balance = 0.0;
    world.training.beta_1 = 0.0;
    let policy = ended(&world, &folder.path().join("checkpoints"), 4);
    let checkpoint = Checkpoint::open(&file(&policy.folder, 4)).unwrap();
    let learner = || world.learner::<Flex>().restore(&world.clip(), &checkpoint).unwrap();
    let batch = batch(&world, images);
    let whole = step(learner(), batch.clone());
    let shared = step(learner().beside(&vec![Default::default(); others]).unwrap(), batch);
    assert!(whole.behind.moments.contains_key("taps.0.experts.gate"));
    for parameter in whole.behind.moments.keys() {
        let of = |step| gradient(step, parameter);
        let error = relative_error(&of(&shared), &of(&whole));
        assert!(error < 1e-5, "{parameter}: {error:e} with {images} images on {others} more");
    }
    let (ours, theirs) = (shared.report, whole.report);
    assert_eq!((ours.step, ours.images), (theirs.step, theirs.images));
    assert!((ours.losses.total / theirs.losses.total - 1.0).abs() < 1e-5);
    let load = |report: &StepReport| report.taps[1].probability.clone();
    assert!(relative_error(&load(&ours), &load(&theirs)) < 1e-5);
}

#[test]
fn two_devices_have_the_gradient_of_the_doubled_batch() {
    check(4, 1);
}

#[test]
fn shards_of_unequal_size_are_weighed() {
    check(3, 1);
    check(4, 2);
}

#[test]
fn a_batch_of_one_image_stays_on_the_first_device() {
    check(1, 2);
}

/// Adam's first moments and the losses of a step that keeps or computes again as `recompute` says.
fn step_with(recompute: Recompute) -> Step {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::write(folder.path());
    let policy = ended(&world, &folder.path().join("checkpoints"), 4);
    let checkpoint = Checkpoint::open(&file(&policy.folder, 4)).unwrap();
    world.training.recompute = recompute;
    let learner = world.learner::<Flex>().restore(&world.clip(), &checkpoint).unwrap();
    step(learner, batch(&world, 2))
}

#[test]
fn what_is_computed_again_changes_no_bit() {
    let [blocks, balanced] = [Recompute::Blocks, Recompute::Balanced].map(step_with);
    assert!(blocks.behind == balanced.behind, "adapters or moments differ");
    assert_eq!(blocks.report, balanced.report);
}
