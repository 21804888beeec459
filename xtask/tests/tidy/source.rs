//! The files of the project as the rules see them: text, tokens, manifests, links.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::tables::MACHINES;

/// A file of the project.
pub(crate) struct File {
    /// From the root of the project, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    pub(crate) fn at(&self, line: usize, what: impl std::fmt::Display) -> String {
        format!("{}:{line}: {what}", self.path)
    }

    /// At the first line of a manifest that has `word` as its key or as the crate's name.
    pub(crate) fn at_line_of(&self, word: &str, what: String) -> String {
        let name = format!("name = \"{word}\"");
        let is_key = |line: &str| {
            line.strip_prefix(word).is_some_and(|rest| rest.starts_with([' ', '=', '.']))
        };
        let index = self.text.lines().position(|line| is_key(line) || line == name).unwrap_or(0);
        self.at(index + 1, what)
    }
}

/// What a crate says of itself.
pub(crate) struct Manifest<'a> {
    pub(crate) file: &'a File,
    pub(crate) name: String,
    /// Packages in `[dependencies]`.
    pub(crate) dependencies: Vec<String>,
    /// Those and the packages that only tests and build scripts use.
    pub(crate) all_dependencies: Vec<String>,
}

impl<'a> Manifest<'a> {
    /// `None` for files that are no manifest and for the workspace's, which is no crate.
    pub(crate) fn of(file: &'a File) -> Option<Self> {
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
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
    pub(crate) in_test: bool,
}

pub(crate) fn tokens(file: &File) -> Vec<Token> {
    let stream: TokenStream =
        file.text.parse().unwrap_or_else(|error| panic!("{}: {error}", file.path));
    let mut tokens = Vec::new();
    flatten(stream, is_test_file(file), &mut tokens);
    tokens
}

pub(crate) fn flatten(stream: TokenStream, in_test: bool, tokens: &mut Vec<Token>) {
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
pub(crate) fn macros(file: &File, names: &[&str]) -> Vec<String> {
    let tokens = tokens(file);
    let calls = tokens.windows(2).filter(|pair| {
        let [name, sign] = pair else { return false };
        sign.text == "!" && !name.in_test && names.contains(&name.text.as_str())
    });
    calls.map(|pair| file.at(pair[0].line, format!("{}!", pair[0].text))).collect()
}

/// Types that a file defines outside tests, each with its line.
pub(crate) fn types(file: &File) -> Vec<(String, usize)> {
    let tokens = tokens(file);
    let defined = tokens.windows(2).filter(|pair| {
        let [word, name] = pair else { return false };
        let defines = ["struct", "enum", "union", "trait"].contains(&word.text.as_str());
        defines && !name.in_test && name.text.starts_with(char::is_uppercase)
    });
    defined.map(|pair| (pair[1].text.clone(), pair[1].line)).collect()
}

/// Lines of a source up to the tests at its end; none of a file that is tests as a whole.
pub(crate) fn lines_without_tests(file: &File) -> usize {
    if is_test_file(file) {
        return 0;
    }
    let lines: Vec<&str> = file.text.lines().collect();
    let tests_begin =
        |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests {");
    lines.windows(2).position(tests_begin).unwrap_or(lines.len())
}

pub(crate) fn is_test_file(file: &File) -> bool {
    file.path.contains("/tests/") || file.path.ends_with("tests.rs")
}

/// A link of a document to something in the project.
pub(crate) struct Link {
    /// The document's folder, from the root.
    pub(crate) folder: PathBuf,
    pub(crate) document: String,
    pub(crate) target: String,
    pub(crate) line: usize,
}

impl Link {
    /// Whether its file or folder is among `files`, and its heading in that file.
    pub(crate) fn leads_into(&self, files: &[File]) -> bool {
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
    pub(crate) fn resolved(&self, path: &str) -> String {
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
pub(crate) fn links(file: &File) -> Vec<Link> {
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
pub(crate) fn headings(file: &File) -> Vec<String> {
    let headings = prose(file).filter(|(_, text)| text.starts_with('#'));
    let kept = |c: &char| c.is_alphanumeric() || "-_ ".contains(*c);
    let name = |text: &str| {
        let text = text.trim_start_matches('#').trim().to_lowercase();
        text.chars().filter(kept).collect::<String>().replace(' ', "-")
    };
    headings.map(|(_, text)| name(text)).collect()
}

/// Rust files that a document names between backticks, each with its line.
pub(crate) fn sources_named_in(file: &File) -> impl Iterator<Item = (usize, &str)> {
    let quoted = prose(file).flat_map(|(line, text)| {
        text.split('`').skip(1).step_by(2).map(move |quoted| (line, quoted))
    });
    quoted.filter(|(_, quoted)| quoted.ends_with(".rs") && !quoted.contains([' ', '*']))
}

/// The numbered lines of a document without its blocks of code.
pub(crate) fn prose(file: &File) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    let lines = file.text.lines().enumerate().filter(move |(_, text)| {
        let fence = text.trim_start().starts_with("```");
        in_code ^= fence;
        !fence && !in_code
    });
    lines.map(|(index, text)| (index + 1, text))
}

/// The first absolute path of a machine in a line.
pub(crate) fn machine_path(line: &str) -> Option<&'static str> {
    let belongs_to_a_path = |c: char| c.is_alphanumeric() || "._-~})>*$".contains(c);
    MACHINES.into_iter().find(|path| {
        line.match_indices(path).any(|(at, _)| !line[..at].ends_with(belongs_to_a_path))
    })
}

/// Code that is no program: everything in crates/.
pub(crate) fn library(sources: &[File]) -> impl Iterator<Item = &File> {
    sources.iter().filter(|file| file.path.starts_with("crates/"))
}

pub(crate) fn sources() -> Vec<File> {
    let mut files = files();
    files.retain(|file| file.path.ends_with(".rs"));
    assert!(files.len() > 50, "found {} sources; is this the project's root?", files.len());
    files
}

/// Every file of the project but what git leaves out.
pub(crate) fn files() -> Vec<File> {
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

pub(crate) fn collect(folder: &Path, left_out: &BTreeSet<PathBuf>, found: &mut Vec<PathBuf>) {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for path in entries.flatten().map(|entry| entry.path()) {
        if left_out.contains(&path) {
            continue;
        }
        if path.is_dir() { collect(&path, left_out, found) } else { found.push(path) }
    }
}
