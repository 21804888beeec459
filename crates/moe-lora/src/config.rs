//! The sizes of a mixture, and the one line that refuses impossible ones.

use std::ops::Range;

use thiserror::Error;

use crate::fofs::{Fofs, UpStart, contiguous, partition};

/// Sizes, strength and start of a mixture of LoRA experts; the paper's values are the default.
#[derive(Debug, Clone, PartialEq)]
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
    /// How the down matrices `A` start, and whether they learn.
    pub fofs: Fofs,
    /// Channels of each expert's slice; `None` for equal ones.
    pub slices: Option<Vec<usize>>,
    /// How the up matrices `B` start.
    pub up: UpStart,
    /// Length of the columns of a `B` that does not start at zero.
    pub up_scale: f64,
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
    /// Slices that are not one for each expert, or do not cover the channels.
    #[error(
        "slices of {sizes:?} channels do not fit; give one size for each of experts = {experts}, \
         width = {width} in all"
    )]
    Slices {
        /// Channels of each slice.
        sizes: Vec<usize>,
        /// Number of experts.
        experts: usize,
        /// Token width.
        width: usize,
    },
    /// Slices for experts that read all channels.
    #[error("fofs = {fofs} has no slices to size; use fofs = on, or leave the sizes out")]
    NoPartition {
        /// How the down matrices start.
        fofs: &'static str,
    },
    /// An expert to keep that is not there, or is named twice.
    #[error("experts {kept:?} of {experts} cannot be kept; name each once, in ascending order")]
    Kept {
        /// What was to be kept.
        kept: Vec<usize>,
        /// Experts there are.
        experts: usize,
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
        Self {
            width,
            experts: 4,
            top_k: 2,
            rank: 8,
            alpha: 16.0,
            lambda: 0.1,
            fofs: Fofs::On,
            slices: None,
            up: UpStart::Zero,
            up_scale: 0.01,
        }
    }

    /// What expert outputs are scaled by.
    pub fn scale(&self) -> f64 {
        self.alpha / self.rank as f64
    }

    /// The same with one expert that is always asked and reads all channels.
    pub fn single(&self) -> Self {
        Self { experts: 1, top_k: 1, slices: None, ..self.clone() }
    }

    /// The channels that each expert reads.
    pub fn slices(&self) -> Vec<Range<usize>> {
        match &self.slices {
            _ if !self.fofs.partitions() => vec![0..self.width; self.experts],
            Some(sizes) => contiguous(sizes),
            None => partition(self.width, self.experts),
        }
    }

    /// Checks that the mixture can be built.
    ///
    /// # Errors
    ///
    /// The first [`MoeLoraError`] found.
    pub fn check(&self) -> Result<(), MoeLoraError> {
        let Self { width, experts, top_k, rank, .. } = *self;
        let sizes = [("width", width), ("experts", experts), ("top_k", top_k), ("rank", rank)];
        if let Some((field, _)) = sizes.into_iter().find(|(_, size)| *size == 0) {
            return Err(MoeLoraError::Zero { field });
        }
        if top_k > experts {
            return Err(MoeLoraError::TopK { top_k, experts });
        }
        self.check_slices()?;
        self.check_numbers()
    }

    fn check_slices(&self) -> Result<(), MoeLoraError> {
        let Self { width, experts, rank, fofs, .. } = *self;
        if let Some(sizes) = &self.slices {
            if !fofs.partitions() {
                return Err(MoeLoraError::NoPartition { fofs: fofs.name() });
            }
            let all = sizes.iter().try_fold(0, |sum: usize, size| sum.checked_add(*size));
            if sizes.len() != experts || all != Some(width) {
                return Err(MoeLoraError::Slices { sizes: sizes.clone(), experts, width });
            }
        }
        let smallest = self.slices().into_iter().map(|slice| slice.len()).min();
        match smallest.filter(|slice| *slice < rank) {
            Some(slice) => Err(MoeLoraError::Slice { rank, experts, width, slice }),
            None => Ok(()),
        }
    }

    fn check_numbers(&self) -> Result<(), MoeLoraError> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let Self { alpha, lambda, up_scale, .. } = *self;
        let rules = [
            ("alpha", alpha, positive(alpha), "a positive number"),
            ("lambda", lambda, (0.0..=1.0).contains(&lambda), "between 0 and 1"),
            ("up_scale", up_scale, positive(up_scale), "a positive number"),
        ];
        match rules.into_iter().find(|(_, _, holds, _)| !holds) {
            Some((field, value, _, must)) => Err(MoeLoraError::Value { field, value, must }),
            None => Ok(()),
        }
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
    fn given_slices_are_one_for_each_expert_and_cover_the_width() {
        for sizes in [vec![32, 32], vec![16, 16, 16, 17], vec![usize::MAX, 1, 32, 32]] {
            assert!(matches!(refused(|c| c.slices = Some(sizes)), MoeLoraError::Slices { .. }));
        }
        let narrow = refused(|c| c.slices = Some(vec![40, 7, 9, 8]));
        assert!(matches!(narrow, MoeLoraError::Slice { slice: 7, .. }));
    }

    #[test]
    fn experts_that_read_all_channels_have_no_slices() {
        for fofs in [Fofs::Off, Fofs::Unpartitioned] {
            let slices = Some(vec![16; 4]);
            let config = MoeLoraConfig { fofs, ..MoeLoraConfig::new(64) };
            assert_eq!(MoeLoraConfig { rank: 17, ..config.clone() }.check(), Ok(()));
            let error = MoeLoraConfig { slices, ..config }.check().unwrap_err();
            assert_eq!(error, MoeLoraError::NoPartition { fofs: fofs.name() });
        }
    }

    #[test]
    fn strengths_must_be_positive() {
        assert!(matches!(refused(|c| c.alpha = f64::NAN), MoeLoraError::Value { .. }));
        assert!(matches!(refused(|c| c.up_scale = 0.0), MoeLoraError::Value { .. }));
    }

    #[test]
    fn lambda_is_a_share() {
        assert!(matches!(refused(|c| c.lambda = 1.5), MoeLoraError::Value { field: "lambda", .. }));
    }
}
