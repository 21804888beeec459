//! Which calibration a command goes by, and what is said of it.

use anomaly::{Calibration, CalibrationConditions, Domain};
use anyhow::anyhow;
use clap::Args;
use clip_vit::Precision;
use moeclip::{AdapterFile, PromptSet};

use crate::cli::Common;
use crate::model::{ClipArgs, read_clip, source_sha256};

/// Whether the calibration that adapters carry is used.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct CalibrationArgs {
    /// Leave the calibration that the adapters carry aside
    #[arg(long)]
    pub(crate) uncalibrated: bool,
}

impl CalibrationArgs {
    /// The calibration of the adapters, if they carry one and it is wanted; one for other images,
    /// another CLIP or another precision is refused.
    pub(crate) fn of(
        &self,
        adapter: &AdapterFile,
        clip: &ClipArgs,
        domain: Domain,
        common: &Common,
    ) -> anyhow::Result<Option<Calibration>> {
        let Some(calibration) = adapter.calibration().filter(|_| !self.uncalibrated) else {
            return Ok(None);
        };
        let given = conditions(adapter, clip, domain, common)?;
        let file = adapter.path().display();
        calibration.require(&given).map_err(|error| anyhow!("{file}: {error} (--uncalibrated)"))?;
        Ok(Some(calibration.clone()))
    }
}

/// What a calibration of these adapters with this CLIP holds for.
pub(crate) fn conditions(
    adapter: &AdapterFile,
    clip: &ClipArgs,
    domain: Domain,
    common: &Common,
) -> anyhow::Result<CalibrationConditions> {
    let clip_sha256 = source_sha256(&read_clip(&clip.clip, &clip.shape)?);
    Ok(conditions_with(adapter, clip_sha256, domain, common))
}

/// The same where the CLIP's SHA-256 is known.
pub(crate) fn conditions_with(
    adapter: &AdapterFile,
    clip_sha256: String,
    domain: Domain,
    common: &Common,
) -> CalibrationConditions {
    let prompts = adapter.provenance().map_or_else(PromptSet::default, |from| from.prompts.clone());
    let precision = Precision::from(common.precision);
    CalibrationConditions {
        domain,
        image_size: adapter.config().image_size,
        precision: precision.dtype().name().to_owned(),
        clip_sha256,
        prompts_sha256: prompts.sha256(),
    }
}

/// A calibration for a person: names and what they say.
pub(crate) fn described(calibration: &Calibration) -> Vec<(&'static str, String)> {
    let Calibration { map, image, image_threshold, pixel_threshold, images, conditions } =
        calibration;
    let percent = |rate: f64| (1e6 * rate).round() / 1e4;
    let end = |end: Option<f32>| end.map_or("-".to_owned(), |end| format!("{end:.4}"));
    let (level, fpr) = (percent(image_threshold.level), image_threshold.fpr);
    let count = images.data.images.len();
    let (domain, size) = (conditions.domain, conditions.image_size);
    vec![
        (
            "calibrated on",
            format!("{count} normal images of {} ({})", images.data.name, images.split),
        ),
        ("showing", images.classes.join(", ")),
        ("for", format!("{domain:?} images, {size}x{size}, {}", conditions.precision)),
        ("map", format!("{:.4} to {:.4}", map.low, map.high)),
        ("image head", format!("{:.4} to {:.4}", image.low, image.high)),
        (
            "threshold",
            format!(
                "{:.4} for an FPR of {} % ({level} %: {} to {})",
                image_threshold.value,
                percent(image_threshold.target_fpr),
                end(image_threshold.low),
                end(image_threshold.high),
            ),
        ),
        (
            "its true FPR",
            format!("{:.2} to {:.2} % with {level} %", percent(fpr.low), percent(fpr.high)),
        ),
        (
            "pixel threshold",
            format!(
                "{:.4} for an FPR of {} %",
                pixel_threshold.value,
                percent(pixel_threshold.target_fpr)
            ),
        ),
    ]
}
