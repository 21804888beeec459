//! Weights, moments and files after a resumed run, beside those of an undisturbed one.

use std::ops::ControlFlow;
use std::time::Duration;

use burn::backend::{Flex, NdArray};
use burn::tensor::TensorData;
use burn::tensor::backend::Backend;
use clip_vit::Precision;
use moeclip::{AdapterFile, Assumed};
use moeclip_train::{CheckpointPolicy, Checkpoints};

use crate::world::{STEPS_PER_EPOCH, World, ended, every, file, saved};

/// Ends a run after `stop` steps, resumes it, and compares everything it has become.
pub(crate) fn check<B: Backend>(
    world: &World,
    cadence: usize,
    stops: impl IntoIterator<Item = usize>,
) {
    let undisturbed = world.undisturbed::<B>();
    assert!(!undisturbed.moments.is_empty());
    for stop in stops {
        let folder = tempfile::tempdir().unwrap();
        let policy = every(cadence, folder.path());
        if stop > 0 {
            world.train_until::<B>(&policy, stop);
        }
        let newest = saved(folder.path()).last().copied().unwrap_or(0);
        assert_eq!(newest, stop / cadence * cadence);
        let resumed = world.train_until::<B>(&policy, usize::MAX);
        assert!(resumed.state() == undisturbed, "ended after {stop}, saved every {cadence}");
    }
}

#[test]
fn a_run_ended_after_any_step_ends_as_if_it_had_not_been() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::write(folder.path());
    assert_eq!(world.steps(), 2 * STEPS_PER_EPOCH);
    check::<Flex>(&world, 1, 0..=world.steps());
    check::<Flex>(&world, 3, 0..=world.steps());
}

#[test]
fn it_holds_on_ndarray() {
    let folder = tempfile::tempdir().unwrap();
    check::<NdArray>(&World::write(folder.path()), 1, [2, 5, 8]);
}

#[test]
fn ndarray_gets_back_every_bit() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::write(folder.path());
    let policy = every(1, &folder.path().join("checkpoints"));
    let learner = world.train_until::<NdArray>(&policy, 7);
    let resumed = Checkpoints::resume(policy, world.description()).unwrap();
    let checkpoint = resumed.checkpoint.unwrap();
    let restored = world.learner::<NdArray>().restore(&world.clip(), &checkpoint).unwrap();
    assert_eq!(restored.steps(), 7);
    assert!(restored.state() == learner.state());
}

#[test]
fn it_holds_for_a_frozen_part_in_half_precision() {
    let folder = tempfile::tempdir().unwrap();
    for precision in [Precision::F16, Precision::Bf16] {
        let mut world = World::write(folder.path());
        world.precision = precision;
        check::<Flex>(&world, 1, [3, 6]);
    }
}

#[test]
fn a_step_has_one_checkpoint_whatever_led_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::write(folder.path());
    let (straight, broken) = (folder.path().join("straight"), folder.path().join("broken"));
    world.train_until::<Flex>(&every(1, &straight), usize::MAX);
    for stop in [1, 2, 6, 9, usize::MAX] {
        world.train_until::<Flex>(&every(1, &broken), stop);
    }
    assert_eq!(saved(&straight), (1..=world.steps()).collect::<Vec<_>>());
    for step in saved(&straight) {
        let bytes = |folder| std::fs::read(file(folder, step)).unwrap();
        assert!(bytes(&straight) == bytes(&broken), "step {step}");
    }
}

#[test]
fn more_epochs_continue_the_same_run() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::write(folder.path());
    let mut short = world.clone();
    short.training.epochs = 1;
    let policy = every(2, &folder.path().join("checkpoints"));
    let first = short.train(&policy, |checkpoints, learner| {
        checkpoints.after_step::<Flex>(learner).unwrap();
        ControlFlow::Continue(())
    });
    assert_eq!(first.steps(), STEPS_PER_EPOCH);
    let longer = world.train_until::<Flex>(&policy, usize::MAX);
    assert!(longer.state() == world.undisturbed::<Flex>());
}

#[test]
fn a_checkpoint_is_due_by_time_too() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::write(folder.path());
    for (every, expected) in [(Duration::ZERO, vec![1, 2, 3]), (Duration::from_secs(3600), vec![])]
    {
        let folder = tempfile::tempdir().unwrap();
        let policy =
            CheckpointPolicy { every: Some(every), ..CheckpointPolicy::new(folder.path()) };
        world.train_until::<Flex>(&policy, 3);
        assert_eq!(saved(folder.path()), expected);
    }
}

#[test]
fn the_last_checkpoints_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::write(folder.path());
    for keep in [1, 3] {
        let folder = tempfile::tempdir().unwrap();
        let policy = CheckpointPolicy { keep, ..every(1, folder.path()) };
        world.train_until::<Flex>(&policy, 7);
        assert_eq!(saved(folder.path()), (8 - keep..=7).collect::<Vec<_>>());
    }
}

#[test]
fn a_checkpoint_opens_as_adapters() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::write(folder.path());
    let policy = ended(&world, &folder.path().join("checkpoints"), 4);
    let learner = world.train_until::<Flex>(&policy, 5);
    let adapters = AdapterFile::open(&file(&policy.folder, 5), &Assumed::default()).unwrap();
    assert_eq!(adapters.config(), &world.model());
    let provenance = adapters.provenance().unwrap();
    assert_eq!((provenance.steps, provenance.version.as_str()), (5, "1.2.3"));
    let loaded = adapters.load::<Flex>(&world.clip(), &Default::default()).unwrap();
    let weights = |adapters| -> Vec<TensorData> {
        moeclip::weights(adapters).into_iter().map(|weight| weight.data).collect()
    };
    assert!(weights(&loaded) == weights(&learner.adapters()));
}

#[test]
fn the_state_holds_every_parameter_and_a_moment_of_every_one_that_learns() {
    use burn::module::Module;

    let folder = tempfile::tempdir().unwrap();
    let world = World::write(folder.path());
    let state = world.undisturbed::<Flex>();
    let elements = |data: &TensorData| data.num_elements();
    let stored: usize = state.weights.values().map(elements).sum();
    let learner = world.learner::<Flex>();
    assert_eq!(stored, learner.model().adapters().num_params());
    let mixtures =
        learner.model().adapters().taps.iter().filter_map(|tap| tap.experts.as_mixture());
    let frozen: usize = mixtures.map(|mixture| mixture.down.num_params()).sum();
    let moving: usize = state.moments.values().map(|moments| elements(&moments.first)).sum();
    assert_eq!(moving, stored - frozen);
    assert!(state.moments.contains_key("taps.0.experts.up"));
    assert!(state.moments.values().all(|moments| moments.updates == world.steps()));
}
