//! What a file holds, as one short number: the same picture under two names is found by it.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::DataError;

/// SHA-256 of a file's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash([u8; 32]);

impl ContentHash {
    /// Of bytes in memory.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Of a file.
    ///
    /// # Errors
    /// [`DataError::Unreadable`] naming `path`.
    pub fn of_file(path: &Path) -> Result<Self, DataError> {
        let unreadable = |e: io::Error| DataError::unreadable(path, e);
        let mut hasher = Sha256::new();
        io::copy(&mut File::open(path).map_err(unreadable)?, &mut hasher).map_err(unreadable)?;
        Ok(Self(hasher.finalize().into()))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 16 hexadecimal digits: enough to tell the images of all datasets apart.
    pub fn short(&self) -> String {
        self.0.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
