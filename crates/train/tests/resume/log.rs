//! The log of a run that was killed anywhere: every step once, with the numbers of an undisturbed run.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use burn::backend::Flex;
use moeclip_train::{Checkpoints, Resumed, RunLog, StepMetrics, StepReport, fit_watched};

use crate::world::{World, every};

/// Where the child finds its world; set by the parent alone.
const WORLD: &str = "MOECLIP_TEST_LOGGED_RUN";

const KILLS: usize = 4;

fn world(world: World) -> World {
    let mut world = world;
    world.training.epochs = 6;
    world
}

/// Takes a run and its log up where they stand, saving every third step, and makes it to its end.
fn train(world: &World, folder: &Path) {
    let policy = every(3, &folder.join("checkpoints"));
    let Resumed { mut checkpoints, checkpoint, .. } =
        Checkpoints::resume(policy, world.description()).unwrap();
    let mut learner = world.learner::<Flex>();
    if let Some(checkpoint) = &checkpoint {
        learner = learner.restore(&world.clip(), checkpoint).unwrap();
    }
    let mut log = RunLog::resume(&folder.join("log"), learner.steps()).unwrap();
    let (images, device) = (world.images(), Default::default());
    fit_watched(&mut learner, &images, world.extent(), &device, |learner, metrics| {
        log.step(metrics).unwrap();
        checkpoints.after_step(learner).unwrap();
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
}

fn reports(folder: &Path) -> Vec<StepReport> {
    let lines = std::fs::read_to_string(folder.join("log/metrics.jsonl")).unwrap_or_default();
    let whole = lines.lines().filter_map(|line| serde_json::from_str::<StepMetrics>(line).ok());
    whole.map(|metrics| metrics.report).collect()
}

#[test]
#[ignore = "started and killed by the test below"]
fn the_logged_run_that_is_killed() {
    if let Some(folder) = std::env::var_os(WORLD) {
        let folder = Path::new(&folder);
        train(&world(World::read(folder)), folder);
    }
}

#[test]
fn the_log_of_a_killed_run_is_that_of_an_undisturbed_one() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let world = world(World::write(folder.path()));
    train(&world, other.path());
    for kill in 1..=KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "log::the_logged_run_that_is_killed", "--ignored"])
            .env(WORLD, folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let (patience, goal) = (Instant::now(), 5 * kill);
        while reports(folder.path()).len() < goal {
            assert!(patience.elapsed() < Duration::from_secs(120), "no step {goal}");
            sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success(), "it was done before kill {kill}");
    }
    train(&world, folder.path());
    assert_eq!(reports(folder.path()).len(), world.steps());
    assert!(reports(folder.path()) == reports(other.path()));
    let rows = std::fs::read_to_string(folder.path().join("log/metrics.csv")).unwrap();
    assert_eq!(rows.lines().count(), 1 + world.steps());
}
