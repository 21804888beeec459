//! Bootstrap intervals: how far the image metrics would move if other images had been drawn.
//!
//! Images are drawn with replacement, as many as there are; where images belong to groups, such as
//! the slices of one patient, groups are drawn, for the images of one are not independent (a cluster
//! bootstrap). The interval is the percentile interval of Efron and Tibshirani (1993, chapter 13).
//! Pixel metrics have intervals where they are asked for: of the same draws, from one pass over the
//! pixels.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::tie::Ranking;
use super::{BinaryMetrics, PixelMetrics, mean_of_defined};
use crate::EvalError;

/// How intervals are made.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bootstrap {
    /// How often images are drawn anew.
    pub resamples: usize,
    /// Decides all draws.
    pub seed: u64,
    /// The share of draws that an interval holds, such as 0.95.
    pub level: f64,
}

/// An interval of a metric, as fractions of 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// The metrics of every draw.
#[derive(Clone, Debug, PartialEq)]
pub struct Resamples {
    level: f64,
    draws: Vec<BinaryMetrics>,
    /// None where they were not asked for.
    pixels: Vec<PixelMetrics>,
}

impl Bootstrap {
    /// Checked settings.
    ///
    /// # Errors
    /// [`EvalError::Setting`] without resamples, or when `level` is not between 0 and 1.
    pub fn new(resamples: usize, seed: u64, level: f64) -> Result<Self, EvalError> {
        if resamples == 0 {
            return Err(EvalError::setting("resamples", resamples, "draw at least once"));
        }
        if !(level > 0.0 && level < 1.0) {
            return Err(EvalError::setting("level", level, "it must lie between 0 and 1"));
        }
        Ok(Self { resamples, seed, level })
    }

    /// Draws groups anew and measures each draw. `scores` are finite; `groups[i]` is the group of
    /// image `i`, from 0 on without gaps; `stream` keeps the draws of several classes apart.
    pub(crate) fn draw(
        &self,
        scores: &[f32],
        labels: &[bool],
        groups: &[usize],
        stream: u64,
    ) -> Resamples {
        let ranking = Ranking::new(scores, labels);
        let draws = self.drawn(groups, stream);
        let measured = draws.map(|drawn| ranking.weighted(|image| drawn[groups[image]]));
        Resamples { level: self.level, draws: measured.collect(), pixels: Vec::new() }
    }

    /// How often each group is drawn, draw by draw; the same for the same groups and stream.
    pub(crate) fn drawn(
        &self,
        groups: &[usize],
        stream: u64,
    ) -> impl Iterator<Item = Vec<u64>> + use<> {
        let count = groups.iter().max().map_or(0, |last| last + 1);
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(stream);
        (0..self.resamples).map(move |_| {
            let mut drawn = vec![0; count];
            for _ in 0..count {
                drawn[rng.random_range(0..count as u64) as usize] += 1;
            }
            drawn
        })
    }
}

impl Resamples {
    /// For each draw the mean over the classes that define a metric in it, as a report's mean has
    /// it. `None` unless all classes were drawn equally often.
    pub(crate) fn mean(classes: &[&Resamples]) -> Option<Resamples> {
        let first = classes.first()?;
        if classes.iter().any(|class| class.len() != first.len()) {
            return None;
        }
        let mean = |draw: usize, metric: fn(&BinaryMetrics) -> Option<f64>| {
            mean_of_defined(classes.iter().filter_map(|class| metric(&class.draws[draw])))
        };
        let draws = (0..first.len()).map(|draw| BinaryMetrics {
            auroc: mean(draw, |metrics| metrics.auroc),
            ap: mean(draw, |metrics| metrics.ap),
            f1_max: mean(draw, |metrics| metrics.f1_max),
        });
        let draws = draws.collect();
        Some(Resamples { level: first.level, draws, pixels: Self::mean_pixels(classes) })
    }

    /// The same of pixels; none unless all classes have as many.
    fn mean_pixels(classes: &[&Resamples]) -> Vec<PixelMetrics> {
        let counts = classes.iter().map(|class| class.pixels.len());
        let mean = |draw: usize, metric: fn(&PixelMetrics) -> Option<f64>| {
            mean_of_defined(classes.iter().filter_map(|class| metric(&class.pixels[draw])))
        };
        let draws = (0..counts.min().unwrap_or_default()).map(|draw| PixelMetrics {
            auroc: mean(draw, |metrics| metrics.auroc),
            ap: mean(draw, |metrics| metrics.ap),
            f1_max: mean(draw, |metrics| metrics.f1_max),
            iou: mean(draw, |metrics| metrics.iou),
            aupro_exact: mean(draw, |metrics| metrics.aupro_exact),
            aupro_200: None,
        });
        draws.collect()
    }

    /// The same with what pixels gave in each draw.
    pub(crate) fn with_pixels(self, pixels: Vec<PixelMetrics>) -> Self {
        Self { pixels, ..self }
    }

    /// The share of draws that an interval holds.
    pub fn level(&self) -> f64 {
        self.level
    }

    /// Draws.
    pub(crate) fn len(&self) -> usize {
        self.draws.len()
    }

    /// The interval of one metric. Draws that leave it undefined, with one kind of image only, have no
    /// say; `None` where all do.
    pub fn interval(&self, metric: fn(&BinaryMetrics) -> Option<f64>) -> Option<Interval> {
        self.middle(self.draws.iter().filter_map(metric).collect())
    }

    /// The interval of one metric of pixels; `None` too where they were not asked for.
    pub(crate) fn pixel_interval(
        &self,
        metric: fn(&PixelMetrics) -> Option<f64>,
    ) -> Option<Interval> {
        self.middle(self.pixels.iter().filter_map(metric).collect())
    }

    /// The interval that holds the middle of the values.
    fn middle(&self, mut values: Vec<f64>) -> Option<Interval> {
        values.sort_by(f64::total_cmp);
        let tail = (1.0 - self.level) / 2.0;
        Some(Interval { low: quantile(&values, tail)?, high: quantile(&values, 1.0 - tail)? })
    }
}

/// The quantile of sorted values, interpolated between the two nearest.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(below + (above - below) * place.fract())
}
