//! What no compiler checks and every change should keep: which crate may know which, and the house
//! rules of the files. Plain tables and plain loops, in the manner of rust-analyzer's tidy test; a
//! failure names file and line, and says what to do.

mod source;
mod tables;

use std::collections::{BTreeMap, BTreeSet};

use source::*;
use tables::*;

#[test]
fn crates_know_only_the_crates_below_them() {
    let files = files();
    let manifests: Vec<Manifest> = files.iter().filter_map(Manifest::of).collect();
    let own: BTreeSet<&str> = manifests.iter().map(|manifest| manifest.name.as_str()).collect();
    let arrows = |name: &str| ARROWS.iter().find(|arrows| arrows.from == name);
    let forbidden = manifests.iter().flat_map(|manifest| {
        let allowed = arrows(&manifest.name).map_or(&[][..], |arrows| arrows.to);
        let own = &own;
        let used = manifest.dependencies.iter().filter(|used| own.contains(used.as_str()));
        used.filter(|used| !allowed.contains(&used.as_str())).map(|used| {
            manifest.file.at_line_of(used, format!("{} must not know {used}", manifest.name))
        })
    });
    check("move the code to where both may use it, as docs/architecture.md draws it", forbidden);
    let unknown = manifests.iter().filter(|manifest| arrows(&manifest.name).is_none());
    let unknown = unknown.map(|manifest| {
        let name = &manifest.name;
        manifest.file.at_line_of(name, format!("{name} has no row among the arrows"))
    });
    check(
        "add one to ARROWS in xtask/tests/tidy/tables.rs and draw it in docs/architecture.md",
        unknown,
    );
    let stale = ARROWS.iter().filter(|arrows| !own.contains(arrows.from));
    let stale =
        stale.map(|row| format!("xtask/tests/tidy/tables.rs: there is no crate {}", row.from));
    check("take its row out of ARROWS", stale);
}

#[test]
fn every_dependency_is_named_in_the_notice() {
    let files = files();
    let notice = files.iter().find(|file| file.path == "THIRD-PARTY.md");
    let notice = notice.map(|file| file.text.as_str()).unwrap_or_default();
    let manifests: Vec<Manifest> = files.iter().filter_map(Manifest::of).collect();
    let own: BTreeSet<&str> = manifests.iter().map(|manifest| manifest.name.as_str()).collect();
    let missing = manifests.iter().flat_map(|manifest| {
        let outside = manifest.all_dependencies.iter().filter(|used| !own.contains(used.as_str()));
        let missing = outside.filter(|used| !notice.contains(&format!("| `{used}` |")));
        missing.map(|used| manifest.file.at_line_of(used, format!("{used} is not in the notice")))
    });
    check("add a row with its licence to THIRD-PARTY.md", missing);
}

#[test]
fn every_source_opens_with_why_it_exists() {
    let sources = sources();
    let headless = sources.iter().filter(|file| !file.text.starts_with("//!"));
    let headless = headless.map(|file| file.at(1, "the first line is no //! comment"));
    check("open the file with //! and say why it exists", headless);
}

#[test]
fn no_source_is_too_long_to_read() {
    let sources = sources();
    let long = sources.iter().filter_map(|file| {
        let lines = lines_without_tests(file);
        (lines > LONGEST).then(|| file.at(LONGEST, format!("{lines} lines, {LONGEST} at most")))
    });
    check("split the file", long);
}

#[test]
fn no_name_is_given_to_many_types() {
    let sources = sources();
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in sources.iter().filter(|file| file.path.contains("/src/")) {
        for (name, line) in types(file) {
            places.entry(name).or_default().push(format!("{}:{line}", file.path));
        }
    }
    let many = places.iter().filter(|(_, places)| places.len() > NAMESAKES);
    let many = many.map(|(name, places)| {
        format!("{}: {name} is defined here and at {}", places[0], places[1..].join(", "))
    });
    check("rename one of them after what sets it apart", many);
}

#[test]
fn links_between_documents_lead_somewhere() {
    let files = files();
    let documents = files.iter().filter(|file| file.path.ends_with(".md"));
    let dead = documents.flat_map(|file| {
        let dead = links(file).into_iter().filter(|link| !link.leads_into(&files));
        dead.map(|link| file.at(link.line, format!("{} leads nowhere", link.target)))
    });
    check("name a file, a folder or a heading that exists", dead);
}

#[test]
fn libraries_do_not_print() {
    let sources = sources();
    let prints = library(&sources).flat_map(|file| macros(file, &PRINTS));
    check("return the value and let xtask print it", prints);
}

#[test]
fn libraries_choose_no_backend() {
    let sources = sources();
    let generic =
        library(&sources).filter(|file| ![CHOOSES, REACHES_FLEX].contains(&file.path.as_str()));
    let named = generic.flat_map(|file| {
        let chosen = |token: &Token| !token.in_test && BACKENDS.contains(&token.text.as_str());
        let tokens = tokens(file).into_iter().filter(chosen);
        tokens.map(|token| file.at(token.line, format!("{} is one backend", token.text)))
    });
    check("stay generic over B: Backend; crates/inspect/src/backends.rs chooses", named);
}

#[test]
fn unsafe_stands_only_where_the_table_says() {
    let sources = sources();
    let say_unsafe = |file: &File| tokens(file).into_iter().find(|token| token.text == "unsafe");
    let unlisted = sources.iter().filter(|file| !UNSAFE.contains(&file.path.as_str()));
    let unlisted = unlisted.filter_map(|file| Some(file.at(say_unsafe(file)?.line, "unsafe code")));
    check("do without, or argue for a row in UNSAFE of xtask/tests/tidy/tables.rs", unlisted);
    let is_used =
        |path: &str| sources.iter().any(|file| file.path == path && say_unsafe(file).is_some());
    let stale = UNSAFE.iter().filter(|path| !is_used(path));
    let stale = stale.map(|path| format!("{path}: is listed, but has no unsafe code"));
    check("take its row out of UNSAFE in xtask/tests/tidy/tables.rs", stale);
}

#[test]
fn nothing_is_left_undone() {
    let sources = sources();
    let undone = sources.iter().flat_map(|file| macros(file, &UNDONE));
    check("write it, or leave its caller out", undone);
}

#[test]
fn nothing_names_a_machine() {
    let files = files();
    let named = files.iter().flat_map(|file| {
        let lines = file.text.lines().enumerate();
        let named = lines.filter_map(|(index, line)| Some((index, machine_path(line)?)));
        named.map(|(index, path)| file.at(index + 1, format!("{path} is a path of one machine")))
    });
    check("use a path relative to the project, or ask the user for one", named);
}

#[test]
fn the_rules_can_be_broken() {
    let text = "//! `println!` and Flex in words\nfn f() { println!(\"dbg!\"); }\n\
                #[cfg(test)]\nmod tests { use x::Flex; fn t() { dbg!(1); } }\n\
                fn g() { let unsafe_word = (Flex, '\"'); unsafe { todo!() } }\n";
    let file = File { path: "crates/x/src/lib.rs".into(), text: text.into() };
    assert_eq!(macros(&file, &PRINTS), ["crates/x/src/lib.rs:2: println!"]);
    assert_eq!(macros(&file, &UNDONE), ["crates/x/src/lib.rs:5: todo!"]);
    let found = |text: &str| {
        let tokens = tokens(&file).into_iter().filter(|token| token.text == text);
        tokens.map(|token| (token.line, token.in_test)).collect::<Vec<_>>()
    };
    assert_eq!(found("Flex"), [(4, true), (5, false)]);
    assert_eq!(found("unsafe"), [(5, false)]);
    assert_eq!(lines_without_tests(&file), 2);
    assert!(machine_path(concat!("see \"/", "home/me/x\"")).is_some());
    assert!(machine_path(concat!("see ../", "work/x and https://x.org/", "home/")).is_none());
}

#[test]
fn sources_that_documents_name_exist() {
    let files = files();
    let exists = |name: &str| {
        let ending = format!("/{name}");
        files.iter().any(|file| file.path == name || file.path.ends_with(&ending))
    };
    let documents = files.iter().filter(|file| file.path.ends_with(".md"));
    let gone = documents.flat_map(|file| {
        let gone = sources_named_in(file).filter(|(_, name)| !exists(name));
        gone.map(|(line, name)| file.at(line, format!("there is no {name}"))).collect::<Vec<_>>()
    });
    check("name where it is now, or the type instead of the file", gone);
}

#[test]
fn dead_links_and_namesakes_are_found() {
    let text = "# Some `code`, and more\n[a](b.md#two-words) [c](#some-code-and-more)\n\
                ![p](../gone.png) [d](.) [w](https://x.org/y)\n```text\n[no](link)\n```\n";
    let files = [
        File { path: "docs/a.md".into(), text: text.into() },
        File { path: "docs/b.md".into(), text: "## Two words\n```sh\n# No heading\n```\n".into() },
    ];
    let found = links(&files[0]);
    let found = found.iter().map(|link| (link.target.as_str(), link.leads_into(&files)));
    let expected = [
        ("b.md#two-words", true),
        ("#some-code-and-more", true),
        ("../gone.png", false),
        (".", true),
    ];
    assert_eq!(found.collect::<Vec<_>>(), expected);
    assert_eq!(headings(&files[1]), ["two-words"]);
    let text = "see `x/src/a.rs` and `y()`, `b.rs`\n";
    let file = File { path: "README.md".into(), text: text.into() };
    let named: Vec<_> = sources_named_in(&file).collect();
    assert_eq!(named, [(1, "x/src/a.rs"), (1, "b.rs")]);
    let text = "//! x\npub struct A<T>(T);\nenum B {}\n#[cfg(test)]\nmod tests { trait C {} }\n";
    let file = File { path: "crates/x/src/lib.rs".into(), text: text.into() };
    assert_eq!(types(&file), [("A".to_owned(), 2), ("B".to_owned(), 3)]);
}

/// Fails with one line for each finding, each with the remedy.
fn check(remedy: &str, findings: impl IntoIterator<Item = String>) {
    let lines = findings.into_iter().map(|finding| format!("{finding}; {remedy}"));
    let lines: Vec<String> = lines.collect();
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}
