//! A disk that takes no more: told, and survived.

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

use burn::backend::Flex;
use moeclip_train::{CheckpointError, Checkpoints};

use crate::world::{World, every, saved};

/// Trains to the end with a checkpoint per step; `spoil` is called before the third, `mend` before
/// the sixth. Returns what was told.
fn train(folder: &Path, spoil: impl Fn(&Path), mend: impl Fn(&Path)) -> Vec<String> {
    let world = World::write(folder);
    let policy = every(1, &folder.join("checkpoints"));
    let mut told = Vec::new();
    let learner = world.train::<Flex>(&policy, |checkpoints, learner| {
        match learner.steps() {
            3 => spoil(&policy.folder),
            6 => mend(&policy.folder),
            _ => {}
        }
        if let Err(error) = checkpoints.after_step(learner) {
            assert!(matches!(error, CheckpointError::NotSaved { .. }), "{error:?}");
            told.push(error.to_string());
        }
        ControlFlow::Continue(())
    });
    assert!(learner.state() == world.undisturbed::<Flex>());
    assert_eq!(saved(&policy.folder), [1, 2, 6, 7, 8, 9, 10]);
    told
}

fn check(told: &[String]) {
    assert_eq!(told.len(), 3, "{told:?}");
    for (line, step) in told.iter().zip(3..) {
        assert!(line.contains(&format!("step-{step:08}.safetensors: cannot be saved: ")), "{line}");
        assert!(line.contains("older checkpoints stay") && !line.contains('\n'), "{line}");
    }
}

#[test]
fn a_folder_that_became_a_file_is_told_and_training_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let aside = folder.path().join("aside");
    let spoil = |checkpoints: &Path| {
        fs::rename(checkpoints, &aside).unwrap();
        fs::write(checkpoints, "in the way").unwrap();
    };
    let mend = |checkpoints: &Path| {
        fs::remove_file(checkpoints).unwrap();
        fs::rename(&aside, checkpoints).unwrap();
    };
    check(&train(folder.path(), spoil, mend));
}

#[test]
fn a_place_that_takes_no_files_is_told_and_training_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let unfinished = |checkpoints: &Path| checkpoints.join(".unfinished");
    let spoil = |checkpoints: &Path| {
        fs::remove_dir(unfinished(checkpoints)).unwrap();
        fs::write(unfinished(checkpoints), "in the way").unwrap();
    };
    let mend = |checkpoints: &Path| fs::remove_file(unfinished(checkpoints)).unwrap();
    check(&train(folder.path(), spoil, mend));
}

#[test]
fn a_folder_in_the_way_of_a_checkpoint_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let name =
        |checkpoints: &Path, step: usize| checkpoints.join(format!("step-{step:08}.safetensors"));
    let spoil = |checkpoints: &Path| {
        for step in 3..6 {
            fs::create_dir_all(name(checkpoints, step).join("full")).unwrap();
        }
    };
    let mend = |checkpoints: &Path| {
        (3..6).for_each(|step| fs::remove_dir_all(name(checkpoints, step)).unwrap());
    };
    check(&train(folder.path(), spoil, mend));
}

/// The variable that names an empty folder on a disk of a few megabytes, as in
/// `mount -t tmpfs -o size=4m tmpfs FOLDER`.
const SMALL_DISK: &str = "MOECLIP_SMALL_DISK";

#[test]
#[ignore = "needs a small disk that MOECLIP_SMALL_DISK names"]
fn a_disk_that_is_really_full_is_told_and_training_goes_on() {
    let disk = std::env::var_os(SMALL_DISK).expect(SMALL_DISK);
    let folder = tempfile::tempdir_in(disk).unwrap();
    let ballast = folder.path().join("ballast");
    let spoil = |_: &Path| {
        let mut file = fs::File::create(&ballast).unwrap();
        // Bigger pieces first, so that not one byte is left.
        for piece in [1 << 20, 1 << 12, 1] {
            let zeros = vec![0; piece];
            while file.write_all(&zeros).is_ok() {}
        }
    };
    let told = train(folder.path(), spoil, |_| fs::remove_file(&ballast).unwrap());
    check(&told);
    assert!(told.iter().all(|line| line.contains("No space left on device")), "{told:?}");
}

#[test]
fn adapters_that_left_the_numbers_do_not_push_out_older_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::write(folder.path());
    world.training.learning_rate.initial = 1e39;
    let mut told = None;
    world.train::<Flex>(&every(1, &folder.path().join("checkpoints")), |checkpoints, learner| {
        told = checkpoints.after_step(learner).err();
        ControlFlow::Break(())
    });
    let error = told.unwrap();
    assert!(matches!(&error, CheckpointError::NotFinite { step: 1, .. }), "{error}");
    assert!(error.to_string().starts_with("step 1: ") && !error.to_string().contains('\n'));
    assert!(saved(&folder.path().join("checkpoints")).is_empty());
}

#[test]
fn a_place_that_is_no_folder_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::read(folder.path());
    let place = folder.path().join("file");
    fs::write(&place, "in the way").unwrap();
    let error = Checkpoints::start(every(1, &place), world.description()).unwrap_err();
    let line = error.to_string();
    assert!(line.contains("cannot hold checkpoints") && line.contains("; give"), "{line}");
}
