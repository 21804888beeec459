//! Each layout as its own distribution and as a repack: both yield the same samples.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use moeclip_data::{Descriptor, Layout, Sample, Scan, Split};
use tempfile::TempDir;

/// A copy of a dataset: files with nothing in them, one list, and a description of the layout.
struct Copy<'a> {
    files: &'a [&'a str],
    list: &'a str,
    text: &'a str,
    layout: &'a str,
}

fn described(layout: &str) -> Descriptor {
    let text = format!("name = \"test\"\n[[layouts]]\n{layout}\n");
    Descriptor::parse(&text, Path::new("test.toml")).unwrap()
}

impl Copy<'_> {
    fn write(&self) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        let text = |file: &str| if file == self.list { self.text } else { "" };
        for file in self.files.iter().chain([&self.list]).filter(|file| !file.is_empty()) {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text(file)).unwrap();
        }
        root
    }

    fn scan(&self) -> Scan {
        described(self.layout).scan(self.write().path(), Split::Test).unwrap()
    }
}

fn tree<'a>(files: &'a [&'a str], layout: &'a str) -> Copy<'a> {
    Copy { files, list: "", text: "", layout }
}

fn facts(sample: &Sample) -> String {
    let stem = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let mask = sample.masks.first().map_or("-".into(), |mask| stem(mask));
    format!("{} {} {:?} {mask}", sample.class, stem(&sample.image), sample.label)
}

/// Holds that all copies are recognised, have no fault and hold exactly these samples.
fn check(expected: &[&str], copies: &[Copy]) {
    let expected: BTreeSet<String> = expected.iter().map(|facts| (*facts).to_owned()).collect();
    for copy in copies {
        let scan = copy.scan();
        assert_eq!(scan.faults, [], "{}", copy.layout);
        assert_eq!(scan.samples.len(), expected.len(), "{}", copy.layout);
        assert_eq!(scan.samples.iter().map(facts).collect::<BTreeSet<_>>(), expected);
    }
}

#[test]
fn a_tree_with_defects_and_its_lists_are_the_same() {
    let files = [
        "grid/test/good/014.png",
        "grid/test/glue/010.png",
        "grid/ground_truth/glue/010_mask.png",
        "grid/train/good/000.png",
    ];
    let lines = concat!(
        "{\"image_path\": \"grid/test/good/014.png\", \"label\": 0.0, \"mask_path\": \"\", ",
        "\"class_name\": \"grid\"}\n",
        "{\"image_path\": \"grid/test/glue/010.png\", \"label\": 1.0, \"mask_path\": ",
        "\"grid/ground_truth/glue/010_mask.png\", \"class_name\": \"grid\"}\n",
    );
    let jsonl = Copy {
        files: &files,
        list: "lists/full-shot.jsonl",
        text: lines,
        layout: "kind = \"jsonl\"\nlist = \"lists/full-shot.jsonl\"",
    };
    let expected = ["grid 014 Normal -", "grid 010 Anomalous 010_mask"];
    check(&expected, &[tree(&files, "kind = \"tree\""), jsonl]);
}

const CANDLE: [&str; 4] = [
    "candle/Data/Images/Normal/0000.JPG",
    "candle/Data/Images/Normal/0790.JPG",
    "candle/Data/Images/Anomaly/000.JPG",
    "candle/Data/Masks/Anomaly/000.png",
];

const SPLIT_CSV: &str = "object,split,label,image,mask\r\n\
    candle,train,normal,candle/Data/Images/Normal/0000.JPG,\r\n\
    candle,test,normal,candle/Data/Images/Normal/0790.JPG,\r\n\
    candle,test,anomaly,candle/Data/Images/Anomaly/000.JPG,candle/Data/Masks/Anomaly/000.png\r\n";

const META: &str = r#"{
    "train": {"candle": [
        {"img_path": "candle/Data/Images/Normal/0000.JPG", "mask_path": "", "cls_name": "candle",
         "specie_name": "", "anomaly": 0}
    ]},
    "test": {"candle": [
        {"img_path": "candle/Data/Images/Normal/0790.JPG", "mask_path": "", "cls_name": "candle",
         "specie_name": "", "anomaly": 0},
        {"img_path": "candle/Data/Images/Anomaly/000.JPG",
         "mask_path": "candle/Data/Masks/Anomaly/000.png", "cls_name": "candle", "specie_name": "",
         "anomaly": 1}
    ]}
}"#;

const CANDLE_LINES: &str = concat!(
    "{\"image_path\": \"candle/Data/Images/Normal/0790.JPG\", \"label\": 0, \"mask_path\": null, ",
    "\"class_name\": \"candle\", \"source\": [1, {\"a\": []}]}\n\n",
    "{\"image_path\": \"candle\\\\Data\\\\Images\\\\Anomaly\\\\000.JPG\", \"label\": 1, ",
    "\"mask_path\": \"./candle//Data/Masks/Anomaly/000.png\", \"class_name\": \"candle\"}",
);

fn candle<'a>(list: &'a str, text: &'a str, layout: &'a str) -> Copy<'a> {
    Copy { files: &CANDLE, list, text, layout }
}

#[test]
fn a_split_table_its_repack_and_its_lists_are_the_same() {
    let repack = [
        "candle/test/good/0790.JPG",
        "candle/test/bad/000.JPG",
        "candle/ground_truth/bad/000.png",
        "candle/train/good/0000.JPG",
    ];
    let expected = ["candle 0790 Normal -", "candle 000 Anomalous 000"];
    let copies = [
        candle("split_csv/1cls.csv", SPLIT_CSV, "kind = \"split-csv\""),
        tree(&repack, "kind = \"tree\""),
        candle("meta.json", META, "kind = \"meta-json\""),
        candle("list.jsonl", CANDLE_LINES, "kind = \"jsonl\"\nlist = \"list.jsonl\""),
    ];
    check(&expected, &copies);
    for copy in [&copies[0], &copies[1], &copies[2]] {
        let root = copy.write();
        let train = described(copy.layout).samples(root.path(), Split::Train).unwrap();
        assert_eq!(train.iter().map(facts).collect::<Vec<_>>(), ["candle 0000 Normal -"]);
    }
}

#[test]
fn a_tree_of_mixed_endings_and_other_names_for_normal_is_read() {
    let files = [
        "01/test/ok/0001.bmp",
        "01/test/ko/0002.bmp",
        "01/ground_truth/ko/0002.png",
        "02/test/ok/0022.png",
        "02/test/ko/0162.png",
        "02/ground_truth/ko/0162.png",
        "03/test/ok/0000.BMP",
        "03/test/ko/0001.bmp",
        "03/ground_truth/ko/0001.bmp",
    ];
    let table = "image,label,mask,class\n\
        01/test/ok/0001.bmp,good,,01\n\
        01/test/ko/0002.bmp,Anomalous,01/ground_truth/ko/0002.png,01\n\
        02/test/ok/0022.png,0,,02\n\
        02/test/ko/0162.png,1,02/ground_truth/ko/0162.png,02\n\
        03/test/ok/0000.BMP,NORMAL,,03\n\
        03/test/ko/0001.bmp,anomaly,03/ground_truth/ko/0001.bmp,03\n";
    let csv = Copy {
        files: &files,
        list: "all.csv",
        text: table,
        layout: "kind = \"csv\"\nlist = \"all.csv\"",
    };
    let expected = [
        "01 0001 Normal -",
        "01 0002 Anomalous 0002",
        "02 0022 Normal -",
        "02 0162 Anomalous 0162",
        "03 0000 Normal -",
        "03 0001 Anomalous 0001",
    ];
    check(&expected, &[tree(&files, "kind = \"tree\"\nnormal = [\"ok\"]"), csv]);
}

#[test]
fn trees_of_one_kind_of_defect_are_read() {
    let metal = [
        "Metal15/test/good/RSDD_null_159.bmp",
        "Metal15/test/anomaly/RSDD_defect_001.bmp",
        "Metal15/ground_truth/anomaly/RSDD_defect_001.png",
    ];
    let expected =
        ["Metal15 RSDD_null_159 Normal -", "Metal15 RSDD_defect_001 Anomalous RSDD_defect_001"];
    check(&expected, &[tree(&metal, "kind = \"tree\"")]);
    let texture = [
        "Blotchy_099/test/good/000.png",
        "Blotchy_099/test/bad/000.png",
        "Blotchy_099/ground_truth/bad/000_mask.png",
    ];
    let expected = ["Blotchy_099 000 Normal -", "Blotchy_099 000 Anomalous 000_mask"];
    check(&expected, &[tree(&texture, "kind = \"tree\"")]);
}

#[test]
fn slices_in_named_folders_are_the_same_under_other_names() {
    let own = [
        "test/good/img/00682_62.png",
        "test/good/label/00682_62.png",
        "test/Ungood/img/01302_68.png",
        "test/Ungood/label/01302_68.png",
        "train/good/00003_60.png",
    ];
    let repack = ["healthy/00682_62.png", "tumour/01302_68.png", "masks/tumour/01302_68.png"];
    let expected = ["brain 00682_62 Normal -", "brain 01302_68 Anomalous 01302_68"];
    let copies = [
        tree(
            &own,
            "kind = \"folder\"\nclass = \"brain\"\nnormal = [\"test/good/img\"]\n\
             anomalous = [\"test/Ungood/img\"]\nmasks = [\"test/Ungood/label\"]",
        ),
        tree(
            &repack,
            "kind = \"folder\"\nclass = \"brain\"\nnormal = [\"healthy\"]\n\
             anomalous = [\"tumour\"]\nmasks = [\"masks\"]",
        ),
    ];
    check(&expected, &copies);
}

#[test]
fn flat_pairs_are_the_same_under_other_names_and_endings() {
    let png = ["images/1.png", "images/2.png", "masks/1.png", "masks/2.png"];
    let tif = ["Original/1.tif", "Original/2.tif", "Ground Truth/1.tif", "Ground Truth/2.TIF"];
    let jpg = [
        "test dataset/images/1.jpg",
        "test dataset/images/2.jpg",
        "test dataset/masks/1.jpg",
        "test dataset/masks/2.jpg",
    ];
    let layout = |images: &str, masks: &str| {
        format!(
            "kind = \"folder\"\nclass = \"colon\"\nanomalous = [\"{images}\"]\nmasks = [\"{masks}\"]"
        )
    };
    let layouts = [
        layout("images", "masks"),
        layout("Original", "Ground Truth"),
        layout("test dataset/images", "test dataset/masks"),
    ];
    let copies = [tree(&png, &layouts[0]), tree(&tif, &layouts[1]), tree(&jpg, &layouts[2])];
    check(&["colon 1 Anomalous 1", "colon 2 Anomalous 2"], &copies);
}

#[test]
fn numbered_images_with_a_table_of_labels_are_the_same_as_their_repack() {
    let own = ["head_ct/head_ct/000.png", "head_ct/head_ct/001.png", "head_ct/head_ct/100.png"];
    let table = "id, hemorrhage\n0,1\n1,1\n100,0\n";
    let labels = |layout| Copy { files: &own, list: "labels.csv", text: table, layout };
    let repack =
        ["headct/test/good/100.png", "headct/test/defect/000.png", "headct/test/defect/001.png"];
    let expected = ["headct 000 Anomalous -", "headct 001 Anomalous -", "headct 100 Normal -"];
    let copies = [
        labels("kind = \"labels-csv\"\nclass = \"headct\""),
        labels("kind = \"labels-csv\"\nclass = \"headct\"\nimages = \"head_ct\""),
        tree(&repack, "kind = \"tree\""),
        tree(
            &repack,
            "kind = \"folder\"\nclass = \"headct\"\nnormal = [\"headct/test/good\"]\n\
             anomalous = [\"headct/test/defect\"]",
        ),
    ];
    check(&expected, &copies);
}

#[test]
fn the_root_may_be_the_class_and_gives_it_its_name() {
    let files = ["test/good/100.png", "test/defect/000.png"];
    for layout in [
        "kind = \"tree\"",
        "kind = \"folder\"\nnormal = [\"test/good\"]\nanomalous = [\"test/defect\"]",
    ] {
        let root = tree(&files, layout).write();
        let inner = root.path().join("cold_gear");
        fs::create_dir(&inner).unwrap();
        fs::rename(root.path().join("test"), inner.join("test")).unwrap();
        let samples = described(layout).samples(&inner, Split::Test).unwrap();
        let named = |s: &Sample| s.class == "cold_gear" && s.prompt == "cold gear";
        assert!(samples.len() == 2 && samples.iter().all(named), "{samples:?}");
    }
}

#[test]
fn a_table_says_prompt_defect_group_and_split() {
    let text = "Image,LABEL,mask,class,prompt,defect,split,group\n\
        a.png,1,m.png,gear,steel gear,bent,test,p7\n\
        b.png,0,,gear,,,TRAIN,\n\
        c.png,0,,,,,,\n";
    let copy = Copy {
        files: &["a.png", "b.png", "c.png", "m.png"],
        list: "l.csv",
        text,
        layout: "kind = \"csv\"\nlist = \"l.csv\"",
    };
    let root = copy.write();
    let scan = |split| described(copy.layout).samples(root.path(), split).unwrap();
    let [test, train] = [scan(Split::Test), scan(Split::Train)];
    let [a, c] = test.as_slice() else { panic!("{test:?}") };
    assert_eq!((a.prompt.as_str(), a.defect.as_str()), ("steel gear", "bent"));
    assert_eq!((a.group.as_deref(), a.class.as_str()), (Some("p7"), "gear"));
    assert_eq!(
        (c.defect.as_str(), c.class.as_str()),
        ("good", root.path().file_name().unwrap().to_str().unwrap())
    );
    assert_eq!(train.iter().map(facts).collect::<Vec<_>>(), ["gear b Normal -"]);
}

#[test]
fn unknown_keys_of_a_layout_are_named() {
    for (layout, says) in [
        ("kind = \"folder\"\ngood = [\"a\"]", "unknown field `good`"),
        ("kind = \"split-csv\"\nlists = \"a\"", "unknown field `lists`"),
        ("kind = \"labels-csv\"\nmasks = \"a\"", "unknown field `masks`"),
        ("kind = \"meta-json\"\nroot = \"a\"", "unknown field `root`"),
        ("kind = \"jsonl\"", "missing field `list`"),
        ("kind = \"csv\"", "missing field `list`"),
        ("kind = \"csv\"\nlist = \"a\"\nimages = \"b\"", "unknown field `images`"),
    ] {
        let text = format!("name = \"test\"\n[[layouts]]\n{layout}\n");
        let error = Descriptor::parse(&text, Path::new("x.toml")).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn what_nobody_described_is_guessed_from_its_marks() {
    let root = tempfile::tempdir().unwrap();
    let guess = |file: &str, text: &str| {
        fs::write(root.path().join(file), text).unwrap();
        let kinds = Layout::guess(&root.path().join(file));
        kinds.iter().map(Layout::marks).collect::<Vec<_>>()
    };
    assert_eq!(guess("a.JSONL", ""), ["a.JSONL"]);
    assert_eq!(guess("a.json", ""), ["a.json"]);
    assert_eq!(guess("a.TXT", ""), ["a.TXT"]);
    assert_eq!(guess("a.yaml", ""), [""; 0]);
    guess("own.csv", "image,label\n");
    let is_split = |file: &str, text: &str| {
        fs::write(root.path().join(file), text).unwrap();
        matches!(Layout::guess(&root.path().join(file))[..], [Layout::SplitCsv(_)])
    };
    assert!(is_split("2cls.csv", "\u{feff}object, split,label,image,mask\r\na"));
    assert!(!is_split("own.csv", "image,label,mask,class,split\n"));
    let folder = Layout::guess(root.path());
    let kinds: Vec<String> = folder.iter().map(Layout::marks).collect();
    assert_eq!(
        kinds,
        [
            "split_csv/1cls.csv",
            "meta.json",
            "CLASS/test/{good,DEFECT}/",
            "CLASS/test_public/{good,DEFECT}/",
            "images/ + masks/",
            "./STEM.png + STEM_label.png",
            "test/STEM.png + STEM_GT.png",
        ]
    );
}

#[test]
fn a_guessed_list_is_read_from_its_own_folder() {
    let root = candle("list.jsonl", CANDLE_LINES, "").write();
    let list = root.path().join("list.jsonl");
    let layouts = Layout::guess(&list);
    let undescribed = Descriptor::undescribed("list", layouts);
    let samples = undescribed.samples(list.parent().unwrap(), Split::Test).unwrap();
    assert_eq!(samples.len(), 2);
}
