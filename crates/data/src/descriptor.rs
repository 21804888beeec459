//! A dataset in a few lines of TOML: where its images lie, what its classes are called, how many
//! images each has, and under which terms it may be used.
//!
//! The same format describes a published benchmark and a folder of one's own; only `name` and one
//! layout are needed.

use std::path::{Path, PathBuf};

use anomaly::Domain;
use serde::{Deserialize, Serialize};

use crate::decode::{Pointer, SampleBits, pointer};
use crate::error::DataError;
use crate::fault::{Fault, FaultKind};
use crate::folder::name;
use crate::layout::{Layout, Scan, benchmark_of};
use crate::preprocess::MaskRule;
use crate::sample::{Sample, Split};

/// What a dataset is and how it is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Descriptor {
    /// The name in tables and on the command line, as the paper's tables have it.
    pub name: String,
    /// Other names that mean it, its usual folder names among them. Case, spaces, `-` and `_` do not
    /// count.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Kind of pictures.
    #[serde(default)]
    pub domain: Domain,
    /// The licence or terms of use, as its owners state them.
    #[serde(default)]
    pub licence: String,
    /// The publication to cite.
    #[serde(default)]
    pub citation: String,
    /// Where it is obtained.
    #[serde(default)]
    pub source: String,
    /// Folder of the data, relative to the file that describes it; that file's own folder by default.
    #[serde(default)]
    pub root: Option<PathBuf>,
    /// How many bits of 16-bit images hold the picture, where it is not all of them.
    #[serde(default)]
    pub bits: Option<SampleBits>,
    /// How masks are read.
    #[serde(default)]
    pub masks: MaskFormat,
    /// Which images belong together.
    #[serde(default)]
    pub groups: Grouping,
    /// The layouts in which it is found; the first that is recognised applies.
    pub layouts: Vec<Layout>,
    /// The classes; none means that every class found belongs to it.
    #[serde(default)]
    pub classes: Vec<Class>,
}

/// How a dataset's masks are stored and read. They are resized with nearest neighbour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MaskFormat {
    /// Which grey values mean "anomalous".
    pub rule: MaskRule,
    /// What the grey values are.
    pub values: MaskValues,
    /// The most of an image that a mask marks before it is taken for an inverted one.
    pub most_percent: Percent,
}

/// A whole number of hundredths, 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Percent(u8);

impl Percent {
    /// The number.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl Default for Percent {
    /// What no usual mask marks.
    fn default() -> Self {
        Self(85)
    }
}

impl From<Percent> for u8 {
    fn from(percent: Percent) -> Self {
        percent.0
    }
}

impl TryFrom<u8> for Percent {
    type Error = DataError;

    fn try_from(percent: u8) -> Result<Self, DataError> {
        match percent {
            0..=100 => Ok(Self(percent)),
            _ => Err(DataError::setting("most-percent", percent, "use 0 to 100")),
        }
    }
}

/// How a dataset's files are read, where they do not say it themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PictureFormat {
    /// How many bits of 16-bit images hold the picture, where it is not all of them.
    pub bits: Option<SampleBits>,
    /// How masks are read.
    pub masks: MaskFormat,
}

/// What the grey values of a mask file are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaskValues {
    /// Zero and one other value.
    #[default]
    Binary,
    /// Zero, and a number for each kind of defect.
    Labels,
    /// Any: edges are smooth, or the file was stored with loss.
    Grey,
}

/// Which images are not independent of each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grouping {
    /// Nothing is known.
    #[default]
    None,
    /// Those whose file stems agree up to the last occurrence of this text: with `"_"`, `00682_62`
    /// and `00682_63` are slices of `00682`.
    UpToLast(String),
}

/// Whose words for classes stand in prompts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PromptNames {
    /// Plain names of what is seen.
    #[default]
    Corrected,
    /// The authors' release's, to the letter.
    Release,
}

/// One class of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Class {
    /// The name in tables.
    pub name: String,
    /// What its folders are called, or how lists name it; the name itself by default. Several
    /// folders are scored one by one, each under its own name.
    #[serde(default)]
    pub folders: Vec<String>,
    /// The class as it stands in a prompt; the name with spaces for `_` by default.
    #[serde(default)]
    pub prompt: Option<String>,
    /// The words that the authors' release uses, where they are others.
    #[serde(default)]
    pub release_prompt: Option<String>,
    /// Normal images of the test split.
    pub normal: usize,
    /// Anomalous images of the test split.
    pub anomalous: usize,
}

impl Descriptor {
    /// Reads a descriptor; `path` is only for messages.
    ///
    /// # Errors
    /// [`DataError::BadFile`] naming file, place and key.
    pub fn parse(text: &str, path: &Path) -> Result<Self, DataError> {
        if let Some(Pointer { of, fetch }) = pointer(text) {
            let reason = format!("{of} in place of the description; fetch it with `{fetch}`");
            return Err(DataError::BadFile { path: path.into(), reason });
        }
        let descriptor: Self =
            toml::from_str(text).map_err(|e| DataError::bad_toml(path, text, &e))?;
        descriptor.check(path)?;
        Ok(descriptor)
    }

    /// A folder that nobody described: every class below it, by the given layouts.
    pub fn undescribed(name: impl Into<String>, layouts: Vec<Layout>) -> Self {
        Self {
            name: name.into(),
            aliases: Vec::new(),
            domain: Domain::default(),
            licence: String::new(),
            citation: String::new(),
            source: String::new(),
            root: None,
            bits: None,
            masks: MaskFormat::default(),
            groups: Grouping::default(),
            layouts,
            classes: Vec::new(),
        }
    }

    /// How its files are read.
    pub fn picture_format(&self) -> PictureFormat {
        PictureFormat { bits: self.bits, masks: self.masks }
    }

    /// Whether `name` means this dataset.
    pub fn is_called(&self, name: &str) -> bool {
        let asked = plain(name);
        std::iter::once(&self.name).chain(&self.aliases).any(|known| plain(known) == asked)
    }

    /// The same with these words for classes in prompts.
    pub fn with_prompt_names(mut self, names: PromptNames) -> Self {
        for class in &mut self.classes {
            class.prompt = Some(match names {
                PromptNames::Corrected => class.prompt(),
                PromptNames::Release => class.release_prompt(),
            });
        }
        self
    }

    /// The layout of the copy at `root`.
    ///
    /// # Errors
    /// [`DataError::Layout`] saying what every layout looks for.
    pub fn layout(&self, root: &Path) -> Result<&Layout, DataError> {
        std::fs::metadata(root).map_err(|e| DataError::unreadable(root, e))?;
        self.layouts.iter().find(|layout| layout.recognises(root)).ok_or_else(|| {
            let marks: Vec<String> = self.layouts.iter().map(Layout::marks).collect();
            let seems = benchmark_of(root).map(|it| format!("; {it}")).unwrap_or_default();
            let reason = format!("not {}: none of {} here{seems}", self.name, marks.join(", "));
            DataError::layout(root, reason)
        })
    }

    /// What the copy at `root` holds of `split`: samples with their names and groups, and faults.
    ///
    /// # Errors
    /// [`DataError`] when no layout is recognised, or as [`Layout::scan`].
    pub fn scan(&self, root: &Path, split: Split) -> Result<Scan, DataError> {
        let mut scan = self.layout(root)?.scan(root, split)?;
        if !self.classes.is_empty() {
            self.name_classes(root, &mut scan);
        }
        for sample in &mut scan.samples {
            sample.group = sample.group.take().or_else(|| self.groups.of(&sample.image));
        }
        Ok(scan)
    }

    /// The samples of the copy at `root`.
    ///
    /// # Errors
    /// As [`Descriptor::scan`], and [`DataError::Layout`] for a copy with faults.
    pub fn samples(&self, root: &Path, split: Split) -> Result<Vec<Sample>, DataError> {
        self.scan(root, split)?.strict(root)
    }

    /// The class that a folder or list calls `name`, or that is scored under it.
    pub fn class(&self, name: &str) -> Option<&Class> {
        self.classes.iter().find(|class| class.is_called(name))
    }

    /// Gives samples their names; those of unknown classes are left out, each class a fault.
    fn name_classes(&self, root: &Path, scan: &mut Scan) {
        let only = <&[Class; 1]>::try_from(self.classes.as_slice()).ok().map(|[class]| class);
        let mut unknown = std::collections::BTreeSet::new();
        scan.samples.retain_mut(|sample| match self.class(&sample.class).or(only) {
            Some(class) => {
                class.rename(sample);
                true
            }
            None => {
                unknown.insert(sample.class.clone());
                false
            }
        });
        let fault = |class: String| {
            let detail = format!("{} has no class {class}; remove it", self.name);
            Fault::new(FaultKind::UnknownClass, root.join(class), detail)
        };
        scan.faults.extend(unknown.into_iter().map(fault));
    }

    fn check(&self, path: &Path) -> Result<(), DataError> {
        let refuse = |reason: String| Err(DataError::BadFile { path: path.into(), reason });
        if plain(&self.name).is_empty() {
            return refuse("name: is empty; give the dataset a name".into());
        }
        if self.layouts.is_empty() {
            return refuse("layouts: none; say how the images lie in at least one".into());
        }
        if let Some(wrong) = self.layouts.iter().find_map(|layout| layout.check().err()) {
            return refuse(format!("layouts: {wrong}"));
        }
        let names = || self.classes.iter().flat_map(Class::names);
        let mut seen = std::collections::BTreeSet::new();
        if let Some(twice) = names().find(|name| !seen.insert(*name)) {
            return refuse(format!("classes: {twice:?} stands twice; remove one"));
        }
        Ok(())
    }
}

impl Class {
    /// The class as it stands in a prompt.
    pub fn prompt(&self) -> String {
        self.prompt.clone().unwrap_or_else(|| self.name.replace('_', " "))
    }

    /// The words of the authors' release.
    pub fn release_prompt(&self) -> String {
        self.release_prompt.clone().unwrap_or_else(|| self.prompt())
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let own = self.folders.is_empty().then_some(self.name.as_str());
        own.into_iter().chain(self.folders.iter().map(String::as_str))
    }

    fn is_called(&self, name: &str) -> bool {
        self.name == name || self.folders.iter().any(|folder| folder == name)
    }

    fn rename(&self, sample: &mut Sample) {
        if self.folders.len() < 2 {
            sample.class = self.name.clone();
        }
        sample.prompt = self.prompt();
    }
}

impl Grouping {
    fn of(&self, image: &Path) -> Option<String> {
        let Self::UpToLast(separator) = self else { return None };
        let name = name(Path::new(image.file_stem()?));
        name.rsplit_once(separator.as_str()).map(|(group, _)| group.to_owned())
    }
}

/// A name without what people write differently.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}
