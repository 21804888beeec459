//! Benchmarks whose layout is not read as it is, told by their folders, and what helps.

use std::fs;
use std::path::{Path, PathBuf};

use crate::folder::{folders_in, name, unfetched};

/// A benchmark, or a habit of laying images out.
struct Known {
    /// Paths below the root, all of which are there; `*` is any folder.
    marks: &'static [&'static str],
    /// What it is and how it is read.
    said: &'static str,
}

const KNOWN: &[Known] = &[
    Known {
        marks: &["*/test/*/rgb", "*/test/*/xyz"],
        said: "this looks like MVTec 3D-AD, whose pictures lie in CLASS/test/DEFECT/rgb and masks in \
               gt: describe each class with kind = \"folder\", or list the files in a table",
    },
    Known {
        marks: &["*/OK/S0001"],
        said: "this looks like Real-IAD, which is read by its lists, as in --data CLASS.json",
    },
    Known {
        marks: &["OK/S0001"],
        said: "this looks like a class of Real-IAD, which is read by its lists, as in --data CLASS.json",
    },
    Known {
        marks: &["*/Data/Images/Normal"],
        said: "this looks like VisA without its split_csv/1cls.csv; copy that too",
    },
    Known {
        marks: &["*/Train/Label", "*/Test/Label"],
        said: "this looks like DAGM 2007; list its files in a table with the columns image, label, mask",
    },
    Known {
        marks: &["*/test_public/data"],
        said: "this looks like Eyecandies; list its files in a table with the columns image, label, mask",
    },
    Known {
        marks: &["NODefect_images", "Mask_images"],
        said: "this looks like AITEX; describe it with kind = \"folder\"",
    },
    Known {
        marks: &["MT_Free/Imgs"],
        said: "this looks like the magnetic-tile set, whose masks lie beside the images; list its files \
               in a table with the columns image, label, mask",
    },
    Known {
        marks: &["train.csv", "train_images"],
        said: "this looks like Severstal's steel, whose masks are run lengths; draw them as pictures first",
    },
    Known {
        marks: &["*/test", "*/ground_truth"],
        said: "this looks like a tree whose normal images are in no folder good; say which it is with \
               normal in a dataset.toml of kind tree (normal = [] where all are anomalous)",
    },
];

/// Folders of normal images as people call them.
const NORMAL: [&str; 5] = ["good", "ok", "normal", "no_defect", "defect_free"];

/// What the folder at `root` seems to be and how it is read; `None` where nothing is known.
pub(crate) fn benchmark_of(root: &Path) -> Option<String> {
    if let Some(detail) = unfetched_in(root) {
        return Some(detail);
    }
    let is_it = |known: &&Known| known.marks.iter().all(|mark| is_there(root, mark));
    let known = KNOWN.iter().find(is_it).map(|known| known.said.to_owned());
    known.or_else(|| flat(root))
}

/// What of a dataset that DVC keeps was never fetched: a folder or list at its root or in a class.
fn unfetched_in(root: &Path) -> Option<String> {
    let folders = std::iter::once(root.to_path_buf()).chain(folders_in(root).unwrap_or_default());
    folders.into_iter().find_map(|folder| {
        let mut kept = notes_in(&folder);
        kept.sort();
        kept.into_iter()
            .find_map(|path| Some(format!("{} is not there, {}", name(&path), unfetched(&path)?)))
    })
}

/// The files and folders of which notes of DVC lie in a folder.
fn notes_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let notes = entries.map(|entry| entry.path());
    let notes = notes.filter(|path| path.extension().is_some_and(|ending| ending == "dvc"));
    notes.map(|note| note.with_extension("")).collect()
}

/// Folders of normal and anomalous images without a split above them.
fn flat(root: &Path) -> Option<String> {
    let names: Vec<String> = folders_in(root).ok()?.iter().map(|folder| name(folder)).collect();
    let is_normal = |name: &&String| NORMAL.iter().any(|known| name.eq_ignore_ascii_case(known));
    let normal = names.iter().find(is_normal)?;
    let other = names.iter().find(|name| !is_normal(name)).map_or("DEFECT", String::as_str);
    Some(format!("--normal {normal:?} --anomalous {other:?} reads folders such as these"))
}

fn is_there(folder: &Path, mark: &str) -> bool {
    let (first, rest) =
        mark.split_once('/').map_or((mark, None), |(first, rest)| (first, Some(rest)));
    let goes_on = |path: &Path| rest.map_or(path.exists(), |rest| is_there(path, rest));
    match first {
        "*" => folders_in(folder).unwrap_or_default().iter().any(|path| goes_on(path)),
        name => goes_on(&folder.join(name)),
    }
}
