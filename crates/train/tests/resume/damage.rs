//! Checkpoints that are not what they were: told, passed over, never a panic.

use std::fs;
use std::path::Path;

use burn::backend::Flex;
use moeclip::write_adapter;
use moeclip_train::{Checkpoint, CheckpointError, CheckpointPolicy, Checkpoints, Resumed};

use crate::world::{World, ended, every, file, saved};

/// A whole checkpoint's bytes.
fn whole() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let world = World::write(folder.path());
    let policy = ended(&world, &folder.path().join("checkpoints"), 1);
    fs::read(file(&policy.folder, 1)).unwrap()
}

/// The one line that refuses these bytes; `None` where they are a checkpoint.
fn refused(bytes: &[u8]) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), 1);
    fs::write(&path, bytes).unwrap();
    let error = Checkpoint::open(&path).err()?;
    assert!(matches!(error, CheckpointError::Damaged { .. }), "{error:?}");
    let line = error.to_string();
    assert!(line.contains("step-00000001.safetensors: is no whole checkpoint: "), "{line}");
    assert!(line.contains("; remove it") && !line.contains('\n'), "{line}");
    Some(line)
}

#[test]
fn a_checkpoint_cut_anywhere_is_refused() {
    let bytes = whole();
    assert_eq!(refused(&bytes), None);
    let header = 0..300;
    let rest = (300..bytes.len()).step_by(bytes.len() / 150);
    for length in header.chain(rest).chain([bytes.len() - 1]) {
        assert!(refused(&bytes[..length]).is_some(), "{length} of {} bytes", bytes.len());
    }
    assert!(refused(&[&bytes[..], &[0]].concat()).is_some(), "one byte too many");
}

#[test]
fn a_turned_bit_anywhere_is_refused() {
    let bytes = whole();
    for at in (0..bytes.len()).step_by(bytes.len() / 200) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(refused(&changed).is_some(), "bit of byte {at}");
    }
}

#[test]
fn what_is_no_checkpoint_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::write(folder.path());
    let path = folder.path().join("adapter.safetensors");
    let state = world.learner::<Flex>().state();
    write_adapter(&path, &state.weights, &world.model(), None).unwrap();
    let line = refused(&fs::read(path).unwrap()).unwrap();
    assert!(line.contains("written by something else"), "{line}");
    assert!(refused(b"{\"step\": 1}").unwrap().contains("it is JSON text"));
    assert!(refused(b"").unwrap().contains("0 bytes"));
}

#[test]
fn a_damaged_newest_checkpoint_is_passed_over_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::write(folder.path());
    let policy = ended(&world, &folder.path().join("checkpoints"), 7);
    cut(&file(&policy.folder, 7));
    fs::write(file(&policy.folder, 6), "not a checkpoint").unwrap();
    let resumed = Checkpoints::resume(policy.clone(), world.description()).unwrap();
    let Resumed { checkpoints, checkpoint, damaged } = resumed;
    assert_eq!(checkpoint.unwrap().position().step, 5);
    let told: Vec<String> = damaged.iter().map(ToString::to_string).collect();
    assert!(told[0].contains("step-00000007") && told[0].contains("truncated"), "{told:?}");
    assert!(told[1].contains("step-00000006"), "{told:?}");
    drop(checkpoints);
    let learner = world.train_until::<Flex>(&policy, usize::MAX);
    assert!(learner.state() == world.undisturbed::<Flex>());
    assert!(Checkpoint::open(&file(&policy.folder, 7)).is_ok(), "written anew");
}

#[test]
fn a_damaged_checkpoint_does_not_count_among_those_kept() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::write(folder.path());
    let policy = ended(&world, &folder.path().join("checkpoints"), 4);
    cut(&file(&policy.folder, 4));
    let policy = CheckpointPolicy { keep: 1, every_steps: Some(2), ..policy };
    world.train_until::<Flex>(&policy, 5);
    // Step 4 was due and written anew.
    assert_eq!(saved(&policy.folder), [4]);
    cut(&file(&policy.folder, 4));
    fs::write(file(&policy.folder, 9), "later and damaged").unwrap();
    fs::write(file(&policy.folder, 3), whole()).unwrap();
    let error = Checkpoints::resume(policy, world.description()).unwrap_err();
    assert!(matches!(error, CheckpointError::NoneWhole { count: 3, .. }), "{error}");
}

#[test]
fn later_damaged_ones_do_not_push_out_new_ones() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::write(folder.path());
    let policy = ended(&world, &folder.path().join("checkpoints"), 4);
    fs::write(file(&policy.folder, 9), "later and damaged").unwrap();
    let policy = CheckpointPolicy { keep: 1, ..policy };
    world.train_until::<Flex>(&policy, 6);
    assert_eq!(saved(&policy.folder), [6, 9]);
}

#[test]
fn no_whole_checkpoint_is_an_error_not_a_new_start() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::write(folder.path());
    let policy = every(1, folder.path());
    fs::write(file(folder.path(), 3), "x").unwrap();
    let error = Checkpoints::resume(policy, world.description()).unwrap_err();
    let line = error.to_string();
    assert!(line.starts_with("none of 1 checkpoints is whole"), "{line}");
    assert!(line.contains("step-00000003.safetensors"), "{line}");
}

#[test]
fn what_a_killed_run_left_unfinished_goes() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::write(folder.path());
    let policy = ended(&world, &folder.path().join("checkpoints"), 2);
    let left = policy.folder.join(".unfinished").join(".weights-Ab3dE9");
    fs::write(&left, "half a checkpoint").unwrap();
    let resumed = Checkpoints::resume(policy, world.description()).unwrap();
    assert!(!left.exists());
    assert_eq!(resumed.checkpoint.unwrap().position().step, 2);
}

/// Cuts a file in two and keeps the first half.
fn cut(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}
