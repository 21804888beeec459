//! Lists: every fault has its line and one clear message, and no text, however odd, makes them reach
//! outside the folder or crash.

use std::fs::{self, File};
use std::path::{Component, Path};

use moeclip_data::{
    Descriptor, Fault, FaultKind, Label, ListFormat, Listing, Scan, Split, augmentation_rng,
};
use rand::RngExt;
use tempfile::TempDir;

const FORMATS: [ListFormat; 5] = [
    ListFormat::Csv,
    ListFormat::SplitCsv,
    ListFormat::LabelsCsv,
    ListFormat::Jsonl,
    ListFormat::MetaJson,
];

fn parse(format: ListFormat, text: &str) -> Listing {
    format.parse(text, Path::new("list")).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The messages, each one line.
fn details(faults: &[Fault]) -> Vec<&str> {
    assert!(faults.iter().all(|fault| !fault.to_string().contains('\n')), "{faults:?}");
    faults.iter().map(|fault| fault.detail.as_str()).collect()
}

/// Text with one sample that says this, and the line that it is in.
fn one(format: ListFormat, image: &str, label: &str) -> (String, usize) {
    let json = |text: &str| serde_json::to_string(text).unwrap();
    match format {
        ListFormat::Csv => (format!("image,label\n\"{image}\",{label}\n"), 2),
        ListFormat::SplitCsv => {
            (format!("object,split,label,image,mask\n\nx,test,{label},\"{image}\",\n"), 3)
        }
        ListFormat::LabelsCsv => (format!("id,sick\n\"{image}\",{label}"), 2),
        ListFormat::Jsonl => {
            (format!("\r\n{{\"image_path\":{},\"label\":{}}}", json(image), json(label)), 2)
        }
        ListFormat::MetaJson => (
            format!(
                "{{\n\"test\": {{\"x\":\n[\n{{\"img_path\":{},\n\"anomaly\":{}}}]}}}}",
                json(image),
                json(label)
            ),
            4,
        ),
    }
}

#[test]
fn every_format_says_image_and_label() {
    for format in FORMATS {
        for (label, means) in
            [("0", Label::Normal), ("1", Label::Anomalous), ("1.0", Label::Anomalous)]
        {
            let (text, line) = one(format, "a\\b/./1.png", label);
            for text in [text.clone(), format!("\u{feff}{text}"), text.replace('\n', "\r\n")] {
                let listing = parse(format, &text);
                assert_eq!(listing.faults, [], "{text:?}");
                let [record] = listing.records.as_slice() else { panic!("{listing:?}") };
                assert_eq!((record.line, record.label, record.split), (line, means, Split::Test));
                assert_eq!(record.image, Path::new("a/b/1.png"));
            }
        }
    }
}

#[test]
fn paths_that_leave_the_folder_are_named_in_every_format() {
    for format in FORMATS {
        for (image, says) in [
            ("/etc/passwd", "is absolute"),
            ("\\\\server\\share", "is absolute"),
            ("C:\\x.png", "is absolute"),
            ("c:x.png", "is absolute"),
            ("../x.png", "leaves the folder"),
            ("a/../../x.png", "leaves the folder"),
            ("a\\..\\x.png", "leaves the folder"),
            ("a/.. /x.png", "leaves the folder"),
            ("a\0b.png", "control character"),
            ("a\u{1b}[2J.png", "control character"),
            ("./", "names no file"),
            ("", "names no image"),
        ] {
            let (text, line) = one(format, image, "1");
            let listing = parse(format, &text);
            assert_eq!(listing.records, [], "{text}");
            let [fault] = listing.faults.as_slice() else { panic!("{listing:?}") };
            assert_eq!(
                (fault.kind, fault.path.as_path()),
                (FaultKind::BadListing, Path::new("list"))
            );
            assert!(fault.detail.starts_with(&format!("line {line}: ")), "{fault}");
            assert!(
                fault.detail.contains(says) && !fault.detail.contains(char::is_control),
                "{fault}"
            );
        }
    }
}

#[test]
fn labels_that_are_none_are_named() {
    for format in FORMATS {
        for label in ["", "2", "nan", "inf", "maybe", &"9".repeat(5000)] {
            let (text, line) = one(format, "a.png", label);
            let listing = parse(format, &text);
            assert_eq!(listing.records, [], "{text}");
            let [detail] = details(&listing.faults)[..] else { panic!("{listing:?}") };
            assert!(
                detail.starts_with(&format!("line {line}: ")) && detail.contains("label"),
                "{detail}"
            );
            assert!(detail.len() < 300, "{detail}");
        }
    }
}

fn check_faults(format: ListFormat, text: &str, records: usize, says: &[&str]) {
    let listing = parse(format, text);
    assert_eq!(listing.records.len(), records, "{listing:?}");
    let found = details(&listing.faults);
    assert_eq!(found.len(), says.len(), "{found:?}");
    for (found, says) in found.iter().zip(says) {
        assert!(found.contains(says), "{found:?} does not say {says:?}");
    }
}

#[test]
fn one_bad_row_does_not_hide_the_others() {
    let text = "image,label,split\r\n\r\na.png,0,train\r\n   \r\n,,\r\nb.png,0\r\nc.png,0,later\r\n\
                d.png,x,test\r\n\"e.png\",1,test\r\nf.png,1,\"\r\n";
    let says = [
        "line 6: has 2 values where the header has 3",
        "line 7: split: \"later\" is none",
        "line 8: label: \"x\" is none",
    ];
    check_faults(ListFormat::Csv, text, 3, &says);
    let text = "image,label\na.png,1\n\"b.png,0\nc.png,0\n";
    check_faults(ListFormat::Csv, text, 1, &["line 3: has 1 values"]);
    let text = "image,label,class\na.png,1,\"x\ny\"\nb.png,1,z\n";
    check_faults(ListFormat::Csv, text, 1, &["line 2: class: \"x\\ny\" holds a control character"]);
}

#[test]
fn one_bad_object_does_not_hide_the_others() {
    let lines = [
        "{\"image_path\": \"a.png\", \"label\": 0}",
        "{\"image_path\": \"b.png\", \"label\":",
        "[\"c.png\", 0]",
        "{\"image_path\": [\"d.png\"], \"label\": 0}",
        "{\"image_path\": \"e.png\", \"img_path\": \"other.png\", \"label\": 0}",
        "{\"image_path\": \"f.png\", \"label\": 1e999}",
        "{\"image_path\": \"g.png\", \"label\": NaN}",
        "{\"image_path\": \"h.png\", \"label\": true, \"class_name\": 7, \"x\": {\"y\": [null]}}",
        "\"i.png\" \0",
    ];
    let says = [
        "line 2: column",
        "line 3: a list is no JSON object",
        "line 4: image_path or img_path or image or filename: is no text",
        "line 5: image_path or img_path or image or filename: there are two",
        "line 6: column 38: number out of range",
        "line 7: column",
        "line 9: column",
    ];
    check_faults(ListFormat::Jsonl, &lines.join("\n"), 2, &says);
    let text = "{\"other\": 1, \"train\": {}, \"test\": {\"b\": [\n7,\n{\"img_path\": \"1.png\", \"anomaly\": 1},\n\
                {\"img_path\": {}, \"anomaly\": 1}], \"a\": [\n{\"img_path\": \"2.png\", \"anomaly\": 0}]}}";
    check_faults(ListFormat::MetaJson, text, 2, &["line 2: \"7\" is no", "line 4: image_path"]);
    let classes: Vec<_> =
        parse(ListFormat::MetaJson, text).records.into_iter().map(|r| r.class).collect();
    assert_eq!(classes, [Some("b".to_owned()), Some("a".to_owned())]);
}

#[test]
fn the_keys_of_both_kinds_of_lists_are_known() {
    let text = "{\"filename\": \"a.png\", \"maskname\": \"m.png\", \"label\": 1, \"clsname\": \"nut\", \
                \"label_name\": \"bent\", \"prompt\": \"metal nut\", \"group\": \"p1\"}\n\
                {\"img_path\": \"b.png\", \"mask_path\": \"n.png\", \"anomaly\": 1, \"cls_name\": \"nut\", \
                \"specie_name\": \"bent\", \"prompt\": \"metal nut\", \"group\": \"p1\"}";
    let listing = parse(ListFormat::Jsonl, text);
    assert_eq!((listing.records.len(), listing.faults.len()), (2, 0), "{listing:?}");
    for (record, mask) in listing.records.iter().zip(["m.png", "n.png"]) {
        let words = [&record.class, &record.defect, &record.prompt, &record.group];
        assert_eq!(words.map(|w| w.as_deref().unwrap()), ["nut", "bent", "metal nut", "p1"]);
        assert_eq!(record.masks, [Path::new(mask)]);
    }
}

#[test]
fn lists_of_another_form_are_refused_as_a_whole() {
    let deep = "[".repeat(100_000);
    let ignored = format!("{{\"image_path\": \"a\", \"x\": {deep}");
    for (format, text, says) in [
        (ListFormat::Csv, "", "there is no header; the columns are image, label, mask"),
        (
            ListFormat::Csv,
            "\n\nimage,lable\n",
            "line 3: there is no column \"lable\"; is it label?",
        ),
        (ListFormat::Csv, "image,label,masks\n", "there is no column \"masks\"; is it mask?"),
        (ListFormat::Csv, "image,state\n", "the column label is missing (there is \"state\")"),
        (ListFormat::Csv, "image,mask\n", "the column label is missing"),
        (ListFormat::Csv, "image,label,Image\n", "two columns are called image"),
        (ListFormat::SplitCsv, "object,split,label,image\n", "the column mask is missing"),
        (ListFormat::LabelsCsv, "0,1\n1,0\n", "the first line is no header"),
        (ListFormat::LabelsCsv, "id\n1\n", "the first line is no header"),
        (ListFormat::MetaJson, "", "line 1: EOF"),
        (ListFormat::MetaJson, "{}", "names neither train nor test"),
        (ListFormat::MetaJson, "{\"train\": 3}", "expected an object of classes"),
        (ListFormat::MetaJson, "{\"test\": {\"a\": {}}}", "expected a list of samples"),
        (ListFormat::MetaJson, "{\n\"test\": {\"a\": [}}}", "line 2: "),
        (ListFormat::MetaJson, "{\"test\": {}} {}", "trailing characters"),
        (ListFormat::MetaJson, &format!("{{\"test\": {{\"a\": [{ignored}"), "line 1: "),
    ] {
        let error = format.parse(text, Path::new("list.x")).unwrap_err().to_string();
        assert!(error.starts_with("list.x: ") && error.contains(says), "{error}");
        assert!(!error.contains('\n') && error.len() < 400, "{error}");
    }
    check_faults(ListFormat::Jsonl, &ignored, 0, &["line 1: column"]);
    let nested = format!("{{\"image_path\": {}", "{\"image\":".repeat(100_000));
    check_faults(ListFormat::Jsonl, &nested, 0, &["recursion limit"]);
}

#[test]
fn lists_without_end_are_cut_short() {
    let listing = parse(ListFormat::Jsonl, &"{\n".repeat(5000));
    let detail = "line 1: column 1: EOF while parsing an object (one JSON object is needed) (4999 more \
                  lines too, the last is 5000)";
    assert_eq!(details(&listing.faults), [detail]);
    let lines: String = (0..5000).map(|line| format!("{line}\n")).collect();
    let listing = parse(ListFormat::Jsonl, &lines);
    assert_eq!(listing.faults.len(), 1001);
    assert!(listing.faults[1000].detail.starts_with("4000 more lines cannot be read"));
    let table = format!("image,label\n{}", "a,0\n".repeat(1_000_001));
    let refused = ListFormat::Csv.parse(&table, Path::new("list")).unwrap_err().to_string();
    assert!(refused.contains("more than 1000000 samples"), "{refused}");
    let entry = "{\"img_path\":\"a\",\"anomaly\":0}";
    let document =
        format!("{{\"test\":{{\"a\":[{}{entry}]}}}}", format!("{entry},").repeat(1_000_000));
    let refused = ListFormat::MetaJson.parse(&document, Path::new("list")).unwrap_err().to_string();
    assert!(refused.contains("more than 1000000 samples"), "{refused}");
}

#[test]
fn no_text_leads_outside_or_crashes() {
    let alphabet: Vec<char> = "{}[]\":,\\/.\n\r\t 01eE+-\0\u{feff}\u{202e}aé\"".chars().collect();
    let mut accepted = 0;
    for seed in 0..3000 {
        let mut rng = augmentation_rng(7, 0, seed);
        let format = FORMATS[rng.random_range(0..FORMATS.len())];
        let (text, _) = one(format, "a/b.png", "1");
        let mut text: Vec<char> = text.chars().collect();
        for _ in 0..rng.random_range(0..6) {
            let at = rng.random_range(0..text.len());
            let with = alphabet[rng.random_range(0..alphabet.len())];
            match rng.random_range(0..3) {
                0 => text[at] = with,
                1 => text.insert(at, with),
                _ => text.truncate(at.max(1)),
            }
        }
        let text: String = text.into_iter().collect();
        let Ok(listing) = format.parse(&text, Path::new("list")) else { continue };
        details(&listing.faults);
        for record in listing.records {
            let inside = |path: &Path| path.components().all(|c| matches!(c, Component::Normal(_)));
            assert!(
                inside(&record.image) && record.masks.iter().all(|mask| inside(mask)),
                "{text:?}"
            );
            accepted += 1;
        }
    }
    assert!(accepted > 500, "{accepted} of the texts held a sample");
}

fn folder(files: &[&str], list: &str) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    files.iter().for_each(|file| fs::write(root.path().join(file), "").unwrap());
    fs::write(root.path().join("list"), list).unwrap();
    root
}

fn described(keys: &str) -> Descriptor {
    let text = format!("name = \"test\"\n[[layouts]]\n{keys}\n");
    Descriptor::parse(&text, Path::new("test.toml")).unwrap()
}

fn scan(files: &[&str], list: &str, keys: &str) -> Scan {
    described(keys).scan(folder(files, list).path(), Split::Test).unwrap()
}

const CSV: &str = "kind = \"csv\"\nlist = \"list\"";

#[test]
fn files_that_do_not_fit_the_list_are_named() {
    let found = scan(
        &["a.png", "b.png", "m.png"],
        "image,label,mask\na.png,1,m.png\n./a.png,0,\ngone.png,0,\nb.png,1,gone_mask.png\n",
        CSV,
    );
    assert_eq!(found.samples.len(), 2);
    let says = [
        "line 3: \"a.png\" stands in line 2 already; remove one",
        "line 4: \"gone.png\" is not there; add the file or correct the list",
        "line 5: \"gone_mask.png\" is not there; add the file or correct the list",
    ];
    assert_eq!(details(&found.faults), says);
    assert!(
        found.faults.iter().all(|f| f.kind == FaultKind::BadListing && f.path.ends_with("list"))
    );
}

#[test]
fn an_anomalous_image_without_a_mask_is_named_where_others_have_one() {
    let files = ["a.png", "b.png", "c.png", "m.png"];
    let found = scan(&files, "image,label,mask\na.png,1,m.png\nb.png,1,\nc.png,0,\n", CSV);
    let [fault] = found.faults.as_slice() else { panic!("{:?}", found.faults) };
    assert!(fault.kind == FaultKind::MaskMissing && fault.path.ends_with("b.png"), "{fault}");
    assert!(fault.detail.starts_with("line 3 names no mask"), "{fault}");
    assert_eq!(found.samples.len(), 3);
    let found = scan(&files, "image,label,mask\na.png,1,\nb.png,1,\nc.png,0,\n", CSV);
    assert_eq!(found.faults, [], "a list without masks has none missing");
}

#[test]
fn an_image_may_stand_in_two_splits_but_twice_in_none() {
    let list = "image,label,split\na.png,0,train\na.png,0,test\n";
    assert_eq!(scan(&["a.png"], list, CSV).faults, []);
}

#[test]
fn numbers_that_no_or_two_images_have_are_named() {
    let found = scan(
        &["001.png", "1.png", "002.png", "02.jpg", "x.png", "0.png"],
        "id,sick\n1,0\n2,0\n3,0\nx,1\n1,1\n000,1\n..,1\n",
        "kind = \"labels-csv\"\nlist = \"list\"",
    );
    let says = [
        "line 8: image: \"..\" leaves the folder of the data; name something below it",
        "line 3: 002.png and 02.jpg are both called \"2\"; remove one",
        "line 4: no image is called \"3\"; add it or correct the list",
        "line 6: \"1.png\" stands in line 2 already; remove one",
    ];
    assert_eq!(details(&found.faults), says);
    let images: Vec<_> = found.samples.iter().map(|s| s.image.file_name().unwrap()).collect();
    assert_eq!(images, ["1.png", "x.png", "0.png"]);
}

#[test]
fn lists_that_cannot_be_used_say_why() {
    let jsonl = "kind = \"jsonl\"\nlist = \"list\"";
    let line = "{\"image_path\": \"a.png\", \"label\": 0}";
    for (list, keys, split, says) in [
        (line, jsonl, Split::Train, "holds no sample of the split train"),
        ("id,x\na,0", "kind = \"labels-csv\"\nlist = \"list\"", Split::Train, "names no splits"),
        ("", jsonl, Split::Test, "holds no sample of the split test"),
        ("image,label\na.png,0", CSV, Split::Train, "holds no sample of the split train"),
        (
            line,
            "kind = \"jsonl\"\nlist = \"list\"\nimages = \"none\"",
            Split::Test,
            "none: cannot be read",
        ),
        (line, "kind = \"jsonl\"\nlist = \"other\"", Split::Test, "none of other here"),
    ] {
        let error =
            described(keys).scan(folder(&["a.png"], list).path(), split).unwrap_err().to_string();
        assert!(error.contains(says) && !error.contains('\n'), "{error}");
    }
}

#[test]
fn a_list_may_lie_elsewhere() {
    let lists = folder(&[], "{\"image_path\": \"a.png\", \"label\": 0}");
    let root = folder(&[], "");
    fs::create_dir(root.path().join("photos")).unwrap();
    fs::write(root.path().join("photos/a.png"), "").unwrap();
    let list = lists.path().join("list");
    let keys = format!("kind = \"jsonl\"\nlist = '{}'\nimages = \"photos\"", list.display());
    let samples = described(&keys).samples(root.path(), Split::Test).unwrap();
    assert_eq!(samples[0].image, root.path().join("photos/a.png"));
}

#[test]
fn long_lists_and_other_encodings_are_refused() {
    let root = folder(&[], "");
    let list = root.path().join("list");
    let refused = || described(CSV).scan(root.path(), Split::Test).unwrap_err().to_string();
    fs::write(&list, b"image,label\nm\xfcll.png,0\n").unwrap();
    assert!(refused().contains("line 2: is no UTF-8 text"), "{}", refused());
    File::create(&list).unwrap().set_len((64 << 20) + 1).unwrap();
    assert!(refused().contains("longer than 64 MiB"), "{}", refused());
}
