//! A weight file as exactly one CLIP: canonical names, inferred sizes, strict checks.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::TensorData;
use sha2::{Digest, Sha256};

use super::config::{self, Hints};
use super::decode;
use super::detect::Named;
use super::error::{listed, shown};
use super::finder::{Canonical, Finder, refuse};
use super::names::Source;
use super::{Dtype, FileFormat, Precision, Problems, TensorFile, WeightError, infer};
use crate::spec::{Activation, ClipSpec, Normalisation, Preset};

/// What a user says about a checkpoint; it wins over everything that the file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// Attention heads of the image tower.
    pub vision_heads: Option<usize>,
    /// Attention heads of the text tower.
    pub text_heads: Option<usize>,
    /// Nonlinearity of both towers.
    pub activation: Option<Activation>,
    /// What the names of the weights begin with, where a file holds several sets of them.
    pub weights: Option<String>,
}

/// Who said which activation a checkpoint needs; shapes do not show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActivationSource {
    /// The caller's [`OpenOptions`].
    Option,
    /// The metadata of a canonical file.
    Metadata,
    /// A file of settings beside the weights.
    Config,
    /// The published CLIP with these sizes.
    Preset,
    /// Nobody: QuickGELU is assumed.
    Assumed,
}

/// A tower whose heads are taken to have 64 channels each, as in most CLIPs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuessedHeads {
    /// `vision` or `text`.
    pub tower: &'static str,
    /// How many heads that makes.
    pub heads: usize,
}

/// A weight file that holds exactly one CLIP.
#[derive(Debug)]
pub struct ClipCheckpoint {
    file: TensorFile,
    /// Which of several sets of weights it is, if that was asked for.
    part: Option<String>,
    spec: ClipSpec,
    settled: Settled,
    /// Canonical tensors by name.
    tensors: BTreeMap<String, Canonical>,
}

impl ClipCheckpoint {
    /// Opens any weight file as a CLIP. Values are not read yet: [`Self::tensor_data`] and
    /// [`Self::verify_finite`] refuse NaN and infinity.
    ///
    /// # Errors
    ///
    /// [`WeightError`] when the file cannot be opened, is no CLIP, or is not exactly one: then
    /// every tensor at fault is named.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<ClipCheckpoint, WeightError> {
        Self::of(TensorFile::open(path)?, options)
    }

    /// The same for an opened file.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn of(file: TensorFile, options: &OpenOptions) -> Result<ClipCheckpoint, WeightError> {
        let path = file.path().to_owned();
        let named = Named::of(&file, options.weights.as_deref())?;
        let finder = Finder { file: &file, named: &named };
        let mut spec = infer::infer(&named, |name| finder.shape(name));
        let tensors = finder.canonical(&spec)?;
        let settled = complete(&file, options, &mut spec)?;
        spec.check().map_err(|source| WeightError::Spec { file: path, source })?;
        let part = options.weights.clone();
        Ok(ClipCheckpoint { file, part, spec, settled, tensors })
    }

    /// Its sizes and activation.
    pub fn spec(&self) -> &ClipSpec {
        &self.spec
    }

    /// The format of its file.
    pub fn source_format(&self) -> FileFormat {
        self.file.format()
    }

    /// The published CLIP with its sizes and activation, if there is one.
    pub fn preset(&self) -> Option<Preset> {
        Preset::of(&self.spec)
    }

    /// Who said which activation it needs.
    pub fn activation_source(&self) -> ActivationSource {
        self.settled.activation_source
    }

    /// With what its pictures were normalised.
    pub fn normalisation(&self) -> Normalisation {
        self.settled.normalisation
    }

    /// Side of the pictures that it was trained on, in pixels.
    pub fn image_size(&self) -> usize {
        self.settled.image_size
    }

    /// The towers whose heads nobody names: neither the options, nor the file or those beside it, nor a
    /// published CLIP of these sizes.
    pub fn guessed_heads(&self) -> &[GuessedHeads] {
        &self.settled.guessed_heads
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Its file, with the metadata and hash.
    pub fn file(&self) -> &TensorFile {
        &self.file
    }

    /// SHA-256 of the file that the weights come from, before any conversion; another one for each of
    /// several sets of weights in a file.
    pub fn source_sha256(&self) -> String {
        let stored = self.file.metadata().get("source_sha256").cloned();
        match (stored, &self.part) {
            (Some(stored), _) => stored,
            (None, None) => self.file.sha256(),
            (None, Some(part)) => {
                let part = part.trim_end_matches('.');
                let digest = Sha256::digest(format!("{} {part}", self.file.sha256()));
                digest.iter().map(|byte| format!("{byte:02x}")).collect()
            }
        }
    }

    /// Names of its tensors as open_clip calls them, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Shape of a canonical tensor; `None` where there is no such tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|tensor| tensor.shape.as_slice())
    }

    /// Element type in which a canonical tensor is stored; `None` where there is no such tensor.
    pub fn dtype(&self, name: &str) -> Option<Dtype> {
        self.tensors.get(name).map(|tensor| tensor.dtype)
    }

    /// A canonical tensor for Burn, with CLIP's own axes ([`canonical_shapes`](super::canonical_shapes)).
    ///
    /// # Errors
    ///
    /// [`WeightError`] when there is no such tensor, or it holds NaN, infinity or values that the
    /// precision cannot hold.
    pub fn tensor_data(&self, name: &str, precision: Precision) -> Result<TensorData, WeightError> {
        let tensor = self.tensor(name)?;
        let stored = self.stored(name)?;
        self.file.decoded(name, &stored, tensor.dtype, tensor.shape.clone(), precision)
    }

    /// Reads every tensor and refuses NaN and infinity.
    ///
    /// # Errors
    ///
    /// [`WeightError::Incompatible`] naming every tensor that holds one.
    pub fn verify_finite(&self) -> Result<(), WeightError> {
        let mut problems = Problems::default();
        for (name, tensor) in &self.tensors {
            for (part, _) in tensor.source.parts(&tensor.shape) {
                if !self.file.is_finite(part)? {
                    problems.non_finite.push(name.clone());
                }
            }
        }
        problems.non_finite.dedup();
        refuse(&self.file, problems)
    }

    /// Reads every tensor of doubles and refuses values that singles cannot hold: no run could read
    /// them.
    pub(super) fn verify_range(&self) -> Result<(), WeightError> {
        let mut large = Vec::new();
        let doubles = self.tensors.iter().filter(|(_, tensor)| tensor.dtype == Dtype::F64);
        for (name, tensor) in doubles {
            if !decode::decode::<f32>(&self.stored(name)?, tensor.dtype).finite {
                large.push(name);
            }
        }
        if large.is_empty() {
            return Ok(());
        }
        let (file, tensor) = (self.file.path().into(), listed(&large));
        Err(WeightError::OutOfRange { file, tensor, precision: Dtype::F32 })
    }

    /// Elements of a canonical tensor in the type of the file, row-major and little-endian.
    pub(super) fn stored(&self, name: &str) -> Result<Cow<'_, [u8]>, WeightError> {
        match &self.tensor(name)?.source {
            Source::Same(whole) => self.file.stored(whole),
            Source::Transposed(whole) => self.file.stored_transposed(whole),
            Source::Stacked(parts) => {
                let mut stacked = Vec::new();
                for part in parts {
                    stacked.extend_from_slice(&self.file.stored(part)?);
                }
                Ok(Cow::Owned(stacked))
            }
        }
    }

    fn tensor(&self, name: &str) -> Result<&Canonical, WeightError> {
        self.tensors.get(name).ok_or_else(|| WeightError::NoTensor {
            file: self.file.path().into(),
            tensor: shown(name),
            sample: self.file.sample(),
        })
    }
}

/// What shapes do not tell, settled.
#[derive(Debug)]
struct Settled {
    activation_source: ActivationSource,
    normalisation: Normalisation,
    image_size: usize,
    guessed_heads: Vec<GuessedHeads>,
}

/// Settles heads, activation and normalisation: the options, a canonical file's metadata, the files
/// beside it, and CLIP's habits, in this order.
fn complete(
    file: &TensorFile,
    options: &OpenOptions,
    spec: &mut ClipSpec,
) -> Result<Settled, WeightError> {
    let given = Hints {
        vision_heads: options.vision_heads,
        text_heads: options.text_heads,
        activation: options.activation,
        ..Hints::default()
    };
    let written = config::from_metadata(file.path(), file.metadata(), spec)?;
    let beside = match written {
        Some(_) => Hints::default(),
        None => config::hints_beside(file.path(), spec)?,
    };
    let written = written.unwrap_or_default();
    let ranked = [
        (given, ActivationSource::Option),
        (written, ActivationSource::Metadata),
        (beside, ActivationSource::Config),
    ];
    let said = ranked.iter().find_map(|(hints, who)| Some((hints.activation?, *who)));
    let (activation, activation_source) = said.unwrap_or_else(|| habit(spec));
    spec.activation = activation;
    let hints = given.or(written).or(beside);
    let mut guessed_heads = Vec::new();
    let mut heads = |tower, told: Option<usize>, published: Option<usize>, inferred: usize| {
        if told.or(published).is_none() {
            guessed_heads.push(GuessedHeads { tower, heads: inferred });
        }
        told.unwrap_or(inferred)
    };
    let vision = Preset::vision_heads(&spec.vision);
    spec.vision.heads = heads("vision", hints.vision_heads, vision, spec.vision.heads);
    let text = Preset::text_heads(&spec.text);
    spec.text.heads = heads("text", hints.text_heads, text, spec.text.heads);
    Ok(Settled {
        activation_source,
        normalisation: hints.normalisation.unwrap_or(Normalisation::CLIP),
        image_size: hints.image_size.unwrap_or(spec.vision.grid * spec.vision.patch),
        guessed_heads,
    })
}

/// The activation of the published CLIP with these sizes, or QuickGELU.
fn habit(spec: &ClipSpec) -> (Activation, ActivationSource) {
    let published = [Activation::QuickGelu, Activation::Gelu].into_iter().find(|activation| {
        Preset::of(&ClipSpec { activation: *activation, ..spec.clone() }).is_some()
    });
    match published {
        Some(activation) => (activation, ActivationSource::Preset),
        None => (Activation::QuickGelu, ActivationSource::Assumed),
    }
}
