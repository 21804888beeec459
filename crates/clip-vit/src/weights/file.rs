//! Any weight file as named tensors: the format told by content, every tensor checked on opening,
//! none read before it is asked for.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use burn::tensor::TensorData;
use half::{bf16, f16};
use sha2::{Digest, Sha256};

use super::bytes::FileBytes;
use super::decode::{self, Real};
use super::error::{listed, shown};
use super::view::View;
use super::write::HostTensor;
use super::{Dtype, Precision, WeightError, legacy, safe, zip};

/// How a file keeps its tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// A JSON header and raw tensors.
    Safetensors,
    /// What `torch.save` writes: a zip archive with a pickle.
    TorchZip,
    /// What `torch.jit.save` writes, OpenAI's own format.
    TorchScript,
    /// What `torch.save` wrote before PyTorch 1.6: pickles, then raw storages.
    TorchLegacy,
}

impl FileFormat {
    /// A short name, as in `torchscript`.
    pub fn name(self) -> &'static str {
        match self {
            FileFormat::Safetensors => "safetensors",
            FileFormat::TorchZip => "torch-zip",
            FileFormat::TorchScript => "torchscript",
            FileFormat::TorchLegacy => "torch-legacy",
        }
    }
}

impl fmt::Display for FileFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What a format's reader finds in a file.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) tensors: BTreeMap<String, View>,
    pub(super) metadata: BTreeMap<String, String>,
}

/// Bytes of a tensor whose pages are let go once it is read.
const MUCH: usize = 1 << 20;

/// An opened weight file. Nested dictionaries are flattened to dotted names, as in
/// `state_dict.module.visual.proj`.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    bytes: FileBytes,
    format: FileFormat,
    contents: Contents,
}

impl TensorFile {
    /// Opens `path`, whatever its extension, and checks every tensor's place in it.
    ///
    /// # Errors
    ///
    /// [`WeightError`] when it cannot be read, is in no known format, is truncated or hostile.
    pub fn open(path: &Path) -> Result<TensorFile, WeightError> {
        let bytes = FileBytes::open(path)?;
        let (format, contents) = parse(path, &bytes)?;
        Ok(TensorFile { path: path.into(), bytes, format, contents })
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
        &self.contents.metadata
    }

    /// Names of its tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.contents.tensors.keys().map(String::as_str)
    }

    /// Whether it holds a tensor of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.contents.tensors.contains_key(name)
    }

    /// Shape of a tensor, empty for a scalar; `None` where there is no such tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.contents.tensors.get(name).map(|view| view.shape.as_slice())
    }

    /// Element type of a tensor; `None` where there is no such tensor.
    pub fn dtype(&self, name: &str) -> Option<Dtype> {
        self.contents.tensors.get(name).map(|view| view.dtype)
    }

    /// The elements of a tensor as they are stored, row-major and little-endian.
    ///
    /// # Errors
    ///
    /// [`WeightError`] when there is no such tensor.
    pub fn stored(&self, name: &str) -> Result<Cow<'_, [u8]>, WeightError> {
        self.view_bytes(name, self.view(name)?)
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
        let host = |(name, view): (&String, &View)| {
            let (dtype, shape) = (view.dtype, view.shape.clone());
            let bytes = self.view_bytes(name, view)?.into_owned();
            Ok((name.clone(), HostTensor { dtype, shape, bytes }))
        };
        self.contents.tensors.iter().map(host).collect()
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

    /// SHA-256 of the whole file, in hexadecimal.
    pub fn sha256(&self) -> String {
        let digest = Sha256::digest(&*self.bytes);
        self.bytes.let_go();
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
            self.bytes.let_go();
        }
        data
    }

    /// A matrix with its axes exchanged, as it is stored.
    pub(super) fn stored_transposed(&self, name: &str) -> Result<Cow<'_, [u8]>, WeightError> {
        self.view_bytes(name, &self.view(name)?.transposed())
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
        self.contents.tensors.get(name).ok_or_else(|| WeightError::NoTensor {
            file: self.path.clone(),
            tensor: shown(name),
            sample: self.sample(),
        })
    }

    fn view_bytes(&self, name: &str, view: &View) -> Result<Cow<'_, [u8]>, WeightError> {
        view.bytes(&self.bytes).ok_or_else(|| WeightError::Tensor {
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

fn parse(path: &Path, bytes: &[u8]) -> Result<(FileFormat, Contents), WeightError> {
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        return zip::parse(path, bytes);
    }
    // Before the pickles: a header's length may begin with the same two bytes.
    if safe::header_length(bytes).is_some() {
        return Ok((FileFormat::Safetensors, safe::parse(path, bytes)?));
    }
    if legacy::is_pickle(bytes) {
        return Ok((FileFormat::TorchLegacy, legacy::parse(path, bytes)?));
    }
    Err(WeightError::Unknown { file: path.into(), looks: looks(bytes) })
}

/// What people give by mistake, told by its first bytes.
fn looks(bytes: &[u8]) -> &'static str {
    let known: [(&[u8], &str); 9] = [
        (b"\xff\xd8\xff", "a JPEG picture"),
        (b"\x89PNG", "a PNG picture"),
        (b"version https://git-lfs", "a Git LFS pointer (fetch the file itself with git lfs pull)"),
        (b"<", "a web page or XML (the download has failed)"),
        (b"{", "JSON text"),
        (b"GGUF", "GGUF, a format of llama.cpp"),
        (b"\x89HDF", "HDF5, a format of Keras"),
        (b"\x93NUMPY", "a NumPy array"),
        (b"\x1f\x8b", "gzip-compressed (unpack it first)"),
    ];
    let found = known.iter().find(|(start, _)| bytes.starts_with(start));
    found.map_or("in an unknown format", |(_, what)| what)
}
