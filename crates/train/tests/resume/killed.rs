//! A process that is killed, not ended: twenty times at points of chance, then compared.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use burn::backend::Flex;
use moeclip_train::CheckpointPolicy;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::world::{World, every, file, saved};

const KILLS: usize = 20;

/// Where the child finds its world; set by the parent alone.
const WORLD: &str = "MOECLIP_TEST_KILLED_RUN";

fn world(world: World) -> World {
    let mut world = world;
    world.training.epochs = 30;
    world
}

fn policy(folder: &Path) -> CheckpointPolicy {
    CheckpointPolicy { keep: 2, ..every(1, &folder.join("checkpoints")) }
}

#[test]
#[ignore = "started and killed by the test below"]
fn the_run_that_is_killed() {
    if let Some(folder) = std::env::var_os(WORLD) {
        let folder = Path::new(&folder);
        world(World::read(folder)).train_until::<Flex>(&policy(folder), usize::MAX);
    }
}

fn start(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::the_run_that_is_killed", "--ignored"])
        .env(WORLD, folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn newest(checkpoints: &Path) -> usize {
    if checkpoints.exists() { saved(checkpoints).last().copied().unwrap_or(0) } else { 0 }
}

/// The undisturbed run: its last checkpoint, and how long a step took.
fn straight(world: &World, folder: &Path) -> (Vec<u8>, Duration) {
    let start = Instant::now();
    let learner = world.train_until::<Flex>(&policy(folder), usize::MAX);
    let step = start.elapsed() / world.steps() as u32;
    assert_eq!(learner.steps(), world.steps());
    (last(world, folder), step)
}

fn last(world: &World, folder: &Path) -> Vec<u8> {
    std::fs::read(file(&policy(folder).folder, world.steps())).unwrap()
}

#[test]
fn a_run_killed_twenty_times_ends_with_the_same_file() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let world = world(World::write(folder.path()));
    let (expected, step) = straight(&world, other.path());
    let checkpoints = policy(folder.path()).folder;
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    for kill in 0..KILLS {
        // Few steps a life, or the run is done before its last kill.
        let goal = newest(&checkpoints) + rng.random_range(0..3);
        let mut child = start(folder.path());
        let patience = Instant::now();
        while newest(&checkpoints) < goal {
            assert!(patience.elapsed() < Duration::from_secs(120), "no checkpoint before {kill}");
            sleep(Duration::from_millis(1));
        }
        sleep(step.mul_f64(rng.random_range(0.0..2.0)));
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success(), "it was done before kill {kill}");
    }
    assert!(newest(&checkpoints) > KILLS / 2, "hardly a step was made between the kills");
    assert!(start(folder.path()).wait().unwrap().success());
    assert!(last(&world, folder.path()) == expected);
}
