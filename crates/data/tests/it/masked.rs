//! Images that each have a mask: which is one, and what it says of its image.

use std::fs;
use std::path::Path;

use image::{GrayImage, Luma};
use moeclip_data::{DataError, Descriptor, FaultKind, Label, Layout, Scan, Split};
use tempfile::TempDir;

/// What a picture of a test shows.
#[derive(Clone, Copy)]
enum Shows {
    Nothing,
    Spot,
}

/// Pictures of 8 x 8 in a folder.
fn folder(files: &[(&str, Shows)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (file, shows) in files {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut picture = GrayImage::new(8, 8);
        if matches!(shows, Shows::Spot) {
            picture.put_pixel(3, 4, Luma([255]));
        }
        picture.save(path).unwrap();
    }
    root
}

fn scan(root: &Path, split: Split) -> Result<Scan, DataError> {
    Descriptor::undescribed("test", Layout::guess(root)).scan(root, split)
}

/// Every image with its label and the names of its masks.
fn facts(root: &Path, scan: &Scan) -> Vec<String> {
    let name = |path: &Path| path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
    let fact = |sample: &moeclip_data::Sample| {
        let label = if sample.label == Label::Normal { "normal" } else { "anomalous" };
        let masks: Vec<String> = sample.masks.iter().map(|mask| name(mask)).collect();
        format!("{} {label} {}", name(&sample.image), masks.join("|"))
    };
    scan.samples.iter().map(fact).collect()
}

fn check(files: &[(&str, Shows)], split: Split, expected: &[&str]) {
    let root = folder(files);
    let found = scan(root.path(), split).unwrap();
    assert_eq!(found.faults, []);
    assert_eq!(facts(root.path(), &found), expected);
}

#[test]
fn a_mask_that_marks_nothing_makes_its_image_normal() {
    use Shows::{Nothing, Spot};
    check(
        &[
            ("images/a/0.jpg", Nothing),
            ("images/1.png", Spot),
            ("masks/a/0.png", Spot),
            ("masks/1_mask.bmp", Nothing),
        ],
        Split::Test,
        &["images/1.png normal masks/1_mask.bmp", "images/a/0.jpg anomalous masks/a/0.png"],
    );
}

#[test]
fn masks_beside_their_images_are_no_images() {
    use Shows::{Nothing, Spot};
    check(
        &[
            ("kos01/Part0.jpg", Nothing),
            ("kos01/Part0_label.bmp", Spot),
            ("kos02/Part0.jpg", Spot),
            ("kos02/Part0_label.bmp", Nothing),
        ],
        Split::Test,
        &[
            "kos01/Part0.jpg anomalous kos01/Part0_label.bmp",
            "kos02/Part0.jpg normal kos02/Part0_label.bmp",
        ],
    );
}

#[test]
fn of_a_train_split_the_normal_images_count() {
    use Shows::{Nothing, Spot};
    let files = [
        ("train/1.png", Spot),
        ("train/1_GT.png", Nothing),
        ("train/2.png", Spot),
        ("train/2_GT.png", Spot),
        ("test/3.png", Nothing),
        ("test/3_GT.png", Spot),
    ];
    check(&files, Split::Train, &["train/1.png normal train/1_GT.png"]);
    check(&files, Split::Test, &["test/3.png anomalous test/3_GT.png"]);
}

#[test]
fn a_mask_as_jpeg_is_blank_where_it_is_nearly_black() {
    let root = folder(&[("images/0.png", Shows::Spot), ("images/1.png", Shows::Spot)]);
    fs::create_dir(root.path().join("masks")).unwrap();
    for (file, grey) in [("0", 3), ("1", 250)] {
        let mask = GrayImage::from_pixel(8, 8, Luma([grey]));
        mask.save(root.path().join(format!("masks/{file}.jpg"))).unwrap();
    }
    let found = scan(root.path(), Split::Test).unwrap();
    let labels: Vec<Label> = found.samples.iter().map(|sample| sample.label).collect();
    assert_eq!(labels, [Label::Normal, Label::Anomalous]);
}

#[test]
fn an_image_without_its_mask_and_a_mask_without_its_image_are_faults() {
    use Shows::Spot;
    let files = [
        ("images/0.png", Spot),
        ("images/7.png", Spot),
        ("masks/0.png", Spot),
        ("masks/8.png", Spot),
    ];
    let root = folder(&files);
    let faults = scan(root.path(), Split::Test).unwrap().faults;
    let kinds: Vec<FaultKind> = faults.iter().map(|fault| fault.kind).collect();
    assert_eq!(kinds, [FaultKind::MaskMissing, FaultKind::ImageMissing]);
}

#[test]
fn folders_of_these_names_whose_pictures_do_not_pair_are_of_another_layout() {
    use Shows::Spot;
    let root = folder(&[("images/0.png", Spot), ("masks/portrait.png", Spot)]);
    let refused = scan(root.path(), Split::Test).unwrap_err().to_string();
    assert!(refused.contains("not test: none of"), "{refused}");
}

#[test]
fn a_tree_without_normal_images_is_described_by_naming_none() {
    let root = folder(&[
        ("road/test/crack/0.png", Shows::Spot),
        ("road/ground_truth/crack/0_mask.png", Shows::Spot),
    ]);
    let refused = scan(root.path(), Split::Test).unwrap_err().to_string();
    assert!(refused.contains("normal = [] where all are anomalous"), "{refused}");
    let text = "name = \"test\"\n[[layouts]]\nkind = \"tree\"\nnormal = []\n";
    let described = Descriptor::parse(text, Path::new("test.toml")).unwrap();
    let found = described.scan(root.path(), Split::Test).unwrap();
    assert_eq!(
        facts(root.path(), &found),
        ["road/test/crack/0.png anomalous road/ground_truth/crack/0_mask.png"]
    );
}
