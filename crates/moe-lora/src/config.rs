//! The sizes of a mixture, and the one line that refuses impossible ones.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Sizes and strength of a mixture of LoRA experts; the paper's values are the default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MoeLoraConfig {
    /// Token width `d`.
    pub width: usize,
    /// Number of experts `K`.
    pub experts: usize,
    /// Experts asked per token.
    pub top_k: usize,
    /// Rank `r` of each expert.
    pub rank: usize,
    /// Strength: expert outputs are scaled by `alpha / rank`.
    pub alpha: f64,
    /// Share `lambda` of the mixture in the stream.
    pub lambda: f64,
}

/// A mixture that cannot be built.
#[derive(Debug, Error, PartialEq)]
pub enum MoeLoraError {
    /// A size is zero.
    #[error("{field} is 0; it must be at least 1")]
    Zero {
        /// The field.
        field: &'static str,
    },
    /// More experts asked than there are.
    #[error("top_k = {top_k} asks for more than experts = {experts}; lower top_k")]
    TopK {
        /// Experts asked per token.
        top_k: usize,
        /// Experts there are.
        experts: usize,
    },
    /// A slice of the feature partition holds fewer channels than the rank needs.
    #[error(
        "rank = {rank} does not fit the smallest of experts = {experts} slices of width = {width} \
         ({slice} channels); lower rank or experts"
    )]
    Slice {
        /// Rank of each expert.
        rank: usize,
        /// Number of experts.
        experts: usize,
        /// Token width.
        width: usize,
        /// Channels of the smallest slice.
        slice: usize,
    },
    /// A number is not finite or has the wrong sign.
    #[error("{field} = {value} is not usable; it must be {must}")]
    Value {
        /// The field.
        field: &'static str,
        /// What was given.
        value: f64,
        /// What it must be.
        must: &'static str,
    },
    /// A matrix has another shape than the sizes say.
    #[error(
        "{name} has shape {found:?}, the sizes ask for {expected:?}; use the sizes it was made with"
    )]
    Shape {
        /// The matrix.
        name: &'static str,
        /// Its shape.
        found: [usize; 2],
        /// The shape that fits.
        expected: [usize; 2],
    },
}

impl MoeLoraConfig {
    /// The paper's values for tokens of this width.
    pub fn new(width: usize) -> Self {
        Self { width, experts: 4, top_k: 2, rank: 8, alpha: 16.0, lambda: 0.1 }
    }

    /// What expert outputs are scaled by.
    pub fn scale(&self) -> f64 {
        self.alpha / self.rank as f64
    }

    /// Checks that the mixture can be built.
    ///
    /// # Errors
    ///
    /// The first [`MoeLoraError`] found.
    pub fn check(&self) -> Result<(), MoeLoraError> {
        let Self { width, experts, top_k, rank, alpha, lambda } = *self;
        let sizes = [("width", width), ("experts", experts), ("top_k", top_k), ("rank", rank)];
        if let Some((field, _)) = sizes.into_iter().find(|(_, size)| *size == 0) {
            return Err(MoeLoraError::Zero { field });
        }
        if top_k > experts {
            return Err(MoeLoraError::TopK { top_k, experts });
        }
        let slice = width / experts;
        if rank > slice {
            return Err(MoeLoraError::Slice { rank, experts, width, slice });
        }
        if !alpha.is_finite() || alpha <= 0.0 {
            let must = "a positive number";
            return Err(MoeLoraError::Value { field: "alpha", value: alpha, must });
        }
        if !(0.0..=1.0).contains(&lambda) {
            let must = "between 0 and 1";
            return Err(MoeLoraError::Value { field: "lambda", value: lambda, must });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut MoeLoraConfig)) -> MoeLoraError {
        let mut config = MoeLoraConfig::new(64);
        change(&mut config);
        config.check().unwrap_err()
    }

    #[test]
    fn the_papers_values_are_accepted() {
        assert_eq!(MoeLoraConfig::new(1024).check(), Ok(()));
    }

    #[test]
    fn a_zero_size_is_named() {
        assert_eq!(refused(|c| c.rank = 0), MoeLoraError::Zero { field: "rank" });
    }

    #[test]
    fn top_k_cannot_exceed_the_experts() {
        assert_eq!(refused(|c| c.top_k = 5), MoeLoraError::TopK { top_k: 5, experts: 4 });
    }

    #[test]
    fn the_rank_must_fit_a_slice() {
        assert!(matches!(refused(|c| c.rank = 17), MoeLoraError::Slice { slice: 16, .. }));
    }

    #[test]
    fn alpha_must_be_positive() {
        assert!(matches!(refused(|c| c.alpha = f64::NAN), MoeLoraError::Value { .. }));
    }

    #[test]
    fn lambda_is_a_share() {
        assert!(matches!(refused(|c| c.lambda = 1.5), MoeLoraError::Value { field: "lambda", .. }));
    }
}
