//! The epoch that is kept is chosen by images that were never trained on, and a run that was ended
//! anywhere chooses the same.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::PathBuf;

use burn::backend::Flex;
use moeclip_data::ImageDataset;
use moeclip_train::{
    HeldOutMetrics, KeptEpoch, Learner, StepDecay, StopReason, TrainState, fit_watched,
};

use crate::exact::check;
use crate::world::World;

/// Two of six anomalous and one of three normal images are held out; three steps an epoch.
fn world(world: World) -> World {
    let mut world = world;
    world.training.held_out = 0.3;
    world.training.keep = KeptEpoch::Best;
    world.training.epochs = 4;
    world
}

/// An epoch's end.
struct EpochEnd {
    held_out: HeldOutMetrics,
    state: TrainState,
}

struct Run {
    epochs: Vec<EpochEnd>,
    learner: Learner<Flex>,
    ending: StopReason,
}

fn run(world: &World) -> Run {
    let (mut learner, mut epochs) = (world.learner::<Flex>(), Vec::new());
    let ending = fit_watched(
        &mut learner,
        &world.images(),
        world.extent(),
        &Default::default(),
        |learner, metrics| {
            let end = |held_out| EpochEnd { held_out, state: learner.state() };
            epochs.extend(metrics.held_out.clone().map(end));
            ControlFlow::Continue(())
        },
    );
    Run { epochs, learner, ending: ending.unwrap() }
}

fn losses(run: &Run) -> Vec<f32> {
    run.epochs.iter().map(|epoch| epoch.held_out.losses.detection()).collect()
}

#[test]
fn a_stopped_run_chooses_the_same_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(World::write(folder.path()));
    assert_eq!(world.steps(), 12);
    check::<Flex>(&world, 1, [2, 3, 4, 7, 9, 11]);
    check::<Flex>(&world, 2, [3, 5, 8]);
}

#[test]
fn the_best_epoch_is_kept_as_it_was_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = world(World::write(folder.path()));
    // Rates that wreck the second epoch and stand nearly still from then on: the best is the first.
    world.training.learning_rate = StepDecay { initial: 3e-3, milestones: vec![] };
    let run = run(&world);
    let losses = losses(&run);
    assert_eq!((losses.len(), run.ending), (4, StopReason::Complete));
    let lowest = losses.iter().copied().fold(f32::INFINITY, f32::min);
    let best = losses.iter().position(|loss| *loss == lowest).unwrap();
    let outcome = run.learner.outcome(4.0);
    assert!(outcome.weights == run.epochs[best].state.weights);
    assert_eq!((outcome.chosen.epochs, outcome.chosen.steps), (best as f64 + 1.0, 3 * (best + 1)));
    assert_eq!(outcome.chosen.because, format!("lowest loss on 3 held-out images: {lowest}"));
    world.training.keep = KeptEpoch::Last;
    let last = self::run(&world).learner.outcome(4.0);
    assert!(last.weights == run.learner.state().weights);
    assert_eq!((last.chosen.steps, last.chosen.because.as_str()), (12, "the last"));
}

#[test]
fn a_run_without_patience_for_more_ends() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = world(World::write(folder.path()));
    // A rate that moves no weight by as much as f32 tells: on every machine no epoch is better than the first.
    world.training.learning_rate = StepDecay { initial: 1e-30, milestones: vec![] };
    world.training.epochs = 6;
    let patient = run(&world);
    let losses = losses(&patient);
    assert_eq!((losses.len(), patient.ending), (6, StopReason::Complete));
    assert!(losses.iter().all(|loss| *loss == losses[0]), "{losses:?}");
    for patience in [1, 3] {
        world.training.patience = patience;
        let run = run(&world);
        assert_eq!((run.epochs.len(), run.ending), (1 + patience, StopReason::OutOfPatience));
    }
}

#[test]
fn what_is_held_out_is_not_trained_on() {
    let folder = tempfile::tempdir().unwrap();
    let images = world(World::write(folder.path())).images();
    let paths = |dataset: &ImageDataset| -> BTreeSet<PathBuf> {
        dataset.samples().iter().map(|sample| sample.image.clone()).collect()
    };
    let (training, held_out) = (paths(&images.training), paths(&images.held_out.unwrap()));
    assert_eq!((training.len(), held_out.len()), (6, 3));
    assert!(training.is_disjoint(&held_out));
}
