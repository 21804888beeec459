//! The one table of conditions: a line each.

use serde_json::Value;

use crate::kernels;
use crate::{DEFAULT_JPEG_DECODER, JPEG_DECODER, NUMBERS};

/// What the old value of a setting is given back by.
const GIVE: &str = "give the old value";

/// Who knows a condition, and what differs when it is not as it was.
pub(crate) enum Origin {
    /// The caller says it.
    Given,
    /// The caller says it, and these of its fields may differ.
    GivenBut(&'static [&'static str]),
    /// Build and machine decide it, for the device of this name.
    Build {
        now: fn(device: &str) -> Value,
        /// What it was where a file does not say it; `None` where nobody knows, and any is taken.
        before: Option<fn() -> Value>,
        /// How the old one is had again.
        remedy: &'static str,
    },
}

/// A row of the table.
pub(crate) struct ConditionRow {
    /// As files call it.
    pub(crate) name: &'static str,
    /// As a person reads of it.
    pub(crate) words: &'static str,
    pub(crate) origin: Origin,
    pub(crate) purposes: &'static [Purpose],
}

macro_rules! table {
    ($( $condition:ident $name:literal $words:literal $origin:expr, [$($purpose:ident)+]; )+) => {
        /// Something that a stored number can depend on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "the table has the words for each")]
        pub enum Condition { $( $condition, )+ }

        impl Condition {
            /// Every one, in the order of the table.
            pub const ALL: &[Condition] = &[$( Condition::$condition, )+];

            pub(crate) fn row(self) -> &'static ConditionRow {
                match self {
                    $( Condition::$condition => {
                        const ROW: ConditionRow = ConditionRow {
                            name: $name,
                            words: $words,
                            origin: $origin,
                            purposes: &[$( Purpose::$purpose, )+],
                        };
                        &ROW
                    } )+
                }
            }
        }
    };
}

use Origin::{Build, Given, GivenBut};

// A condition is a line: its name here, its name in files, its words, who knows it, and for what it counts.
// The first that differs is named, so what build and machine decide stands last.
table! {
    Method       "method"        "the method"               Given, [Benchmark Ablation];
    Description  "description"   "the description"          Given, [Ablation];
    Options      "options"       "the options"              Given, [Ablation];
    Pretraining  "config"        ""                         GivenBut(&["steps"]), [Pretraining];
    Training     "training"      "training"                 GivenBut(&["epochs"]), [Training];
    Model        "model"         "model"                    Given, [Training];
    Augmentation "augmentation"  "augmentation"             Given, [Training];
    Backend      "backend"       "backend"                  Given, [Training Benchmark Prompts];
    Precision    "precision"     "precision"                Given, [Training Benchmark Calibration Prompts];
    Data         "data"          "data"                     Given, [Training Ablation];
    Samples      "samples"       "samples"                  Given, [Training];
    Provenance   "provenance"    "provenance"               GivenBut(&["steps", "metrics", "commit", "run"]), [Training];
    Version      "version"       "the version"              Given, [Benchmark Ablation Prompts];
    Clip         "clip"          "the CLIP with SHA-256"    Given, [Benchmark Calibration Ablation Demo Prompts];
    Heads        "heads"         "the heads"                Given, [Benchmark];
    Activation   "activation"    "the activation"           Given, [Benchmark Prompts];
    TextTower    "text"          "the text tower"           Given, [Prompts];
    Encoding     "encoding"      "the encoding of prompts"  Given, [Prompts];
    PromptTexts  "prompts"       "the prompts with SHA-256" Given, [Calibration Prompts];
    Assumed      "assumed"       "the adapters' assumed settings" Given, [Benchmark];
    Domain       "domain"        "images of the domain"     Given, [Benchmark Calibration];
    ImageSize    "image_size"    "images of the size"       Given, [Benchmark Calibration];
    MaskRule     "mask_rule"     "the rule of masks"        Given, [Benchmark];
    Seed         "seed"          "the seed"                 Given, [Demo];
    PerCategory  "per_category"  "pictures per category"    Given, [Demo];
    Normalisation "normalisation" "the normalisation of pictures" Given, [Training Benchmark Calibration Ablation];
    SampleBits   "bits"          "the bits of 16-bit pictures" Given, [Calibration];
    Numbers      "numbers"       "the numbers version"      Build { now: |_| NUMBERS.into(), before: Some(|| 1.into()), remedy: "use a program of the old one" }, [Training Pretraining Benchmark Calibration Ablation Demo Prompts Pictures];
    Decoder      "decoder"       "the JPEG decoder"         Build { now: |_| JPEG_DECODER.into(), before: Some(|| DEFAULT_JPEG_DECODER.into()), remedy: "use a build with the old one (feature libjpeg-turbo)" }, [Training Benchmark Calibration Ablation Demo Pictures];
    Kernels      "kernels"       "the kind of kernels"      Build { now: |device| kernels(device).into(), before: None, remedy: "use a build and a machine with the old ones" }, [Training Pretraining Benchmark Calibration Ablation Demo Prompts];
}

/// What is stored and taken up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A checkpoint of a training of adapters.
    Training,
    /// A checkpoint of a pretraining of the small CLIP.
    Pretraining,
    /// What a detector said of the images of a benchmark.
    Benchmark,
    /// What scores mean on normal images.
    Calibration,
    /// A run of an ablation, and what was measured on it.
    Ablation,
    /// The folder of a demo.
    Demo,
    /// Encoded prompts.
    Prompts,
    /// Decoded and resized pictures.
    Pictures,
}

impl Purpose {
    /// Every condition that counts for it.
    pub fn conditions(self) -> impl Iterator<Item = Condition> {
        Condition::ALL.iter().copied().filter(move |condition| condition.counts_for(self))
    }
}

impl Condition {
    /// As files call it.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Whether what is stored for a purpose depends on it.
    pub fn counts_for(self, purpose: Purpose) -> bool {
        self.row().purposes.contains(&purpose)
    }

    /// Whether build and machine decide it, rather than a setting.
    pub fn is_of_build(self) -> bool {
        matches!(self.row().origin, Build { .. })
    }

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|condition| condition.name() == name)
    }

    /// What it is here, where build and machine decide it.
    pub(crate) fn here(self, device: &str) -> Option<Value> {
        match self.row().origin {
            Build { now, .. } => Some(now(device)),
            Given | GivenBut(_) => None,
        }
    }

    /// What it was where nobody says it: a setting that is not given is null. `None` for unknown.
    pub(crate) fn unsaid(self) -> Option<Value> {
        match self.row().origin {
            Build { before, .. } => before.map(|before| before()),
            Given | GivenBut(_) => Some(Value::Null),
        }
    }

    /// Fields that may differ.
    pub(crate) fn free(self) -> &'static [&'static str] {
        match self.row().origin {
            GivenBut(fields) => fields,
            Given | Build { .. } => &[],
        }
    }

    pub(crate) fn remedy(self) -> &'static str {
        match self.row().origin {
            Build { remedy, .. } => remedy,
            Given | GivenBut(_) => GIVE,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_condition_counts_for_something_and_has_a_name_of_its_own() {
        // The macro asks for a purpose; this holds for whoever writes rows by other means.
        let idle = Condition::ALL.iter().filter(|condition| condition.row().purposes.is_empty());
        assert_eq!(idle.collect::<Vec<_>>(), Vec::<&Condition>::new(), "name a purpose for it");
        let names: BTreeSet<_> = Condition::ALL.iter().map(|condition| condition.name()).collect();
        assert_eq!(names.len(), Condition::ALL.len());
        assert!(names.iter().all(|name| Condition::of_name(name).is_some()));
    }

    #[test]
    fn what_the_build_decides_stands_last() {
        let of_build: Vec<_> = Condition::ALL.iter().map(|one| one.is_of_build()).collect();
        assert!(of_build.is_sorted(), "a setting that differs is named before it");
    }

    #[test]
    fn numbers_count_for_everything() {
        let all = Condition::ALL.iter().flat_map(|condition| condition.row().purposes);
        let mut all = all.filter(|purpose| !Condition::Numbers.counts_for(**purpose));
        assert_eq!(all.next(), None);
    }
}
