//! Where the results of each picture go: below `--out` as the pictures lie, and no two in one file,
//! whatever the pictures are called.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fmt::Write;
use std::path::{Component, Path, PathBuf};

use moeclip_data::{MAP_SUFFIX, OVERLAY_SUFFIX, PREDICTIONS};
use whole_file::LOCK;

use super::{PredictOutput, Target};
use crate::InspectError;
use crate::error::refuse;

/// The end of a map's name as float32.
pub(super) const NPY_SUFFIX: &str = ".map.npy";
/// What is put behind a picture's name.
pub(super) const SUFFIXES: [&str; 3] = [MAP_SUFFIX, OVERLAY_SUFFIX, NPY_SUFFIX];

/// Bytes that file systems let a name have.
const NAME_BYTES: usize = 255;
/// Bytes that the longest suffix, also of other commands, and a number may take of them.
const SUFFIX_BYTES: usize = 24;

/// The files of one picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PictureFiles {
    /// What all of them begin with.
    stem: PathBuf,
}

impl PictureFiles {
    pub(super) fn map(&self) -> PathBuf {
        self.with(MAP_SUFFIX)
    }

    pub(super) fn overlay(&self) -> PathBuf {
        self.with(OVERLAY_SUFFIX)
    }

    pub(super) fn npy(&self) -> PathBuf {
        self.with(NPY_SUFFIX)
    }

    /// Those that a run writes.
    pub(super) fn all(&self, with_npy: bool) -> impl Iterator<Item = PathBuf> {
        [self.map(), self.overlay()].into_iter().chain(with_npy.then(|| self.npy()))
    }

    fn with(&self, suffix: &str) -> PathBuf {
        let mut path = self.stem.clone().into_os_string();
        path.push(suffix);
        path.into()
    }
}

/// The files of each target, in their order.
///
/// # Errors
/// Two pictures that a line of text cannot tell apart.
pub(super) fn assign(
    targets: &[Target],
    output: &PredictOutput,
) -> Result<Vec<PictureFiles>, InspectError> {
    refuse_same_text(targets)?;
    let base = base(targets, &output.input);
    let placed: Vec<Placed> =
        targets.iter().map(|target| Placed::of(&target.path, &base)).collect();
    let mut names = Names::around(&placed);
    let files = |placed: Placed| PictureFiles { stem: output.out.join(names.take(placed)) };
    Ok(placed.into_iter().map(files).collect())
}

/// The path for lines of JSON, which are Unicode: in a path that is not, what is no UTF-8 and every `%`
/// are percent-encoded.
pub fn shown_path(path: &Path) -> String {
    match path.to_str() {
        Some(path) => path.to_owned(),
        None => escaped(path.as_os_str(), |text| text.replace('%', "%25")),
    }
}

/// What the results of a picture begin with: its name, as any file system takes it with what is put
/// behind.
pub fn result_name(picture: &Path) -> String {
    let name = escaped(picture.file_name().unwrap_or_default(), str::to_owned);
    shortened(&name, NAME_BYTES - SUFFIX_BYTES)
}

fn escaped(text: &OsStr, valid: impl Fn(&str) -> String) -> String {
    let mut shown = String::new();
    for chunk in text.as_encoded_bytes().utf8_chunks() {
        shown.push_str(&valid(chunk.valid()));
        for byte in chunk.invalid() {
            // A String takes everything.
            let _ = write!(shown, "%{byte:02X}");
        }
    }
    shown
}

/// A path that is not Unicode may read as another one that is.
fn refuse_same_text(targets: &[Target]) -> Result<(), InspectError> {
    let is_text = |target: &&Target| target.path.to_str().is_some();
    let (_, others): (Vec<&Target>, Vec<&Target>) = targets.iter().partition(is_text);
    if others.is_empty() {
        return Ok(());
    }
    let shown: HashMap<String, &Path> =
        others.iter().map(|target| (shown_path(&target.path), target.path.as_path())).collect();
    for target in targets {
        let path = shown_path(&target.path);
        if shown.get(&path).is_some_and(|other| *other != target.path) {
            refuse!(
                "{path}: two pictures read so, and one name of them is not UTF-8; rename that one"
            );
        }
    }
    Ok(())
}

/// The folder whose folders are kept: the input where all pictures are below it, else the last one that
/// they have in common.
fn base(targets: &[Target], input: &Path) -> PathBuf {
    let is_below = |target: &Target| {
        let inside = target.path.strip_prefix(input).unwrap_or(Path::new(""));
        let mut parts = inside.components().peekable();
        parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
    };
    if targets.iter().all(is_below) {
        return input.to_path_buf();
    }
    let mut parents = targets.iter().map(|target| whole_file::parent(&target.path));
    let first = parents.next().unwrap_or(Path::new(""));
    parents.fold(first.to_path_buf(), |common, parent| {
        let alike = common.components().zip(parent.components()).take_while(|(a, b)| a == b);
        alike.map(|(part, _)| part).collect()
    })
}

/// A picture's folders below the output, and its name, as they may be written anywhere.
struct Placed {
    folders: Vec<String>,
    name: String,
}

impl Placed {
    fn of(path: &Path, base: &Path) -> Self {
        let inside = path.strip_prefix(base).unwrap_or(path);
        let mut parts: Vec<String> = inside.components().filter_map(written).collect();
        let name = result_name(path);
        parts.pop();
        let mut folders: Vec<String> =
            parts.iter().map(|part| shortened(part, NAME_BYTES)).collect();
        // The list and the lock lie there as files.
        if let Some(first) = folders.first_mut()
            && [PREDICTIONS, LOCK].iter().any(|own| first.eq_ignore_ascii_case(own))
        {
            first.push('~');
        }
        Self { folders, name }
    }
}

/// `..` and the root of what lies elsewhere have no place below a folder.
fn written(part: Component<'_>) -> Option<String> {
    let Component::Normal(name) = part else { return None };
    Some(escaped(name, str::to_owned))
}

/// As much of the beginning as fits.
fn shortened(name: &str, bytes: usize) -> String {
    if name.len() <= bytes {
        name.to_owned()
    } else {
        name[..name.floor_char_boundary(bytes)].into()
    }
}

/// The names that are taken below the output, without case: a share may not tell it.
struct Names {
    folders: HashSet<String>,
    taken: HashSet<String>,
    /// The number that a name which is taken is tried with next.
    next: HashMap<String, usize>,
}

impl Names {
    /// Knows the folders, which no file may be called as.
    fn around(placed: &[Placed]) -> Self {
        let mut folders = HashSet::new();
        for Placed { folders: parts, .. } in placed {
            let mut folder = String::new();
            for part in parts {
                folder = joined(&folder, &part.to_lowercase());
                folders.insert(folder.clone());
            }
        }
        Self { folders, taken: HashSet::new(), next: HashMap::new() }
    }

    /// The beginning of a picture's files: its own name, or that with the first number that is free.
    fn take(&mut self, placed: Placed) -> PathBuf {
        let Placed { folders, name } = placed;
        let folder = folders.join("/");
        let wanted = joined(&folder, &name);
        let key = wanted.to_lowercase();
        let mut number = self.next.get(&key).copied().unwrap_or(1);
        loop {
            let stem = match number {
                1 => wanted.clone(),
                number => format!("{wanted}~{number}"),
            };
            number += 1;
            if self.is_free(&stem) {
                self.taken.insert(stem.to_lowercase());
                self.next.insert(key, number);
                return stem.into();
            }
        }
    }

    fn is_free(&self, stem: &str) -> bool {
        let stem = stem.to_lowercase();
        let is_folder = |suffix: &&str| self.folders.contains(&format!("{stem}{suffix}"));
        !self.taken.contains(&stem) && !SUFFIXES.iter().any(is_folder)
    }
}

fn joined(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stems(input: &str, paths: &[&str]) -> Vec<String> {
        let target = |path: &&str| Target { path: path.into(), class: "nut".into() };
        let targets: Vec<Target> = paths.iter().map(target).collect();
        let output = PredictOutput {
            out: PathBuf::from("out"),
            input: input.into(),
            range: None,
            npy: false,
            viewing: Default::default(),
        };
        let stem = |files: PictureFiles| files.stem.to_str().unwrap().replace('\\', "/");
        assign(&targets, &output).unwrap().into_iter().map(stem).collect()
    }

    #[test]
    fn results_lie_as_the_pictures_do() {
        let check = |input: &str, paths: &[&str], expected: &[&str]| {
            assert_eq!(stems(input, paths), expected, "{input}: {paths:?}");
        };
        check("in", &["in/a.png", "in/b/a.png"], &["out/a.png", "out/b/a.png"]);
        check("in/a.png", &["in/a.png"], &["out/a.png"]);
        check("x/list.csv", &["x/1/a.png", "x/2/a.png"], &["out/1/a.png", "out/2/a.png"]);
        check("in", &["in/../b/a.png", "in/a.png"], &["out/b/a.png", "out/a.png"]);
        check("list.csv", &["/x/1/a.png", "/x/2/a.png"], &["out/1/a.png", "out/2/a.png"]);
        check("list.csv", &["a.png", "/x/a.png"], &["out/a.png", "out/x/a.png"]);
    }

    #[test]
    fn no_two_pictures_share_a_file() {
        let check = |paths: &[&str], expected: &[&str]| {
            assert_eq!(stems("", paths), expected, "{paths:?}");
        };
        check(&["a.png", "a.png", "a.png"], &["out/a.png", "out/a.png~2", "out/a.png~3"]);
        check(&["A.png", "a.PNG", "a.png~2"], &["out/A.png", "out/a.PNG~2", "out/a.png~2~2"]);
        check(&["x/../a.png", "a.png"], &["out/x/a.png", "out/a.png"]);
        check(&["a.png", "a.png.map.png/b.png"], &["out/a.png~2", "out/a.png.map.png/b.png"]);
        check(&["predictions.jsonl/a.png"], &["out/predictions.jsonl~/a.png"]);
        let long = format!("{}.png", "ä".repeat(123));
        let cut = format!("out/{}", "ä".repeat(115));
        check(&[&long, &long.replace("png", "jpg")], &[&cut, &format!("{cut}~2")]);
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_not_text_are_told_apart() {
        use std::os::unix::ffi::OsStrExt;
        let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
        assert_eq!(shown_path(&path(b"5%\xe9/\xe8.png")), "5%25%E9/%E8.png");
        assert_eq!(shown_path(&path("5%é.png".as_bytes())), "5%é.png");
        let placed = Placed::of(&path(b"in/\xe9/5%\xe8.png"), Path::new("in"));
        assert_eq!((placed.folders, placed.name.as_str()), (vec!["%E9".to_owned()], "5%%E8.png"));
        let target = |bytes: &[u8]| Target { path: path(bytes), class: "nut".into() };
        let told = refuse_same_text(&[target(b"\xe9.png"), target(b"%E9.png")]).unwrap_err();
        assert!(told.one_line().starts_with("%E9.png: two pictures read so"), "{told}");
        refuse_same_text(&[target(b"\xe9.png"), target(b"\xe8.png")]).unwrap();
    }
}
