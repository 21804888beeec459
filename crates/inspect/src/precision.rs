//! The precision of the frozen CLIP where nobody names one: that of a calibration, the fastest where
//! pictures are looked at, f32 where something is measured or trained.

use std::path::Path;

use clip_vit::Precision;
use moeclip::{AdapterFile, Assumed};

use crate::InspectError;
use crate::backends::{Compute, DeviceChoice};

/// A precision as it is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PrecisionChoice {
    /// What suits the work and the machine.
    #[default]
    Auto,
    /// This one.
    Named(Precision),
}

impl PrecisionChoice {
    /// For looking at pictures: what the calibration in use was measured in, else the fastest.
    ///
    /// # Errors
    /// As [`DeviceChoice::fastest_precision`].
    pub fn for_viewing(
        self,
        device: DeviceChoice,
        calibrated: Option<Precision>,
    ) -> Result<Compute, InspectError> {
        let precision = match (self, calibrated) {
            (Self::Named(precision), _) | (Self::Auto, Some(precision)) => precision,
            (Self::Auto, None) => device.fastest_precision()?,
        };
        Ok(Compute { device, precision })
    }

    /// For measuring: what the calibration in use was measured in, else f32.
    pub fn for_measuring(self, device: DeviceChoice, calibrated: Option<Precision>) -> Compute {
        let precision = match self {
            Self::Named(precision) => precision,
            Self::Auto => calibrated.unwrap_or_default(),
        };
        Compute { device, precision }
    }

    /// For training, and for whatever compares with a training: f32.
    pub fn for_training(self, device: DeviceChoice) -> Compute {
        self.for_measuring(device, None)
    }
}

/// The precision that the calibration in a file of adapters was measured in, if it carries one.
///
/// # Errors
/// As [`AdapterFile::open`].
pub fn calibrated_precision(
    adapter: &Path,
    assumed: &Assumed,
) -> Result<Option<Precision>, InspectError> {
    let file = AdapterFile::open(adapter, assumed)?;
    let calibration = file.calibration();
    Ok(calibration.and_then(|calibration| Precision::named(&calibration.conditions.precision)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calibration_decides_where_nobody_names_a_precision() {
        let [auto, named] = [PrecisionChoice::Auto, PrecisionChoice::Named(Precision::F16)];
        let calibrated = Some(Precision::Bf16);
        let device = DeviceChoice::default();
        let viewing =
            |choice: PrecisionChoice| choice.for_viewing(device, calibrated).unwrap().precision;
        assert_eq!(viewing(auto), Precision::Bf16);
        assert_eq!(viewing(named), Precision::F16);
        assert_eq!(auto.for_measuring(device, calibrated).precision, Precision::Bf16);
        assert_eq!(named.for_measuring(device, calibrated).precision, Precision::F16);
    }

    #[test]
    fn only_viewing_on_a_cpu_takes_the_fastest() {
        let auto = PrecisionChoice::Auto;
        let viewing = |device| auto.for_viewing(device, None).unwrap().precision;
        let device = DeviceChoice::default();
        assert_eq!(viewing(device), clip_vit::fastest_precision().unwrap());
        assert_eq!(viewing("ndarray".parse().unwrap()), Precision::F32);
        assert_eq!(auto.for_measuring(device, None).precision, Precision::F32);
        assert_eq!(auto.for_training(device).precision, Precision::F32);
    }
}
