//! The learning rate of pretraining: up in a line, down in half a cosine.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// A rate that rises for a while and then falls to nothing at the run's end.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmCosine {
    /// The highest rate.
    pub peak: f64,
    /// Steps until it is reached.
    pub warmup: usize,
}

impl WarmCosine {
    /// The rate at a step, counted from 0, of a run of `steps`.
    pub fn at(&self, step: usize, steps: usize) -> f64 {
        if step < self.warmup {
            return self.peak * (step + 1) as f64 / self.warmup as f64;
        }
        let left = steps.saturating_sub(self.warmup).max(1);
        let passed = (step - self.warmup).min(left) as f64 / left as f64;
        self.peak * 0.5 * (1.0 + (PI * passed).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_in_a_line_and_falls_to_nothing() {
        let rate = WarmCosine { peak: 2.0, warmup: 4 };
        assert_eq!([0, 1, 3].map(|step| rate.at(step, 14)), [0.5, 1.0, 2.0]);
        assert_eq!(rate.at(4, 14), 2.0);
        assert!((rate.at(9, 14) - 1.0).abs() < 1e-12);
        assert!(rate.at(14, 14).abs() < 1e-12);
        assert!(rate.at(99, 14).abs() < 1e-12);
    }
}
