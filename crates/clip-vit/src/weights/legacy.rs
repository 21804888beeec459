//! What `torch.save` wrote before PyTorch 1.6, and still does on request: five pickles (a magic
//! number, a version, notes on the system, the object, the order of the storages), then the
//! storages, each after its length.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use super::file::Contents;
use super::pickle::{self, Dialect, Document, StorageRef, Value};
use super::torch::{contents, pickle_error};
use super::{Dtype, WeightError};

/// 0x1950a86a20f9469cfc6c, by which torch knows its files.
const MAGIC: Value<'static> =
    Value::Long(&[0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19]);

/// The only version of the format that ever was.
const VERSION: i64 = 1001;

/// Bytes of a storage's length.
const LENGTH: usize = 8;

/// Whether `bytes` begin as a pickle of protocol 2 to 5.
pub(super) fn is_pickle(bytes: &[u8]) -> bool {
    matches!(bytes, [0x80, 2..=5, ..])
}

/// The tensors and scalars of a file.
pub(super) fn parse(file: &Path, bytes: &[u8]) -> Result<Contents, WeightError> {
    let mut pickles = Pickles { file, bytes, at: 0 };
    if pickles.read_next()?.root != MAGIC {
        return Err(WeightError::torch(file, "it is a pickle, but not one of torch.save"));
    }
    if pickles.read_next()?.root != Value::Int(VERSION) {
        return Err(WeightError::torch(file, "its format version is unknown"));
    }
    let system = pickles.read_next()?;
    if system.entry(system.root, "little_endian") != Some(Value::Bool(true)) {
        return Err(WeightError::torch(file, "it was written on a big-endian machine"));
    }
    let object = pickles.read_next()?;
    let order = pickles.read_next()?;
    let places = places(bytes, pickles.at, &object, &order)
        .map_err(|reason| WeightError::torch(file, reason))?;
    contents(file, &object, bytes.len(), |storage| {
        places.get(storage.key).cloned().ok_or_else(|| "its storage is not in the file".into())
    })
}

struct Pickles<'a> {
    file: &'a Path,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Pickles<'a> {
    fn read_next(&mut self) -> Result<Document<'a>, WeightError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let document =
            pickle::read(rest, Dialect::Torch).map_err(|source| pickle_error(self.file, source))?;
        self.at += document.length;
        Ok(document)
    }
}

/// Bytes of every storage, by its key. The type of a storage stands only where a tensor uses it.
fn places<'a>(
    bytes: &[u8],
    mut at: usize,
    object: &Document<'a>,
    order: &Document<'a>,
) -> Result<HashMap<&'a str, Range<usize>>, String> {
    let dtypes: HashMap<&str, Dtype> =
        object.storages.iter().map(|StorageRef { key, dtype, .. }| (*key, *dtype)).collect();
    let keys = order.list(order.root).ok_or("it has no list of its storages")?;
    let mut places = HashMap::new();
    for key in keys {
        let Value::Text(key) = key else { return Err("a storage has no name".into()) };
        let dtype = dtypes.get(key).ok_or("it has a storage that no tensor uses")?;
        let place = place(bytes, at, *dtype).ok_or("it ends within its storages (truncated?)")?;
        at = place.end;
        places.insert(*key, place);
    }
    Ok(places)
}

fn place(bytes: &[u8], at: usize, dtype: Dtype) -> Option<Range<usize>> {
    let elements = u64::from_le_bytes(*bytes.get(at..)?.first_chunk::<LENGTH>()?);
    let start = at + LENGTH;
    let length = usize::try_from(elements).ok()?.checked_mul(dtype.size())?;
    let end = start.checked_add(length).filter(|end| *end <= bytes.len())?;
    Some(start..end)
}
