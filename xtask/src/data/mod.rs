//! Which data a command works on: a known dataset by its name, a folder or list by its path, or a
//! folder of one's own described by flags.

mod catalogue;
mod overlap;
mod paper;
mod root;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use moeclip_data::{
    Cache, Counts, Descriptor, Folder, ImageDataset, Layout, PromptNames, Sample, Split,
};

use crate::cli::PromptNamesChoice;

pub(crate) use catalogue::known;
pub(crate) use overlap::{
    Fingerprint, HashedImage, calibrated_on, fingerprint, refuse_calibration_data,
    refuse_training_data, trained_on,
};
pub(crate) use paper::published;
pub(crate) use root::DataRoot;

/// A description that lies beside the images.
const BESIDE: &str = "dataset.toml";

/// How data is found and read; the folder flags describe a tree of one's own.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Data")]
pub(crate) struct DataOptions {
    /// Folder that holds the datasets; else MOECLIP_DATA, else data-root in moeclip.toml
    #[arg(long, value_name = "DIR")]
    pub(crate) data_root: Option<PathBuf>,
    /// Read the folder as this dataset: a name that `datasets list` shows, or a TOML file
    #[arg(long = "as", value_name = "NAME|TOML")]
    pub(crate) described_as: Option<PathBuf>,
    /// Words for classes in prompts, where the authors' release has odd ones
    #[arg(long, value_enum)]
    pub(crate) prompt_names: Option<PromptNamesChoice>,
    /// Folders of normal images, in a tree of one's own
    #[arg(long, value_name = "DIR", value_delimiter = ',', conflicts_with = "described_as")]
    pub(crate) normal: Vec<PathBuf>,
    /// Folders of anomalous images, in a tree of one's own
    #[arg(long, value_name = "DIR", value_delimiter = ',', conflicts_with = "described_as")]
    pub(crate) anomalous: Vec<PathBuf>,
    /// Folders of masks, named as their images or with _mask behind
    #[arg(long, value_name = "DIR", value_delimiter = ',', requires = "anomalous")]
    pub(crate) masks: Vec<PathBuf>,
    /// What the images of a tree of one's own show, as in "metal nut"
    #[arg(long, value_name = "NAME", conflicts_with = "described_as")]
    pub(crate) class: Option<String>,
}

/// Where decoded and resized images are kept between epochs and runs.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Data")]
pub(crate) struct CacheArgs {
    /// Keep decoded and resized images in this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
    /// Most that the folder may hold (20)
    #[arg(long, value_name = "GIB", requires = "cache")]
    pub(crate) cache_limit: Option<u64>,
}

impl CacheArgs {
    /// The cache, where one is wanted.
    pub(crate) fn open(&self) -> anyhow::Result<Option<Cache>> {
        let Some(folder) = &self.cache else { return Ok(None) };
        let limit = self.cache_limit.unwrap_or(20).saturating_mul(1 << 30);
        Ok(Some(Cache::open(folder, limit)?))
    }
}

/// `dataset` with the cache; what cannot be written is to be told by [`tell_trouble`].
pub(crate) fn cached(dataset: ImageDataset, cache: &Option<Cache>) -> ImageDataset {
    match cache {
        None => dataset,
        Some(cache) => dataset.cached(cache.clone()),
    }
}

/// Says on stderr, once, that the cache could not be written.
pub(crate) fn tell_trouble(cache: &Option<Cache>) {
    if let Some(error) = cache.as_ref().and_then(Cache::take_trouble) {
        eprintln!("warning: the cache is of no use: {error}");
    }
}

/// A described folder of images.
#[derive(Debug, Clone)]
pub(crate) struct Dataset {
    pub(crate) descriptor: Descriptor,
    pub(crate) root: PathBuf,
}

impl Dataset {
    /// What `target` means: a path where there is one, else the name of a known dataset.
    pub(crate) fn open(target: &Path, options: &DataOptions) -> anyhow::Result<Self> {
        let dataset = Self::described(target, options)?;
        let names = options.prompt_names.map_or_else(PromptNames::default, Into::into);
        Ok(Self { descriptor: dataset.descriptor.with_prompt_names(names), ..dataset })
    }

    fn described(target: &Path, options: &DataOptions) -> anyhow::Result<Self> {
        if !options.normal.is_empty() || !options.anomalous.is_empty() {
            return options.own_tree(target);
        }
        if options.class.is_some() {
            bail!("--class: is for a tree of one's own; say --normal or --anomalous too");
        }
        if let Some(name) = &options.described_as {
            return Ok(Self { descriptor: descriptor(name)?, root: target.to_path_buf() });
        }
        if target.exists() { Self::at(target) } else { Self::called(target, options) }
    }

    /// The data at a path: described by a TOML file, by its well-known name, or by what it looks
    /// like.
    fn at(path: &Path) -> anyhow::Result<Self> {
        let beside = path.join(BESIDE);
        if beside.is_file() {
            return Self::of_toml(&beside);
        }
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml")) {
            return Self::of_toml(path);
        }
        let name = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        let name = name.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let root = path.to_path_buf();
        if let Some(descriptor) = catalogue::find(&name)?
            && path.is_dir()
            && descriptor.layout(path).is_ok()
        {
            eprintln!("note: {} is read as {} (--as changes it)", path.display(), descriptor.name);
            return Ok(Self { descriptor, root });
        }
        let root = if path.is_file() { parent(path) } else { root };
        Ok(Self { descriptor: Descriptor::undescribed(name, Layout::guess(path)), root })
    }

    fn of_toml(path: &Path) -> anyhow::Result<Self> {
        let descriptor = read_descriptor(path)?;
        let root = parent(path).join(descriptor.root.as_deref().unwrap_or(Path::new("")));
        Ok(Self { descriptor, root })
    }

    fn called(name: &Path, options: &DataOptions) -> anyhow::Result<Self> {
        let shown = name.display();
        let Some(descriptor) = catalogue::find(&name.to_string_lossy())? else {
            bail!(
                "{shown}: no such path, and no known dataset; `cargo xtask datasets list` shows them"
            );
        };
        let Some(root) = DataRoot::find(options.data_root.as_deref())? else {
            bail!(
                "{shown}: nobody said where datasets lie; give --data-root DIR, set MOECLIP_DATA, \
                 or write data-root = \"DIR\" into moeclip.toml"
            );
        };
        let Some(folder) = root.folder_of(&descriptor)? else {
            let (root, source) = (root.path.display(), &descriptor.source);
            bail!(
                "{shown}: {root} holds no folder of that name; obtain {} from {source}",
                descriptor.name
            );
        };
        Ok(Self { descriptor, root: folder })
    }

    /// The samples of a split. Says on stderr where a copy has other counts than its description.
    pub(crate) fn samples(&self, split: Split) -> anyhow::Result<Vec<Sample>> {
        let samples = self.descriptor.samples(&self.root, split)?;
        if split == Split::Test {
            self.note_counts(&samples);
        }
        Ok(samples)
    }

    fn note_counts(&self, samples: &[Sample]) {
        let expected = self.descriptor.classes.iter();
        let expected: usize = expected.map(|class| class.normal + class.anomalous).sum();
        let found = Counts::of(samples).total();
        if expected > 0 && found != expected {
            eprintln!(
                "note: {} has {found} test images here and {expected} as published; `cargo xtask \
                 datasets verify` says which",
                self.descriptor.name
            );
        }
    }
}

impl DataOptions {
    fn own_tree(&self, target: &Path) -> anyhow::Result<Dataset> {
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

/// A known dataset, or a description in a file.
fn descriptor(name: &Path) -> anyhow::Result<Descriptor> {
    if name.is_file() {
        return read_descriptor(name);
    }
    let known = catalogue::find(&name.to_string_lossy())?;
    known.with_context(|| {
        let name = name.display();
        format!("--as {name}: no known dataset and no file; `cargo xtask datasets list` shows them")
    })
}

fn read_descriptor(path: &Path) -> anyhow::Result<Descriptor> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{}: cannot be read as text", path.display()))?;
    Ok(Descriptor::parse(&text, path)?)
}

fn parent(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new(".")).to_path_buf()
}
