//! Scanning: trees in MVTec layout, whole and with planted faults that must be named.

use std::fs;
use std::path::{Path, PathBuf};

use moeclip_data::{
    Counts, DataError, FaultKind, FoundImages, Label, Layout, Sample, Split, Tree, images, scan,
};
use tempfile::TempDir;

fn tree(files: &[&str]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for file in files {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"not read while scanning").unwrap();
    }
    root
}

fn relative(root: &TempDir, paths: impl IntoIterator<Item = PathBuf>) -> Vec<String> {
    let name = |path: PathBuf| path.strip_prefix(root.path()).unwrap().display().to_string();
    paths.into_iter().map(name).collect()
}

fn scan_test(root: &TempDir) -> Result<Vec<Sample>, DataError> {
    scan(root.path(), Split::Test)
}

fn fault(files: &[&str]) -> String {
    let text = scan_test(&tree(files)).unwrap_err().to_string();
    assert!(!text.contains('\n'), "{text}");
    text
}

const WHOLE: [&str; 9] = [
    "pipe_fryum/test/good/001.png",
    "pipe_fryum/test/good/000.JPG",
    "pipe_fryum/test/crack/b.png",
    "pipe_fryum/test/crack/a.tif",
    "pipe_fryum/ground_truth/crack/a_mask.png",
    "pipe_fryum/ground_truth/crack/b.png",
    "cubes/test/abnormal/0.webp",
    "cubes/test/good/0.bmp",
    "readme.txt",
];

#[test]
fn a_whole_tree_is_sorted_and_paired_by_name() {
    let root = tree(&WHOLE);
    let samples = scan_test(&root).unwrap();
    let found = relative(&root, samples.iter().map(|s| s.image.clone()));
    let expected = [
        "cubes/test/abnormal/0.webp",
        "cubes/test/good/0.bmp",
        "pipe_fryum/test/crack/a.tif",
        "pipe_fryum/test/crack/b.png",
        "pipe_fryum/test/good/000.JPG",
        "pipe_fryum/test/good/001.png",
    ];
    assert_eq!(found, expected);
    let masks = relative(&root, samples.iter().flat_map(|s| s.masks.clone()));
    let expected =
        ["pipe_fryum/ground_truth/crack/a_mask.png", "pipe_fryum/ground_truth/crack/b.png"];
    assert_eq!(masks, expected);
    assert_eq!(samples[2].label, Label::Anomalous);
    assert_eq!(samples[2].defect, "crack");
    assert_eq!(samples[4].label, Label::Normal);
    assert_eq!(samples[4].class, "pipe_fryum");
    assert_eq!(samples[4].prompt, "pipe fryum");
    let counts = Counts { normal: 3, anomalous: 3, anomalous_without_mask: 1 };
    assert_eq!(Counts::of(&samples), counts);
    assert_eq!(counts.total(), 6);
}

#[test]
fn a_class_folder_may_be_the_root() {
    let root = tree(&WHOLE);
    let samples = scan(&root.path().join("cubes"), Split::Test).unwrap();
    assert_eq!(samples.len(), 2);
    assert!(samples.iter().all(|s| s.class == "cubes"));
    let samples = scan(&root.path().join("cubes/test/.."), Split::Test).unwrap();
    assert!(samples.iter().all(|s| s.class == "cubes"), "{samples:?}");
}

#[test]
fn the_train_split_has_normal_images_without_masks() {
    let root =
        tree(&["bolt/train/good/0.png", "bolt/test/crack/0.png", "bolt/ground_truth/crack/0.png"]);
    let samples = scan(root.path(), Split::Train).unwrap();
    assert_eq!(relative(&root, samples.iter().map(|s| s.image.clone())), ["bolt/train/good/0.png"]);
    assert!(samples[0].masks.is_empty());
}

#[test]
fn masks_of_normal_images_are_taken_where_they_are() {
    let root = tree(&["b/test/good/0.png", "b/ground_truth/good/0_mask.png"]);
    assert!(!scan_test(&root).unwrap()[0].masks.is_empty());
}

#[test]
fn an_image_named_like_a_mask_keeps_its_own() {
    let root = tree(&[
        "b/test/x/0.png",
        "b/test/x/0_mask.png",
        "b/ground_truth/x/0_mask.png",
        "b/ground_truth/x/0_mask_mask.png",
    ]);
    let masks = scan_test(&root).unwrap().into_iter().flat_map(|s| s.masks);
    let expected = ["b/ground_truth/x/0_mask.png", "b/ground_truth/x/0_mask_mask.png"];
    assert_eq!(relative(&root, masks), expected);
}

#[test]
fn unpaired_files_are_named() {
    let images = ["b/test/x/0.png", "b/test/x/1.png"];
    let text = fault(&[
        images[0],
        images[1],
        "b/ground_truth/x/1_mask.png",
        "b/ground_truth/x/2_mask.png",
    ]);
    assert!(text.contains("no mask") && text.contains("test/x/0.png"), "{text}");
    assert!(text.contains("ground_truth/x/2_mask.png: no image for the mask"), "{text}");
    assert!(!text.contains("1.png"), "{text}");
}

#[test]
fn a_class_whose_ground_truth_is_empty_lacks_masks() {
    let root = tree(&["b/test/x/0.png"]);
    fs::create_dir(root.path().join("b/ground_truth")).unwrap();
    let text = scan_test(&root).unwrap_err().to_string();
    assert!(text.contains("test/x/0.png"), "{text}");
}

#[test]
fn many_unpaired_files_are_counted() {
    let names: Vec<String> = (0..9).map(|n| format!("b/ground_truth/x/{n}.png")).collect();
    let mut files: Vec<&str> = names.iter().map(String::as_str).collect();
    files.push("b/test/good/0.png");
    let text = fault(&files);
    assert!(text.contains("ground_truth/x/3.png: ") && text.ends_with(" and 5 more"), "{text}");
}

#[test]
fn two_files_of_one_stem_do_not_share_a_mask() {
    let text = fault(&["b/test/x/0.png", "b/test/x/0.jpg", "b/ground_truth/x/0_mask.png"]);
    assert!(text.contains("test/x/0.png") && !text.contains("test/x/0.jpg"), "{text}");
    let text = fault(&["b/test/x/0.png", "b/ground_truth/x/0.png", "b/ground_truth/x/0.bmp"]);
    assert!(text.contains("two masks of one name"), "{text}");
}

#[test]
fn two_masks_that_fit_one_image_are_ambiguous() {
    let root = tree(&["b/test/x/0.png", "b/ground_truth/x/0_mask.png", "b/ground_truth/x/0.png"]);
    let found = Layout::Tree(Tree::default()).scan(root.path(), Split::Test).unwrap();
    let rival = root.path().join("b/ground_truth/x/0.png");
    let faults: Vec<_> = found.faults.iter().map(|f| (f.kind, f.path.as_path())).collect();
    assert_eq!(faults, [(FaultKind::MaskAmbiguous, rival.as_path())]);
}

#[test]
fn other_layouts_are_refused() {
    assert!(fault(&["a.png", "b/c.png"]).contains("MVTec layout"));
    assert!(fault(&["b/test/good/notes.txt"]).contains("no image"));
    assert!(
        fault(&["b/test/0.png", "b/test/good/1.png"]).contains("0.png: lies in no defect folder")
    );
    let root = tree(&["file.png"]);
    let text = scan(&root.path().join("file.png"), Split::Test).unwrap_err().to_string();
    assert!(text.contains("a file, where a dataset folder is needed"), "{text}");
    let text = scan(&root.path().join("missing"), Split::Test).unwrap_err().to_string();
    assert!(text.contains("missing: cannot be read"), "{text}");
}

#[test]
fn images_of_any_folder_are_found_below_it() {
    let root = tree(&["b/2.jpeg", "b/c/1.PNG", "a.webp", "notes.txt", ".hidden/0.png", "b/.0.png"]);
    let found = images(root.path()).unwrap();
    assert_eq!(found.faults, []);
    assert_eq!(relative(&root, found.images), ["a.webp", "b/2.jpeg", "b/c/1.PNG"]);
    let single = root.path().join("notes.txt");
    assert_eq!(images(&single).unwrap().images, [single], "a named file's content decides later");
}

#[test]
fn a_folder_without_images_is_an_error() {
    let root = tree(&["notes.txt"]);
    let text = images(root.path()).unwrap_err().to_string();
    assert!(text.contains("no image in this folder"), "{text}");
    assert!(text.ends_with("there are: .txt 1"), "{text}");
    assert!(images(&root.path().join("missing")).is_err());
}

#[cfg(unix)]
#[test]
fn links_that_lead_nowhere_or_in_a_circle_hide_no_image() {
    let root = tree(&["a/0.png", "b/1.png"]);
    let link = |to: &Path, at: &str| {
        std::os::unix::fs::symlink(to, root.path().join(at)).unwrap();
    };
    link(root.path(), "a/again");
    link(Path::new("gone.png"), "a/2.png");
    link(Path::new("gone"), "a/3");
    link(Path::new("gone.txt"), "a/notes.txt");
    link(Path::new("gone.png"), "a/._2.png");
    link(Path::new("4.png"), "b/4.png");
    let FoundImages { images, faults } = images(root.path()).unwrap();
    assert_eq!(relative(&root, images), ["a/0.png", "b/1.png"]);
    assert!(faults.iter().all(|fault| fault.kind == FaultKind::BrokenLink), "{faults:?}");
    let links = faults.iter().map(|fault| fault.path.clone());
    assert_eq!(relative(&root, links), ["a/2.png", "a/3", "a/again", "b/4.png"]);
    assert!(faults[0].detail.contains("gone.png") && faults[2].detail.contains("back to"));
}

#[cfg(unix)]
#[test]
fn a_picture_that_is_named_and_not_there_is_a_fault_of_a_tree() {
    let root = tree(&["b/test/good/0.png", "b/test/x/0.png", "b/ground_truth/x/0_mask.png"]);
    for link in ["b/test/good/1.png", "b/test/x/1.png"] {
        std::os::unix::fs::symlink("../../../annex/1.png", root.path().join(link)).unwrap();
    }
    let text = scan_test(&root).unwrap_err().to_string();
    for link in ["b/test/good/1.png: a link to", "b/test/x/1.png: a link to"] {
        assert!(text.contains(link), "{text}");
    }
}

#[test]
#[ignore = "needs ../shared beside the clone"]
fn shared_files_in_real_folders() {
    let shared = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/real"));
    let hazelnuts = Counts::of(&scan(&shared.join("hazelnut-toy"), Split::Test).unwrap());
    assert_eq!((hazelnuts.normal, hazelnuts.anomalous), (1, 2));
    assert_eq!(hazelnuts.anomalous_without_mask, 0);
    let cubes = Counts::of(&scan(&shared.join("dobot-cubes"), Split::Test).unwrap());
    assert_eq!((cubes.normal, cubes.anomalous), (8, 8));
    assert_eq!(cubes.anomalous_without_mask, 8);
}
