//! What thresholds that were set beforehand do to test images: rates and F1 at them, not at the best
//! threshold that could have been found.

use std::ops::Index;

use serde::{Serialize, Serializer};

use super::metric::means;

/// A rate of decisions by calibrated thresholds, a fraction of 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DecisionRate {
    /// The share of anomalous images that are called anomalous; undefined without one.
    ImageTpr,
    /// The share of normal images that are called anomalous; undefined without one.
    ImageFpr,
    /// F1 of the decisions on images; undefined with one kind of image only.
    ImageF1,
    /// The share of anomalous pixels that are called anomalous.
    PixelTpr,
    /// The share of normal pixels that are called anomalous.
    PixelFpr,
    /// F1 of the decisions on pixels; undefined with one kind of pixel only.
    PixelF1,
}

impl DecisionRate {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 6] = [
        Self::ImageTpr,
        Self::ImageFpr,
        Self::ImageF1,
        Self::PixelTpr,
        Self::PixelFpr,
        Self::PixelF1,
    ];

    /// Its name in files.
    pub fn key(self) -> &'static str {
        match self {
            Self::ImageTpr => "image_tpr",
            Self::ImageFpr => "image_fpr",
            Self::ImageF1 => "image_f1",
            Self::PixelTpr => "pixel_tpr",
            Self::PixelFpr => "pixel_fpr",
            Self::PixelF1 => "pixel_f1",
        }
    }

    /// The head of its column.
    pub fn head(self) -> &'static str {
        match self {
            Self::ImageTpr => "I-TPR",
            Self::ImageFpr => "I-FPR",
            Self::ImageF1 => "I-F1",
            Self::PixelTpr => "P-TPR",
            Self::PixelFpr => "P-FPR",
            Self::PixelF1 => "P-F1",
        }
    }
}

/// The rates of decisions by calibrated thresholds; `None` (`null`) where undefined.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Decisions([Option<f64>; DecisionRate::ALL.len()]);

/// Counts decisions of one kind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DecisionCounts {
    anomalous: LabelCounts,
    normal: LabelCounts,
}

#[derive(Clone, Copy, Debug, Default)]
struct LabelCounts {
    all: u64,
    called_anomalous: u64,
}

impl Decisions {
    pub(super) fn new(images: DecisionCounts, pixels: DecisionCounts) -> Self {
        Self(DecisionRate::ALL.map(|rate| match rate {
            DecisionRate::ImageTpr => images.anomalous.rate(),
            DecisionRate::ImageFpr => images.normal.rate(),
            DecisionRate::ImageF1 => images.f1(),
            DecisionRate::PixelTpr => pixels.anomalous.rate(),
            DecisionRate::PixelFpr => pixels.normal.rate(),
            DecisionRate::PixelF1 => pixels.f1(),
        }))
    }

    /// The same with another value of one rate.
    #[must_use]
    pub fn with(mut self, rate: DecisionRate, value: Option<f64>) -> Self {
        self.0[rate as usize] = value;
        self
    }

    /// Each rate's mean over the rows where it is defined; `None` where no row defines it.
    pub(super) fn mean<'a>(rows: impl Iterator<Item = &'a Decisions>) -> Decisions {
        Self(means(rows.map(|row| row.0)))
    }

    /// The rates in the order of [`DecisionRate::ALL`].
    pub fn values(&self) -> [Option<f64>; DecisionRate::ALL.len()] {
        self.0
    }
}

impl Index<DecisionRate> for Decisions {
    type Output = Option<f64>;

    fn index(&self, rate: DecisionRate) -> &Option<f64> {
        &self.0[rate as usize]
    }
}

impl Serialize for Decisions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(DecisionRate::ALL.map(DecisionRate::key).into_iter().zip(self.0))
    }
}

impl DecisionCounts {
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

impl LabelCounts {
    fn rate(&self) -> Option<f64> {
        (self.all > 0).then(|| self.called_anomalous as f64 / self.all as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_by_hand_and_what_is_undefined() {
        let mut images = DecisionCounts::default();
        for (is_anomalous, called) in
            [(true, true), (true, true), (true, false), (false, true), (false, false)]
        {
            images.add(is_anomalous, called);
        }
        let mut pixels = DecisionCounts::default();
        pixels.add(false, false);
        let decisions = Decisions::new(images, pixels);
        let expected = Decisions::default()
            .with(DecisionRate::ImageTpr, Some(2.0 / 3.0))
            .with(DecisionRate::ImageFpr, Some(0.5))
            .with(DecisionRate::ImageF1, Some(4.0 / 6.0))
            .with(DecisionRate::PixelFpr, Some(0.0));
        assert_eq!(decisions, expected);
        let other = Decisions::default().with(DecisionRate::ImageTpr, Some(0.0));
        let mean = Decisions::mean([decisions, other].iter());
        let [tpr, fpr] = [DecisionRate::ImageTpr, DecisionRate::ImageFpr].map(|rate| mean[rate]);
        assert_eq!((tpr, fpr), (Some(1.0 / 3.0), Some(0.5)));
        assert_eq!(mean[DecisionRate::PixelF1], None);
    }
}
