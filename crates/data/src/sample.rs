//! What a dataset consists of: one image, what is known about it, and how many there are of each
//! kind.

use std::fmt;
use std::path::PathBuf;

/// Which part of a dataset. The method trains and measures on `test`, of different datasets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Split {
    /// Normal images only; masks are not looked for.
    Train,
    /// Normal and anomalous images, with masks where the class has them.
    #[default]
    Test,
}

impl Split {
    /// What lists and folders call this split.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }
}

/// Whether an image shows a flawless thing or one with an anomaly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Label {
    /// Flawless.
    Normal,
    /// Has an anomaly somewhere.
    Anomalous,
}

impl Label {
    /// The class index of the losses and metrics: normal 0, anomalous 1.
    pub fn index(self) -> i64 {
        match self {
            Self::Normal => 0,
            Self::Anomalous => 1,
        }
    }
}

/// Width and height of a picture in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ImageSize {
    /// Pixels in a row.
    pub width: u32,
    /// Number of rows.
    pub height: u32,
}

impl fmt::Display for ImageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// One image of a dataset, not yet read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The picture.
    pub image: PathBuf,
    /// The masks of its anomalous pixels, united where there are several; none for a normal image and
    /// where a class has no masks.
    pub masks: Vec<PathBuf>,
    /// The class that the sample is scored with, such as `pipe_fryum`.
    pub class: String,
    /// The class as it stands in a prompt, such as "pipe fryum".
    pub prompt: String,
    /// Normal or anomalous.
    pub label: Label,
    /// The kind of defect as its folder is called; `good` for a normal image.
    pub defect: String,
    /// What the image has in common with others that are not independent of it, such as the patient
    /// whose slices they are; `None` where nothing is known.
    pub group: Option<String>,
}

impl Sample {
    /// A sample without mask and group, whose class is spoken of as it is written, `_` as a space.
    pub fn new(image: PathBuf, class: &str, label: Label, defect: &str) -> Self {
        Self {
            image,
            masks: Vec::new(),
            class: class.to_owned(),
            prompt: class.replace('_', " "),
            label,
            defect: defect.to_owned(),
            group: None,
        }
    }
}

/// How many samples there are of each kind, so that a caller can refuse a set that its work cannot
/// use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Normal images.
    pub normal: usize,
    /// Anomalous images, with a mask or without.
    pub anomalous: usize,
    /// Anomalous images without a mask: no pixel-level training or measuring with these.
    pub anomalous_without_mask: usize,
}

impl Counts {
    /// Counts `samples`.
    pub fn of(samples: &[Sample]) -> Self {
        let anomalous = |s: &&Sample| s.label == Label::Anomalous;
        Self {
            normal: samples.iter().filter(|s| !anomalous(s)).count(),
            anomalous: samples.iter().filter(anomalous).count(),
            anomalous_without_mask: samples
                .iter()
                .filter(anomalous)
                .filter(|s| s.masks.is_empty())
                .count(),
        }
    }

    /// All images.
    pub fn total(&self) -> usize {
        self.normal + self.anomalous
    }
}
