//! What no compiler checks and every change should keep: which crate may know which, and the house
//! rules of the files. Plain tables and plain loops, in the manner of rust-analyzer's tidy test; a
//! failure names file and line, and says what to do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A crate and those of the project's own crates that it may depend on.
struct Arrows {
    from: &'static str,
    to: &'static [&'static str],
}

const ARROWS: &[Arrows] = &[
    Arrows { from: "grid-resample", to: &[] },
    Arrows { from: "conditions", to: &["tile-kernels"] },
    Arrows { from: "anomaly", to: &["conditions", "grid-resample"] },
    Arrows { from: "moe-lora", to: &[] },
    Arrows { from: "moeclip-losses", to: &[] },
    Arrows { from: "whole-file", to: &[] },
    Arrows { from: "svg-charts", to: &[] },
    Arrows { from: "tile-kernels", to: &[] },
    Arrows { from: "clip-vit", to: &["grid-resample", "tile-kernels", "whole-file"] },
    Arrows { from: "paa-adapter", to: &["grid-resample"] },
    Arrows { from: "moeclip-data", to: &["anomaly", "conditions", "grid-resample", "whole-file"] },
    Arrows {
        from: "moeclip",
        to: &[
            "anomaly",
            "clip-vit",
            "conditions",
            "grid-resample",
            "moe-lora",
            "paa-adapter",
            "whole-file",
        ],
    },
    Arrows {
        from: "moeclip-train",
        to: &[
            "clip-vit",
            "conditions",
            "moe-lora",
            "moeclip",
            "moeclip-data",
            "moeclip-losses",
            "svg-charts",
            "whole-file",
        ],
    },
    Arrows {
        from: "moeclip-parity",
        to: &["anomaly", "clip-vit", "moe-lora", "moeclip", "moeclip-data", "moeclip-train"],
    },
    Arrows { from: "synthetic-world", to: &["anomaly", "moeclip-data"] },
    Arrows {
        from: "small-clip",
        to: &[
            "clip-vit",
            "conditions",
            "moeclip",
            "moeclip-data",
            "moeclip-train",
            "synthetic-world",
        ],
    },
    Arrows {
        from: "moeclip-eval",
        to: &["anomaly", "conditions", "moeclip-data", "svg-charts", "whole-file"],
    },
    Arrows {
        from: "moeclip-benches",
        to: &["anomaly", "clip-vit", "moeclip", "moeclip-data", "moeclip-eval", "tile-kernels"],
    },
    Arrows { from: "moeclip-fuzz", to: &["clip-vit", "moeclip-data"] },
    Arrows {
        from: "inspect",
        to: &[
            "anomaly",
            "clip-vit",
            "conditions",
            "moeclip",
            "moeclip-data",
            "moeclip-eval",
            "moeclip-train",
            "whole-file",
        ],
    },
    Arrows {
        from: "xtask",
        to: &[
            "anomaly",
            "clip-vit",
            "conditions",
            "grid-resample",
            "inspect",
            "moe-lora",
            "moeclip",
            "moeclip-data",
            "moeclip-eval",
            "moeclip-losses",
            "moeclip-parity",
            "moeclip-train",
            "paa-adapter",
            "small-clip",
            "synthetic-world",
            "tile-kernels",
            "whole-file",
        ],
    },
];

/// Files that may say `unsafe`.
const UNSAFE: [&str; 15] = [
    "crates/clip-vit/src/weights/bytes.rs",
    "crates/data/src/preprocess/resize/vnni.rs",
    "crates/tile-kernels/src/activation.rs",
    "crates/tile-kernels/src/attention.rs",
    "crates/tile-kernels/src/gradient/attention.rs",
    "crates/tile-kernels/src/heads.rs",
    "crates/tile-kernels/src/isa.rs",
    "crates/tile-kernels/src/kernel.rs",
    "crates/tile-kernels/src/lanes/avx512.rs",
    "crates/tile-kernels/src/lanes/mod.rs",
    "crates/tile-kernels/src/linear.rs",
    "crates/tile-kernels/src/micro/amx.rs",
    "crates/tile-kernels/src/norm.rs",
    "crates/tile-kernels/src/product_tests.rs",
    "crates/tile-kernels/src/tiles.rs",
];

/// Most lines of a source file without its tests.
const LONGEST: usize = 400;

/// How often a name may be given to a type; from the third on a reader asks which one is meant.
const NAMESAKES: usize = 2;

/// Macros that print.
const PRINTS: [&str; 5] = ["print", "println", "eprint", "eprintln", "dbg"];

/// Macros that stand for work not done.
const UNDONE: [&str; 2] = ["todo", "unimplemented"];

/// The one file that reaches a tensor by its concrete type, where kernels are faster than operations.
const REACHES_FLEX: &str = "crates/clip-vit/src/fast.rs";

/// The one library file that chooses a backend, from the name of a device.
const CHOOSES: &str = "crates/inspect/src/backends.rs";

/// Backends and their devices. `Autodiff` is none: it wraps any of them.
const BACKENDS: [&str; 8] =
    ["Flex", "FlexDevice", "NdArray", "NdArrayDevice", "Wgpu", "WgpuDevice", "Cuda", "CudaDevice"];

/// How absolute paths of one machine begin; in two halves, for this file is searched too.
const MACHINES: [&str; 5] = [
    concat!("/", "work/"),
    concat!("/", "root/"),
    concat!("/", "home/"),
    concat!("/", "Users/"),
    concat!("C:", "\\Users"),
];

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
    check("add one to ARROWS in xtask/tests/tidy.rs and draw it in docs/architecture.md", unknown);
    let stale = ARROWS.iter().filter(|arrows| !own.contains(arrows.from));
    let stale = stale.map(|row| format!("xtask/tests/tidy.rs: there is no crate {}", row.from));
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
    check("do without, or argue for a row in UNSAFE of xtask/tests/tidy.rs", unlisted);
    let is_used =
        |path: &str| sources.iter().any(|file| file.path == path && say_unsafe(file).is_some());
    let stale = UNSAFE.iter().filter(|path| !is_used(path));
    let stale = stale.map(|path| format!("{path}: is listed, but has no unsafe code"));
    check("take its row out of UNSAFE in xtask/tests/tidy.rs", stale);
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

/// A file of the project.
struct File {
    /// From the root of the project, with `/`.
    path: String,
    text: String,
}

impl File {
    fn at(&self, line: usize, what: impl std::fmt::Display) -> String {
        format!("{}:{line}: {what}", self.path)
    }

    /// At the first line of a manifest that has `word` as its key or as the crate's name.
    fn at_line_of(&self, word: &str, what: String) -> String {
        let name = format!("name = \"{word}\"");
        let is_key = |line: &str| {
            line.strip_prefix(word).is_some_and(|rest| rest.starts_with([' ', '=', '.']))
        };
        let index = self.text.lines().position(|line| is_key(line) || line == name).unwrap_or(0);
        self.at(index + 1, what)
    }
}

/// What a crate says of itself.
struct Manifest<'a> {
    file: &'a File,
    name: String,
    /// Packages in `[dependencies]`.
    dependencies: Vec<String>,
    /// Those and the packages that only tests and build scripts use.
    all_dependencies: Vec<String>,
}

impl<'a> Manifest<'a> {
    /// `None` for files that are no manifest and for the workspace's, which is no crate.
    fn of(file: &'a File) -> Option<Self> {
        if !file.path.ends_with("/Cargo.toml") {
            return None;
        }
        let table: toml::Table =
            file.text.parse().unwrap_or_else(|error| panic!("{}: {error}", file.path));
        let package = |(key, value): (&String, &toml::Value)| {
            let renamed = value.get("package").and_then(toml::Value::as_str);
            renamed.unwrap_or(key).to_owned()
        };
        let section = |name: &str| {
            let table = table.get(name).and_then(toml::Value::as_table);
            table.into_iter().flatten().map(package).collect::<Vec<_>>()
        };
        let dependencies = section("dependencies");
        let others = [section("dev-dependencies"), section("build-dependencies")].concat();
        let name = table.get("package")?.get("name")?.as_str()?.to_owned();
        let all_dependencies = [dependencies.clone(), others].concat();
        Some(Self { file, name, dependencies, all_dependencies })
    }
}

/// A word or a sign of Rust; comments and literals are none.
struct Token {
    text: String,
    line: usize,
    in_test: bool,
}

fn tokens(file: &File) -> Vec<Token> {
    let stream: TokenStream =
        file.text.parse().unwrap_or_else(|error| panic!("{}: {error}", file.path));
    let mut tokens = Vec::new();
    flatten(stream, is_test_file(file), &mut tokens);
    tokens
}

fn flatten(stream: TokenStream, in_test: bool, tokens: &mut Vec<Token>) {
    let mut item_in_test = in_test;
    for tree in stream {
        let line = tree.span().start().line;
        let text = match tree {
            TokenTree::Literal(_) => continue,
            TokenTree::Ident(ident) => ident.to_string(),
            TokenTree::Punct(sign) => sign.to_string(),
            TokenTree::Group(group) => {
                let inside = group.stream();
                item_in_test |= inside.to_string().replace(' ', "") == "cfg(test)";
                flatten(inside, item_in_test, tokens);
                if group.delimiter() == Delimiter::Brace {
                    item_in_test = in_test;
                }
                continue;
            }
        };
        if text == ";" {
            item_in_test = in_test;
        }
        tokens.push(Token { text, line, in_test: item_in_test });
    }
}

/// Calls of these macros outside tests.
fn macros(file: &File, names: &[&str]) -> Vec<String> {
    let tokens = tokens(file);
    let calls = tokens.windows(2).filter(|pair| {
        let [name, sign] = pair else { return false };
        sign.text == "!" && !name.in_test && names.contains(&name.text.as_str())
    });
    calls.map(|pair| file.at(pair[0].line, format!("{}!", pair[0].text))).collect()
}

/// Types that a file defines outside tests, each with its line.
fn types(file: &File) -> Vec<(String, usize)> {
    let tokens = tokens(file);
    let defined = tokens.windows(2).filter(|pair| {
        let [word, name] = pair else { return false };
        let defines = ["struct", "enum", "union", "trait"].contains(&word.text.as_str());
        defines && !name.in_test && name.text.starts_with(char::is_uppercase)
    });
    defined.map(|pair| (pair[1].text.clone(), pair[1].line)).collect()
}

/// Lines of a source up to the tests at its end; none of a file that is tests as a whole.
fn lines_without_tests(file: &File) -> usize {
    if is_test_file(file) {
        return 0;
    }
    let lines: Vec<&str> = file.text.lines().collect();
    let tests_begin =
        |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests {");
    lines.windows(2).position(tests_begin).unwrap_or(lines.len())
}

fn is_test_file(file: &File) -> bool {
    file.path.contains("/tests/") || file.path.ends_with("tests.rs")
}

/// A link of a document to something in the project.
struct Link {
    /// The document's folder, from the root.
    folder: PathBuf,
    document: String,
    target: String,
    line: usize,
}

impl Link {
    /// Whether its file or folder is among `files`, and its heading in that file.
    fn leads_into(&self, files: &[File]) -> bool {
        let (path, heading) = self.target.split_once('#').unwrap_or((&self.target, ""));
        let path = if path.is_empty() { self.document.clone() } else { self.resolved(path) };
        if heading.is_empty() {
            let folder = if path.is_empty() { path.clone() } else { format!("{path}/") };
            return files.iter().any(|file| file.path == path || file.path.starts_with(&folder));
        }
        let document = files.iter().find(|file| file.path == path);
        document.is_some_and(|file| headings(file).iter().any(|known| known == heading))
    }

    /// `path` from the root of the project.
    fn resolved(&self, path: &str) -> String {
        let mut resolved = self.folder.clone();
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => _ = resolved.pop(),
                part => resolved.push(part),
            }
        }
        resolved.to_string_lossy().replace('\\', "/")
    }
}

/// Links of a document that lead into the project.
fn links(file: &File) -> Vec<Link> {
    let folder = Path::new(&file.path).parent().unwrap_or(Path::new("")).to_owned();
    let targets = prose(file).flat_map(|(line, text)| {
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        targets.map(move |(target, _)| (line, target))
    });
    let inside = targets.filter(|(_, target)| !target.contains("://"));
    let link = |(line, target): (usize, &str)| {
        let (document, target) = (file.path.clone(), target.to_owned());
        Link { folder: folder.clone(), document, target, line }
    };
    inside.map(link).collect()
}

/// What links call the headings of a document: small letters, hyphens for spaces, no signs.
fn headings(file: &File) -> Vec<String> {
    let headings = prose(file).filter(|(_, text)| text.starts_with('#'));
    let kept = |c: &char| c.is_alphanumeric() || "-_ ".contains(*c);
    let name = |text: &str| {
        let text = text.trim_start_matches('#').trim().to_lowercase();
        text.chars().filter(kept).collect::<String>().replace(' ', "-")
    };
    headings.map(|(_, text)| name(text)).collect()
}

/// Rust files that a document names between backticks, each with its line.
fn sources_named_in(file: &File) -> impl Iterator<Item = (usize, &str)> {
    let quoted = prose(file).flat_map(|(line, text)| {
        text.split('`').skip(1).step_by(2).map(move |quoted| (line, quoted))
    });
    quoted.filter(|(_, quoted)| quoted.ends_with(".rs") && !quoted.contains([' ', '*']))
}

/// The numbered lines of a document without its blocks of code.
fn prose(file: &File) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    let lines = file.text.lines().enumerate().filter(move |(_, text)| {
        let fence = text.trim_start().starts_with("```");
        in_code ^= fence;
        !fence && !in_code
    });
    lines.map(|(index, text)| (index + 1, text))
}

/// The first absolute path of a machine in a line.
fn machine_path(line: &str) -> Option<&'static str> {
    let belongs_to_a_path = |c: char| c.is_alphanumeric() || "._-~})>*$".contains(c);
    MACHINES.into_iter().find(|path| {
        line.match_indices(path).any(|(at, _)| !line[..at].ends_with(belongs_to_a_path))
    })
}

/// Code that is no program: everything in crates/.
fn library(sources: &[File]) -> impl Iterator<Item = &File> {
    sources.iter().filter(|file| file.path.starts_with("crates/"))
}

fn sources() -> Vec<File> {
    let mut files = files();
    files.retain(|file| file.path.ends_with(".rs"));
    assert!(files.len() > 50, "found {} sources; is this the project's root?", files.len());
    files
}

/// Every file of the project but what git leaves out.
fn files() -> Vec<File> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let ignored = fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
    let mut left_out: BTreeSet<PathBuf> =
        ignored.lines().map(|line| root.join(line.trim_matches('/'))).collect();
    left_out.insert(root.join(".git"));
    let mut found = Vec::new();
    collect(root, &left_out, &mut found);
    found.sort();
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let path = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        File { path, text: String::from_utf8_lossy(&bytes).into_owned() }
    };
    found.into_iter().map(read).collect()
}

fn collect(folder: &Path, left_out: &BTreeSet<PathBuf>, found: &mut Vec<PathBuf>) {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for path in entries.flatten().map(|entry| entry.path()) {
        if left_out.contains(&path) {
            continue;
        }
        if path.is_dir() { collect(&path, left_out, found) } else { found.push(path) }
    }
}
