//! Tables as programs write them: pandas, Excel and hands.

use std::fs;

use moeclip_data::{Descriptor, Layout, Scan, Split};
use tempfile::TempDir;

const FILES: [&str; 6] =
    ["i/good 0.png", "i/good 1.png", "i/bad 0.png", "i/bad 1.png", "m/bad 0.png", "m/bad 1.png"];

const PLAIN: &str = "image,label,mask\ni/good 0.png,0,\ni/good 1.png,0,\n\
                     i/bad 0.png,1,m/bad 0.png\ni/bad 1.png,1,m/bad 1.png\n";

fn files() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for file in FILES {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"").unwrap();
    }
    root
}

fn scan(name: &str, text: &str) -> Result<Scan, String> {
    let root = files();
    let list = root.path().join(name);
    fs::write(&list, text).unwrap();
    let descriptor = Descriptor::undescribed("t", Layout::guess(&list));
    descriptor.scan(root.path(), Split::Test).map_err(|error| error.to_string())
}

/// The same four images and two masks, without a fault.
fn check(name: &str, text: &str) {
    let Scan { samples, faults } = scan(name, text).unwrap_or_else(|e| panic!("{e}: {text}"));
    assert_eq!(faults, [], "{text}");
    let masks: Vec<usize> = samples.iter().map(|sample| sample.masks.len()).collect();
    assert_eq!(masks, [0, 0, 1, 1], "{text}");
}

/// Every line with a value before it.
fn before(values: [&str; 5]) -> String {
    PLAIN.lines().zip(values).map(|(line, value)| format!("{value},{line}\n")).collect()
}

#[test]
fn tables_of_other_programs_are_read() {
    check("list.csv", PLAIN);
    check("list.txt", PLAIN);
    check("list.csv", &before(["", "0", "1", "2", "3"]));
    check("list.csv", &before(["Unnamed: 0", "0", "1", "2", "3"]));
    check("list.csv", &before(["time", "a", "b", "c", "d"]));
    check("list.csv", &before(["task", "\"1;2\"", "b", "c", "d"]));
    for nothing in ["None", "nan", "NaN", "<NA>", "null", "N/A"] {
        check("list.csv", &PLAIN.replace(",0,\n", &format!(",0,{nothing}\n")));
    }
    for (normal, anomalous) in
        [("False", "True"), ("false", "true"), ("OK", "NG"), ("ok", "NOK"), ("0.0", "1.0")]
    {
        let text = PLAIN.replace(",0,", &format!(",{normal},"));
        check("list.csv", &text.replace(",1,", &format!(",{anomalous},")));
    }
    let semicolons = PLAIN.replace(',', ";");
    check("list.csv", &semicolons);
    check("list.csv", &semicolons.replace(";0;", ";0,0;").replace(";1;", ";1,0;"));
    check("list.csv", &format!("sep=;\r\n{}", semicolons.replace('\n', "\r\n")));
    check("LIST.TSV", &PLAIN.replace(',', "\t"));
    check("list.csv", &PLAIN.replace(',', "\t"));
    check("list.csv", &format!("\u{feff}{}", PLAIN.replace('\n', "\r\n")));
    check("list.csv", &PLAIN.replace('/', "\\"));
    check("list.csv", &PLAIN.replace("image,label,mask", "image_path,Label,mask_path"));
    check("list.csv", &before(["filename", "a", "b", "c", "d"]));
    check("list.csv", &before(["split", "test", "TEST", "", "nan"]));
}

#[test]
fn lines_keep_their_numbers_whatever_stands_before_them() {
    let text = format!("sep=;\n{}i/none.png;0;\n", PLAIN.replace(',', ";"));
    let faults = scan("list.csv", &text).unwrap().faults;
    assert_eq!(faults.len(), 1);
    assert!(faults[0].detail.starts_with("line 7: "), "{}", faults[0]);
}

#[test]
fn several_masks_of_one_image_stand_in_one_value() {
    let lines = "{\"image\": \"i/bad 0.png\", \"label\": 1, \"mask\": [\"m/bad 0.png\", \"m/bad 1.png\"]}\n";
    let table = "image,label,mask\ni/bad 0.png,1,m/bad 0.png|m/bad 1.png\n";
    for (name, text) in [("list.jsonl", lines), ("list.csv", table)] {
        let Scan { samples, faults } = scan(name, text).unwrap();
        assert_eq!((samples[0].masks.len(), faults), (2, Vec::new()), "{text}");
    }
}

#[test]
fn a_column_that_is_misspelt_is_not_passed_over() {
    for (header, says) in [
        ("image,lable,mask", "there is no column \"lable\"; is it label?"),
        ("image,label,msk", "there is no column \"msk\"; is it mask?"),
        ("image,label,mask,grup", "there is no column \"grup\"; is it group?"),
        ("image,state,mask", "the column label is missing (there is \"state\")"),
    ] {
        let error = scan("list.csv", &format!("{header}\n")).unwrap_err();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn lists_of_real_iad_are_read() {
    let text = "{\"meta\": {\"prefix\": \"i\", \"normal_class\": \"OK\"}, \"train\": [], \"test\": [\n\
                {\"category\": \"cap\", \"anomaly_class\": \"OK\", \"image_path\": \"good 0.png\", \
                \"mask_path\": null},\n\
                {\"category\": \"cap\", \"anomaly_class\": \"AK\", \"image_path\": \"bad 0.png\", \
                \"mask_path\": \"bad 1.png\"}]}";
    let Scan { samples, faults } = scan("cap.json", text).unwrap();
    assert_eq!(faults, []);
    let facts = samples.iter().map(|s| (s.class.as_str(), s.defect.as_str(), s.masks.len()));
    assert_eq!(facts.collect::<Vec<_>>(), [("cap", "good", 0), ("cap", "AK", 1)]);
    let faults = scan("cap.json", &text.replace("good 0", "gone")).unwrap().faults;
    assert!(faults[0].detail.contains("Real-IAD's list"), "{}", faults[0]);
}

#[test]
fn what_is_no_json_is_named() {
    let meta = |value: &str| {
        format!(
            "{{\"train\": {{}},\n\"test\": {{\"a\": [{{\"img_path\": \"a.png\", \"mask_path\": {value}}}]}}}}"
        )
    };
    for (value, instead) in
        [("NaN", "null"), ("-Infinity", "a number"), ("None", "null"), ("nan", "null")]
    {
        let error = scan("meta.json", &meta(value)).unwrap_err();
        assert!(error.contains(&format!("line 2: {value} is no JSON; write {instead}")), "{error}");
        let line = format!("{{\"image\": \"i/bad 0.png\", \"label\": 1, \"mask\": {value}}}\n");
        let faults = scan("list.jsonl", &line).unwrap().faults;
        assert!(faults[0].detail.contains(&format!("{value} is no JSON")), "{}", faults[0]);
    }
}
