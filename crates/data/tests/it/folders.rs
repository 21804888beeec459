//! One class in named folders: what is searched, which mask goes where, and what is refused.

use std::fs;
use std::path::Path;

use moeclip_data::{DataError, Descriptor, Fault, FaultKind, Label, Sample, Scan, Split};
use tempfile::TempDir;

/// Empty files, and the keys of the layout that describes them.
struct Copy<'a> {
    files: &'a [&'a str],
    keys: &'a str,
}

impl Copy<'_> {
    fn write(&self) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in self.files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"not read while scanning").unwrap();
        }
        root
    }

    fn scan(&self, split: Split) -> Result<Scan, DataError> {
        let text = format!("name = \"test\"\n[[layouts]]\nkind = \"folder\"\n{}\n", self.keys);
        let descriptor = Descriptor::parse(&text, Path::new("test.toml")).unwrap();
        descriptor.scan(self.write().path(), split)
    }

    fn whole(&self, split: Split) -> Vec<Sample> {
        let scan = self.scan(split).unwrap();
        assert_eq!(scan.faults, [], "{}", self.keys);
        scan.samples
    }
}

fn stem(path: &Path) -> &str {
    path.file_stem().unwrap().to_str().unwrap()
}

/// Image, label, defect, and folder and stem of the mask.
fn facts(sample: &Sample) -> String {
    let mask = sample
        .masks
        .first()
        .map_or("-".into(), |mask| format!("{}/{}", stem(mask.parent().unwrap()), stem(mask)));
    let label = if sample.label == Label::Normal { "normal" } else { "anomalous" };
    format!("{} {label} {} {mask}", stem(&sample.image), sample.defect)
}

fn check(copy: &Copy, split: Split, expected: &[&str]) {
    assert_eq!(copy.whole(split).iter().map(facts).collect::<Vec<_>>(), expected);
}

#[test]
fn folders_in_folders_are_searched_and_name_the_defect() {
    let files = [
        "good/a/1.png",
        "bad/2.png",
        "bad/deep/crack/3.PNG",
        "bad/masks/2_mask.bmp",
        "bad/masks/bad/deep/crack/3.png",
        "bad/.hidden/4.png",
        "bad/notes.txt",
        "learn/5.png",
    ];
    let keys = "normal = [\"good\"]\nanomalous = [\"bad\"]\nmasks = [\"bad/masks\"]\n\
                train = [\"learn\"]";
    let copy = Copy { files: &files, keys };
    let expected =
        ["1 normal good -", "2 anomalous bad masks/2_mask", "3 anomalous deep/crack crack/3"];
    check(&copy, Split::Test, &expected);
    check(&copy, Split::Train, &["5 normal good -"]);
}

#[test]
fn the_root_itself_may_hold_the_images() {
    let files = ["1.png", "2.png", "bad/1.png", "masks/1.png"];
    let keys = "normal = [\".\"]\nanomalous = [\"bad\"]\nmasks = [\"masks\"]";
    let expected = ["1 normal good -", "2 normal good -", "1 anomalous bad masks/1"];
    check(&Copy { files: &files, keys }, Split::Test, &expected);
    let keys = "anomalous = [\"./\"]\nmasks = [\"masks\"]";
    let copy = Copy { files: &["1.png", "masks/1.png"], keys };
    check(&copy, Split::Test, &["1 anomalous anomaly masks/1"]);
}

#[test]
fn without_folders_of_masks_there_are_none() {
    let copy = Copy { files: &["a/1.png", "a_mask/1.png"], keys: "anomalous = [\"a\"]" };
    check(&copy, Split::Test, &["1 anomalous a -"]);
}

#[test]
fn a_mask_goes_where_it_fits_best() {
    let files =
        ["ok/7.png", "a/7.png", "b/7.png", "masks/b/7.png", "masks/7.png", "masks/ok/7.png"];
    let keys = "normal = [\"ok\"]\nanomalous = [\"a\", \"b\"]\nmasks = [\"masks\"]";
    let expected = ["7 normal good ok/7", "7 anomalous a masks/7", "7 anomalous b b/7"];
    check(&Copy { files: &files, keys }, Split::Test, &expected);
    let files = ["x/y/7.png", "y/7.png", "masks/y/7.png", "other/x/y/7.png"];
    let keys = "anomalous = [\"x\", \"y\"]\nmasks = [\"masks\", \"other\"]";
    let expected = ["7 anomalous y y/7", "7 anomalous y y/7"];
    let copy = Copy { files: &files, keys };
    check(&copy, Split::Test, &expected);
    let masks = copy.whole(Split::Test).into_iter().flat_map(|sample| sample.masks);
    let is_other = masks.map(|mask| mask.iter().any(|part| part == "other"));
    assert_eq!(is_other.collect::<Vec<_>>(), [true, false]);
}

#[test]
fn a_mask_is_not_lent_to_an_image_that_it_fits_less_well() {
    let files = ["x/y/7.png", "y/7.png", "masks/y/7.png"];
    let keys = "anomalous = [\"x\", \"y\"]\nmasks = [\"masks\"]";
    let scan = Copy { files: &files, keys }.scan(Split::Test).unwrap();
    let masked: Vec<_> = scan.samples.iter().map(|sample| !sample.masks.is_empty()).collect();
    assert_eq!(masked, [false, true]);
    assert_eq!(kinds(&scan.faults), [FaultKind::MaskMissing]);
}

fn kinds(faults: &[Fault]) -> Vec<FaultKind> {
    faults.iter().map(|fault| fault.kind).collect()
}

#[test]
fn unpaired_and_ambiguous_files_are_named() {
    let keys = "normal = [\"ok\"]\nanomalous = [\"bad\"]\nmasks = [\"masks\"]";
    let faults = |files: &[&str]| Copy { files, keys }.scan(Split::Test).unwrap().faults;
    let whole = ["ok/0.png", "bad/1.png", "bad/2.png", "masks/1.png", "masks/2_mask.png"];
    assert_eq!(faults(&whole), []);
    let with = |file| [&whole[..], &[file]].concat();
    let without = |file| whole.iter().copied().filter(|f| *f != file).collect::<Vec<_>>();
    for (files, kind, says) in [
        (without("masks/1.png"), FaultKind::MaskMissing, "bad/1.png: no mask"),
        (without("bad/1.png"), FaultKind::ImageMissing, "masks/1.png: no image"),
        (with("masks/0.png"), FaultKind::ImageMissing, "masks/0.png: no image"),
        (with("masks/1.bmp"), FaultKind::MaskAmbiguous, "masks/1.png: two masks of one name"),
        (with("masks/2.png"), FaultKind::MaskAmbiguous, "masks/2.png: 2.png has another mask"),
        (with("masks/bad/1.png"), FaultKind::MaskAmbiguous, "masks/1.png: 1.png has another mask"),
        (with("bad/1.jpg"), FaultKind::MaskMissing, "bad/1.png: no mask"),
    ] {
        let found = faults(&files);
        assert_eq!(kinds(&found), [kind], "{says}");
        let text = found[0].to_string();
        assert!(text.contains(says) && !text.contains('\n'), "{text}");
    }
}

#[test]
fn folders_that_may_not_be_named_are_refused() {
    let files = ["bad/1.png", "empty/notes.txt", "file"];
    for (keys, says) in [
        ("anomalous = [\"/etc\"]", "anomalous: \"/etc\" is absolute"),
        ("anomalous = [\"C:\\\\x\"]", "is absolute"),
        ("normal = [\"a/../../b\"]", "normal: \"a/../../b\" leaves the folder"),
        ("anomalous = [\"bad\"]\nmasks = [\"..\"]", "masks: \"..\" leaves the folder"),
        ("anomalous = [\"bad\"]\nmasks = [\"bad/.\"]", "the folder \"bad\" is named twice"),
        ("anomalous = [\"bad\"]\nmasks = [\"none\"]", "none of bad/ + none/ here"),
        ("anomalous = [\"bad\"]\nmasks = [\"file\"]", "none of bad/ + file/ here"),
        ("anomalous = [\"empty\"]", "no image of the split test in empty/"),
        ("normal = [\"gone\"]", "none of gone/ here"),
        ("train = [\"bad\"]", "none of a normal or anomalous folder (name one) here"),
    ] {
        let error = Copy { files: &files, keys }.scan(Split::Test).unwrap_err().to_string();
        assert!(error.contains(says) && !error.contains('\n'), "{error}");
    }
    let copy = Copy { files: &files, keys: "anomalous = [\"bad\"]" };
    let error = copy.scan(Split::Train).unwrap_err().to_string();
    assert!(error.contains("no image of the split train in any folder"), "{error}");
}
