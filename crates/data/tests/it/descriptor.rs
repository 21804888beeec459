//! Descriptors: names, groups and prompts of the samples, and one clear line for every mistake.

use std::fs;
use std::path::Path;

use anomaly::Domain;
use moeclip_data::{Descriptor, FaultKind, MaskRule, MaskValues, PromptNames, Split};
use tempfile::TempDir;

const PARTS: &str = r#"
name = "Odd Parts"
aliases = ["odd_parts_v2"]
domain = "medical"

[masks]
rule = { above = 127 }
values = "grey"

[groups]
up-to-last = "_"

[[layouts]]
kind = "tree"

[[classes]]
name = "black_cap"
prompt = "black cap"
release-prompt = "blakc cap"
normal = 1
anomalous = 1

[[classes]]
name = "weave"
folders = ["weave_1", "weave_2"]
normal = 2
anomalous = 0
"#;

fn parse(text: &str) -> Descriptor {
    Descriptor::parse(text, Path::new("parts.toml")).unwrap()
}

fn tree(files: &[&str]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for file in files {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"not read while scanning").unwrap();
    }
    root
}

fn parts() -> TempDir {
    tree(&[
        "black_cap/test/good/p1_3.png",
        "black_cap/test/hole/7.png",
        "weave_1/test/good/0.png",
        "weave_2/test/good/0.png",
    ])
}

#[test]
fn every_key_is_read() {
    let parts = parse(PARTS);
    assert_eq!(parts.domain, Domain::Medical);
    assert_eq!((parts.masks.rule, parts.masks.values), (MaskRule::Above(127), MaskValues::Grey));
    assert_eq!(parts.class("weave_2").unwrap().name, "weave");
    assert_eq!(parts.class("black_cap").unwrap().release_prompt(), "blakc cap");
    assert!(parts.class("cap").is_none());
}

#[test]
fn names_are_compared_without_what_people_write_differently() {
    let parts = parse(PARTS);
    for name in ["Odd Parts", "odd-parts", "ODDPARTS", "OddPartsV2"] {
        assert!(parts.is_called(name), "{name}");
    }
    assert!(!parts.is_called("parts"));
}

#[test]
fn samples_get_class_prompt_and_group() {
    let root = parts();
    let samples = parse(PARTS).samples(root.path(), Split::Test).unwrap();
    let facts = |at: usize| (samples[at].class.as_str(), samples[at].prompt.as_str());
    assert_eq!(samples.len(), 4);
    assert_eq!(facts(0), ("black_cap", "black cap"));
    assert_eq!(samples[0].group.as_deref(), Some("p1"));
    assert_eq!(samples[1].group, None, "7 has no _");
    assert_eq!(facts(2), ("weave_1", "weave"), "several folders are scored one by one");
    assert_eq!(facts(3), ("weave_2", "weave"));
    let released = parse(PARTS).with_prompt_names(PromptNames::Release);
    let samples = released.samples(root.path(), Split::Test).unwrap();
    assert_eq!(samples[0].prompt, "blakc cap");
    assert_eq!(samples[2].prompt, "weave");
}

#[test]
fn one_class_takes_the_name_of_the_descriptor() {
    let text = "name = \"Rails\"\n[[layouts]]\nkind = \"tree\"\n\
                [[classes]]\nname = \"rail\"\nfolders = [\"Metal15\"]\nnormal = 1\nanomalous = 0";
    for folder in ["Metal15", "anything"] {
        let root = tree(&[&format!("{folder}/test/good/0.png")]);
        let samples = parse(text).samples(root.path(), Split::Test).unwrap();
        assert_eq!(samples[0].class, "rail");
    }
}

#[test]
fn a_class_that_is_not_described_is_a_fault() {
    let root = tree(&["black_cap/test/good/0.png", "cup/test/good/0.png", "cup/test/good/1.png"]);
    let scan = parse(PARTS).scan(root.path(), Split::Test).unwrap();
    assert_eq!(scan.samples.len(), 1);
    let faults: Vec<_> = scan.faults.iter().map(|f| (f.kind, f.path.clone())).collect();
    assert_eq!(faults, [(FaultKind::UnknownClass, root.path().join("cup"))]);
    let refused = parse(PARTS).samples(root.path(), Split::Test).unwrap_err().to_string();
    assert!(refused.contains("cup: Odd Parts has no class cup"), "{refused}");
}

#[test]
fn a_copy_that_no_layout_recognises_names_what_was_looked_for() {
    let root = tree(&["0.png"]);
    let refused = parse(PARTS).samples(root.path(), Split::Test).unwrap_err().to_string();
    assert!(refused.contains("not Odd Parts: none of CLASS/test/{good,DEFECT}/"), "{refused}");
    let missing = parse(PARTS).samples(Path::new("nowhere"), Split::Test).unwrap_err().to_string();
    assert!(missing.contains("nowhere: cannot be read"), "{missing}");
}

#[test]
fn mistakes_are_one_line_with_their_place() {
    let layouts = "[[layouts]]\nkind = \"tree\"\n";
    let class = "[[classes]]\nname = \"a\"\nnormal = 1\nanomalous = 1\n";
    for (text, says) in [
        (String::new(), "missing field `name`"),
        ("name = \"a\"".into(), "missing field `layouts`"),
        ("name = \"a\"\nlayouts = []".into(), "layouts: none"),
        (format!("name = \" \"\n{layouts}"), "name: is empty"),
        (format!("name = \"a\"\nsize = 3\n{layouts}"), "line 2: unknown field `size`"),
        (format!("name = \"a\"\ndomain = \"x\"\n{layouts}"), "line 2: unknown variant `x`"),
        ("name = \"a\"\n[[layouts]]\nkind = \"shelf\"".into(), "unknown variant `shelf`"),
        (format!("name = \"a\"\n{layouts}masks-folder = \"m\""), "unknown field `masks-folder`"),
        (format!("name = \"a\"\n{layouts}{class}{class}"), "\"a\" stands twice"),
        (
            format!("name = \"a\"\n{layouts}{class}").replace("\nnormal = 1", "\nnormal = -1"),
            "line 6",
        ),
        ("name = ".into(), "line 1"),
    ] {
        let error = Descriptor::parse(&text, Path::new("x.toml")).unwrap_err().to_string();
        assert!(error.starts_with("x.toml: ") && error.contains(says), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}
