//! The fourteen descriptors against the authors' table: classes, counts and prompt names, and the
//! ways in which copies of each dataset lie on disk.

use std::fs;
use std::path::{Path, PathBuf};

use moeclip_data::{Descriptor, Label, Layout, Sample, Scan, Split};
use tempfile::TempDir;

use crate::copies::{Examples, List, ScoredClass, VISA_SPLIT, scored};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets")
}

fn descriptors() -> Vec<Descriptor> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |file: &PathBuf| Descriptor::parse(&fs::read_to_string(file).unwrap(), file);
    files.iter().map(|file| read(file).unwrap()).collect()
}

/// The only descriptor that `name` means.
fn descriptor(name: &str) -> Descriptor {
    let mut meant: Vec<Descriptor> =
        descriptors().into_iter().filter(|known| known.is_called(name)).collect();
    assert_eq!(meant.len(), 1, "descriptors that {name} means");
    meant.remove(0)
}

#[test]
fn class_tables_are_the_authors() {
    for (name, scored) in scored() {
        let descriptor = descriptor(&name);
        assert_eq!(descriptor.domain, scored.domain, "{name}");
        assert_eq!(descriptor.classes.len(), scored.classes.len(), "{name}: classes");
        for class in &descriptor.classes {
            let ours = ScoredClass {
                normal: class.normal,
                anomalous: class.anomalous,
                real_name: class.release_prompt(),
            };
            assert_eq!(Some(&ours), scored.classes.get(&class.name), "{name}: {}", class.name);
        }
    }
}

#[test]
fn totals_are_the_authors() {
    for (name, scored) in scored() {
        let classes = descriptor(&name).classes;
        let normal: usize = classes.iter().map(|class| class.normal).sum();
        let anomalous: usize = classes.iter().map(|class| class.anomalous).sum();
        assert_eq!((normal, anomalous), (scored.normal, scored.anomalous), "{name}");
    }
}

#[test]
fn every_descriptor_is_in_the_authors_table() {
    let (descriptors, scored) = (descriptors(), scored());
    assert_eq!(descriptors.len(), scored.len());
    for descriptor in descriptors {
        let rows = scored.keys().filter(|name| descriptor.is_called(name)).count();
        assert_eq!(rows, 1, "rows of {}", descriptor.name);
    }
}

#[test]
fn masks_are_looked_for_where_there_are_masks() {
    for (name, scored) in scored() {
        let looks = |layout: &Layout| match layout {
            Layout::Tree(tree) => !tree.masks.is_empty(),
            Layout::Folder(folder) => !folder.masks.is_empty(),
            Layout::SplitCsv(_) => true,
            _ => false,
        };
        assert_eq!(descriptor(&name).layouts.iter().any(looks), scored.masks, "{name}");
    }
}

#[test]
fn terms_citation_and_source_are_told() {
    for descriptor in descriptors() {
        let Descriptor { name, licence, citation, source, .. } = &descriptor;
        for (key, text) in [("licence", licence), ("citation", citation), ("source", source)] {
            assert!(text.len() > 3, "{name}: {key} is {text:?}");
            assert!(!text.contains('\n') && !text.contains("  "), "{name}: {key} is {text:?}");
        }
        assert!(source.starts_with("https://"), "{name}: {source}");
    }
}

#[test]
fn release_prompts_stand_only_beside_other_words() {
    for descriptor in descriptors() {
        for class in &descriptor.classes {
            assert!(class.prompt.is_some(), "{}: {}", descriptor.name, class.name);
            assert_ne!(class.release_prompt, class.prompt, "{}", descriptor.name);
        }
    }
}

/// A copy of a dataset with a few of its files, and what they are.
struct DiskCopy<'a> {
    dataset: &'a str,
    normal: Option<&'a str>,
    anomalous: Option<&'a str>,
    mask: Option<&'a str>,
    list: Option<List<'a>>,
}

impl DiskCopy<'_> {
    fn write(&self) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        let pictures = [self.normal, self.anomalous, self.mask].into_iter().flatten();
        pictures.for_each(|file| write(file, ""));
        self.list.iter().for_each(|list| write(list.file, list.text));
        root
    }

    /// The samples of the copy, which are its files and no others.
    fn samples(&self) -> Vec<Sample> {
        let (root, dataset) = (self.write(), self.dataset);
        let scan = descriptor(dataset).scan(root.path(), Split::Test);
        let Scan { samples, faults } = scan.unwrap_or_else(|e| panic!("{dataset}: {e}"));
        assert!(faults.is_empty(), "{dataset}: {faults:?}");
        let images = |label: Label| -> Vec<&Path> {
            samples.iter().filter(|s| s.label == label).map(|s| s.image.as_path()).collect()
        };
        let expected = |file: Option<&str>| file.map(|file| root.path().join(file));
        assert_eq!(images(Label::Normal), Vec::from_iter(&expected(self.normal)), "{dataset}");
        assert_eq!(images(Label::Anomalous), Vec::from_iter(&expected(self.anomalous)));
        let masks = samples.iter().flat_map(|s| &s.masks);
        assert_eq!(Vec::from_iter(masks), Vec::from_iter(&expected(self.mask)), "{dataset}");
        samples
    }
}

#[test]
fn the_authors_repack_is_read() {
    for (name, scored) in scored() {
        let Examples { normal, anomalous } = &scored.example;
        let copy = DiskCopy {
            dataset: &name,
            normal: normal.as_ref().map(|example| example.image.as_str()),
            anomalous: anomalous.as_ref().map(|example| example.image.as_str()),
            mask: anomalous.as_ref().and_then(|example| example.mask.as_deref()),
            list: (name == "VisA").then_some(VISA_SPLIT),
        };
        for sample in copy.samples() {
            assert!(scored.classes.contains_key(&sample.class), "{name}: {}", sample.class);
        }
    }
}

/// Copies that are about beside the authors' repack.
const COPIES: [DiskCopy; 14] = [
    with_normal(
        "VisA",
        "candle/test/good/0.JPG",
        "candle/test/bad/000.JPG",
        "candle/ground_truth/bad/000.png",
    ),
    with_normal("BTAD", "01/test/ok/0.bmp", "01/test/ko/0.bmp", "01/ground_truth/ko/0.png"),
    with_normal("BTAD", "03/test/ok/0.bmp", "03/test/ko/0.bmp", "03/ground_truth/ko/0.bmp"),
    bmad("BrainMRI", "test/Ungood/anomaly_mask/1_3.png"),
    bmad("LiverCT", "test/Ungood/anomaly_mask/1_3.png"),
    with_normal(
        "LiverCT",
        "test/good/img/1_2.png",
        "test/ungood/img/1_3.png",
        "test/ungood/label/1_3.png",
    ),
    with_normal(
        "LiverCT",
        "test/img/good/1_2.png",
        "test/img/Ungood/1_3.png",
        "test/label/Ungood/1_3.png",
    ),
    with_normal(
        "RetinaOCT",
        "Test/test/good/1_2.png",
        "Test/test/Ungood/1_3.png",
        "Test/test_label/Ungood/1_3.png",
    ),
    polyps("ColonDB", "images/1.png", "masks/1.png"),
    polyps("ClinicDB", "Original/1.tif", "Ground Truth/1.tif"),
    polyps("ClinicDB", "PNG/Original/1.png", "PNG/Ground Truth/1.png"),
    polyps("ClinicDB", "TIF/Original/1.tif", "TIF/Ground Truth/1.tif"),
    polyps("Kvasir", "images/cju0.jpg", "masks/cju0.jpg"),
    polyps("Endo", "images/003a.jpg", "masks/003a.jpg"),
];

const fn with_normal<'a>(
    dataset: &'a str,
    normal: &'a str,
    anomalous: &'a str,
    mask: &'a str,
) -> DiskCopy<'a> {
    DiskCopy { normal: Some(normal), ..polyps(dataset, anomalous, mask) }
}

const fn bmad<'a>(dataset: &'a str, mask: &'a str) -> DiskCopy<'a> {
    with_normal(dataset, "test/good/img/1_2.png", "test/Ungood/img/1_3.png", mask)
}

const fn polyps<'a>(dataset: &'a str, image: &'a str, mask: &'a str) -> DiskCopy<'a> {
    let (anomalous, mask) = (Some(image), Some(mask));
    DiskCopy { dataset, normal: None, anomalous, mask, list: None }
}

#[test]
fn other_copies_are_read() {
    for copy in COPIES {
        assert!(!copy.samples().is_empty(), "{}", copy.dataset);
    }
}

#[test]
fn copies_with_lists_are_read() {
    let labels = "id, hemorrhage\n0, 1\n100, 0\n";
    for (normal, anomalous) in [
        ("head_ct/100.png", "head_ct/000.png"),
        ("head_ct/head_ct/100.png", "head_ct/head_ct/000.png"),
    ] {
        let (normal, anomalous) = (Some(normal), Some(anomalous));
        let list = Some(List { file: "labels.csv", text: labels });
        DiskCopy { dataset: "HeadCT", normal, anomalous, mask: None, list }.samples();
    }
    let lines = r#"{"image_path": "candle/1.JPG", "label": 0, "class_name": "candle", "mask_path": ""}
{"image_path": "candle/2.JPG", "label": 1, "class_name": "candle", "mask_path": "candle/2.png"}"#;
    let list = Some(List { file: "full-shot.jsonl", text: lines });
    let copy = with_normal("VisA", "candle/1.JPG", "candle/2.JPG", "candle/2.png");
    DiskCopy { list, ..copy }.samples();
}

#[test]
fn slices_are_grouped_by_patient() {
    for dataset in ["BrainMRI", "LiverCT", "RetinaOCT"] {
        let (normal, anomalous) = ("test/good/img/00682_62.png", "test/Ungood/img/01302_68.png");
        let copy = with_normal(dataset, normal, anomalous, "test/Ungood/label/01302_68.png");
        let groups = copy.samples().into_iter().filter_map(|sample| sample.group);
        let mut groups = Vec::from_iter(groups);
        groups.sort();
        assert_eq!(groups, ["00682", "01302"], "{dataset}");
    }
}

#[test]
fn the_woven_textures_stay_five() {
    let (normal, anomalous) = ("Woven_001/test/good/000.png", "Woven_127/test/bad/000.png");
    let mask = "Woven_127/ground_truth/bad/000_mask.png";
    let samples = with_normal("DTD-Synthetic", normal, anomalous, mask).samples();
    let classes: Vec<&str> = samples.iter().map(|sample| sample.class.as_str()).collect();
    assert_eq!(classes, ["Woven_001", "Woven_127"]);
    assert!(samples.iter().all(|sample| sample.prompt == "woven texture"));
}
