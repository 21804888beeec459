//! Copies of the fourteen datasets as the authors have them, in a few files: what tests of descriptors
//! and of the benchmark make their folders from.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anomaly::Domain;
use image::{GrayImage, Luma, Rgb, RgbImage};
use serde::Deserialize;

/// A dataset as the authors scored it.
#[derive(Deserialize)]
pub(crate) struct Scored {
    pub(crate) domain: Domain,
    pub(crate) normal: usize,
    pub(crate) anomalous: usize,
    pub(crate) masks: bool,
    pub(crate) classes: BTreeMap<String, ScoredClass>,
    pub(crate) example: Examples,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct ScoredClass {
    pub(crate) normal: usize,
    pub(crate) anomalous: usize,
    pub(crate) real_name: String,
}

/// One normal and one anomalous file of the authors' repack.
#[derive(Deserialize)]
pub(crate) struct Examples {
    #[serde(rename = "0")]
    pub(crate) normal: Option<Example>,
    #[serde(rename = "1")]
    pub(crate) anomalous: Option<Example>,
}

#[derive(Deserialize)]
pub(crate) struct Example {
    pub(crate) image: String,
    pub(crate) mask: Option<String>,
}

pub(crate) fn scored() -> BTreeMap<String, Scored> {
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/datasets.json");
    serde_json::from_str(&fs::read_to_string(table).unwrap()).unwrap()
}

/// A list that says what is what.
pub(crate) struct List<'a> {
    pub(crate) file: &'a str,
    pub(crate) text: &'a str,
}

pub(crate) const VISA_SPLIT: List = List {
    file: "split_csv/1cls.csv",
    text: "object,split,label,image,mask\n\
        candle,test,normal,candle/Data/Images/Normal/0790.JPG,\n\
        candle,test,anomaly,candle/Data/Images/Anomaly/000.JPG,candle/Data/Masks/Anomaly/000.png\n",
};

/// Writes `per_kind` small normal and as many anomalous pictures of each of the fourteen into a
/// folder of its name, in the authors' layout; one of the textures lies in two folders.
pub(crate) fn write_root(root: &Path, per_kind: usize) {
    for (name, scored) in scored() {
        let Examples { normal, anomalous } = &scored.example;
        let mut list = VISA_SPLIT.text.lines().next().unwrap().to_owned() + "\n";
        let examples = [("normal", normal), ("anomaly", anomalous)];
        for (kind, example) in examples.iter().filter_map(|(kind, one)| Some((kind, one.as_ref()?)))
        {
            for number in 0..per_kind {
                let [image, mask] = [Some(&example.image), example.mask.as_ref()]
                    .map(|file| file.map(|file| numbered(file, number)));
                let image = image.unwrap();
                write_picture(&root.join(&name).join(&image), &format!("{name}{image}"));
                if let Some(mask) = &mask {
                    write_mask(&root.join(&name).join(mask), number);
                }
                list += &format!("candle,test,{kind},{image},{}\n", mask.unwrap_or_default());
            }
        }
        if name == VISA_SPLIT_OF {
            write(&root.join(&name).join(VISA_SPLIT.file), |path| fs::write(path, &list).unwrap());
        }
    }
    let textures = root.join("DTD-Synthetic");
    for file in ["test/good/0000.png", "test/bad/0000.png", "ground_truth/bad/0000_mask.png"] {
        let weave = textures.join("Woven_001").join(file);
        let from = textures.join("Blotchy_099").join(file);
        write(&weave, |path| fs::copy(from, path).map(drop).unwrap());
    }
}

const VISA_SPLIT_OF: &str = "VisA";

/// `a/000_mask.png` as `a/2000_mask.png`.
fn numbered(file: &str, number: usize) -> String {
    let (folder, name) = file.rsplit_once('/').unwrap();
    format!("{folder}/{number}{name}")
}

fn write(path: &Path, fill: impl FnOnce(&Path)) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fill(path);
}

/// A picture that no other name has.
fn write_picture(path: &Path, name: &str) {
    let own = name.bytes().fold(7u32, |sum, byte| sum.wrapping_mul(31) + u32::from(byte));
    let picture = RgbImage::from_fn(40, 32, |x, y| {
        Rgb([(x * 6) as u8, (own >> (y / 4)) as u8, ((own >> 8) as u8).wrapping_add((x * y) as u8)])
    });
    write(path, |path| picture.save(path).unwrap());
}

fn write_mask(path: &Path, number: usize) {
    let right = 8 + 4 * number as u32;
    let mask = GrayImage::from_fn(40, 32, |x, y| {
        Luma([if (4..right).contains(&x) && (6..20).contains(&y) { 255 } else { 0 }])
    });
    write(path, |path| mask.save(path).unwrap());
}
