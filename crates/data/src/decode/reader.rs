//! Reading pictures with a memory: what was noticed of the files, which a caller tells.

use std::path::Path;

use image::RgbImage;

use super::{ReadPicture, SampleBits, read, read_rgb};
use crate::error::DataError;
use crate::fault::{Fault, FaultLog};

/// Reads pictures and remembers what is to be told of them. Clones share the memory.
#[derive(Clone, Debug, Default)]
pub struct PictureReader {
    bits: Option<SampleBits>,
    faults: FaultLog,
}

impl PictureReader {
    /// Taking these bits of 16-bit pictures, where it is not all of them.
    pub fn new(bits: Option<SampleBits>) -> Self {
        Self { bits, faults: FaultLog::default() }
    }

    /// Reads a picture as 8-bit RGB.
    ///
    /// # Errors
    /// As [`crate::decode_rgb`], and a 16-bit picture with values above the bits.
    pub fn rgb(&self, path: &Path) -> Result<RgbImage, DataError> {
        let ReadPicture { pixels, faults, .. } = read_rgb(&read(path)?, path, self.bits)?;
        self.faults.note(faults);
        Ok(pixels)
    }

    /// What was noticed since this was asked last, by kind and path; of a file that was read twice, once.
    pub fn take_faults(&self) -> Vec<Fault> {
        let mut faults = self.faults.take();
        faults.sort();
        faults
    }
}
