//! Files and folders as people, programs and servers leave them: what is passed over, what is told, and
//! which masks belong to an image whatever they are called.

use std::fs;
use std::path::Path;

use burn::data::dataset::Dataset;
use image::{GrayImage, ImageFormat, Luma, RgbImage};
use moeclip_data::{
    DataError, Descriptor, Fault, FaultKind, FoundImages, ImageDataset, Layout, MaskFormat,
    Preprocessing, Sample, Scan, Split, decode_rgb, images, verify,
};
use tempfile::TempDir;

const SIDE: u32 = 16;

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn encoded(format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    RgbImage::new(SIDE, SIDE).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A folder in which these files hold the picture or text that is given.
fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    files.iter().for_each(|(file, bytes)| write(&root.path().join(file), bytes));
    root
}

fn empty(files: &[&str]) -> TempDir {
    folder(&files.iter().map(|file| (*file, &b""[..])).collect::<Vec<_>>())
}

fn relative(root: &TempDir, path: &Path) -> String {
    path.strip_prefix(root.path()).unwrap().display().to_string()
}

fn names(root: &TempDir, found: &FoundImages) -> Vec<String> {
    found.images.iter().map(|path| relative(root, path)).collect()
}

#[test]
fn what_systems_keep_in_folders_is_no_image_at_any_depth() {
    let kept = [
        "@eaDir/a.png/SYNOPHOTO_THUMB_M.jpg",
        "#recycle/old.png",
        "@Recycle/old.png",
        "@__thumb/a.png",
        "#snapshot/a.png",
        "$RECYCLE.BIN/$R0.png",
        "System Volume Information/x.png",
        "lost+found/x.png",
        "__MACOSX/a.png",
        ".Trashes/x.png",
        "._a.png",
        "Thumbs.db",
    ];
    for below in ["", "b/test/good/", "b/test/x/"] {
        let files: Vec<String> = kept.iter().map(|file| format!("{below}{file}")).collect();
        let mut files: Vec<&str> = files.iter().map(String::as_str).collect();
        files.extend(["b/test/good/0.png", "b/test/x/0.png"]);
        let root = empty(&files);
        let found = images(root.path()).unwrap();
        assert_eq!(names(&root, &found), ["b/test/good/0.png", "b/test/x/0.png"], "{below}");
        assert_eq!(found.faults, [], "{below}");
        let [layout] = &guessed(root.path())[..] else { panic!("{below}") };
        let scan = layout.scan(root.path(), Split::Test).unwrap();
        assert_eq!((scan.samples.len(), scan.faults), (2, Vec::new()), "{below}");
    }
    let inside = empty(&["@eaDir/a.png"]);
    let named = images(&inside.path().join("@eaDir")).unwrap();
    assert_eq!(named.images.len(), 1, "a folder that is named itself is searched");
}

/// The layouts that recognise a folder, of those that are tried on one that nobody described.
fn guessed(root: &Path) -> Vec<Layout> {
    Layout::guess(root).into_iter().filter(|layout| layout.recognises(root)).collect()
}

#[test]
fn what_looks_like_a_picture_is_read_or_told() {
    let [jpeg, png] = [ImageFormat::Jpeg, ImageFormat::Png].map(encoded);
    let tiff = encoded(ImageFormat::Tiff);
    let heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic";
    let jp2 = b"\0\0\0\x0cjP  \r\n\x87\n";
    let root = folder(&[
        ("a.png", &png),
        ("b.jfif", &jpeg),
        ("c.jpe", &jpeg),
        ("d", &jpeg),
        ("e.0001", &png),
        ("f.heic", &jpeg),
        ("g.heic", heic),
        ("h.jp2", jp2),
        ("i", jp2),
        ("j.png.bak", &png),
        ("k.nef", &tiff),
        ("l.psd", b"nothing that is known"),
        ("notes.txt", b"BM and P1 are how text may begin"),
        ("P1.txt", b"P1 begins it too"),
        ("list.csv", b"image,label\n"),
        ("empty", b""),
    ]);
    let found = images(root.path()).unwrap();
    assert_eq!(names(&root, &found), ["a.png", "b.jfif", "c.jpe", "d", "e.0001", "f.heic"]);
    assert!(found.faults.iter().all(|fault| fault.kind == FaultKind::NotRead));
    let told: Vec<String> = found.faults.iter().map(|fault| relative(&root, &fault.path)).collect();
    assert_eq!(told, ["g.heic", "h.jp2", "i", "j.png.bak", "k.nef", "l.psd"]);
    let counted = moeclip_data::by_ending(found.faults.iter().map(|fault| fault.path.as_path()));
    assert_eq!(counted, "without ending 1, .bak 1, .heic 1, .jp2 1, .nef 1, .psd 1");
}

#[test]
fn a_picture_that_is_not_read_is_told_by_verify_and_stops_nothing_else() {
    let png = encoded(ImageFormat::Png);
    let root = folder(&[
        ("b/test/good/0.png", &png),
        ("b/test/x/0.png", &png),
        ("b/test/x/1.jxl", b"\xff\x0a"),
    ]);
    let descriptor = Descriptor::undescribed("b", Layout::guess(root.path()));
    assert_eq!(descriptor.samples(root.path(), Split::Test).unwrap().len(), 2);
    let found = verify(&descriptor, root.path(), 1, |_| std::ops::ControlFlow::Continue(()));
    let told: Vec<Fault> = found.unwrap().faults;
    assert!(told.iter().any(|fault| fault.kind == FaultKind::NotRead), "{told:?}");
}

#[test]
fn what_dvc_keeps_and_nobody_fetched_is_told_with_the_command() {
    let png = encoded(ImageFormat::Png);
    let note = b"outs:\n- md5: 00\n  size: 9\n  path: x\n";
    let root = folder(&[
        ("a.png", &png),
        ("a.png.dvc", note),
        ("b.png.dvc", note),
        ("more.dvc", note),
        ("model.pt.dvc", note),
    ]);
    let found = images(root.path()).unwrap();
    assert_eq!(names(&root, &found), ["a.png"]);
    let told: Vec<String> = found.faults.iter().map(|fault| relative(&root, &fault.path)).collect();
    assert_eq!(told, ["b.png", "more"]);
    assert!(found.faults.iter().all(|fault| fault.kind == FaultKind::BrokenLink));
    assert!(found.faults[0].detail.contains("only b.png.dvc is here; fetch it with `dvc pull`"));
    assert!(found.faults[0].is_lost_image());
    let alone = decode_rgb(&root.path().join("b.png")).unwrap_err().to_string();
    assert!(
        alone.contains("is not there, only b.png.dvc") && alone.contains("`dvc pull`"),
        "{alone}"
    );
    fs::remove_file(root.path().join("a.png")).unwrap();
    let nothing = images(root.path()).unwrap_err().to_string();
    assert!(nothing.contains("`dvc pull`") && !nothing.contains('\n'), "{nothing}");
}

#[test]
fn folders_and_lists_that_nobody_fetched_are_told_with_the_command() {
    let png = encoded(ImageFormat::Png);
    let note = b"outs:\n- md5: 00.dir\n  path: x\n";
    let lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    let root = folder(&[
        ("a/test/good/0.png", &png),
        ("a/test/x/0.png", &png),
        ("a/ground_truth.dvc", note),
        ("b/test.dvc", note),
        ("list.csv", b"image,label\na/test/x/0.png,1\na/test/x/1.png,1\n"),
        ("a/test/x/1.png.dvc", note),
        ("pointer.csv", lfs),
    ]);
    let Scan { samples, faults } = scan_with(root.path(), "").unwrap();
    assert_eq!(samples.len(), 2);
    let told: Vec<String> = faults.iter().map(|fault| relative(&root, &fault.path)).collect();
    assert_eq!(told, ["a/ground_truth", "b/test", "a/test/x/1.png"]);
    assert!(faults.iter().all(|fault| fault.detail.contains("`dvc pull`")), "{faults:?}");
    let scan = |list: &str| {
        let [layout] = &Layout::guess(&root.path().join(list))[..] else { panic!("{list}") };
        layout.scan(root.path(), Split::Test)
    };
    let listed = scan("list.csv").unwrap();
    let detail = &listed.faults[0].detail;
    assert!(detail.contains("line 3: \"a/test/x/1.png\" is not there, only 1.png.dvc"), "{detail}");
    let pointer = scan("pointer.csv").unwrap_err().to_string();
    assert!(
        pointer.contains("a Git LFS pointer in place of the list; fetch it with `git lfs pull`")
    );
    let text = std::str::from_utf8(lfs).unwrap();
    let description = Descriptor::parse(text, Path::new("dataset.toml")).unwrap_err().to_string();
    assert!(description.contains("in place of the description"), "{description}");
    let unfetched = folder(&[("test.dvc", note), ("train.dvc", note)]);
    let descriptor = Descriptor::undescribed("t", Layout::guess(unfetched.path()));
    let text = descriptor.samples(unfetched.path(), Split::Test).unwrap_err().to_string();
    assert!(text.contains("test is not there, only test.dvc is here"), "{text}");
}

/// A class with one normal image, one that has an `x`, and masks of that one.
fn class(masks: &[&str]) -> TempDir {
    let mut files = vec!["test/good/000.png".to_owned(), "test/x/000.png".to_owned()];
    files.extend(masks.iter().map(|mask| format!("ground_truth/x/{mask}")));
    empty(&files.iter().map(String::as_str).collect::<Vec<_>>())
}

fn scan_with(root: &Path, keys: &str) -> Result<Scan, DataError> {
    let text = format!("name = \"t\"\n[[layouts]]\nkind = \"tree\"\n{keys}\n");
    Descriptor::parse(&text, Path::new("t.toml"))?.scan(root, Split::Test)
}

/// How many masks the defective image is given without a word about their names.
fn masks_of(masks: &[&str], keys: &str) -> usize {
    let root = class(masks);
    let Scan { samples, faults } = scan_with(root.path(), keys).unwrap();
    assert_eq!(faults, [], "{masks:?} {keys}");
    samples[1].masks.len()
}

#[test]
fn masks_whose_names_differ_in_what_does_not_matter_are_paired() {
    for (masks, expected) in [
        (&["000_mask.png"][..], 1),
        (&["000.png"], 1),
        (&["000_MASK.PNG"], 1),
        (&["000.PNG.png"], 1),
        (&["000.png.png"], 1),
        (&["000_mask.png.png"], 1),
        (&["000.png_mask.png"], 1),
        (&["000_mask_0.png", "000_mask_1.png"], 2),
        (&["000_mask-1.png", "000_mask-2.png", "000_mask-10.png"], 3),
        (&["000_mask (1).png"], 1),
        (&["000/000.png", "000/001.png"], 2),
        (&["000/000.png"], 1),
    ] {
        assert_eq!(masks_of(masks, ""), expected, "{masks:?}");
    }
}

#[test]
fn other_names_are_one_fault_that_says_the_key() {
    for (masks, pattern) in [
        (&["mask_000.png"][..], "mask_STEM"),
        (&["000_gt.png"], "STEM_gt"),
        (&["GT-000.png"], "GT-STEM"),
        (&["000_0.png", "000_1.png"], "STEM_*"),
        (&["000_seg_10.png", "000_seg_11.png"], "STEM_seg_*"),
        (&["label000.bmp"], "labelSTEM"),
    ] {
        let root = class(masks);
        let found = scan_with(root.path(), "").unwrap();
        let [fault] = &found.faults[..] else { panic!("{masks:?}: {:?}", found.faults) };
        assert_eq!(fault.kind, FaultKind::MaskNames);
        assert!(fault.detail.contains(&format!("mask-names = [\"{pattern}\"]")), "{fault}");
        assert!(fault.detail.contains("000.png"), "{fault}");
        let keys = format!("mask-names = [\"{pattern}\"]");
        assert_eq!(masks_of(masks, &keys), masks.len(), "{pattern}");
    }
    assert_eq!(masks_of(&["000.png_gt.png"], "mask-names = [\"NAME_gt\"]"), 1);
    let wrong = scan_with(Path::new("."), "mask-names = [\"mask\"]").unwrap_err().to_string();
    assert!(wrong.contains("mask-names: \"mask\" holds no STEM"), "{wrong}");
}

#[test]
fn masks_that_no_name_leads_to_are_one_fault() {
    for (masks, says) in [
        (
            // Of two annotators, who may not agree.
            &[
                "task-7-annotation-3-by-1-tag-scratch-0.png",
                "task-7-annotation-4-by-2-tag-scratch-0.png",
            ],
            "Label Studio",
        ),
        (&["a.png", "b.png"], "none go together"),
    ] {
        let root = class(masks);
        let found = scan_with(root.path(), "").unwrap();
        let [fault] = &found.faults[..] else { panic!("{:?}", found.faults) };
        assert_eq!(fault.kind, FaultKind::MaskNames);
        assert!(fault.detail.contains(says) && fault.detail.contains("2 masks"), "{fault}");
    }
}

#[test]
fn masks_of_label_studio_go_with_an_image_where_there_is_no_other() {
    let masks = [
        "task-7-annotation-3-by-1-tag-scratch-0.png",
        "task-7-annotation-3-by-1-tag-scratch-1.png",
        "task-7-annotation-3-by-1-tag-dent-0.png",
    ];
    assert_eq!(masks_of(&masks, ""), 3);
    let root = class(&masks);
    fs::write(root.path().join("test/x/001.png"), b"").unwrap();
    let found = scan_with(root.path(), "").unwrap();
    let [fault] = &found.faults[..] else { panic!("{:?}", found.faults) };
    assert!(fault.detail.contains("Label Studio names its tasks"), "{fault}");
    assert!(fault.detail.contains("2 anomalous images and 3 masks"), "{fault}");
    let others = class(&[masks[0], "a.png"]);
    let found = scan_with(others.path(), "").unwrap();
    assert!(found.samples.iter().all(|sample| sample.masks.is_empty()));
}

#[test]
fn a_mask_beside_its_pieces_is_ambiguous() {
    for masks in [&["000_mask.png", "000_mask_1.png"], &["000.png", "000/0.png"]] {
        let root = class(masks);
        let kinds: Vec<FaultKind> =
            scan_with(root.path(), "").unwrap().faults.iter().map(|fault| fault.kind).collect();
        assert_eq!(kinds, [FaultKind::MaskAmbiguous], "{masks:?}");
    }
}

/// A mask of which one quarter is marked: the rows or the columns from `from` on.
fn quarter(path: &Path, from: u32, is_row: bool) {
    let mask = GrayImage::from_fn(SIDE, SIDE, |x, y| {
        let at = if is_row { y } else { x };
        Luma([u8::from((from..from + SIDE / 4).contains(&at)) * 200])
    });
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    mask.save(path).unwrap();
}

fn loaded(sample: &Sample) -> (Vec<f32>, Vec<Fault>) {
    let preprocessing = Preprocessing::clip(SIDE as usize).unwrap();
    let dataset = ImageDataset::new(vec![sample.clone()], preprocessing);
    let dataset = dataset.checking_masks(MaskFormat::default());
    let mask = dataset.get(0).unwrap().unwrap().mask;
    assert_eq!(dataset.get(0).unwrap().unwrap().mask, mask);
    let faults = dataset.take_faults();
    assert_eq!(dataset.take_faults(), [], "each fault is given once");
    (mask, faults)
}

#[test]
fn masks_of_one_image_are_united() {
    let png = encoded(ImageFormat::Png);
    let root = folder(&[("test/good/000.png", &png), ("test/logical/000.png", &png)]);
    quarter(&root.path().join("ground_truth/logical/000/000.png"), 0, true);
    quarter(&root.path().join("ground_truth/logical/000/001.png"), 8, true);
    let scan = scan_with(root.path(), "").unwrap();
    assert_eq!(scan.faults, []);
    let (mask, faults) = loaded(&scan.samples[1]);
    assert_eq!(mask.iter().filter(|value| **value == 1.0).count() as u32, SIDE * SIDE / 2);
    assert_eq!(faults, []);
    let odd = root.path().join("ground_truth/logical/000/001.png");
    GrayImage::new(3, 3).save(&odd).unwrap();
    let dataset = ImageDataset::new(scan.samples, Preprocessing::clip(16).unwrap());
    let wrong = dataset.get(1).unwrap().unwrap_err().to_string();
    assert!(wrong.contains("001.png: the mask is 3x3 pixels"), "{wrong}");
}

#[test]
fn what_is_wrong_with_a_mask_is_told_wherever_it_is_read() {
    let png = encoded(ImageFormat::Png);
    let root = folder(&[("test/good/0.png", &png), ("test/x/0.png", &png)]);
    let mask = root.path().join("ground_truth/x/0.png");
    quarter(&mask, 0, true);
    let scan = || scan_with(root.path(), "").unwrap().samples.remove(1);
    assert_eq!(loaded(&scan()).1, []);
    let check = |picture: GrayImage, kind: FaultKind| {
        picture.save(&mask).unwrap();
        let (_, faults) = loaded(&scan());
        assert_eq!(faults.iter().map(|fault| fault.kind).collect::<Vec<_>>(), [kind]);
        assert_eq!(faults[0].path, mask);
    };
    check(GrayImage::new(SIDE, SIDE), FaultKind::MaskEmpty);
    let greys = GrayImage::from_fn(SIDE, SIDE, |x, _| Luma([(x as u8 / 6) * 100]));
    check(greys, FaultKind::MaskNotBinary);
    fs::write(&mask, encoded(ImageFormat::Jpeg)).unwrap();
    let lossy = loaded(&scan()).1;
    assert!(lossy.iter().any(|fault| fault.kind == FaultKind::MaskLossy), "{lossy:?}");
}

#[test]
fn mvtec_ad_2_is_read_by_its_public_test_split() {
    let root = empty(&[
        "can/train/good/000_regular.png",
        "can/validation/good/000_regular.png",
        "can/test_private/000_regular.png",
        "can/test_public/good/000_regular.png",
        "can/test_public/bad/000_regular.png",
        "can/test_public/ground_truth/bad/000_regular_mask.png",
    ]);
    for root in [root.path().to_path_buf(), root.path().join("can")] {
        let [layout] = &guessed(&root)[..] else { panic!("{}", root.display()) };
        let Scan { samples, faults } = layout.scan(&root, Split::Test).unwrap();
        let masks: Vec<usize> = samples.iter().map(|sample| sample.masks.len()).collect();
        assert_eq!((masks, faults), (vec![1, 0], Vec::new()));
        assert_eq!(layout.scan(&root, Split::Train).unwrap().samples.len(), 1);
    }
}

#[test]
fn layouts_that_are_not_read_are_named() {
    for (files, says) in [
        (&["x/OK/S0001/0.jpg", "x/NG/AK/S0001/0.jpg"][..], "Real-IAD"),
        (&["candle/Data/Images/Normal/0.JPG"], "VisA without its split_csv"),
        (&["a/test/fine/0.png", "a/ground_truth/bad/0.png"], "which it is with normal"),
        (&["good/0.png", "scratch/0.png"], "--normal \"good\" --anomalous \"scratch\""),
        (&["cookie/test/good/rgb/0.png", "cookie/test/good/xyz/0.tiff"], "MVTec 3D-AD"),
    ] {
        let root = empty(files);
        let descriptor = Descriptor::undescribed("t", Layout::guess(root.path()));
        let text = descriptor.samples(root.path(), Split::Test).unwrap_err().to_string();
        assert!(text.contains(says), "{text}");
    }
}
