//! Which data are worked on: a known dataset by its name, a folder or list by its path, or a tree of
//! one's own; and where decoded pictures are kept.

use std::path::{Path, PathBuf};

use moeclip_data::{
    Cache, Counts, Descriptor, Fault, FaultKind, Folder, ImageDataset, Layout, PromptNames, Sample,
    SampleBits, Scan, Split, by_ending,
};
use serde::{Deserialize, Serialize};

use crate::catalogue::{DataRoot, find};
use crate::error::{Context, refuse};
use crate::{InspectError, Warning, Watcher};

/// A description that lies beside the images.
const BESIDE: &str = "dataset.toml";

/// Most GiB of a [`CacheRequest`] that does not say.
const CACHE_GIB: u64 = 20;

/// How data is found and read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataRequest {
    /// Folder that holds the datasets, before the environment and `moeclip.toml`.
    pub data_root: Option<PathBuf>,
    /// Read the folder as this dataset: a known name or a TOML file.
    pub described_as: Option<PathBuf>,
    /// Words for classes in prompts.
    pub prompt_names: Option<PromptNames>,
    /// Folders of normal images, in a tree of one's own.
    pub normal: Vec<PathBuf>,
    /// Folders of anomalous images there.
    pub anomalous: Vec<PathBuf>,
    /// Folders of masks there.
    pub masks: Vec<PathBuf>,
    /// What the images there show.
    pub class: Option<String>,
    /// How many bits of 16-bit images hold the picture, before what the description says.
    pub bits: Option<SampleBits>,
}

/// Where decoded and resized images are kept between epochs and runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheRequest {
    /// The folder, where one is wanted.
    pub cache: Option<PathBuf>,
    /// Most that it may hold, GiB; 20 where nothing is said.
    pub cache_limit: Option<u64>,
}

impl CacheRequest {
    /// The cache, where one is wanted.
    ///
    /// # Errors
    /// As [`Cache::open`].
    pub fn open(&self) -> Result<Option<Cache>, InspectError> {
        let Some(folder) = &self.cache else { return Ok(None) };
        let limit = self.cache_limit.unwrap_or(CACHE_GIB).saturating_mul(1 << 30);
        Ok(Some(Cache::open(folder, limit)?))
    }
}

/// `dataset` with the cache; what cannot be written is to be told by [`tell_trouble`].
pub fn cached(dataset: ImageDataset, cache: &Option<Cache>) -> ImageDataset {
    match cache {
        None => dataset,
        Some(cache) => dataset.cached(cache.clone()),
    }
}

/// Warns, once, that the cache could not be written.
pub fn tell_trouble(cache: &Option<Cache>, watch: &mut dyn Watcher) {
    if let Some(error) = cache.as_ref().and_then(Cache::take_trouble) {
        watch.warn(Warning::Cache { reason: format!("the cache is of no use: {error}") });
    }
}

/// Warns of what is wrong with files that were read, of the first few by name.
pub fn tell_file_faults(dataset: &ImageDataset, watch: &mut dyn Watcher) {
    tell_each(&dataset.take_faults(), watch);
}

/// Warns of faults of files, of the first few by name.
pub fn tell_each(faults: &[Fault], watch: &mut dyn Watcher) {
    let mut told = ToldFaults::default();
    let named = told.named(faults);
    named.into_iter().chain(told.rest()).for_each(|warning| watch.warn(warning));
}

/// How many faults of files are told before they are only counted.
const TOLD: usize = 4;

/// Faults of files that are found one after another: the first few are told by name.
#[derive(Debug, Default)]
pub struct ToldFaults {
    found: usize,
}

impl ToldFaults {
    /// The warnings of these, as far as there are not too many by now.
    pub fn named(&mut self, faults: &[Fault]) -> Vec<Warning> {
        let left = TOLD.saturating_sub(self.found);
        self.found += faults.len();
        let named = faults.iter().take(left);
        named.map(|fault| Warning::Fault { fault: fault.to_string() }).collect()
    }

    /// How many more there were, if any.
    pub fn rest(&self) -> Option<Warning> {
        let more = self.found.checked_sub(TOLD).filter(|more| *more > 0);
        more.map(|more| Warning::MoreFaults { more })
    }
}

/// A described folder of images.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// How it is read.
    pub descriptor: Descriptor,
    /// Where it lies.
    pub root: PathBuf,
}

impl Dataset {
    /// What `target` means: a path where there is one, else the name of a known dataset.
    ///
    /// # Errors
    /// A name that nobody knows, no data root, a description that cannot be read.
    pub fn open(
        target: &Path,
        options: &DataRequest,
        watch: &mut dyn Watcher,
    ) -> Result<Self, InspectError> {
        let dataset = Self::described(target, options, watch)?;
        let names = options.prompt_names.unwrap_or_default();
        let mut descriptor = dataset.descriptor.with_prompt_names(names);
        descriptor.bits = options.bits.or(descriptor.bits);
        Ok(Self { descriptor, ..dataset })
    }

    fn described(
        target: &Path,
        options: &DataRequest,
        watch: &mut dyn Watcher,
    ) -> Result<Self, InspectError> {
        if options.is_own_tree() {
            return options.own_tree(target);
        }
        if options.class.is_some() {
            refuse!("--class: is for a tree of one's own; say --normal or --anomalous too");
        }
        if let Some(name) = &options.described_as {
            return Ok(Self { descriptor: descriptor(name)?, root: target.to_path_buf() });
        }
        if !target.exists() {
            return Self::called(target, options);
        }
        Self::at(target, watch)?.with_context(|| {
            let target = target.display();
            format!(
                "{target}: is neither a list (.csv, .tsv, .txt, .json, .jsonl) nor a description \
                 (.toml) nor a folder"
            )
        })
    }

    /// The data at a path that needs no further words: it is described, is a list, or has a layout
    /// that is known; or a known dataset's name where there is no such path. `None` for a picture and
    /// for any other folder.
    ///
    /// # Errors
    /// A description that cannot be read; a known dataset that is not there.
    pub fn known(
        target: &Path,
        options: &DataRequest,
        watch: &mut dyn Watcher,
    ) -> Result<Option<Self>, InspectError> {
        if !target.exists() {
            return match find(&target.to_string_lossy())? {
                Some(_) => Self::called(target, options).map(Some),
                None => Ok(None),
            };
        }
        let found = Self::at(target, watch)?;
        let is_described = |dataset: &Self| dataset.descriptor.layout(&dataset.root).is_ok();
        Ok(found.filter(is_described))
    }

    /// The data at a path: described by a TOML file, by its well-known name, or by what it looks
    /// like. `None` for a file that is no list.
    fn at(path: &Path, watch: &mut dyn Watcher) -> Result<Option<Self>, InspectError> {
        if let Some(described) = Self::beside(path)? {
            return Ok(Some(described));
        }
        let is_file = path.is_file();
        let is_toml = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("toml"));
        if is_toml && is_file {
            return Self::of_toml(path).map(Some);
        }
        let name = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        // Of a folder's name all is its name, points too.
        let name = if is_file { name.file_stem() } else { name.file_name() };
        let name = name.unwrap_or_default().to_string_lossy().into_owned();
        let root = path.to_path_buf();
        if let Some(descriptor) = find(&name)?
            && !is_file
            && descriptor.layout(path).is_ok()
        {
            let dataset = descriptor.name.clone();
            watch.warn(Warning::ReadAs { folder: root.clone(), dataset });
            return Ok(Some(Self { descriptor, root }));
        }
        let layouts = Layout::guess(path);
        if layouts.is_empty() {
            return Ok(None);
        }
        let root = if is_file { parent(path) } else { root };
        Ok(Some(Self { descriptor: Descriptor::undescribed(name, layouts), root }))
    }

    /// The data that a description in the folder `path` describes; `None` where there is none.
    pub(crate) fn beside(path: &Path) -> Result<Option<Self>, InspectError> {
        let beside = path.join(BESIDE);
        if beside.is_file() { Self::of_toml(&beside).map(Some) } else { Ok(None) }
    }

    /// A folder that nobody described.
    pub(crate) fn undescribed(folder: &Path, layouts: Vec<Layout>) -> Self {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        Self { descriptor: Descriptor::undescribed(name, layouts), root: folder.to_path_buf() }
    }

    fn of_toml(path: &Path) -> Result<Self, InspectError> {
        let descriptor = read_descriptor(path)?;
        let root = parent(path).join(descriptor.root.as_deref().unwrap_or(Path::new("")));
        Ok(Self { descriptor, root })
    }

    fn called(name: &Path, options: &DataRequest) -> Result<Self, InspectError> {
        let shown = name.display();
        let Some(descriptor) = find(&name.to_string_lossy())? else {
            refuse!(
                "{shown}: no such path, and no known dataset; `cargo xtask datasets list` shows them"
            );
        };
        let Some(root) = DataRoot::find(options.data_root.as_deref())? else {
            refuse!(
                "{shown}: nobody said where datasets lie; give --data-root DIR, set MOECLIP_DATA, \
                 or write data-root = \"DIR\" into moeclip.toml"
            );
        };
        let Some(folder) = root.folder_of(&descriptor)? else {
            let (root, source) = (root.path.display(), &descriptor.source);
            refuse!(
                "{shown}: {root} holds no folder of that name; obtain {} from {source}",
                descriptor.name
            );
        };
        Ok(Self { descriptor, root: folder })
    }

    /// The samples of a split. Warns where a copy has other counts than its description.
    ///
    /// # Errors
    /// As [`Descriptor::samples`].
    pub fn samples(
        &self,
        split: Split,
        watch: &mut dyn Watcher,
    ) -> Result<Vec<Sample>, InspectError> {
        self.samples_of(self.descriptor.scan(&self.root, split)?, split, watch)
    }

    /// As [`Dataset::samples`], without those that links or folders fail to lead to. Warns of them.
    ///
    /// # Errors
    /// As [`Descriptor::samples`], for all other faults.
    pub fn samples_there(
        &self,
        split: Split,
        watch: &mut dyn Watcher,
    ) -> Result<Vec<Sample>, InspectError> {
        let mut scan = self.descriptor.scan(&self.root, split)?;
        let lost: Vec<Fault> = scan.faults.extract_if(.., |fault| is_lost(fault)).collect();
        tell_each(&lost, watch);
        self.samples_of(scan, split, watch)
    }

    fn samples_of(
        &self,
        scan: Scan,
        split: Split,
        watch: &mut dyn Watcher,
    ) -> Result<Vec<Sample>, InspectError> {
        tell_not_read(&self.root, &scan.faults, watch);
        let samples = scan.strict(&self.root)?;
        if split == Split::Test {
            self.note_counts(&samples, watch);
        }
        Ok(samples)
    }

    fn note_counts(&self, samples: &[Sample], watch: &mut dyn Watcher) {
        let expected = self.descriptor.classes.iter();
        let expected: usize = expected.map(|class| class.normal + class.anomalous).sum();
        let found = Counts::of(samples).total();
        if expected > 0 && found != expected {
            let dataset = self.descriptor.name.clone();
            watch.warn(Warning::OtherCount { dataset, found, expected });
        }
    }
}

impl DataRequest {
    /// Whether it describes a tree of one's own.
    fn is_own_tree(&self) -> bool {
        !self.normal.is_empty() || !self.anomalous.is_empty()
    }

    fn own_tree(&self, target: &Path) -> Result<Dataset, InspectError> {
        let text = |paths: &[PathBuf]| paths.iter().map(|p| p.display().to_string()).collect();
        let folder = Folder {
            class: self.class.clone(),
            normal: text(&self.normal),
            anomalous: text(&self.anomalous),
            masks: text(&self.masks),
            ..Folder::default()
        };
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let descriptor = Descriptor::undescribed(name, vec![Layout::Folder(folder)]);
        Ok(Dataset { descriptor, root: target.to_path_buf() })
    }
}

/// Whether a fault is of files that cannot be reached, and of no other.
fn is_lost(fault: &Fault) -> bool {
    matches!(fault.kind, FaultKind::BrokenLink | FaultKind::Unreadable)
}

/// Warns of pictures in `folder` that are not read, counted by their endings.
pub(crate) fn tell_not_read(folder: &Path, faults: &[Fault], watch: &mut dyn Watcher) {
    let not_read = faults.iter().filter(|fault| fault.kind == FaultKind::NotRead);
    let endings = by_ending(not_read.map(|fault| fault.path.as_path()));
    if !endings.is_empty() {
        watch.warn(Warning::NotRead { folder: folder.to_path_buf(), endings });
    }
}

/// A known dataset, or a description in a file.
fn descriptor(name: &Path) -> Result<Descriptor, InspectError> {
    if name.is_file() {
        return read_descriptor(name);
    }
    let known = find(&name.to_string_lossy())?;
    known.with_context(|| {
        let name = name.display();
        format!("--as {name}: no known dataset and no file; `cargo xtask datasets list` shows them")
    })
}

fn read_descriptor(path: &Path) -> Result<Descriptor, InspectError> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{}: cannot be read as text", path.display()))?;
    Ok(Descriptor::parse(&text, path)?)
}

fn parent(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new(".")).to_path_buf()
}
