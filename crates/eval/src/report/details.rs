//! What stands behind a class's numbers: the scores one by one, the curves, and which images a person
//! should look at.

use super::{ClassScores, Protocol};
use crate::metrics::Curves;
use crate::{EvalError, MapRange};
use anomaly::{Calibration, ScoreRule};

/// A class after all its images were taken in. Scores are the paper protocol's, which the published
/// tables are made of.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassDetails {
    /// The class.
    pub class: String,
    /// The score of each image, in the order they were taken in.
    pub scores: Vec<f32>,
    /// Whether each is anomalous.
    pub labels: Vec<bool>,
    /// Over images; `None` where undefined.
    pub images: Option<Curves>,
    /// Over pixels; `None` where undefined.
    pub pixels: Option<Curves>,
    /// The scores as deployed, where there is a calibration.
    pub deployed: Option<DeployedScores>,
    /// The lowest and highest value of all maps, for pictures that can be compared; `None` without
    /// images.
    pub range: Option<MapRange>,
}

/// What a calibration makes of a class's images.
#[derive(Clone, Debug, PartialEq)]
pub struct DeployedScores {
    /// The score of each image.
    pub scores: Vec<f32>,
    /// An image whose score is above this is called anomalous.
    pub threshold: f32,
}

/// An image of a list of classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImagePlace {
    /// Which class.
    pub class: usize,
    /// Which of its images.
    pub image: usize,
    /// Why it is worth a look.
    pub kind: CaseKind,
}

/// Why an image is worth a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaseKind {
    /// Anomalous, and among the highest scores.
    Found,
    /// Anomalous, and among the lowest scores.
    Missed,
    /// Normal, and among the highest scores.
    FalseAlarm,
}

impl CaseKind {
    /// As pages call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Found => "Anomalous, high score:",
            Self::Missed => "Anomalous, low score:",
            Self::FalseAlarm => "Normal, high score:",
        }
    }
}

impl ClassDetails {
    /// The details of a class; its pixels are counted here.
    ///
    /// # Errors
    /// As [`ClassScores::pixel_curves`].
    pub(super) fn of(
        taken: &mut ClassScores,
        rule: ScoreRule,
        calibration: Option<&Calibration>,
    ) -> Result<Self, EvalError> {
        let pixels = taken.pixel_curves()?;
        let (class, range, labels) = (taken.class().to_owned(), taken.range(), taken.labels());
        // Undefined without a calibration only.
        let scores = taken.image_scores(rule, Protocol::Paper).unwrap_or_default();
        let deployed = calibration.and_then(|calibration| {
            let scores = taken.image_scores(rule, Protocol::Deployed)?;
            Some(DeployedScores { scores, threshold: calibration.image_threshold.value })
        });
        let images = Curves::of_finite(&scores, &labels);
        Ok(Self { class, scores, labels, images, pixels, deployed, range })
    }
}

/// Of each kind of case the `most` telling images of all classes, the most telling first. Images with
/// equal scores keep their order, so the same scores give the same choice, and no image is named twice.
pub fn choose_cases(classes: &[ClassDetails], most: usize) -> Vec<ImagePlace> {
    let anomalous = downwards(classes, true);
    let (found, rest) = anomalous.split_at(most.min(anomalous.len()));
    let missed = rest.iter().rev().take(most);
    let (normal, most) = (downwards(classes, false), most);
    let of_kind = |kind| move |&[class, image]: &[usize; 2]| ImagePlace { class, image, kind };
    let found = found.iter().map(of_kind(CaseKind::Found));
    let missed = missed.map(of_kind(CaseKind::Missed));
    let alarms = normal.iter().take(most).map(of_kind(CaseKind::FalseAlarm));
    found.chain(missed).chain(alarms).collect()
}

/// `[class, image]` of the anomalous or the normal images, from the highest score down.
fn downwards(classes: &[ClassDetails], label: bool) -> Vec<[usize; 2]> {
    let score = |&[class, image]: &[usize; 2]| classes[class].scores[image];
    let images = |(class, details): (usize, &ClassDetails)| {
        let labels = details.labels.iter().enumerate().filter(|(_, is)| **is == label);
        labels.map(|(image, _)| [class, image]).collect::<Vec<_>>()
    };
    let mut places: Vec<[usize; 2]> = classes.iter().enumerate().flat_map(images).collect();
    places.sort_by(|a, b| score(b).total_cmp(&score(a)));
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_case_names_other_images() {
        let details = |scores: [f32; 4], labels: [bool; 4]| ClassDetails {
            class: "c".into(),
            scores: scores.to_vec(),
            labels: labels.to_vec(),
            images: None,
            pixels: None,
            deployed: None,
            range: None,
        };
        let classes = [
            details([0.9, 0.1, 0.8, 0.2], [true, true, false, false]),
            details([0.5, 0.5, 0.5, 0.5], [true, true, true, false]),
        ];
        let cases = choose_cases(&classes, 2);
        let at = |kind| -> Vec<[usize; 2]> {
            let of_kind = cases.iter().filter(|case| case.kind == kind);
            of_kind.map(|case| [case.class, case.image]).collect()
        };
        assert_eq!(at(CaseKind::Found), [[0, 0], [1, 0]]);
        assert_eq!(at(CaseKind::Missed), [[0, 1], [1, 2]]);
        assert_eq!(at(CaseKind::FalseAlarm), [[0, 2], [1, 3]]);
    }
}
