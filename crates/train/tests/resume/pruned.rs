//! The number of experts found while training: what is idle is dropped with its moments, and a run
//! that was ended anywhere drops the same.

use std::ops::ControlFlow;

use burn::backend::Flex;
use moeclip::{AdapterFile, Assumed};
use moeclip_train::{Learner, Pruning, RunLength, StepMetrics, TrainState, fit};

use crate::exact::check;
use crate::world::{World, ended, file};

/// Looks at the loads behind steps 3, 6 and 9; at 0.3 an even load is idle.
fn world(folder: &std::path::Path, below: f64) -> World {
    let mut world = World::write(folder);
    world.training.prune = Pruning { below, every: 3 };
    world
}

fn experts(learner: &Learner<Flex>) -> Vec<usize> {
    let taps = learner.model().config().kept_experts.iter().flatten();
    taps.map(Vec::len).collect()
}

fn after(world: &World, steps: usize) -> Learner<Flex> {
    let mut learner = world.learner::<Flex>();
    world.advance(&mut learner, steps);
    learner
}

#[test]
fn idle_experts_go_and_nothing_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let (pruned, whole) = (world(folder.path(), 0.3), World::read(folder.path()));
    let until = after(&pruned, 2).state();
    assert_eq!((&until.kept_experts, &until.weights), (&None, &after(&whole, 2).state().weights));

    let learner = after(&pruned, 3);
    // A tap that chose evenly has no expert of a share of 0.3 but the two that a token asks.
    assert_eq!(experts(&learner), [2, 2]);
    let (left, all) = (learner.state(), after(&whole, 3).state());
    let kept = left.kept_experts.clone().unwrap();
    for (name, weight) in &left.weights {
        let original = renamed(name, &kept);
        if !name.ends_with("gate.weight") {
            assert_eq!(weight, &all.weights[&original], "{name} was {original}");
        }
    }
    let up = |state: &TrainState| state.moments["taps.0.experts.up"].first.shape.clone();
    assert_eq!((up(&left)[1], up(&all)[1]), (16, 32));
    let mut learner = learner;
    let mut experts = Vec::new();
    let extent = RunLength { steps: 4, ..pruned.extent() };
    let step = |metrics: &StepMetrics| {
        experts.extend(metrics.report.taps.iter().map(|tap| tap.experts.clone()));
        ControlFlow::Continue(())
    };
    fit(&mut learner, &pruned.images(), extent, &Default::default(), step).unwrap();
    assert_eq!(experts, kept, "logs call them as they were called");
}

/// The name that an expert's matrix had before others went.
fn renamed(name: &str, kept: &[Vec<usize>]) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    let ["moe_adapters", tap, "experts", expert, rest @ ..] = parts.as_slice() else {
        return name.into();
    };
    let (tap, expert): (usize, usize) = (tap.parse().unwrap(), expert.parse().unwrap());
    format!("moe_adapters.{tap}.experts.{}.{}", kept[tap][expert], rest.join("."))
}

#[test]
fn a_stopped_run_drops_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path(), 0.3);
    check::<Flex>(&world, 1, [1, 2, 3, 4, 8]);
    check::<Flex>(&world, 2, [3, 7]);
}

#[test]
fn a_file_says_which_experts_are_left() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path(), 0.3);
    let policy = ended(&world, &folder.path().join("checkpoints"), 4);
    let opened = AdapterFile::open(&file(&policy.folder, 4), &Assumed::default()).unwrap();
    let kept = opened.config().kept_experts.as_ref().unwrap();
    assert!(kept.iter().all(|tap| tap.len() == 2), "{kept:?}");
    opened.load::<Flex>(&world.clip(), &Default::default()).unwrap();
}

#[test]
fn at_zero_all_stay() {
    let folder = tempfile::tempdir().unwrap();
    let state = after(&world(folder.path(), 0.0), 6).state();
    assert_eq!(state.kept_experts, None);
    assert_eq!(state.loads, Default::default());
}
