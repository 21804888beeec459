//! What was compared, how far apart it is, and how far apart it may be.

use std::collections::BTreeSet;
use std::time::Duration;

use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use serde::Serialize;

use crate::{Golden, GoldenError};

/// Relative L2 error allowed on a stage in f32.
pub const STAGE: f64 = 1e-4;

/// Relative L2 error allowed on gradients in f32.
pub const GRADIENT: f64 = 1e-3;

/// On the anomaly map of a sampled golden, the end of a whole ViT-L in f32.
const SAMPLED_MAP: f64 = 1e-3;

/// One stage beside the reference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ParityRow {
    /// The golden's name of it, without `out.`.
    pub stage: String,
    /// `|ours - reference| / |reference|`; the absolute norm where the reference is zero.
    pub error: f64,
    /// What it may be.
    pub tolerance: f64,
}

impl ParityRow {
    /// Whether it is within its tolerance; NaN never is.
    pub fn passes(&self) -> bool {
        self.error <= self.tolerance
    }
}

/// Every stage of a golden.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ParityReport {
    /// Stage by stage, in the golden's order.
    pub rows: Vec<ParityRow>,
    /// Seconds until weights and inputs were ready.
    pub load_seconds: f64,
}

impl ParityReport {
    /// Whether every stage is within its tolerance.
    pub fn passes(&self) -> bool {
        self.rows.iter().all(ParityRow::passes)
    }

    /// The stage that comes closest to its tolerance, or exceeds it most.
    pub fn worst(&self) -> Option<&ParityRow> {
        let strain = |row: &ParityRow| {
            let strain = if row.tolerance > 0.0 { row.error / row.tolerance } else { row.error };
            if strain.is_nan() { f64::INFINITY } else { strain }
        };
        self.rows.iter().max_by(|a, b| strain(a).total_cmp(&strain(b)))
    }
}

/// Collects stages as they are computed and knows which are still missing.
pub struct Comparison<'a> {
    golden: &'a Golden,
    open: BTreeSet<String>,
    rows: Vec<ParityRow>,
}

impl<'a> Comparison<'a> {
    /// Of everything that a golden expects.
    pub fn new(golden: &'a Golden) -> Self {
        Self { golden, open: golden.expected().into_iter().collect(), rows: Vec::new() }
    }

    /// Whether the golden holds this stage.
    pub fn wants(&self, stage: &str) -> bool {
        self.open.contains(&format!("out.{stage}"))
    }

    /// Compares a tensor, if the golden holds it.
    ///
    /// # Errors
    ///
    /// As [`Golden::values`].
    pub fn tensor<B: Backend, const D: usize>(
        &mut self,
        stage: &str,
        ours: Tensor<B, D>,
    ) -> Result<(), GoldenError> {
        self.tensor_within(stage, ours, self.tolerance(stage))
    }

    /// Compares a tensor, if the golden holds it, with a tolerance of its own.
    ///
    /// # Errors
    ///
    /// As [`Golden::values`].
    pub fn tensor_within<B: Backend, const D: usize>(
        &mut self,
        stage: &str,
        ours: Tensor<B, D>,
        tolerance: f64,
    ) -> Result<(), GoldenError> {
        if !self.wants(stage) {
            return Ok(());
        }
        self.data_within(stage, &ours.cast(DType::F32).into_data(), tolerance)
    }

    /// Compares host values, if the golden holds them.
    ///
    /// # Errors
    ///
    /// As [`Golden::values`].
    pub fn data(&mut self, stage: &str, ours: &TensorData) -> Result<(), GoldenError> {
        self.data_within(stage, ours, self.tolerance(stage))
    }

    /// Compares host values, if the golden holds them, with a tolerance of their own.
    ///
    /// # Errors
    ///
    /// As [`Golden::values`].
    pub fn data_within(
        &mut self,
        stage: &str,
        ours: &TensorData,
        tolerance: f64,
    ) -> Result<(), GoldenError> {
        let name = format!("out.{stage}");
        if !self.open.remove(&name) {
            return Ok(());
        }
        let reference = self.golden.values(&name)?;
        let same_size = ours.num_elements() == reference.values.len();
        let error = if same_size {
            relative_error(ours.iter::<f64>(), &reference.values)
        } else {
            f64::INFINITY
        };
        self.rows.push(ParityRow { stage: stage.to_owned(), error, tolerance });
        Ok(())
    }

    /// Compares a weight after an optimiser's first step, which moves it by nearly the sign of its gradient
    /// alone. Where the reference's gradient is within the tolerance of zero the sign is rounding,
    /// and such entries are left out. The stage is `STEP.WEIGHT`, its gradient `GRADIENT.WEIGHT`.
    ///
    /// # Errors
    ///
    /// As [`Golden::values`].
    pub fn stepped(
        &mut self,
        step: &str,
        gradient: &str,
        weight: &str,
        ours: &TensorData,
    ) -> Result<(), GoldenError> {
        let stage = format!("{step}.{weight}");
        let gradient = format!("out.{gradient}.{weight}");
        if !self.wants(&stage) || !self.golden.file().contains(&gradient) {
            return self.data(&stage, ours);
        }
        let gradient = self.golden.values(&gradient)?.values;
        let reference = self.golden.values(&format!("out.{stage}"))?.values;
        let square: f64 = gradient.iter().map(|g| f64::from(*g).powi(2)).sum();
        let floor = GRADIENT * (square / gradient.len() as f64).sqrt();
        let undecided = |g: f32| g != 0.0 && f64::from(g.abs()) < floor;
        let kept = ours.iter::<f32>().zip(&reference).zip(&gradient);
        let settled = kept.map(|((own, theirs), &g)| if undecided(g) { *theirs } else { own });
        let settled = TensorData::new(settled.collect(), ours.shape.clone());
        self.data(&stage, &settled)
    }

    /// Compares a weight after a second step by how far that step has moved it: the weights themselves would hide
    /// wrong betas. The stages are `FIRST.WEIGHT` and `SECOND.WEIGHT`.
    ///
    /// # Errors
    ///
    /// As [`Golden::values`].
    pub fn moved(
        &mut self,
        [first, second]: [&str; 2],
        weight: &str,
        [ours_first, ours_second]: [&TensorData; 2],
        tolerance: f64,
    ) -> Result<(), GoldenError> {
        let stage = format!("{second}.{weight}");
        if !self.open.remove(&format!("out.{stage}")) {
            return Ok(());
        }
        let before = self.golden.values(&format!("out.{first}.{weight}"))?.values;
        let after = self.golden.values(&format!("out.{stage}"))?.values;
        let reference: Vec<f32> = after.iter().zip(&before).map(|(b, a)| b - a).collect();
        let pairs = ours_second.iter::<f64>().zip(ours_first.iter::<f64>());
        let same_size = ours_second.num_elements() == reference.len();
        let error = if same_size {
            relative_error(pairs.map(|(second, first)| second - first), &reference)
        } else {
            f64::INFINITY
        };
        self.rows.push(ParityRow { stage, error, tolerance });
        Ok(())
    }

    /// The report; a stage that nobody computed is an error, never a pass.
    ///
    /// # Errors
    ///
    /// [`GoldenError::Unknown`] names the first stage that nobody computed.
    pub fn into_report(self, load: Duration) -> Result<ParityReport, GoldenError> {
        if let Some(name) = self.open.into_iter().next() {
            return Err(GoldenError::Unknown { file: self.golden.path().into(), name });
        }
        Ok(ParityReport { rows: self.rows, load_seconds: load.as_secs_f64() })
    }

    fn tolerance(&self, stage: &str) -> f64 {
        match stage {
            _ if stage.starts_with("selected.") => 0.0,
            _ if stage.starts_with("grad") => GRADIENT,
            _ if stage.starts_with("map.") && !self.golden.has_clip() => SAMPLED_MAP,
            _ => STAGE,
        }
    }
}

fn relative_error(ours: impl Iterator<Item = f64>, reference: &[f32]) -> f64 {
    let (mut distance, mut norm) = (0.0, 0.0);
    for (a, &b) in ours.zip(reference) {
        let b = f64::from(b);
        distance += (a - b) * (a - b);
        norm += b * b;
    }
    if norm == 0.0 { distance.sqrt() } else { (distance / norm).sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(error: f64, tolerance: f64) -> ParityRow {
        ParityRow { stage: "image".into(), error, tolerance }
    }

    #[test]
    fn the_error_is_relative_and_absolute_at_zero() {
        let error = relative_error([3.0, 4.0].into_iter(), &[3.0, 3.0]);
        assert!((error - 1.0 / 18f64.sqrt()).abs() < 1e-12);
        assert_eq!(relative_error([0.5].into_iter(), &[0.0]), 0.5);
    }

    #[test]
    fn a_nan_never_passes() {
        assert!(!row(f64::NAN, 1e-4).passes());
        assert!(row(1e-5, 1e-4).passes());
        assert!(row(0.0, 0.0).passes());
    }

    #[test]
    fn the_worst_is_the_one_that_strains_its_tolerance_most() {
        let rows = vec![row(5e-4, 1e-3), row(9e-5, 1e-4), row(0.0, 0.0)];
        let report = ParityReport { rows, load_seconds: 0.0 };
        assert_eq!(report.worst().map(|row| row.error), Some(9e-5));
        assert!(report.passes());
    }
}
