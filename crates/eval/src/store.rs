//! What a detector said of an image, kept on disk as soon as it was said: whoever was killed goes on
//! with the next image, and every number can be made again without the detector.
//!
//! A file is written under another name and renamed, and it ends with a checksum, so a power cut that
//! left less than the whole is noticed too. It holds the map's f32 bit by bit.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use conditions::Conditions;
use moeclip_data::ContentHash;
use serde::{Deserialize, Serialize};
use whole_file::UNFINISHED;

use crate::pictures::write_atomically;
use crate::{EvalError, MapView};

/// The first bytes of every file; the digit is the version.
const MAGIC: &[u8; 8] = b"MOERES1\n";

/// What stored files end with.
const EXTENSION: &str = "result";

/// Bytes of the checksum, the short form of [`ContentHash`] as text.
const CHECKSUM: usize = 16;

/// What a detector said of an image, and the mask it is judged by.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredResult {
    /// Columns of map and mask.
    pub width: usize,
    /// Rows of map and mask.
    pub height: usize,
    /// The anomaly map `[height, width]`.
    pub map: Vec<f32>,
    /// `[height, width]`, `true` where anomalous; `None` where there is no mask.
    pub mask: Option<Vec<bool>>,
    /// The image head's score.
    pub image_score: f32,
    /// How long detecting took.
    pub seconds: f64,
}

/// A folder of results, one file for each image, by a key that says what the result follows from.
#[derive(Clone, Debug)]
pub struct ResultFolder {
    folder: PathBuf,
}

/// What stands before the pixels.
#[derive(Serialize, Deserialize)]
struct Head {
    width: usize,
    height: usize,
    has_mask: bool,
    image_score: f32,
    seconds: f64,
}

impl ResultFolder {
    /// Makes the folder where it is not there.
    ///
    /// # Errors
    /// [`EvalError::Write`] when it cannot be made.
    pub fn open(folder: &Path) -> Result<Self, EvalError> {
        fs::create_dir_all(folder).map_err(|cause| EvalError::write(folder, cause))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Removes what killed processes left unfinished at least `age` ago. What is younger may still be
    /// at work.
    ///
    /// # Errors
    /// [`EvalError::Write`] when the folder cannot be read or changed.
    pub fn tidy(&self, age: Duration) -> Result<(), EvalError> {
        let failed = |cause| EvalError::write(&self.folder, cause);
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let is_stray = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
            let written = entry.metadata().and_then(|metadata| metadata.modified());
            let is_old = written.is_ok_and(|at| at.elapsed().is_ok_and(|since| since >= age));
            if is_stray && is_old {
                fs::remove_file(entry.path()).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Writes what all results of the folder follow from, for people: `identity.json`.
    ///
    /// # Errors
    /// [`EvalError::Write`] when it cannot be written.
    pub fn describe(&self, identity: &impl Serialize) -> Result<(), EvalError> {
        write_atomically(&self.identity(), |file| Ok(serde_json::to_writer_pretty(file, identity)?))
    }

    /// Refuses conditions that are not those of the results that the folder holds. Only what build and
    /// machine decide is looked at: settings have folders of their own. Results of older programs do not
    /// say it, and are of the first numbers version, the default decoder and any kernels.
    ///
    /// # Errors
    /// [`EvalError::OtherConditions`] naming the first that differs, [`EvalError::Write`] when the folder
    /// cannot be read.
    pub fn require(&self, now: &Conditions) -> Result<(), EvalError> {
        let then: Conditions = match fs::read(self.identity()) {
            // A record that cannot be understood is as good as absent.
            Ok(text) => serde_json::from_slice(&text).unwrap_or_default(),
            Err(_) => Conditions::default(),
        };
        let difference = then.of_build().first_difference(&now.clone().of_build());
        match difference.map(Box::new) {
            Some(difference) if self.holds_results()? => {
                Err(EvalError::OtherConditions { folder: self.folder.clone(), difference })
            }
            _ => Ok(()),
        }
    }

    fn holds_results(&self) -> Result<bool, EvalError> {
        let failed = |cause| EvalError::write(&self.folder, cause);
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == EXTENSION) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn identity(&self) -> PathBuf {
        self.folder.join("identity.json")
    }

    /// Whether there is a result under `key`. Its content is looked at when it is read.
    pub fn has(&self, key: &str) -> bool {
        self.path(key).is_file()
    }

    /// Stores a result, in place of any reason why there was none.
    ///
    /// # Errors
    /// [`EvalError::Write`] when it cannot be written.
    pub fn put(&self, key: &str, result: &StoredResult) -> Result<(), EvalError> {
        let path = self.path(key);
        let bytes = result.to_bytes().map_err(|cause| EvalError::write(&path, cause.into()))?;
        write_atomically(&path, |file| file.write_all(&bytes))?;
        let reason = self.reason(key);
        match fs::remove_file(&reason) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                Err(EvalError::write(&reason, cause))
            }
            _ => Ok(()),
        }
    }

    /// Stores why an image has no result: a line.
    ///
    /// # Errors
    /// [`EvalError::Write`] when it cannot be written.
    pub fn put_unread(&self, key: &str, reason: &str) -> Result<(), EvalError> {
        write_atomically(&self.reason(key), |file| file.write_all(reason.as_bytes()))
    }

    /// Why an image has no result, where that is known.
    pub fn unread(&self, key: &str) -> Option<String> {
        fs::read_to_string(self.reason(key)).ok()
    }

    /// The result under `key`; `None` where there is none. One that is not whole is removed, so that
    /// it is made again.
    ///
    /// # Errors
    /// [`EvalError::Stored`] when a file is not whole, [`EvalError::Write`] when it cannot be read or
    /// removed.
    pub fn get(&self, key: &str) -> Result<Option<StoredResult>, EvalError> {
        let path = self.path(key);
        if !self.has(key) {
            return Ok(None);
        }
        let failed = |cause| EvalError::write(&path, cause);
        let bytes = fs::read(&path).map_err(failed)?;
        if let Some(result) = StoredResult::of_bytes(&bytes) {
            return Ok(Some(result));
        }
        fs::remove_file(&path).map_err(failed)?;
        Err(EvalError::Stored { path })
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.join(key).with_extension(EXTENSION)
    }

    fn reason(&self, key: &str) -> PathBuf {
        self.folder.join(key).with_extension("unread")
    }
}

impl StoredResult {
    /// The map as the metrics take it.
    ///
    /// # Errors
    /// As [`MapView::new`].
    pub fn view(&self) -> Result<MapView<'_>, EvalError> {
        MapView::new(self.width, self.height, &self.map)
    }

    fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        let head = serde_json::to_vec(&Head {
            width: self.width,
            height: self.height,
            has_mask: self.mask.is_some(),
            image_score: self.image_score,
            seconds: self.seconds,
        })?;
        let mut bytes = Vec::with_capacity(64 + head.len() + 5 * self.map.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&(head.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&head);
        bytes.extend(self.map.iter().flat_map(|value| value.to_le_bytes()));
        bytes.extend(self.mask.iter().flat_map(|mask| mask.chunks(8).map(packed)));
        let checksum = ContentHash::of_bytes(&bytes).short();
        bytes.extend_from_slice(checksum.as_bytes());
        Ok(bytes)
    }

    /// `None` where the bytes are not all of a result.
    fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let (content, checksum) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM)?)?;
        if ContentHash::of_bytes(content).short().as_bytes() != checksum {
            return None;
        }
        let (length, rest) = content.strip_prefix(MAGIC)?.split_first_chunk::<4>()?;
        let (head, pixels) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let Head { width, height, has_mask, image_score, seconds } =
            serde_json::from_slice(head).ok()?;
        let area = width.checked_mul(height)?;
        let (map, mask) = pixels.split_at_checked(area.checked_mul(4)?)?;
        let (map, _) = map.as_chunks::<4>();
        let map = map.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        if mask.len() != if has_mask { area.div_ceil(8) } else { 0 } {
            return None;
        }
        let mask =
            has_mask.then(|| (0..area).map(|at| mask[at / 8] >> (at % 8) & 1 == 1).collect());
        Some(Self { width, height, map, mask, image_score, seconds })
    }
}

/// Eight pixels of a mask in a byte, the first in the lowest bit.
fn packed(pixels: &[bool]) -> u8 {
    pixels.iter().rev().fold(0, |byte, &marked| byte << 1 | u8::from(marked))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(mask: Option<Vec<bool>>) -> StoredResult {
        let map = vec![0.1, f32::MIN_POSITIVE / 2.0, -0.0, 3.0e38, 0.3, 1.0 / 3.0];
        StoredResult { width: 3, height: 2, map, mask, image_score: 0.1, seconds: 0.25 }
    }

    #[test]
    fn every_bit_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let folder = ResultFolder::open(&folder.path().join("new")).unwrap();
        for mask in [None, Some(vec![true, false, false, true, true, false])] {
            let stored = result(mask);
            folder.put("a", &stored).unwrap();
            let again = folder.get("a").unwrap().unwrap();
            let bits =
                |result: &StoredResult| result.map.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&again), bits(&stored));
            assert_eq!(again, stored);
        }
        assert_eq!(folder.get("b").unwrap(), None);
        folder.put_unread("b", "is empty").unwrap();
        assert_eq!(folder.unread("b").as_deref(), Some("is empty"));
        folder.put("b", &result(None)).unwrap();
        assert_eq!(folder.unread("b"), None);
    }

    #[test]
    fn a_torn_or_turned_file_is_told_and_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = ResultFolder::open(folder.path()).unwrap();
        let bytes = result(Some(vec![true; 6])).to_bytes().unwrap();
        let mut wrong: Vec<Vec<u8>> = (0..bytes.len()).map(|end| bytes[..end].to_vec()).collect();
        wrong.extend((0..bytes.len()).map(|at| {
            let mut turned = bytes.clone();
            turned[at] ^= 4;
            turned
        }));
        for torn in wrong {
            fs::write(folder.path().join("a.result"), torn).unwrap();
            assert!(matches!(store.get("a"), Err(EvalError::Stored { .. })));
            assert!(!store.has("a"));
        }
        fs::write(folder.path().join(".tmpx"), []).unwrap();
        store.tidy(Duration::from_secs(60)).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "it may be at work");
        store.tidy(Duration::ZERO).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
