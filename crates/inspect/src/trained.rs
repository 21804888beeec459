//! Files of trained weights, whatever method they are of: what measuring, looking and calibrating ask them.

use std::path::Path;

use anomaly::Calibration;
use anomaly_methods::{ClipMethod, MethodFile};
use moeclip::{AdapterFile, PromptSet, Provenance};
use moeclip_data::ContentHash;

use crate::InspectError;

/// An opened file of trained weights.
pub trait TrainedFile {
    /// The path it was opened by.
    fn path(&self) -> &Path;

    /// Where they come from, if the file says so.
    fn provenance(&self) -> Option<&Provenance>;

    /// What their numbers mean on normal images, if that was measured.
    fn calibration(&self) -> Option<&Calibration>;

    /// Side of the images that they look at.
    fn image_size(&self) -> usize;

    /// SHA-256 of the words that they are asked by, and of whatever else of the method decides its numbers.
    fn prompts_sha256(&self) -> String;

    /// Refuses what [`write_calibrated`](Self::write_calibrated) would refuse.
    ///
    /// # Errors
    /// The authors' files and checkpoints carry no calibration.
    fn require_place_for_calibration(&self) -> Result<(), InspectError>;

    /// Writes the file with this calibration.
    ///
    /// # Errors
    /// A file that cannot be written; an older one is then left whole.
    fn write_calibrated(&self, out: &Path, calibration: &Calibration) -> Result<(), InspectError>;
}

impl TrainedFile for AdapterFile {
    fn path(&self) -> &Path {
        self.path()
    }

    fn provenance(&self) -> Option<&Provenance> {
        self.provenance()
    }

    fn calibration(&self) -> Option<&Calibration> {
        self.calibration()
    }

    fn image_size(&self) -> usize {
        self.config().image_size
    }

    fn prompts_sha256(&self) -> String {
        prompts_of(self).sha256()
    }

    fn require_place_for_calibration(&self) -> Result<(), InspectError> {
        Ok(self.require_place_for_calibration()?)
    }

    fn write_calibrated(&self, out: &Path, calibration: &Calibration) -> Result<(), InspectError> {
        Ok(self.write_calibrated(out, calibration)?)
    }
}

impl<M: ClipMethod> TrainedFile for MethodFile<M> {
    fn path(&self) -> &Path {
        self.path()
    }

    fn provenance(&self) -> Option<&Provenance> {
        self.provenance()
    }

    fn calibration(&self) -> Option<&Calibration> {
        self.calibration()
    }

    fn image_size(&self) -> usize {
        M::image_size(self.settings())
    }

    fn prompts_sha256(&self) -> String {
        let settings = serde_json::to_vec(self.settings()).unwrap_or_default();
        ContentHash::of_bytes(&[M::WORD.as_bytes(), &settings].concat()).to_string()
    }

    fn require_place_for_calibration(&self) -> Result<(), InspectError> {
        Ok(self.require_place_for_calibration()?)
    }

    fn write_calibrated(&self, out: &Path, calibration: &Calibration) -> Result<(), InspectError> {
        Ok(self.write_calibrated(out, calibration)?)
    }
}

/// The prompts that adapters were trained with.
pub(crate) fn prompts_of(file: &AdapterFile) -> PromptSet {
    file.provenance().map_or_else(PromptSet::default, |from| from.prompts.clone())
}
