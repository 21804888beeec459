//! The pictures to look at: those of a dataset where there is one, whatever its class is called, else all
//! of a folder. Masks are never among them.

use std::collections::BTreeSet;
use std::fs::DirEntry;
use std::path::{Path, PathBuf};

use moeclip_data::{
    Fault, FaultKind, FoundImages, Layout, Sample, SampleBits, Split, images, is_passed_over,
};

use crate::data::{tell_each, tell_not_read};
use crate::error::{Context, refuse};
use crate::{DataRequest, Dataset, InspectError, Target, Warning, Watcher};

/// How deep datasets are looked for within a folder of images.
const DEPTH: usize = 6;

/// Pictures to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pictures {
    /// Those that are there.
    pub(crate) targets: Vec<Target>,
    /// The folder that they were found in.
    pub(crate) folder: PathBuf,
    /// The bits that a description of them names.
    pub(crate) bits: Option<SampleBits>,
    /// How many were meant and cannot be reached; which ones was told.
    pub(crate) lost: usize,
}

impl Pictures {
    /// Those of `input`, which show `class` where somebody says so. Warns of what is passed over.
    ///
    /// # Errors
    /// An empty class, no picture, a dataset that cannot be listed.
    pub(crate) fn of(
        input: &Path,
        class: Option<&str>,
        watch: &mut dyn Watcher,
    ) -> Result<Self, InspectError> {
        let Some(class) = class else {
            let told =
                "no --class NAME says what the images show, and the folder does not tell either";
            let dataset = Dataset::open(input, &DataRequest::default(), watch).context(told)?;
            return Self::of_dataset(&dataset, watch).context(told);
        };
        if class.trim().is_empty() {
            refuse!("--class is empty; say what the images show, as in \"metal nut\"");
        }
        match Dataset::known(input, &DataRequest::default(), watch)? {
            Some(dataset) => {
                dataset.tell_layout(watch);
                let mut found = Self::of_dataset(&dataset, watch)?;
                found.targets.iter_mut().for_each(|target| class.clone_into(&mut target.class));
                Ok(found)
            }
            None => Self::of_folder(input, class, watch),
        }
    }

    fn of_dataset(dataset: &Dataset, watch: &mut dyn Watcher) -> Result<Self, InspectError> {
        let scan = dataset.descriptor.scan(&dataset.root, Split::Test)?;
        tell_not_read(&dataset.root, &scan.faults, watch);
        // What is wrong with masks is nothing to those who only look.
        let is_of_images = |fault: &Fault| {
            use FaultKind::{
                BadListing, BrokenLink, MissingClass, StrayImage, UnknownClass, Unreadable,
            };
            matches!(
                fault.kind,
                BadListing | BrokenLink | MissingClass | StrayImage | UnknownClass | Unreadable
            )
        };
        let of_images: Vec<_> = scan.faults.into_iter().filter(is_of_images).collect();
        if scan.samples.is_empty() {
            let Some(fault) = of_images.first() else { refuse!("no image") };
            refuse!("{}: {fault}", dataset.root.display());
        }
        tell_each(&of_images, watch);
        let target = |sample: Sample| Target { path: sample.image, class: sample.prompt };
        Ok(Self {
            targets: scan.samples.into_iter().map(target).collect(),
            folder: dataset.root.clone(),
            bits: dataset.descriptor.bits,
            lost: of_images.iter().filter(|fault| fault.is_lost_image()).count(),
        })
    }

    fn of_folder(input: &Path, class: &str, watch: &mut dyn Watcher) -> Result<Self, InspectError> {
        let FoundImages { images: mut files, mut faults } = images(input)?;
        tell_not_read(input, &faults, watch);
        faults.retain(|fault| fault.kind != FaultKind::NotRead);
        tell_each(&faults, watch);
        for dataset in within(input)? {
            let own = dataset.images();
            let (all, below) = (files.len(), |file: &PathBuf| file.starts_with(&dataset.root));
            files.retain(|file| !below(file) || own.contains(file));
            if files.len() < all {
                let (folder, layout) = (dataset.root.clone(), dataset.layout_name());
                watch.warn(Warning::MasksLeftOut { folder, layout, files: all - files.len() });
            }
        }
        let target = |path| Target { path, class: class.to_owned() };
        Ok(Self {
            targets: files.into_iter().map(target).collect(),
            folder: input.to_path_buf(),
            bits: None,
            lost: faults.iter().filter(|fault| fault.is_lost_image()).count(),
        })
    }
}

/// The datasets that lie within a folder of images and are none of a larger one.
pub(crate) fn within(folder: &Path) -> Result<Vec<Dataset>, InspectError> {
    let mut found = Vec::new();
    if folder.is_dir() {
        look_within(folder, DEPTH, &mut found)?;
    }
    Ok(found)
}

fn look_within(folder: &Path, depth: usize, found: &mut Vec<Dataset>) -> Result<(), InspectError> {
    // A folder that cannot be read was told of where images were looked for.
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    // Links are not followed: what they lead to is there as well, or above.
    let is_folder = |entry: &DirEntry| {
        entry.file_type().is_ok_and(|kind| kind.is_dir()) && !is_passed_over(&entry.file_name())
    };
    let folders = entries.flatten().filter(is_folder).map(|entry| entry.path());
    let mut folders: Vec<PathBuf> = folders.collect();
    folders.sort();
    for folder in folders {
        match Dataset::described_at(&folder)? {
            Some(dataset) => found.push(dataset),
            None if depth > 1 => look_within(&folder, depth - 1, found)?,
            None => {}
        }
    }
    Ok(())
}

impl Dataset {
    /// The dataset that a folder is by a description or by folders of splits and masks; lists have
    /// names that other files have as well.
    fn described_at(folder: &Path) -> Result<Option<Self>, InspectError> {
        if let Some(described) = Self::beside(folder)? {
            return Ok(Some(described));
        }
        let layouts = Layout::of_folders();
        let is_known = layouts.iter().any(|layout| layout.recognises(folder));
        Ok(is_known.then(|| Self::undescribed(folder, layouts)))
    }

    /// The images of all splits.
    fn images(&self) -> BTreeSet<PathBuf> {
        let scans =
            [Split::Train, Split::Test].map(|split| self.descriptor.scan(&self.root, split));
        let samples = scans.into_iter().flatten().flat_map(|scan| scan.samples);
        samples.map(|sample| sample.image).collect()
    }

    /// What its layout is known by.
    pub(crate) fn layout_name(&self) -> String {
        self.descriptor.layout(&self.root).map(Layout::marks).unwrap_or_default()
    }

    /// Notes that it is one, for those who named a class as if it were none.
    pub(crate) fn tell_layout(&self, watch: &mut dyn Watcher) {
        let (folder, layout) = (self.root.clone(), self.layout_name());
        watch.warn(Warning::ReadByLayout { folder, layout });
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::{Cancellation, WorkKind};

    #[derive(Default)]
    struct Heard(Vec<String>);

    impl Watcher for Heard {
        fn warn(&mut self, warning: Warning) {
            self.0.push(warning.to_string());
        }
        fn begin(&mut self, _: WorkKind, _: usize) {}
        fn advance(&mut self, _: String) {}
        fn end(&mut self) {}
        fn report(&mut self, _: &str) {}
        fn cancellation(&self) -> Cancellation {
            Cancellation::default()
        }
    }

    const TREE: [&str; 4] = [
        "parts/plate/test/good/0.png",
        "parts/plate/test/bent/0.png",
        "parts/plate/ground_truth/bent/0_mask.png",
        "parts/plate/train/good/0.png",
    ];

    /// A folder with these files.
    pub(crate) fn folder(files: &[&str]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "not read while listed").unwrap();
        }
        root
    }

    /// What is found in `input` below `root`, and all that is told.
    fn check(root: &TempDir, input: &str, expected: &[&str], says: &[&str]) -> Pictures {
        let mut heard = Heard::default();
        let input = root.path().join(input);
        let found = Pictures::of(&input, Some("nut"), &mut heard).unwrap();
        let paths = found.targets.iter().map(|t| t.path.strip_prefix(root.path()).unwrap());
        let paths: Vec<String> = paths.map(|path| path.display().to_string()).collect();
        assert_eq!(paths, expected);
        assert!(found.targets.iter().all(|target| target.class == "nut"));
        assert_eq!(heard.0.len(), says.len(), "{:?}", heard.0);
        for (line, says) in heard.0.iter().zip(says) {
            assert!(line.contains(says), "{line}");
        }
        found
    }

    #[test]
    fn a_class_only_says_what_a_known_tree_shows() {
        let root = folder(&TREE);
        let tested = ["parts/plate/test/bent/0.png", "parts/plate/test/good/0.png"];
        for input in ["parts", "parts/plate"] {
            check(&root, input, &tested, &["is read as it is without --class"]);
        }
        check(&root, "parts/plate/test/bent", &tested[..1], &[]);
        let described = folder(&["ok/0.png", "bent/0.png", "labels/bent/0.png"]);
        let text = "name = \"g\"\n[[layouts]]\nkind = \"folder\"\nnormal = [\"ok\"]\n\
                    anomalous = [\"bent\"]\nmasks = [\"labels\"]";
        fs::write(described.path().join("dataset.toml"), text).unwrap();
        check(&described, "", &["ok/0.png", "bent/0.png"], &["ok/ + bent/ + labels/"]);
        let listed = folder(&["0.png", "1.png"]);
        fs::write(listed.path().join("list.csv"), "image,label\n1.png,0\n").unwrap();
        check(&listed, "list.csv", &["1.png"], &["list.csv"]);
    }

    #[test]
    fn masks_of_a_tree_further_down_are_no_pictures() {
        let mut files = TREE.to_vec();
        files.extend(["other/0.png", "#recycle/old/test/good/0.png"]);
        let root = folder(&files);
        let pictures = [
            "other/0.png",
            "parts/plate/test/bent/0.png",
            "parts/plate/test/good/0.png",
            "parts/plate/train/good/0.png",
        ];
        check(&root, "", &pictures, &["1 masks or other files of it are left out"]);
    }

    #[test]
    fn what_is_passed_over_is_counted() {
        let root = folder(&["0.png", "1.jp2", "2.jp2", "3.heic", "@eaDir/0.png", "notes.txt"]);
        check(&root, "", &["0.png"], &["pictures that are not read: .jp2 2, .heic 1"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_nowhere_is_told_and_the_rest_is_there() {
        let link = |root: &TempDir, at: &str| {
            std::os::unix::fs::symlink("gone", root.path().join(at)).unwrap();
        };
        let heap = folder(&["0.png"]);
        link(&heap, "1.png");
        link(&heap, "notes.txt");
        assert_eq!(check(&heap, "", &["0.png"], &["1.png: a link to"]).lost, 1);
        let tree = folder(&TREE);
        link(&tree, "parts/plate/test/good/1.png");
        let there = ["parts/plate/test/bent/0.png", "parts/plate/test/good/0.png"];
        let found = check(&tree, "parts", &there, &["without --class", "1.png: a link to"]);
        assert_eq!(found.lost, 1);
        let mut heard = Heard::default();
        let found = Pictures::of(&tree.path().join("parts"), None, &mut heard).unwrap();
        assert_eq!((found.targets.len(), found.lost, heard.0.len()), (2, 1, 1), "{:?}", heard.0);
    }

    #[test]
    fn a_folders_name_has_no_ending() {
        let root = folder(&["visa.2024-10/nut/test/good/0.png", "visa/nut/test/good/0.png"]);
        let opened = |name: &str| {
            let options = DataRequest::default();
            Dataset::open(&root.path().join(name), &options, &mut Heard::default()).unwrap()
        };
        let own = opened("visa.2024-10").descriptor;
        assert_eq!((own.name.as_str(), own.classes.len()), ("visa.2024-10", 0));
        assert_eq!(opened("visa").descriptor.classes.len(), 12);
        let list = root.path().join("gears.csv");
        fs::write(&list, "image,label\n").unwrap();
        assert_eq!(opened("gears.csv").descriptor.name, "gears");
        let picture = "visa.2024-10/nut/test/good/0.png";
        let error = Dataset::open(
            &root.path().join(picture),
            &DataRequest::default(),
            &mut Heard::default(),
        );
        assert!(error.unwrap_err().to_string().contains("is neither a list"));
    }
}
