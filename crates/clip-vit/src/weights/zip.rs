//! The zip archives of `torch.save` and `torch.jit.save`: `data.pkl` with the object, `data/N` with
//! the storages, all uncompressed, so that tensors are read where they lie.

use std::collections::HashMap;
use std::io::Cursor;
use std::ops::Range;
use std::path::Path;

use ::zip::read::ZipFile;
use ::zip::result::ZipError;
use ::zip::{CompressionMethod, ZipArchive};

use super::WeightError;
use super::file::Contents;
use super::format::FileFormat;
use super::pickle::{self, Dialect};
use super::torch::{contents, pickle_error};

/// Where an entry lies, or why it cannot be read.
type Place = Result<Range<usize>, &'static str>;

/// The format, tensors and scalars of an archive.
pub(super) fn parse(file: &Path, bytes: &[u8]) -> Result<(FileFormat, Contents), WeightError> {
    let broken = |reason: String| WeightError::torch(file, reason);
    let entries = directory(bytes).map_err(broken)?;
    let folder = folder(&entries)
        .ok_or_else(|| broken("it is a zip archive without data.pkl, none of torch".into()))?;
    let entry = |name: &str| {
        let place = entries.get(&format!("{folder}{name}"));
        place.ok_or_else(|| format!("it has no entry {name}")).cloned()
    };
    if let Ok(Ok(order)) = entry("byteorder")
        && bytes.get(order) == Some(b"big")
    {
        return Err(broken("it was written on a big-endian machine".into()));
    }
    let script = entries.contains_key(&format!("{folder}constants.pkl"));
    let (format, dialect) = match script {
        true => (FileFormat::TorchScript, Dialect::TorchScript),
        false => (FileFormat::TorchZip, Dialect::Torch),
    };
    let place = entry("data.pkl").and_then(|place| place.map_err(Into::into)).map_err(broken)?;
    let pickle = bytes.get(place).unwrap_or_default();
    let document = pickle::read(pickle, dialect).map_err(|source| pickle_error(file, source))?;
    let found = contents(file, &document, bytes.len(), |storage| {
        entry(&format!("data/{}", storage.key))?.map_err(Into::into)
    })?;
    Ok((format, found))
}

/// Every entry's place.
fn directory(bytes: &[u8]) -> Result<HashMap<String, Place>, String> {
    let unreadable =
        |error: ZipError| format!("its zip directory cannot be read: {error} (truncated?)");
    check_count(bytes)?;
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(unreadable)?;
    let mut entries = HashMap::with_capacity(archive.len());
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(unreadable)?;
        entries.insert(entry.name().to_owned(), place(&entry, bytes.len()));
    }
    Ok(entries)
}

fn place(entry: &ZipFile<'_, Cursor<&[u8]>>, file_length: usize) -> Place {
    if entry.compression() != CompressionMethod::Stored || entry.encrypted() {
        return Err("an entry is compressed or encrypted, which torch never does");
    }
    let start = entry.data_start().and_then(|start| usize::try_from(start).ok());
    let length = usize::try_from(entry.size()).ok();
    start
        .zip(length)
        .and_then(|(start, length)| Some(start..start.checked_add(length)?))
        .filter(|place| place.end <= file_length)
        .ok_or("an entry leaves the file")
}

/// The folder that holds everything, with its slash; empty where entries lie at the top.
fn folder(entries: &HashMap<String, Place>) -> Option<String> {
    let folders = entries.keys().filter_map(|name| name.strip_suffix("data.pkl"));
    let whole = folders.filter(|folder| folder.is_empty() || folder.ends_with('/'));
    whole.min_by_key(|folder| (folder.len(), folder.to_string())).map(str::to_owned)
}

/// Refuses a directory that claims more entries than the file has room for, before memory is taken
/// for them. Only the 64-bit record, 20 bytes before the end record, can claim that many.
fn check_count(bytes: &[u8]) -> Result<(), String> {
    const END: usize = 22;
    const LOCATOR: usize = 20;
    const SMALLEST_ENTRY: u64 = 46;
    let claimed = || {
        let locator = bytes.get(bytes.len().checked_sub(END + LOCATOR)?..)?;
        let record = locator.strip_prefix(b"PK\x06\x07")?.get(4..)?.first_chunk()?;
        let record = bytes.get(usize::try_from(u64::from_le_bytes(*record)).ok()?..)?;
        record.get(32..)?.first_chunk().copied().map(u64::from_le_bytes)
    };
    match claimed() {
        Some(count) if count.saturating_mul(SMALLEST_ENTRY) > bytes.len() as u64 => {
            Err(format!("its zip directory claims {count} entries"))
        }
        _ => Ok(()),
    }
}
