//! What can be opened into a detector: one line for each method, shared by everything that measures,
//! looks, calibrates, runs benchmarks and grids.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anomaly::{Calibration, Domain, ScoreRule};
use burn::tensor::backend::Backend;
use moeclip::Assumed;
use moeclip_eval::report::Provenance;
use moeclip_train::{CellMethod, Experiment};
use serde::{Deserialize, Serialize};

use crate::backends::Compute;
use crate::compared::{ComparedClip, ConvertedWeights, ReferenceRequest};
use crate::error::{Context, refuse};
use crate::methods::{AdaptedClip, UnchangedClip};
use crate::train_method::{MethodTrainCall, MethodTrained};
use crate::{ClipSource, InspectError, LoadedDetector, TrainedFile, Watcher};

/// The files that a method may be opened from; each takes what it needs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MethodFiles {
    /// Trained adapters.
    pub adapter: Option<PathBuf>,
    /// What an authors' file of adapters does not say.
    pub assumed: Assumed,
    /// The description of a run, for image size and prompts.
    pub config: Option<PathBuf>,
    /// Normal images that the method is shown before it looks.
    #[serde(default)]
    pub references: Option<ReferenceRequest>,
}

impl MethodFiles {
    /// Refuses reference images for a method that looks at none.
    pub(crate) fn refuse_references(&self, method: &str) -> Result<(), InspectError> {
        if self.references.is_some() {
            refuse!("--references: {method} looks at no reference images; leave them out");
        }
        Ok(())
    }

    /// Refuses reference images beside a calibration, which is always measured without any: what is shown
    /// changes maps and scores.
    pub(crate) fn refuse_calibrated_references(
        &self,
        calibration: Option<&Calibration>,
    ) -> Result<(), InspectError> {
        if self.references.is_some() && calibration.is_some() {
            refuse!(
                "--references: the weights were calibrated without reference images; leave them out, \
                 or the calibration aside with --uncalibrated"
            );
        }
        Ok(())
    }

    /// The description, or the one of all defaults.
    ///
    /// # Errors
    /// As [`read_experiment`].
    pub(crate) fn experiment(&self) -> Result<Experiment, InspectError> {
        self.config.as_deref().map_or_else(|| Ok(Experiment::default()), read_experiment)
    }
}

/// Reads the description of a run.
///
/// # Errors
/// A file that cannot be read; as [`Experiment::parse`].
pub fn read_experiment(path: &Path) -> Result<Experiment, InspectError> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{}: cannot be read as text", path.display()))?;
    Ok(Experiment::parse(&text, path)?)
}

/// A method that detects anomalies, opened from its files but not yet on a device.
pub trait Method: Sized {
    /// As it is typed, and as folders of results are called.
    const WORD: &'static str;
    /// As tables call it.
    const NAME: &'static str;
    /// What it is, for help.
    const ABOUT: &'static str;
    /// Whether adapters are trained for it.
    const IS_TRAINED: bool;

    /// Opens what it needs.
    ///
    /// # Errors
    /// A file that is missing or cannot be read.
    fn open(files: &MethodFiles, watch: &mut dyn Watcher) -> Result<Self, InspectError>;

    /// Writes the authors' published weights of it as ours.
    ///
    /// # Errors
    /// A method without such weights; a file that is none, or cannot be written.
    fn convert(input: &Path, _output: &Path) -> Result<ConvertedWeights, InspectError> {
        let (input, word) = (input.display(), Self::WORD);
        refuse!("{input}: {word} has no weights of its authors that could be converted so");
    }

    /// Trains it, where it has weights of its own and no trainer of its own.
    ///
    /// # Errors
    /// The refusal of all others; as [`MethodTrainRequest::run`](crate::MethodTrainRequest::run).
    fn train<B: Backend>(_: MethodTrainCall<'_, B>) -> Result<MethodTrained, InspectError> {
        MethodTrainCall::<B>::refuse(Self::WORD)
    }

    /// Side of the images that it looks at.
    fn image_size(&self) -> usize;

    /// How an image's score is made.
    fn score_rule(&self, domain: Domain) -> ScoreRule;

    /// A hash of all that it says of an image by, besides the CLIP.
    ///
    /// # Errors
    /// A file that cannot be read.
    fn digest(&self) -> Result<String, InspectError>;

    /// What a page says of where it comes from, each line under `name`.
    fn facts(&self, name: &str) -> Vec<Provenance>;

    /// The file of its trained weights, if it has any: it says what they were trained and calibrated on.
    fn trained(&self) -> Option<&dyn TrainedFile> {
        None
    }

    /// The normal images of these classes that it is shown before it looks; they must not be measured.
    ///
    /// # Errors
    /// Too few of a class; what cannot be read.
    fn reference_images(
        &self,
        _classes: &[String],
        _watch: &mut dyn Watcher,
    ) -> Result<Vec<PathBuf>, InspectError> {
        Ok(Vec::new())
    }

    /// The detector on a device; `classes` are names for prompts.
    ///
    /// # Errors
    /// Weights that do not fit, or that the device does not hold.
    fn load<B: Backend>(
        &self,
        clip: &ClipSource,
        classes: &[String],
        domain: Domain,
        compute: Compute,
        device: &B::Device,
        watch: &mut dyn Watcher,
    ) -> Result<LoadedDetector<B>, InspectError>;
}

/// Makes the list of methods, and the one type that is any of them.
macro_rules! registry {
    ($($variant:ident: $method:ty),+ $(,)?) => {
        /// A method by its name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub enum MethodName {
            $(#[doc = concat!("[`", stringify!($method), "`]'s.")] $variant,)+
        }

        impl MethodName {
            /// All of them.
            pub const ALL: &'static [MethodName] = &[$(MethodName::$variant),+];

            /// As it is typed.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => <$method>::WORD,)+ }
            }

            /// As tables call it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => <$method>::NAME,)+ }
            }

            /// What it is, for help.
            pub fn about(self) -> &'static str {
                match self { $(Self::$variant => <$method>::ABOUT,)+ }
            }

            /// Whether adapters are trained for it.
            pub fn is_trained(self) -> bool {
                match self { $(Self::$variant => <$method>::IS_TRAINED,)+ }
            }

            /// Trains it.
            ///
            /// # Errors
            /// As [`Method::train`].
            pub(crate) fn train<B: Backend>(
                self,
                call: MethodTrainCall<'_, B>,
            ) -> Result<MethodTrained, InspectError> {
                match self { $(Self::$variant => <$method>::train(call),)+ }
            }

            /// Writes the authors' published weights as ours.
            ///
            /// # Errors
            /// As [`Method::convert`].
            pub fn convert(
                self,
                input: &Path,
                output: &Path,
            ) -> Result<ConvertedWeights, InspectError> {
                match self { $(Self::$variant => <$method>::convert(input, output),)+ }
            }

            /// Opens what it needs.
            ///
            /// # Errors
            /// As [`Method::open`].
            pub fn open(
                self,
                files: &MethodFiles,
                watch: &mut dyn Watcher,
            ) -> Result<OpenMethod, InspectError> {
                Ok(match self {
                    $(Self::$variant => {
                        OpenMethod::$variant(Box::new(<$method>::open(files, watch)?))
                    })+
                })
            }
        }

        /// Any method, opened.
        pub enum OpenMethod {
            $(#[doc = concat!("[`", stringify!($method), "`].")] $variant(Box<$method>),)+
        }

        impl OpenMethod {
            /// As [`Method::image_size`].
            pub fn image_size(&self) -> usize {
                match self { $(Self::$variant(method) => method.image_size(),)+ }
            }

            /// As [`Method::score_rule`].
            pub fn score_rule(&self, domain: Domain) -> ScoreRule {
                match self { $(Self::$variant(method) => method.score_rule(domain),)+ }
            }

            /// As [`Method::digest`].
            ///
            /// # Errors
            /// As there.
            pub fn digest(&self) -> Result<String, InspectError> {
                match self { $(Self::$variant(method) => method.digest(),)+ }
            }

            /// As [`Method::facts`].
            pub fn facts(&self, name: &str) -> Vec<Provenance> {
                match self { $(Self::$variant(method) => method.facts(name),)+ }
            }

            /// As [`Method::trained`].
            pub fn trained(&self) -> Option<&dyn TrainedFile> {
                match self { $(Self::$variant(method) => method.trained(),)+ }
            }

            /// As [`Method::reference_images`].
            ///
            /// # Errors
            /// As there.
            pub fn reference_images(
                &self,
                classes: &[String],
                watch: &mut dyn Watcher,
            ) -> Result<Vec<PathBuf>, InspectError> {
                match self {
                    $(Self::$variant(method) => method.reference_images(classes, watch),)+
                }
            }

            /// As [`Method::load`].
            ///
            /// # Errors
            /// As there.
            pub fn load<B: Backend>(
                &self,
                clip: &ClipSource,
                classes: &[String],
                domain: Domain,
                compute: Compute,
                device: &B::Device,
                watch: &mut dyn Watcher,
            ) -> Result<LoadedDetector<B>, InspectError> {
                match self {
                    $(Self::$variant(method) => {
                        method.load(clip, classes, domain, compute, device, watch)
                    })+
                }
            }
        }
    };
}

/// The project's own methods, and those of `anomaly-methods` as this crate opens them.
macro_rules! all_methods {
    (own { $($own:tt)+ } $($variant:ident: $method:ty,)+) => {
        registry! { $($own)+ $($variant: ComparedClip<$method>,)+ }
    };
}

anomaly_methods::methods! {
    all_methods
    own { Moeclip: AdaptedClip, Clip: UnchangedClip, }
}

impl MethodName {
    /// Those that a grid can hold, as its cells name them: the method that its runs train, and those that
    /// need no training.
    pub fn of_cells() -> Vec<CellMethod> {
        let is_held = |name: &&Self| !name.is_trained() || **name == Self::default();
        let cell = |name: &Self| CellMethod { word: name.word(), is_trained: name.is_trained() };
        Self::ALL.iter().filter(is_held).map(cell).collect()
    }
}

impl Default for MethodName {
    /// The first of the list.
    fn default() -> Self {
        Self::ALL[0]
    }
}

impl fmt::Display for MethodName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}

impl FromStr for MethodName {
    type Err = InspectError;

    fn from_str(word: &str) -> Result<Self, InspectError> {
        let named = Self::ALL.iter().copied().find(|method| method.word() == word);
        named.with_context(|| {
            let words: Vec<&str> = Self::ALL.iter().map(|method| method.word()).collect();
            format!("{word:?} is no method; use {}", words.join(" or "))
        })
    }
}

impl From<MethodName> for String {
    fn from(name: MethodName) -> Self {
        name.word().to_owned()
    }
}

impl TryFrom<String> for MethodName {
    type Error = InspectError;

    fn try_from(word: String) -> Result<Self, InspectError> {
        word.parse()
    }
}
