//! Names of unknown origin as images and masks of a tree, and a pattern between them: every mask belongs to
//! one image at most, and what belongs to none is told. Files are empty: only names are looked at.
#![no_main]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use moeclip_data::{Layout, Split, Tree};
use tempfile::TempDir;

/// Names of each kind; more only cost time.
const MOST: usize = 6;
/// The longest that a file system takes, its ending included.
const LONGEST: usize = 240;

/// Makes files of these names, and of one that is there already none.
fn fill(folder: &Path, names: &[&str]) {
    fs::create_dir_all(folder).expect("a folder can be made");
    for name in names.iter().filter(|name| name.len() <= LONGEST) {
        let _ = File::create(folder.join(name));
    }
}

// Lines: a pattern or nothing, then names of images up to an empty line, then names of masks.
fuzz_target!(|text: &str| {
    let is_harmless = |name: &&str| !name.contains(['/', '\0']) && !matches!(*name, "." | "..");
    let mut lines = text.lines();
    let pattern = lines.next().unwrap_or_default();
    let images: Vec<&str> =
        lines.by_ref().take_while(|line| !line.is_empty()).filter(is_harmless).take(MOST).collect();
    let masks: Vec<&str> =
        lines.filter(|line| !line.is_empty()).filter(is_harmless).take(MOST).collect();
    let root = TempDir::new().expect("a folder can be made");
    fill(&root.path().join("test/x"), &images);
    fill(&root.path().join("ground_truth/x"), &masks);
    let mask_names = match pattern.is_empty() {
        true => Vec::new(),
        false => vec![pattern.to_owned()],
    };
    let layout = Layout::Tree(Tree { mask_names, ..Tree::default() });
    let Ok(scan) = layout.scan(root.path(), Split::Test) else { return };
    let mut taken = BTreeSet::new();
    for mask in scan.samples.iter().flat_map(|sample| &sample.masks) {
        assert!(taken.insert(mask), "{} belongs to two images", mask.display());
    }
    for fault in &scan.faults {
        assert!(!fault.detail.contains('\n'), "{fault}");
    }
});
