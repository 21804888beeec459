//! Any weight file as named tensors: the format told by content, every tensor checked on opening,
//! none read before it is asked for.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use burn::tensor::TensorData;
use half::{bf16, f16};
use sha2::{Digest, Sha256};

use super::bytes::FileBytes;
use super::decode::{self, Real};
use super::error::{listed, shown};
use super::format::{FileFormat, parse};
use super::shards::{self, Shards};
use super::view::View;
use super::write::HostTensor;
use super::{Dtype, Precision, WeightError, safe};

/// What a format's reader finds in a file.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) tensors: BTreeMap<String, View>,
    pub(super) metadata: BTreeMap<String, String>,
    /// Names of the dictionaries that a pickle nests.
    pub(super) containers: BTreeSet<String>,
}

/// One file of those that weights may be cut into.
#[derive(Debug)]
struct ShardFile {
    path: PathBuf,
    bytes: FileBytes,
}

/// A tensor, and which of the files it lies in.
#[derive(Debug)]
struct Placed {
    part: usize,
    view: View,
}

/// Bytes of a tensor whose pages are let go once it is read.
const MUCH: usize = 1 << 20;

/// An opened weight file, with its other shards where it is one of several. Nested dictionaries are
/// flattened to dotted names, as in `state_dict.module.visual.proj`.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    parts: Vec<ShardFile>,
    format: FileFormat,
    tensors: BTreeMap<String, Placed>,
    metadata: BTreeMap<String, String>,
    containers: BTreeSet<String>,
}

impl TensorFile {
    /// Opens `path`, whatever its extension, and checks every tensor's place in it. A shard, or the
    /// index of several, opens all of them.
    ///
    /// # Errors
    ///
    /// [`WeightError`] when it cannot be read, is in no known format, is truncated or hostile, or when
    /// a shard is missing.
    pub fn open(path: &Path) -> Result<TensorFile, WeightError> {
        if let Some(shards) = shards::around(path)? {
            return Self::open_shards(path, shards);
        }
        let bytes = FileBytes::open(path)?;
        if safe::header_length(&bytes).is_none()
            && let Some(shards) = shards::indexed(path, &bytes)?
        {
            return Self::open_shards(path, shards);
        }
        let (format, contents) = parse(path, &bytes)?;
        let mut file = Self::empty(path, format);
        file.add(path, bytes, contents)?;
        Ok(file)
    }

    /// The same for bytes in memory; `path` is what errors call them.
    ///
    /// # Errors
    ///
    /// [`WeightError`] when they are in no known format, truncated or hostile.
    pub fn of_bytes(path: &Path, bytes: Vec<u8>) -> Result<TensorFile, WeightError> {
        let (format, contents) = parse(path, &bytes)?;
        let mut file = Self::empty(path, format);
        file.add(path, FileBytes::Copied(bytes), contents)?;
        Ok(file)
    }

    fn open_shards(path: &Path, shards: Shards) -> Result<TensorFile, WeightError> {
        let wrong = |reason| WeightError::Shards { file: path.into(), reason };
        let mut opened: Option<TensorFile> = None;
        for shard in shards.files {
            let bytes = FileBytes::open(&shard)?;
            let (format, contents) = parse(&shard, &bytes)?;
            let file = opened.get_or_insert_with(|| Self::empty(path, format));
            if format != file.format {
                let (one, other) = (file.format, format);
                return Err(wrong(format!(
                    "its shards are {one} and {other}; download them again"
                )));
            }
            file.add(&shard, bytes, contents)?;
        }
        let file = opened.ok_or_else(|| wrong("names no shard".into()))?;
        let promised = shards.promised.unwrap_or_default();
        let absent: Vec<&String> = promised.iter().filter(|name| !file.contains(name)).collect();
        if !absent.is_empty() {
            let absent = listed(&absent);
            return Err(wrong(format!(
                "promises tensors that no shard has: {absent}; download all of it again"
            )));
        }
        Ok(file)
    }

    fn empty(path: &Path, format: FileFormat) -> Self {
        let (tensors, metadata, containers) = Default::default();
        TensorFile { path: path.into(), parts: Vec::new(), format, tensors, metadata, containers }
    }

    /// Adds the contents of a file; a tensor that another shard has already is an error.
    fn add(
        &mut self,
        path: &Path,
        bytes: FileBytes,
        contents: Contents,
    ) -> Result<(), WeightError> {
        let part = self.parts.len();
        for (name, view) in contents.tensors {
            if self.tensors.contains_key(&name) {
                let reason = format!(
                    "its tensor {} is in another shard too; download all of them again",
                    shown(&name)
                );
                return Err(WeightError::Shards { file: path.into(), reason });
            }
            self.tensors.insert(name, Placed { part, view });
        }
        self.metadata.extend(contents.metadata);
        self.containers.extend(contents.containers);
        self.parts.push(ShardFile { path: path.into(), bytes });
        Ok(())
    }

    /// Every file that it reads: one, or all shards.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.parts.iter().map(|part| part.path.as_path())
    }

    /// Names of the dictionaries that its pickle nests, as in `state_dict`.
    pub(super) fn containers(&self) -> &BTreeSet<String> {
        &self.containers
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The format its content shows.
    pub fn format(&self) -> FileFormat {
        self.format
    }

    /// Its text: a safetensors header's metadata, or the numbers, strings and booleans of a pickle
    /// by their dotted names.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Names of its tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.tensors.keys().map(String::as_str)
    }

    /// Whether it holds a tensor of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Shape of a tensor, empty for a scalar; `None` where there is no such tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|placed| placed.view.shape.as_slice())
    }

    /// Element type of a tensor; `None` where there is no such tensor.
    pub fn dtype(&self, name: &str) -> Option<Dtype> {
        self.tensors.get(name).map(|placed| placed.view.dtype)
    }

    /// The elements of a tensor as they are stored, row-major and little-endian.
    ///
    /// # Errors
    ///
    /// [`WeightError`] when there is no such tensor.
    pub fn stored(&self, name: &str) -> Result<Cow<'_, [u8]>, WeightError> {
        self.view_bytes(name, self.placed(name)?)
    }

    /// The elements of a floating-point tensor as singles, NaN and infinity included.
    ///
    /// # Errors
    ///
    /// [`WeightError`] when there is no such tensor or it holds integers.
    pub fn read_f32(&self, name: &str) -> Result<Vec<f32>, WeightError> {
        let stored = self.stored(name)?;
        let dtype = self.float_dtype(name)?;
        Ok(decode::decode(&stored, dtype).values)
    }

    /// The elements of an integer or boolean tensor, widened.
    ///
    /// # Errors
    ///
    /// [`WeightError`] when there is no such tensor or it holds floating-point numbers.
    pub fn read_i64(&self, name: &str) -> Result<Vec<i64>, WeightError> {
        let dtype = self.view(name)?.dtype;
        decode::integers(&self.stored(name)?, dtype)
            .ok_or_else(|| self.wrong_dtype(name, dtype, "integers"))
    }

    /// All of its tensors as they are stored, for a file to be written from them.
    ///
    /// # Errors
    ///
    /// [`WeightError`] when a tensor leaves the file.
    pub fn host_tensors(&self) -> Result<BTreeMap<String, HostTensor>, WeightError> {
        let host = |(name, placed): (&String, &Placed)| {
            let (dtype, shape) = (placed.view.dtype, placed.view.shape.clone());
            let bytes = self.view_bytes(name, placed)?.into_owned();
            Ok((name.clone(), HostTensor { dtype, shape, bytes }))
        };
        self.tensors.iter().map(host).collect()
    }

    /// Whether a tensor holds neither NaN nor infinity; read in one pass, nothing is kept.
    ///
    /// # Errors
    ///
    /// [`WeightError`] when there is no such tensor.
    pub fn is_finite(&self, name: &str) -> Result<bool, WeightError> {
        Ok(decode::is_finite(&self.stored(name)?, self.view(name)?.dtype))
    }

    /// A floating-point tensor for Burn, in the precision asked for.
    ///
    /// # Errors
    ///
    /// [`WeightError`] when there is no such tensor, or it holds integers, NaN, infinity or values
    /// that the precision cannot hold.
    pub fn tensor_data(&self, name: &str, precision: Precision) -> Result<TensorData, WeightError> {
        let dtype = self.float_dtype(name)?;
        let shape = self.view(name)?.shape.clone();
        self.decoded(name, &self.stored(name)?, dtype, shape, precision)
    }

    /// SHA-256 of the whole file, in hexadecimal; of several shards as if they were one file.
    pub fn sha256(&self) -> String {
        let mut digest = Sha256::new();
        for part in &self.parts {
            digest.update(&*part.bytes);
            part.bytes.let_go();
        }
        let digest = digest.finalize();
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Stored elements of `dtype` for Burn; `name` is for the error only.
    pub(super) fn decoded(
        &self,
        name: &str,
        stored: &[u8],
        dtype: Dtype,
        shape: Vec<usize>,
        precision: Precision,
    ) -> Result<TensorData, WeightError> {
        let data = match precision {
            Precision::F32 => self.finite::<f32>(name, stored, dtype, shape),
            Precision::F16 => self.finite::<f16>(name, stored, dtype, shape),
            Precision::Bf16 => self.finite::<bf16>(name, stored, dtype, shape),
        };
        if stored.len() >= MUCH {
            self.parts.iter().for_each(|part| part.bytes.let_go());
        }
        data
    }

    /// A matrix with its axes exchanged, as it is stored.
    pub(super) fn stored_transposed(&self, name: &str) -> Result<Cow<'_, [u8]>, WeightError> {
        let Placed { part, view } = self.placed(name)?;
        self.view_bytes(name, &Placed { part: *part, view: view.transposed() })
    }

    fn finite<T: Real>(
        &self,
        name: &str,
        stored: &[u8],
        dtype: Dtype,
        shape: Vec<usize>,
    ) -> Result<TensorData, WeightError> {
        let decoded = decode::decode::<T>(stored, dtype);
        let (file, tensor) = (self.path.clone(), shown(name));
        if decoded.finite {
            return Ok(TensorData::new(decoded.values, shape));
        }
        Err(if decode::is_finite(stored, dtype) {
            WeightError::OutOfRange { file, tensor, precision: T::DTYPE }
        } else {
            WeightError::NonFinite { file, tensor }
        })
    }

    fn view(&self, name: &str) -> Result<&View, WeightError> {
        self.placed(name).map(|placed| &placed.view)
    }

    fn placed(&self, name: &str) -> Result<&Placed, WeightError> {
        self.tensors.get(name).ok_or_else(|| WeightError::NoTensor {
            file: self.path.clone(),
            tensor: shown(name),
            sample: self.sample(),
        })
    }

    fn view_bytes(&self, name: &str, placed: &Placed) -> Result<Cow<'_, [u8]>, WeightError> {
        let part = self.parts.get(placed.part);
        part.and_then(|part| placed.view.bytes(&part.bytes)).ok_or_else(|| WeightError::Tensor {
            file: self.path.clone(),
            tensor: shown(name),
            reason: "it leaves the file".into(),
        })
    }

    fn float_dtype(&self, name: &str) -> Result<Dtype, WeightError> {
        let dtype = self.view(name)?.dtype;
        if dtype.is_float() {
            return Ok(dtype);
        }
        Err(self.wrong_dtype(name, dtype, "a floating-point type"))
    }

    fn wrong_dtype(&self, name: &str, found: Dtype, wanted: &'static str) -> WeightError {
        WeightError::WrongDtype { file: self.path.clone(), tensor: shown(name), found, wanted }
    }

    /// The first few names, for an error.
    pub(super) fn sample(&self) -> String {
        let first: Vec<&str> = self.names().take(3).collect();
        if first.is_empty() { "none".into() } else { listed(&first) }
    }
}
