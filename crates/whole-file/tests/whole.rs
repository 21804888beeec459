//! Nothing changes before a commit, modes follow the umask, and a lock is held once.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use whole_file::{FolderLock, LockError, WholeFile};

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_stays_as_it_was_until_the_commit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    whole_file::write(&path, b"old").unwrap();
    let mut file = WholeFile::create(&path).unwrap();
    file.write_all(b"half").unwrap();
    drop(file);
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(names(folder.path()), ["a"]);

    let mut file = WholeFile::create(&path).unwrap();
    file.write_all(b"new").unwrap();
    file.flush().unwrap();
    let mut handle = file.handle().unwrap();
    file.commit_unsynced().unwrap();
    handle.write_all(b", and on").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new, and on");
    whole_file::append(&path).unwrap().write_all(b"!").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new, and on!");
    assert_eq!(names(folder.path()), ["a"]);
}

#[test]
fn a_folder_is_not_replaced_by_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let error = whole_file::write(folder.path(), b"x").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::IsADirectory);
}

#[cfg(unix)]
#[test]
fn modes_are_those_of_an_ordinary_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let mode = |name: &str| folder.path().join(name).metadata().unwrap().permissions().mode();
    File::create(folder.path().join("ordinary")).unwrap();
    whole_file::write(&folder.path().join("whole"), b"x").unwrap();
    whole_file::append(&folder.path().join("grows")).unwrap();
    assert_eq!(mode("whole"), mode("ordinary"));
    assert_eq!(mode("grows"), mode("ordinary"));
}

#[test]
fn a_folder_is_held_until_the_last_share_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs");
    let held = FolderLock::hold(&path).unwrap();
    assert!(matches!(FolderLock::hold(&path), Err(LockError::Held(_))));
    let share = held.share().unwrap();
    drop(held);
    let line = FolderLock::hold(&path).unwrap_err().to_string();
    assert!(line.contains("runs: is in use"), "{line}");
    drop(share);
    FolderLock::hold(&path).unwrap();
}
