//! What thresholds that were set beforehand do to test images: rates and F1 at them, not at the best
//! threshold that could have been found.

use serde::Serialize;

use crate::metrics::mean_of_defined;

/// The rates of decisions by calibrated thresholds, as fractions of 1; `None` (`null`) where
/// undefined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Decisions {
    /// The share of anomalous images that are called anomalous; undefined without one.
    pub image_tpr: Option<f64>,
    /// The share of normal images that are called anomalous; undefined without one.
    pub image_fpr: Option<f64>,
    /// F1 of the decisions on images; undefined with one kind of image only.
    pub image_f1: Option<f64>,
    /// The share of anomalous pixels that are called anomalous.
    pub pixel_tpr: Option<f64>,
    /// The share of normal pixels that are called anomalous.
    pub pixel_fpr: Option<f64>,
    /// F1 of the decisions on pixels; undefined with one kind of pixel only.
    pub pixel_f1: Option<f64>,
}

/// Counts decisions of one kind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    anomalous: Decided,
    normal: Decided,
}

#[derive(Clone, Copy, Debug, Default)]
struct Decided {
    all: u64,
    called_anomalous: u64,
}

impl Decisions {
    pub(super) fn new(images: Tally, pixels: Tally) -> Self {
        Self {
            image_tpr: images.anomalous.rate(),
            image_fpr: images.normal.rate(),
            image_f1: images.f1(),
            pixel_tpr: pixels.anomalous.rate(),
            pixel_fpr: pixels.normal.rate(),
            pixel_f1: pixels.f1(),
        }
    }

    /// Each rate's mean over the rows where it is defined; `None` where no row defines it.
    pub(super) fn mean<'a>(rows: impl Iterator<Item = &'a Decisions>) -> Decisions {
        let columns: Vec<[Option<f64>; 6]> = rows.map(Decisions::columns).collect();
        let mean = |column: usize| mean_of_defined(columns.iter().filter_map(|row| row[column]));
        Decisions {
            image_tpr: mean(0),
            image_fpr: mean(1),
            image_f1: mean(2),
            pixel_tpr: mean(3),
            pixel_fpr: mean(4),
            pixel_f1: mean(5),
        }
    }

    /// The rates in the order of the table.
    pub(super) fn columns(&self) -> [Option<f64>; 6] {
        [
            self.image_tpr,
            self.image_fpr,
            self.image_f1,
            self.pixel_tpr,
            self.pixel_fpr,
            self.pixel_f1,
        ]
    }
}

impl Tally {
    /// Takes a decision in.
    pub(super) fn add(&mut self, is_anomalous: bool, called_anomalous: bool) {
        let decided = if is_anomalous { &mut self.anomalous } else { &mut self.normal };
        decided.all += 1;
        decided.called_anomalous += u64::from(called_anomalous);
    }

    fn f1(&self) -> Option<f64> {
        let (hits, alarms) = (self.anomalous.called_anomalous, self.normal.called_anomalous);
        let has_both = self.anomalous.all > 0 && self.normal.all > 0;
        let twice_hits = 2.0 * hits as f64;
        has_both.then(|| twice_hits / (self.anomalous.all + hits + alarms) as f64)
    }
}

impl Decided {
    fn rate(&self) -> Option<f64> {
        (self.all > 0).then(|| self.called_anomalous as f64 / self.all as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_by_hand_and_what_is_undefined() {
        let mut images = Tally::default();
        for (is_anomalous, called) in
            [(true, true), (true, true), (true, false), (false, true), (false, false)]
        {
            images.add(is_anomalous, called);
        }
        let mut pixels = Tally::default();
        pixels.add(false, false);
        let decisions = Decisions::new(images, pixels);
        let expected = Decisions {
            image_tpr: Some(2.0 / 3.0),
            image_fpr: Some(0.5),
            image_f1: Some(4.0 / 6.0),
            pixel_tpr: None,
            pixel_fpr: Some(0.0),
            pixel_f1: None,
        };
        assert_eq!(decisions, expected);
        let other = Decisions { image_tpr: Some(0.0), ..Decisions::default() };
        let mean = Decisions::mean([decisions, other].iter());
        assert_eq!((mean.image_tpr, mean.image_fpr), (Some(1.0 / 3.0), Some(0.5)));
        assert_eq!(mean.pixel_f1, None);
    }
}
