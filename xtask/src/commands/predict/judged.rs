//! What `predict` says where adapters are calibrated.

use anomaly::{Calibration, Detection, Judgement, Verdict};
use moeclip_eval::{MapRange, MapView};
use serde::Serialize;

/// What is written of an image besides.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Judged {
    calibrated_score: f32,
    /// Above it an image is anomalous.
    threshold: f32,
    verdict: Verdict,
    /// The share of pixels above the threshold of pixels.
    anomalous_share: f64,
}

/// What an overlay's legend says.
pub(super) struct Legend {
    pub(super) title: String,
    pub(super) score: f32,
}

impl Judged {
    pub(super) fn of(calibration: &Calibration, detection: &Detection) -> Self {
        let Judgement { score, verdict, anomalous_share } = calibration.judge(detection);
        let threshold = calibration.image_threshold.value;
        Self { calibrated_score: score, threshold, verdict, anomalous_share }
    }

    pub(super) fn is_anomalous(&self) -> bool {
        self.verdict == Verdict::Anomalous
    }
}

/// The legend of an image of `class`: its verdict and calibrated score, where there are any.
pub(super) fn legend(class: &str, score: f32, judged: Option<&Judged>) -> Legend {
    let Some(judged) = judged else {
        return Legend { title: class.to_owned(), score };
    };
    let verdict = if judged.is_anomalous() { "anomalous" } else { "normal" };
    Legend { title: format!("{class}: {verdict}"), score: judged.calibrated_score }
}

/// The values that overlays show as weakest and strongest: as asked for, those of all normal images,
/// or the map's own.
pub(super) fn colours(
    asked: Option<MapRange>,
    calibration: Option<&Calibration>,
    map: MapView<'_>,
) -> anyhow::Result<MapRange> {
    match (asked, calibration) {
        (Some(range), _) => Ok(range),
        (None, Some(Calibration { map, .. })) => Ok(MapRange::new(map.low, map.high)?),
        (None, None) => Ok(map.range()),
    }
}

/// Says on stderr that a calibration knows nothing of some of these classes.
pub(super) fn note_other_classes(calibration: Option<&Calibration>, classes: &[String]) {
    let Some(Calibration { images, .. }) = calibration else { return };
    let is_other = |class: &&String| !images.classes.contains(class);
    let others: Vec<&str> = classes.iter().filter(is_other).map(String::as_str).collect();
    if !others.is_empty() {
        eprintln!(
            "note: the adapters are calibrated on images of {}, not of {}; how many false alarms \
             there are is not known for these",
            images.classes.join(", "),
            others.join(", ")
        );
    }
}
