//! The numbers version is raised whenever a result changes: a golden of the repository that is not the
//! recorded one fails here until it is.
//!
//! `goldens.json` has the SHA-256 of each and the version that it was recorded under. After raising
//! [`NUMBERS`], or for a golden that is new or gone, `RECORD_GOLDENS=1 cargo test --workspace --test
//! goldens` records them; for one that changed under the same version it refuses.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use conditions::NUMBERS;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

/// How the paths of goldens go on below a crate. Those of the command line list data sets, no numbers.
const PLACES: [&str; 2] = ["/tests/goldens/", "/tests/fixtures/expected."];

/// Files there that hold no numbers: they make goldens.
const MAKERS: [&str; 1] = ["py"];

/// A golden as it was when it was recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Recorded {
    /// The numbers version at that time.
    numbers: u32,
    sha256: String,
}

/// By path from the root of the repository.
type Record = BTreeMap<String, Recorded>;

#[test]
fn a_golden_changes_only_with_the_numbers_version() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens.json");
    let recorded: Record = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let found = digests(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
    assert!(found.len() >= 8, "goldens are looked for in the wrong place: {found:?}");
    if std::env::var_os("RECORD_GOLDENS").is_some() {
        let record = record(&recorded, &found, NUMBERS).unwrap_or_else(|line| panic!("{line}"));
        fs::write(&file, serde_json::to_string_pretty(&record).unwrap() + "\n").unwrap();
        return;
    }
    check(&recorded, &found, NUMBERS).unwrap_or_else(|line| panic!("{line}"));
}

/// SHA-256 of every golden below a folder, by its path from there.
fn digests(root: &Path) -> BTreeMap<String, String> {
    let entries = WalkDir::new(root.join("crates")).into_iter().flatten();
    let paths = entries.filter(|entry| entry.file_type().is_file()).map(|entry| entry.into_path());
    let named = paths.filter_map(|path| Some((golden(root, &path)?, path)));
    named.map(|(name, path)| (name, sha256(&path))).collect()
}

/// The path of a golden from the root, with `/`; `None` for other files.
fn golden(root: &Path, path: &Path) -> Option<String> {
    let parts = path.strip_prefix(root).ok()?.iter().map(|part| part.to_str());
    let name = parts.collect::<Option<Vec<_>>>()?.join("/");
    let is_maker = path.extension().is_some_and(|end| MAKERS.iter().any(|maker| end == *maker));
    (PLACES.iter().any(|place| name.contains(place)) && !is_maker).then_some(name)
}

fn sha256(path: &PathBuf) -> String {
    let digest = Sha256::digest(fs::read(path).unwrap());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The record of what was found; refused where a golden changed and the version did not.
fn record(
    recorded: &Record,
    found: &BTreeMap<String, String>,
    numbers: u32,
) -> Result<Record, String> {
    let changed = found.iter().find(|(name, sha256)| {
        recorded.get(*name).is_some_and(|was| was.sha256 != **sha256 && was.numbers >= numbers)
    });
    if let Some((name, _)) = changed {
        return Err(format!(
            "{name}: is another than under numbers version {numbers}; if results have changed, raise \
             NUMBERS in crates/conditions/src/lib.rs and record it with RECORD_GOLDENS=1, else take the \
             old file back"
        ));
    }
    let entry = |(name, sha256): (&String, &String)| {
        let was = recorded.get(name).filter(|was| was.sha256 == *sha256).cloned();
        let now = || Recorded { numbers, sha256: sha256.clone() };
        (name.clone(), was.unwrap_or_else(now))
    };
    Ok(found.iter().map(entry).collect())
}

/// Whether the record is of what was found.
fn check(recorded: &Record, found: &BTreeMap<String, String>, numbers: u32) -> Result<(), String> {
    let now = record(recorded, found, numbers)?;
    let names = now.keys().chain(recorded.keys());
    match names.into_iter().find(|name| now.get(*name) != recorded.get(*name)) {
        None => Ok(()),
        Some(name) => Err(format!(
            "{name}: crates/conditions/tests/goldens.json does not know it as it is; record it with \
             RECORD_GOLDENS=1"
        )),
    }
}

#[test]
fn a_golden_that_changes_without_a_new_version_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("crates/x/tests/goldens");
    fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    write("a.json", "[1.0]");
    write("make.py", "print()");
    let first = record(&Record::new(), &digests(root.path()), 1).unwrap();
    assert_eq!(first.keys().collect::<Vec<_>>(), ["crates/x/tests/goldens/a.json"]);
    assert_eq!(check(&first, &digests(root.path()), 1), Ok(()));
    write("a.json", "[1.1]");
    let line = check(&first, &digests(root.path()), 1).unwrap_err();
    assert!(line.contains("a.json: is another") && line.contains("raise NUMBERS"), "{line}");
    assert_eq!(record(&first, &digests(root.path()), 1), Err(line), "nor can it be recorded");
    let unrecorded = check(&first, &digests(root.path()), 2).unwrap_err();
    assert!(unrecorded.contains("RECORD_GOLDENS=1"), "{unrecorded}");
    let second = record(&first, &digests(root.path()), 2).unwrap();
    assert_eq!(check(&second, &digests(root.path()), 2), Ok(()));
    write("b.json", "[2.0]");
    assert!(check(&second, &digests(root.path()), 2).unwrap_err().contains("b.json"));
    fs::remove_file(folder.join("b.json")).unwrap();
    fs::remove_file(folder.join("a.json")).unwrap();
    assert!(check(&second, &digests(root.path()), 2).unwrap_err().contains("a.json"));
}
