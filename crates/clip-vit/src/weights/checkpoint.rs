//! A weight file as exactly one CLIP: canonical names, inferred sizes, strict checks.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use burn::tensor::TensorData;

use super::config::{self, Hints};
use super::error::shown;
use super::names::{Named, Source};
use super::{
    Dtype, FileFormat, Precision, Problems, TensorFile, WeightError, canonical_shapes, infer,
};
use crate::spec::{Activation, ClipSpec, Normalisation, Preset};

/// What a user says about a checkpoint; it wins over everything that the file says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// Attention heads of the image tower.
    pub vision_heads: Option<usize>,
    /// Attention heads of the text tower.
    pub text_heads: Option<usize>,
    /// Nonlinearity of both towers.
    pub activation: Option<Activation>,
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
    spec: ClipSpec,
    settled: Settled,
    /// Canonical tensors by name.
    tensors: BTreeMap<String, Canonical>,
}

#[derive(Debug)]
struct Canonical {
    /// Its tensors, by their whole names in the file.
    source: Source,
    shape: Vec<usize>,
    dtype: Dtype,
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
        let file = TensorFile::open(path)?;
        let named = Named::detect(file.names()).ok_or_else(|| WeightError::NotClip {
            file: path.into(),
            count: file.names().count(),
            sample: file.sample(),
        })?;
        let finder = Finder { file: &file, named: &named };
        let mut spec = infer::infer(&named, |name| finder.shape(name));
        let tensors = finder.canonical(&spec)?;
        let settled = complete(&file, options, &mut spec)?;
        spec.check().map_err(|source| WeightError::Spec { file: path.into(), source })?;
        Ok(ClipCheckpoint { file, spec, settled, tensors })
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

    /// A canonical tensor for Burn, with CLIP's own axes ([`canonical_shapes`]).
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

fn refuse(file: &TensorFile, problems: Problems) -> Result<(), WeightError> {
    if problems.is_empty() {
        return Ok(());
    }
    Err(WeightError::Incompatible { file: file.path().into(), problems: Box::new(problems) })
}

/// Finds canonical tensors among a file's own.
struct Finder<'a> {
    file: &'a TensorFile,
    named: &'a Named,
}

impl Finder<'_> {
    /// Shape that the canonical `name` has in this file, if its tensors are there.
    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        let own = |name: &str| self.file.shape(self.named.names.get(name)?).map(<[usize]>::to_vec);
        match self.named.layout.source(name) {
            Source::Same(name) => own(&name),
            Source::Transposed(name) => own(&name).map(|shape| shape.into_iter().rev().collect()),
            Source::Stacked(_) => None,
        }
    }

    /// Every canonical tensor of a CLIP with these sizes, or every tensor at fault.
    fn canonical(&self, spec: &ClipSpec) -> Result<BTreeMap<String, Canonical>, WeightError> {
        let mut problems = Problems::default();
        let mut tensors = BTreeMap::new();
        let mut unused: BTreeSet<&str> = self.named.names.keys().map(String::as_str).collect();
        for (name, shape) in canonical_shapes(spec) {
            let source = self.named.layout.source(&name);
            for (part, needed) in source.parts(&shape) {
                unused.remove(part);
                self.check(part, &needed, &mut problems);
            }
            if let Some((source, dtype)) = self.whole(&source, &mut problems) {
                tensors.insert(name, Canonical { source, shape, dtype });
            }
        }
        let unexpected = unused.into_iter().chain(self.named.stray.iter().map(String::as_str));
        problems.unexpected = unexpected.map(str::to_owned).collect();
        if !problems.is_empty() {
            self.add_non_finite(&mut problems)?;
        }
        refuse(self.file, problems).map(|()| tensors)
    }

    /// Notes what is wrong with one of the layout's tensors.
    fn check(&self, name: &str, needed: &[usize], problems: &mut Problems) {
        let whole = self.named.names.get(name);
        let found = whole.and_then(|whole| self.file.shape(whole).zip(self.file.dtype(whole)));
        let Some((shape, dtype)) = found else {
            problems.missing.push(name.to_owned());
            return;
        };
        // Some writers keep a scalar as a vector of one.
        let scalar = needed.is_empty() && shape == [1];
        if shape != needed && !scalar {
            problems.misshapen.push(format!("{name} is {shape:?}, {needed:?} needed"));
        }
        if !dtype.is_float() {
            problems.not_float.push(format!("{name} is {dtype}"));
        }
    }

    /// The source with the file's whole names, and the one type that its parts share.
    fn whole(&self, source: &Source, problems: &mut Problems) -> Option<(Source, Dtype)> {
        let own = |name: &String| self.named.names.get(name).cloned();
        let whole = match source {
            Source::Same(name) => Source::Same(own(name)?),
            Source::Transposed(name) => Source::Transposed(own(name)?),
            Source::Stacked([q, k, v]) => Source::Stacked([own(q)?, own(k)?, own(v)?]),
        };
        let parts = whole.parts(&[]);
        let dtypes = parts.iter().map(|(name, _)| Some((*name, self.file.dtype(name)?)));
        let dtypes: Vec<(&str, Dtype)> = dtypes.collect::<Option<_>>()?;
        let (_, first) = *dtypes.first()?;
        for (name, dtype) in dtypes.iter().filter(|(_, dtype)| *dtype != first) {
            // q, k and v become one tensor.
            problems.misshapen.push(format!("{name} is {dtype}, {first} needed"));
        }
        Some((whole, first))
    }

    /// When the file is refused anyway, its values are looked at too: one error tells everything.
    fn add_non_finite(&self, problems: &mut Problems) -> Result<(), WeightError> {
        for (name, whole) in &self.named.names {
            if !self.file.is_finite(whole)? {
                problems.non_finite.push(name.clone());
            }
        }
        Ok(())
    }
}
