//! What can be wrong with a weight file: one line each, naming the file, the tensor and the remedy.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{Dtype, PickleError};
use crate::spec::SpecError;

/// A weight file that cannot be read or written.
#[derive(Debug, Error)]
pub enum WeightError {
    /// `MOECLIP_KERNEL` names kernels that cannot be used.
    #[error(transparent)]
    Kernels(#[from] tile_kernels::IsaError),
    /// The system does not give the bytes.
    #[error("{}: cannot be read: {source}; check the path and its permissions", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A folder where a file is needed.
    #[error("{}: is a folder; give the weight file inside it", file.display())]
    Folder {
        /// The folder.
        file: PathBuf,
    },
    /// A pipe, a socket or a device.
    #[error("{}: is not a regular file; copy the weights to a file on disk", file.display())]
    NotRegular {
        /// The path.
        file: PathBuf,
    },
    /// Nothing in it.
    #[error("{}: is empty (0 bytes); download or copy it again", file.display())]
    Empty {
        /// The file.
        file: PathBuf,
    },
    /// None of the formats.
    #[error("{}: is no weight file: it is {looks}; give safetensors, a file of torch.save or a TorchScript archive", file.display())]
    Unknown {
        /// The file.
        file: PathBuf,
        /// What its first bytes look like.
        looks: &'static str,
    },
    /// A safetensors file whose header or length is wrong.
    #[error("{}: broken safetensors: {reason}; download or write it again", file.display())]
    Safetensors {
        /// The file.
        file: PathBuf,
        /// What the header check says.
        reason: String,
    },
    /// A torch file whose archive is wrong.
    #[error("{}: broken torch file: {reason}; download it or torch.save it again", file.display())]
    Torch {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A pickle that is hostile, broken, or holds more than data.
    #[error("{}: {source}", file.display())]
    Pickle {
        /// The file.
        file: PathBuf,
        /// What the pickle machine says.
        source: PickleError,
    },
    /// A tensor that does not lie within its file.
    #[error("{}: tensor {tensor}: {reason}; download or write the file again", file.display())]
    Tensor {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// What is wrong.
        reason: String,
    },
    /// No tensor of that name.
    #[error("{}: holds no tensor {tensor}; its names begin with {sample}", file.display())]
    NoTensor {
        /// The file.
        file: PathBuf,
        /// The name asked for.
        tensor: String,
        /// Some names that it holds.
        sample: String,
    },
    /// Integers where floating-point numbers are needed, or the other way round.
    #[error("{}: tensor {tensor} is {found}, {wanted} needed; write it again in that type", file.display())]
    WrongDtype {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its type.
        found: Dtype,
        /// What is needed.
        wanted: &'static str,
    },
    /// A value that is NaN or infinite.
    #[error("{}: tensor {tensor} holds NaN or infinite values; use a checkpoint from before training diverged", file.display())]
    NonFinite {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// A value that the precision asked for cannot hold.
    #[error("{}: tensor {tensor} holds values too large for {precision}; {}", file.display(), wider(*precision))]
    OutOfRange {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// The type asked for.
        precision: Dtype,
    },
    /// The `config.json` beside the weights, or a canonical file's metadata, is wrong.
    #[error("{}: {key} {reason}", file.display())]
    Config {
        /// The file.
        file: PathBuf,
        /// The key, as in `vision_config.num_attention_heads`.
        key: String,
        /// What is wrong, and the remedy.
        reason: String,
    },
    /// Sizes that no CLIP can have.
    #[error("{}: {source}", file.display())]
    Spec {
        /// The file.
        file: PathBuf,
        /// What the spec says.
        source: SpecError,
    },
    /// None of its names is a CLIP's.
    #[error("{}: is no CLIP: none of its {count} tensors has a name of open_clip, OpenAI or Hugging Face (it begins with {sample}); give the CLIP checkpoint itself", file.display())]
    NotClip {
        /// The file.
        file: PathBuf,
        /// How many tensors it holds.
        count: usize,
        /// Some names that it holds.
        sample: String,
    },
    /// Another model that is easily taken for a CLIP.
    #[error("{}: is {what}, not a CLIP with two transformers as towers; give such a CLIP", file.display())]
    OtherModel {
        /// The file.
        file: PathBuf,
        /// What it is, with its article.
        what: &'static str,
    },
    /// One tower of a CLIP.
    #[error("{}: is the {has} tower of a CLIP alone: it has no {lacks} tower; give the whole CLIP", file.display())]
    TowerAlone {
        /// The file.
        file: PathBuf,
        /// The tower that is there, `image` or `text`.
        has: &'static str,
        /// The other one.
        lacks: &'static str,
    },
    /// Several sets of weights, such as a model and its moving average.
    #[error("{}: holds several sets of weights, whose names begin with {prefixes}; say with --weights PREFIX which is meant", file.display())]
    SeveralClips {
        /// The file.
        file: PathBuf,
        /// What the names of each begin with.
        prefixes: String,
    },
    /// No CLIP behind the prefix asked for.
    #[error("{}: no CLIP is in the part {part}; its names begin with {sample}", file.display())]
    NoSuchPart {
        /// The file.
        file: PathBuf,
        /// What was asked for.
        part: String,
        /// Some names that the file holds.
        sample: String,
    },
    /// Shards that are not whole.
    #[error("{}: {reason}", file.display())]
    Shards {
        /// The shard, or the index.
        file: PathBuf,
        /// What is wrong, and the remedy.
        reason: String,
    },
    /// A CLIP, but not exactly one.
    #[error("{}: is no whole CLIP: {problems}; give an unmodified checkpoint", file.display())]
    Incompatible {
        /// The file.
        file: PathBuf,
        /// Every tensor at fault.
        problems: Box<Problems>,
    },
    /// Writing onto the file that is being read.
    #[error("{}: is the input file; give another output path", file.display())]
    SameFile {
        /// The file.
        file: PathBuf,
    },
    /// The system does not take the bytes.
    #[error("{}: cannot be written: {source}; check that its folder exists, is writable and has room", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A tensor whose bytes do not fit its shape, or that a format cannot hold.
    #[error("{}: tensor {tensor} cannot be written: {reason}", file.display())]
    Unwritable {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// Why.
        reason: String,
    },
}

impl WeightError {
    pub(super) fn read(file: &Path, source: io::Error) -> Self {
        WeightError::Read { file: file.into(), source }
    }

    pub(super) fn write(file: &Path, source: io::Error) -> Self {
        WeightError::Write { file: file.into(), source }
    }

    pub(super) fn torch(file: &Path, reason: impl Into<String>) -> Self {
        WeightError::Torch { file: file.into(), reason: reason.into() }
    }
}

/// What holds values that are too large for `precision`.
fn wider(precision: Dtype) -> &'static str {
    match precision {
        Dtype::F16 => "read it with --precision f32 or bf16",
        Dtype::Bf16 => "read it with --precision f32",
        _ => "no precision here holds them; use a checkpoint from before its values grew",
    }
}

/// Every tensor for which a file is not exactly one CLIP.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// Names that a CLIP has and the file has not.
    pub missing: Vec<String>,
    /// Names that the file has and a CLIP has not.
    pub unexpected: Vec<String>,
    /// Names with the shape found and the shape needed.
    pub misshapen: Vec<String>,
    /// Names with an element type that is no floating-point type.
    pub not_float: Vec<String>,
    /// Names of tensors with NaN or infinite values.
    pub non_finite: Vec<String>,
}

impl Problems {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lists().iter().all(|(_, names)| names.is_empty())
    }

    fn lists(&self) -> [(&'static str, &Vec<String>); 5] {
        [
            ("missing", &self.missing),
            ("unexpected", &self.unexpected),
            ("wrong shape", &self.misshapen),
            ("not floating point", &self.not_float),
            ("NaN or infinite", &self.non_finite),
        ]
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for (what, names) in self.lists() {
            if names.is_empty() {
                continue;
            }
            let separator = if std::mem::take(&mut first) { "" } else { "; " };
            write!(formatter, "{separator}{what}: {}", listed(names))?;
        }
        Ok(())
    }
}

/// Names on one line: the first three, and how many there are.
pub(super) fn listed<S: AsRef<str>>(names: &[S]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| shown(name.as_ref())).collect();
    let rest = names.len().saturating_sub(SHOWN);
    let more = if rest == 0 {
        String::new()
    } else {
        format!(" and {rest} more ({} in all)", names.len())
    };
    shown.join(", ") + &more
}

/// A name from a file, safe to print on one line: control characters escaped, long ones cut.
pub(super) fn shown(name: &str) -> String {
    const LONGEST: usize = 160;
    let mut printed: String =
        name.chars().take(LONGEST).flat_map(|letter| letter.escape_debug()).collect();
    if name.chars().nth(LONGEST).is_some() {
        printed.push_str("...");
    }
    printed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_is_named_and_long_ones_are_cut() {
        let problems = Problems {
            missing: (0..11).map(|i| format!("m{i}")).collect(),
            non_finite: vec!["visual.proj".into()],
            ..Problems::default()
        };
        let line = problems.to_string();
        assert_eq!(
            line,
            "missing: m0, m1, m2 and 8 more (11 in all); NaN or infinite: visual.proj"
        );
    }

    #[test]
    fn names_from_files_stay_on_one_line() {
        assert_eq!(shown("a\nb"), "a\\nb");
        assert!(shown(&"x".repeat(1000)).len() < 200);
    }
}
