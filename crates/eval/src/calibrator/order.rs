//! Which of the sorted scores is the threshold, and how sure that is: exact for independent images
//! without ties, whatever the scores' distribution is.

use anomaly::RateInterval;
use statrs::distribution::{Beta, Binomial, ContinuousCDF, DiscreteCDF};

/// What a product of a count and a rate may be off from a whole number.
const ROUNDING: f64 = 1e-9;

/// Ranks among scores sorted upwards, from 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ranks {
    /// The lowest above which a further score lies with at most the target rate.
    pub(super) threshold: usize,
    /// The ranks between which the threshold of exactly the target rate lies, with the level asked
    /// for; `None` where there are too few scores.
    pub(super) low: Option<usize>,
    pub(super) high: Option<usize>,
    /// What rate the threshold really has, with the level asked for.
    pub(super) fpr: RateInterval,
}

impl Ranks {
    /// Of `count` scores, at least [`images_needed`].
    pub(super) fn new(count: usize, rate: f64, level: f64) -> Self {
        let tail = (1.0 - level) / 2.0;
        let above = (allowed(count, rate) as usize).min(count.saturating_sub(1));
        let threshold = count - above;
        let (low, high) = quantile_ranks(count, rate, tail);
        Self { threshold, low, high, fpr: true_rate(count, threshold, tail) }
    }
}

/// How many images a rate needs: below, even the highest score would let too many through.
pub(super) fn images_needed(rate: f64) -> usize {
    ((1.0 / rate - ROUNDING).ceil() as usize).saturating_sub(1).max(1)
}

/// How many of `count` images may be above a threshold, so that one more is above it with at most the
/// rate: it counts as if it were. In images; a fraction counts where their pixels are counted.
pub(super) fn allowed(count: usize, rate: f64) -> f64 {
    ((count + 1) as f64 * rate - 1.0 + ROUNDING).max(0.0)
}

/// The ranks of an interval of the quantile that `rate` lies above: of the scores, a binomial number
/// lies below it (David and Nagaraja 2003, section 7.1).
fn quantile_ranks(count: usize, rate: f64, tail: f64) -> (Option<usize>, Option<usize>) {
    let Ok(below) = Binomial::new(1.0 - rate, count as u64) else { return (None, None) };
    let at_most = |number: usize| below.cdf(number as u64);
    let low = (1..=count).rev().find(|rank| at_most(rank - 1) <= tail);
    let high = (1..=count).find(|rank| at_most(rank - 1) >= 1.0 - tail);
    (low, high)
}

/// The share of a continuous distribution above its order statistic of a rank is a beta variable.
fn true_rate(count: usize, rank: usize, tail: f64) -> RateInterval {
    match Beta::new((count + 1 - rank) as f64, rank as f64) {
        Ok(rate) => {
            RateInterval { low: rate.inverse_cdf(tail), high: rate.inverse_cdf(1.0 - tail) }
        }
        Err(_) => RateInterval { low: 0.0, high: 1.0 },
    }
}
