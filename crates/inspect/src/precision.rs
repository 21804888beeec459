//! The precision of the frozen CLIP where nobody names one: that of a calibration, the fastest where
//! pictures are looked at, f32 where something is measured or trained.

use clip_vit::Precision;

use crate::{InspectError, MethodFiles, MethodName, TrainedFile, Unwatched};

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
    /// For looking at pictures: what the calibration in use was measured in, else the `fastest`.
    pub fn for_viewing(self, calibrated: Option<Precision>, fastest: Precision) -> Precision {
        match self {
            Self::Named(precision) => precision,
            Self::Auto => calibrated.unwrap_or(fastest),
        }
    }

    /// For measuring: what the calibration in use was measured in, else f32.
    pub fn for_measuring(self, calibrated: Option<Precision>) -> Precision {
        self.for_viewing(calibrated, Precision::F32)
    }

    /// For training, and for whatever compares with a training: f32.
    pub fn for_training(self) -> Precision {
        self.for_measuring(None)
    }
}

/// The precision that the calibration of a method's weights was measured in, if they carry one.
///
/// # Errors
/// As [`MethodName::open`].
pub fn calibrated_precision(
    method: MethodName,
    files: &MethodFiles,
) -> Result<Option<Precision>, InspectError> {
    let method = method.open(files, &mut Unwatched)?;
    let calibration = method.trained().and_then(TrainedFile::calibration);
    Ok(calibration.and_then(|calibration| Precision::named(&calibration.conditions.precision)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Precision::{Bf16, F16, F32};

    #[test]
    fn a_name_decides_then_a_calibration_then_the_work() {
        let [auto, named] = [PrecisionChoice::Auto, PrecisionChoice::Named(F16)];
        for (choice, calibrated, viewing, measuring) in [
            (auto, None, Bf16, F32),
            (auto, Some(F32), F32, F32),
            (auto, Some(Bf16), Bf16, Bf16),
            (named, None, F16, F16),
            (named, Some(Bf16), F16, F16),
        ] {
            assert_eq!(choice.for_viewing(calibrated, Bf16), viewing);
            assert_eq!(choice.for_measuring(calibrated), measuring);
        }
        assert_eq!((auto.for_training(), named.for_training()), (F32, F16));
    }
}
