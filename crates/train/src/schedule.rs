//! The learning rate over time.

use serde::{Deserialize, Serialize};

/// A learning rate that is halved at given steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Halving {
    /// Before the first milestone.
    pub initial: f64,
    /// Steps (counted from 0) from which on it is halved once more.
    pub milestones: Vec<usize>,
}

impl Default for Halving {
    /// The paper's: 5e-4, halved at steps 16000 and 32000.
    fn default() -> Self {
        Self { initial: 5e-4, milestones: vec![16_000, 32_000] }
    }
}

impl Halving {
    /// The rate at a step, counted from 0.
    pub fn at(&self, step: usize) -> f64 {
        let passed = self.milestones.iter().filter(|milestone| step >= **milestone).count();
        self.initial * 0.5f64.powi(passed as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_halves_at_the_milestones() {
        let schedule = Halving::default();
        let rates = [0, 15_999, 16_000, 31_999, 32_000].map(|step| schedule.at(step));
        assert_eq!(rates, [5e-4, 5e-4, 2.5e-4, 2.5e-4, 1.25e-4]);
    }
}
