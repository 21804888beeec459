//! Pictures on disk as they come out of decoding and resizing, so that a second epoch only
//! normalises.
//!
//! An entry is found by the content of the picture's file, the size it was brought to, the bits that it was
//! said to hold and the conditions under which it was decoded, so it can be neither stale nor of another picture. It is used only if its checksum holds. The folder is
//! bounded: over its limit, entries go that were used longest ago. Several threads and processes may
//! share one; each looks at the folder anew after every sixteenth of the limit that it has written.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use conditions::{Conditions, Purpose};
use whole_file::WholeFile;

use crate::content::ContentHash;
use crate::decode::SampleBits;
use crate::error::DataError;
use crate::sample::ImageSize;

/// Begins every entry, with the version of the format.
const MAGIC: &[u8; 12] = b"moeclip-pic2";
const EXTENSION: &str = "pic";
/// Digits of the conditions' digest in an entry's name.
const CONDITIONS: usize = 8;
/// Magic, width and height, checksum.
const HEADER: usize = MAGIC.len() + 8 + 32;
/// Share of the limit that is kept when entries go, in sixteenths.
const KEPT: u64 = 14;

/// A bounded folder of decoded and resized pictures. Clones share their count and their trouble.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
    limit: u64,
    /// Of the conditions that decoding and resizing follow from.
    conditions: String,
    state: Arc<Mutex<CacheState>>,
}

#[derive(Debug, Default)]
struct CacheState {
    /// Bytes written since the folder was last looked at.
    written: u64,
    trouble: Option<DataError>,
}

/// What an entry is found by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CacheKey {
    /// Of the picture's file.
    pub(crate) content: ContentHash,
    /// The side it was brought to, in pixels.
    pub(crate) size: usize,
    /// The bits that a 16-bit file was said to hold.
    pub(crate) bits: Option<SampleBits>,
}

/// A picture brought to the model's size, not yet normalised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resized {
    /// `[3, size, size]` bytes, row by row.
    pub(crate) planes: Vec<u8>,
    /// The picture's own size, upright.
    pub(crate) original: ImageSize,
}

impl Cache {
    /// Opens a folder, made where it is absent, that is to hold at most `limit` bytes.
    ///
    /// # Errors
    /// [`DataError`] when the folder cannot be made or written, or `limit` is zero.
    pub fn open(folder: &Path, limit: u64) -> Result<Self, DataError> {
        if limit == 0 {
            return Err(DataError::setting("cache limit", limit, "give it some bytes"));
        }
        let write = |e: io::Error| DataError::write(folder, e);
        fs::create_dir_all(folder).map_err(write)?;
        whole_file::check_writable(folder).map_err(write)?;
        let conditions = Conditions::here("").of(Purpose::Pictures).digest();
        let conditions = conditions.chars().take(CONDITIONS).collect();
        let cache = Self { folder: folder.to_path_buf(), limit, conditions, state: Arc::default() };
        cache.shrink().map_err(write)?;
        Ok(cache)
    }

    /// The first thing that went wrong while writing, once. The pictures themselves are not touched
    /// by it: they were only not kept.
    pub fn take_trouble(&self) -> Option<DataError> {
        self.state().trouble.take()
    }

    /// The picture of a file, if it was kept whole; it counts as used now.
    pub(crate) fn get(&self, key: CacheKey) -> Option<Resized> {
        let path = self.path(key);
        let bytes = fs::read(&path).ok()?;
        let resized = parse(&bytes, key.size)?;
        // Where the time cannot be set, entries go in the order in which they were written.
        let _ =
            File::options().write(true).open(&path).and_then(|f| f.set_modified(SystemTime::now()));
        Some(resized)
    }

    /// Keeps a picture. What goes wrong is remembered for [`Cache::take_trouble`].
    pub(crate) fn put(&self, key: CacheKey, picture: &Resized) {
        let path = self.path(key);
        if let Err(error) = self.write(&path, picture).and_then(|()| self.count(picture)) {
            self.state().trouble.get_or_insert_with(|| DataError::write(&path, error));
        }
    }

    fn path(&self, key: CacheKey) -> PathBuf {
        let CacheKey { content, size, bits } = key;
        let bits = bits.map_or(String::new(), |bits| format!("-{bits}-bits"));
        self.folder.join(format!("{content}-{size}{bits}-{}.{EXTENSION}", self.conditions))
    }

    fn write(&self, path: &Path, picture: &Resized) -> io::Result<()> {
        let mut file = WholeFile::create(path)?;
        file.write_all(MAGIC)?;
        file.write_all(&picture.original.width.to_le_bytes())?;
        file.write_all(&picture.original.height.to_le_bytes())?;
        file.write_all(ContentHash::of_bytes(&picture.planes).as_bytes())?;
        file.write_all(&picture.planes)?;
        file.commit_unsynced()
    }

    fn count(&self, picture: &Resized) -> io::Result<()> {
        let mut state = self.state();
        state.written += (HEADER + picture.planes.len()) as u64;
        if state.written < self.limit / 16 {
            return Ok(());
        }
        state.written = 0;
        drop(state);
        self.shrink()
    }

    /// Removes the entries used longest ago until the folder is within its limit. Another process
    /// may have removed one already.
    fn shrink(&self) -> io::Result<()> {
        let mut entries = self.entries()?;
        let mut total: u64 = entries.iter().map(|entry| entry.bytes).sum();
        if total + self.limit / 16 <= self.limit {
            return Ok(());
        }
        entries.sort_by_key(|entry| entry.used);
        for entry in entries {
            if total <= self.limit / 16 * KEPT {
                break;
            }
            match fs::remove_file(&entry.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => total -= entry.bytes,
            }
        }
        Ok(())
    }

    fn entries(&self) -> io::Result<Vec<CachedFile>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != EXTENSION) {
                continue;
            }
            // Gone meanwhile: another process removed it.
            let Ok(metadata) = fs::metadata(&path) else { continue };
            let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            entries.push(CachedFile { path, used, bytes: metadata.len() });
        }
        Ok(entries)
    }

    /// A thread that panicked leaves a count behind that is still a count.
    fn state(&self) -> MutexGuard<'_, CacheState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct CachedFile {
    path: PathBuf,
    used: SystemTime,
    bytes: u64,
}

/// An entry of the right size whose checksum holds.
fn parse(bytes: &[u8], size: usize) -> Option<Resized> {
    let (magic, rest) = bytes.split_first_chunk::<{ MAGIC.len() }>()?;
    let (width, rest) = rest.split_first_chunk()?;
    let (height, rest) = rest.split_first_chunk()?;
    let (checksum, planes) = rest.split_first_chunk::<32>()?;
    let is_whole = magic == MAGIC
        && planes.len() == 3 * size * size
        && ContentHash::of_bytes(planes).as_bytes() == checksum;
    let original =
        ImageSize { width: u32::from_le_bytes(*width), height: u32::from_le_bytes(*height) };
    is_whole.then(|| Resized { planes: planes.to_vec(), original })
}
