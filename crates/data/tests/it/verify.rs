//! Verifying: a whole copy passes, and each fault that is planted in one is found, alone and by
//! name, whatever the number of threads.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use image::{GrayImage, Luma, Rgb, RgbImage};
use moeclip_data::{Checked, DataError, Descriptor, ExpectedCount, Fault, FaultKind, Verification};
use tempfile::TempDir;

use crate::files::{exif, with_chunk};

const PARTS: &str = r#"
name = "Parts"

[[layouts]]
kind = "tree"

[[classes]]
name = "bolt"
prompt = "steel bolt"
normal = 2
anomalous = 2

[[classes]]
name = "cap"
folders = ["cap_1", "cap_2"]
normal = 2
anomalous = 2
"#;

const TRAIN: [&str; 3] =
    ["bolt/train/good/a.png", "bolt/train/good/b.jpg", "cap_1/train/good/a.bmp"];
const NORMAL: [&str; 4] = [
    "bolt/test/good/0.png",
    "bolt/test/good/1.jpg",
    "cap_1/test/good/0.tif",
    "cap_2/test/good/0.webp",
];
const ANOMALOUS: [&str; 4] = [
    "bolt/test/bent/0.png",
    "bolt/test/bent/1.png",
    "cap_1/test/hole/0.bmp",
    "cap_2/test/hole/0.png",
];
const MASKS: [&str; 4] = [
    "bolt/ground_truth/bent/0_mask.png",
    "bolt/ground_truth/bent/1_mask.png",
    "cap_1/ground_truth/hole/0_mask.png",
    "cap_2/ground_truth/hole/0.png",
];
const WIDTH: u32 = 12;
const HEIGHT: u32 = 10;

/// A copy in which every picture is another.
fn copy() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (number, file) in TRAIN.iter().chain(&NORMAL).chain(&ANOMALOUS).enumerate() {
        save_image(root.path(), file, number as u8);
    }
    MASKS.iter().for_each(|file| save_mask(root.path(), file, &[0, 255]));
    root
}

fn save_image(root: &Path, file: &str, number: u8) {
    let pixel = |x, y| Rgb([number * 20, x as u8 * 9, y as u8 * 7]);
    make_room(root, file);
    RgbImage::from_fn(WIDTH, HEIGHT, pixel).save(root.join(file)).unwrap();
}

/// A mask whose pixels have these grey values in turn, saved as its name's ending says.
fn save_mask(root: &Path, file: &str, values: &[u8]) {
    make_room(root, file);
    mask(values).save(root.join(file)).unwrap();
}

fn mask(values: &[u8]) -> GrayImage {
    let value = |x, y| values[(x + y * WIDTH) as usize % values.len()];
    GrayImage::from_fn(WIDTH, HEIGHT, |x, y| Luma([value(x, y)]))
}

fn make_room(root: &Path, file: &str) {
    fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
}

fn cut(root: &Path, file: &str) {
    let bytes = fs::read(root.join(file)).unwrap();
    fs::write(root.join(file), &bytes[..bytes.len() / 2]).unwrap();
}

fn go_on(_: Checked) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn descriptor(text: &str) -> Descriptor {
    Descriptor::parse(text, Path::new("parts.toml")).unwrap()
}

fn verify_as(text: &str, root: &TempDir, threads: usize) -> Verification {
    moeclip_data::verify(&descriptor(text), root.path(), threads, go_on).unwrap()
}

/// What is found, the same with 1, 2 and 7 threads.
fn verify(text: &str, root: &TempDir) -> Verification {
    let found = verify_as(text, root, 1);
    for threads in [2, 7] {
        assert_eq!(verify_as(text, root, threads), found, "{threads} threads");
    }
    for Fault { detail, .. } in &found.faults {
        assert!(!detail.contains('\n') && !detail.contains("  "), "{detail}");
    }
    assert_eq!(found.is_right(), found.faults.is_empty());
    found
}

/// Kind and path of each fault, the path relative to the root.
fn faults(root: &TempDir, found: &Verification) -> Vec<(FaultKind, String)> {
    let relative = |path: &Path| path.strip_prefix(root.path()).unwrap().display().to_string();
    found.faults.iter().map(|fault| (fault.kind, relative(&fault.path))).collect()
}

/// The detail of the only fault of a copy after `plant`.
fn only_fault(text: &str, kind: FaultKind, path: &str, plant: impl Fn(&Path)) -> String {
    let root = copy();
    plant(root.path());
    let found = verify(text, &root);
    assert_eq!(faults(&root, &found), [(kind, path.to_owned())], "{:#?}", found.faults);
    found.faults[0].detail.clone()
}

#[test]
fn a_whole_copy_passes_and_is_counted() {
    let root = copy();
    let found = verify(PARTS, &root);
    assert_eq!(found.faults, []);
    assert_eq!((found.images, found.checked, found.masks), (11, 11, 4));
    assert_eq!((found.dataset.as_str(), found.root.as_path()), ("Parts", root.path()));
    let [bolt, cap] = found.classes.as_slice() else { panic!("{:?}", found.classes) };
    assert_eq!((bolt.class.as_str(), bolt.prompt.as_str()), ("bolt", "steel bolt"));
    for class in [bolt, cap] {
        assert_eq!((class.normal, class.anomalous, class.masks), (2, 2, 2), "{class:?}");
        assert_eq!(class.expected, Some(ExpectedCount { normal: 2, anomalous: 2 }));
    }
}

#[test]
fn a_copy_that_nobody_described_is_counted_by_folder() {
    let root = copy();
    let found = verify("name = \"x\"\n[[layouts]]\nkind = \"tree\"\n", &root);
    assert_eq!(found.faults, []);
    let classes: Vec<_> = found.classes.iter().map(|c| (c.class.as_str(), c.normal)).collect();
    assert_eq!(classes, [("bolt", 2), ("cap_1", 1), ("cap_2", 1)]);
    assert!(found.classes.iter().all(|class| class.expected.is_none()));
}

type Plant = fn(&Path);

#[test]
fn each_fault_of_the_tree_is_found_alone() {
    let cases: [(FaultKind, &str, Plant); 8] = [
        (FaultKind::StrayImage, "bolt/test/9.png", |r| save_image(r, "bolt/test/9.png", 12)),
        (FaultKind::MaskMissing, ANOMALOUS[0], |r| fs::remove_file(r.join(MASKS[0])).unwrap()),
        (FaultKind::ImageMissing, "bolt/ground_truth/bent/9.png", |r| {
            save_mask(r, "bolt/ground_truth/bent/9.png", &[0, 255]);
        }),
        (FaultKind::MaskAmbiguous, MASKS[0], |r| {
            save_mask(r, "bolt/ground_truth/bent/0_mask.bmp", &[0, 255]);
        }),
        (FaultKind::UnknownClass, "nut", |r| save_image(r, "nut/test/good/0.png", 12)),
        (FaultKind::MissingClass, "bolt", |r| fs::remove_dir_all(r.join("bolt")).unwrap()),
        (FaultKind::WrongCount, "bolt", |r| save_image(r, "bolt/test/good/9.png", 12)),
        (FaultKind::WrongCount, "cap", |r| fs::remove_dir_all(r.join("cap_2")).unwrap()),
    ];
    for (kind, path, plant) in cases {
        only_fault(PARTS, kind, path, plant);
    }
}

#[test]
fn what_is_no_whole_picture_is_unreadable() {
    for file in TRAIN.iter().chain(&NORMAL).chain(&ANOMALOUS).chain(&MASKS) {
        let unreadable = |plant: &dyn Fn(&Path)| {
            only_fault(PARTS, FaultKind::Unreadable, file, plant);
        };
        unreadable(&|root| cut(root, file));
        unreadable(&|root| fs::write(root.join(file), []).unwrap());
        unreadable(&|root| fs::write(root.join(file), "no picture").unwrap());
    }
}

#[test]
fn each_fault_of_a_mask_is_found_alone() {
    let jpeg_named_png: Plant = |root| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        mask(&[0, 255]).write_to(&mut bytes, image::ImageFormat::Jpeg).unwrap();
        fs::write(root.join(MASKS[0]), bytes.into_inner()).unwrap();
    };
    let cases: [(FaultKind, &str, Plant); 6] = [
        (FaultKind::MaskSize, MASKS[0], |root| {
            let mut mask = GrayImage::from_pixel(HEIGHT, WIDTH, Luma([0]));
            mask.put_pixel(1, 1, Luma([255]));
            mask.save(root.join(MASKS[0])).unwrap();
        }),
        (FaultKind::MaskEmpty, MASKS[1], |root| save_mask(root, MASKS[1], &[0])),
        (FaultKind::MaskOnNormal, "bolt/ground_truth/good/0.png", |root| {
            save_mask(root, "bolt/ground_truth/good/0.png", &[0, 255]);
        }),
        (FaultKind::MaskNearlyAll, MASKS[2], |root| {
            save_mask(root, MASKS[2], &[255, 255, 255, 255, 255, 255, 255, 0]);
        }),
        (FaultKind::MaskNotBinary, MASKS[3], |root| save_mask(root, MASKS[3], &[0, 127, 255])),
        (FaultKind::MaskLossy, MASKS[0], jpeg_named_png),
    ];
    for (kind, path, plant) in cases {
        only_fault(PARTS, kind, path, plant);
    }
}

/// Whatever the sizes: a picture that stays as wide when it is turned shows nothing by its size.
#[test]
fn a_picture_and_its_mask_are_turned_alike() {
    let turned = |root: &Path, file: &str, orientation: u8| {
        let png = fs::read(root.join(file)).unwrap();
        fs::write(root.join(file), with_chunk(&png, b"eXIf", &exif(orientation))).unwrap();
    };
    for orientation in [2, 3, 4] {
        let detail = only_fault(PARTS, FaultKind::MaskNotTurned, MASKS[0], |root| {
            turned(root, ANOMALOUS[0], orientation);
        });
        assert!(detail.starts_with("the picture is turned by EXIF, its mask is not"), "{detail}");
        let detail = only_fault(PARTS, FaultKind::MaskNotTurned, MASKS[0], |root| {
            turned(root, MASKS[0], orientation);
        });
        assert!(detail.starts_with("the mask is turned by EXIF, its picture is not"), "{detail}");
    }
    let root = copy();
    turned(root.path(), ANOMALOUS[0], 6);
    turned(root.path(), MASKS[0], 6);
    assert_eq!(verify(PARTS, &root).faults, [], "both");
    turned(root.path(), ANOMALOUS[1], 1);
    assert_eq!(verify(PARTS, &root).faults, [], "not turned, and said so");
}

#[test]
fn pictures_that_use_their_lower_bits_alone_are_told_unless_the_descriptor_says_the_bits() {
    let dim = |root: &Path| {
        let value = |x, y| Luma([(x * y * 30) as u16]);
        let picture = image::ImageBuffer::<Luma<u16>, Vec<u16>>::from_fn(WIDTH, HEIGHT, value);
        picture.save(root.join(NORMAL[0])).unwrap();
    };
    let detail = only_fault(PARTS, FaultKind::LowBits, NORMAL[0], dim);
    assert!(detail.contains("12 bits?"), "{detail}");
    let root = copy();
    dim(root.path());
    let said = |bits: u8| format!("bits = {bits}\n{PARTS}");
    assert_eq!(verify(&said(12), &root).faults, []);
    let found = verify(&said(10), &root);
    assert_eq!(faults(&root, &found), [(FaultKind::Unreadable, NORMAL[0].to_owned())]);
    let error = Descriptor::parse(&said(7), Path::new("parts.toml")).unwrap_err().to_string();
    assert!(error.contains("use 8 to 16"), "{error}");
}

#[test]
fn masks_are_read_as_the_descriptor_says() {
    let with_masks = |masks: &str| format!("{PARTS}\n[masks]\n{masks}\n");
    let passes = |masks: &str, plant: &dyn Fn(&Path)| {
        let root = copy();
        plant(root.path());
        assert_eq!(verify(&with_masks(masks), &root).faults, [], "{masks}");
    };
    let as_jpeg = |root: &Path| {
        fs::remove_file(root.join(MASKS[0])).unwrap();
        save_mask(root, "bolt/ground_truth/bent/0_mask.jpg", &[0, 255]);
    };
    passes("rule = { above = 127 }\nvalues = \"grey\"", &as_jpeg);
    passes("values = \"labels\"", &|root| save_mask(root, MASKS[0], &[0, 1, 2, 3]));
    passes("", &|root| save_mask(root, "bolt/ground_truth/good/0.png", &[0]));
    passes("", &|root| save_mask(root, MASKS[0], &[1, 0, 0]));
    passes("most-percent = 100", &|root| save_mask(root, MASKS[0], &[1]));
    let above = with_masks("rule = { above = 127 }");
    let detail = only_fault(&above, FaultKind::MaskEmpty, MASKS[0], |root| {
        save_mask(root, MASKS[0], &[0, 1]);
    });
    assert!(detail.contains("0, 1") && detail.contains("masks.rule"), "{detail}");
}

#[test]
fn the_same_picture_in_two_splits_or_with_two_labels_is_named_with_the_other() {
    let duplicate = |of: &str, file: &str| {
        only_fault(PARTS, FaultKind::Duplicate, file, |root| {
            fs::copy(root.join(of), root.join(file)).unwrap();
        })
    };
    let detail = duplicate(TRAIN[1], NORMAL[0]);
    assert!(detail.contains(TRAIN[1]) && detail.contains("train"), "{detail}");
    let detail = duplicate(NORMAL[3], ANOMALOUS[0]);
    assert!(detail.contains(NORMAL[3]) && detail.contains("anomalous"), "{detail}");
    let root = copy();
    fs::copy(root.path().join(NORMAL[0]), root.path().join(NORMAL[1])).unwrap();
    assert_eq!(verify(PARTS, &root).faults, [], "one label in one split");
}

#[test]
fn several_faults_are_all_found_in_order() {
    let root = copy();
    fs::write(root.path().join(ANOMALOUS[3]), []).unwrap();
    save_mask(root.path(), MASKS[3], &[0]);
    cut(root.path(), TRAIN[0]);
    save_image(root.path(), "bolt/test/good/2.png", 12);
    let found = verify(PARTS, &root);
    let expected = [
        (FaultKind::WrongCount, "bolt"),
        (FaultKind::Unreadable, TRAIN[0]),
        (FaultKind::Unreadable, ANOMALOUS[3]),
        (FaultKind::MaskEmpty, MASKS[3]),
    ];
    assert_eq!(faults(&root, &found), expected.map(|(kind, path)| (kind, path.to_owned())));
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["faults"][3]["kind"], "mask-empty");
    assert_eq!(json["classes"][0]["expected"]["normal"], 2);
}

#[test]
fn an_unfinished_copy_is_verified_as_far_as_it_goes() {
    let root = copy();
    for class in ["bolt", "cap_1"] {
        fs::remove_dir_all(root.path().join(class).join("train")).unwrap();
    }
    assert_eq!(verify(PARTS, &root).faults, [], "no train split");

    cut(root.path(), NORMAL[0]);
    fs::create_dir_all(root.path().join("bolt/train")).unwrap();
    let found = verify(PARTS, &root);
    let cut_off = (FaultKind::Unreadable, NORMAL[0].to_owned());
    assert!(faults(&root, &found).contains(&cut_off), "a train split of empty folders");

    let list = format!("image,label,mask\n{},1,{}\n", ANOMALOUS[0], MASKS[0]);
    fs::write(root.path().join("list.csv"), list).unwrap();
    let listed = "name = \"x\"\n[[layouts]]\nkind = \"csv\"\nlist = \"list.csv\"\n";
    assert_eq!(verify(listed, &root).faults, [], "a list of one split");

    let root = copy();
    cut(root.path(), TRAIN[0]);
    fs::remove_dir_all(root.path().join("cap_2/test")).unwrap();
    fs::create_dir_all(root.path().join("cap_2/test")).unwrap();
    let found = faults(&root, &verify(PARTS, &root));
    assert!(found.contains(&(FaultKind::MissingClass, "cap_2/test".to_owned())), "{found:?}");
    assert!(found.contains(&(FaultKind::Unreadable, TRAIN[0].to_owned())), "{found:?}");
}

#[test]
fn progress_counts_every_image_and_may_stop() {
    let root = copy();
    let parts = descriptor(PARTS);
    let mut seen = Vec::new();
    let observe = |checked: Checked| {
        seen.push((checked.done, checked.total));
        ControlFlow::Continue(())
    };
    moeclip_data::verify(&parts, root.path(), 3, observe).unwrap();
    assert_eq!(seen, (1..=11).map(|done| (done, 11)).collect::<Vec<_>>());

    let stop = |checked: Checked| match checked.done {
        2 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    for threads in [1, 7] {
        let found = moeclip_data::verify(&parts, root.path(), threads, stop).unwrap();
        assert_eq!((found.checked, found.images, found.faults.len()), (2, 11, 0));
        assert!(!found.is_right(), "what was not read cannot be right");
    }
}

#[test]
fn what_cannot_be_verified_is_an_error() {
    let root = copy();
    let parts = descriptor(PARTS);
    let error = moeclip_data::verify(&parts, root.path(), 0, go_on).unwrap_err();
    assert!(matches!(error, DataError::Setting { key: "threads", .. }), "{error}");
    let nowhere = root.path().join("nowhere");
    let error = moeclip_data::verify(&parts, &nowhere, 1, go_on).unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
    let empty = tempfile::tempdir().unwrap();
    let error = moeclip_data::verify(&parts, empty.path(), 1, go_on).unwrap_err();
    assert!(matches!(error, DataError::Layout { .. }), "{error}");
}
