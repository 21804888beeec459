//! Gradients that overflow a frozen part in half precision: the step is skipped, and a run that is
//! taken up goes on with the factor that it had come to.

use burn::backend::Flex;
use clip_vit::Precision;
use moeclip_train::{Learner, LossScaling, TrainState};

use crate::world::{World, ended, every};

fn world(folder: &std::path::Path) -> World {
    World { precision: Precision::F16, ..World::write(folder) }
}

fn scaling(learner: &Learner<Flex>) -> LossScaling {
    *learner.scaling().unwrap()
}

#[test]
fn a_step_whose_gradients_overflow_moves_nothing_and_halves_the_factor() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    let steep = LossScaling::starting_at(2f32.powi(19));
    let mut learner = world.learner::<Flex>().with_scaling(steep);
    let start = learner.state();
    world.advance(&mut learner, 1);
    let TrainState { weights, moments, .. } = learner.state();
    assert!(weights == start.weights && moments == start.moments);
    let expected = LossScaling { factor: 2f32.powi(18), finite_steps: 0, skipped_steps: 1 };
    assert_eq!((learner.steps(), scaling(&learner)), (1, expected));

    world.advance(&mut learner, world.steps());
    let LossScaling { factor, skipped_steps, .. } = scaling(&learner);
    assert!(skipped_steps < world.steps(), "it never came down: {factor}");
    assert_eq!(factor, 2f32.powi(19 - skipped_steps as i32));
    assert!(learner.state().weights != start.weights);
}

#[test]
fn a_run_that_is_taken_up_goes_on_with_its_factor() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    let undisturbed = world.undisturbed::<Flex>();
    assert!(undisturbed.scaling.is_some_and(|scaling| scaling.finite_steps > 0));
    let policy = ended(&world, &folder.path().join("checkpoints"), 4);
    assert_eq!(policy, every(1, &policy.folder));
    let resumed = world.train_until::<Flex>(&policy, usize::MAX);
    assert_eq!(resumed.state().scaling, undisturbed.scaling);
    assert!(resumed.state() == undisturbed);
}

#[test]
fn other_precisions_are_not_scaled() {
    let folder = tempfile::tempdir().unwrap();
    for precision in [Precision::F32, Precision::Bf16] {
        let world = World { precision, ..World::read(folder.path()) };
        assert_eq!(world.learner::<Flex>().scaling(), None);
    }
}
