//! Loss scaling: what lets gradients pass a frozen part that is held in f16.
//!
//! The gradient of a token shrinks with the number of patches that the loss averages over; on its way
//! back through f16 blocks what is under 6e-8 becomes zero, and what is over 65504 infinite. So the
//! loss is multiplied by a power of two before the backward pass, and the adapters' gradients, which are
//! f32, are divided by it. Where one is not finite the step moves no weight and the factor is halved;
//! after many steps without that it is doubled.

use burn::backend::Autodiff;
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Bool, Tensor, backend::Backend};
use clip_vit::Precision;
use moeclip::Adapters;
use serde::{Deserialize, Serialize};

/// The factor at the start, `2^10`. The largest gradient of a token on the goldens' 6 x 6 patches is
/// about 1, and smaller on more patches, so the first steps overflow nowhere.
const FIRST: f32 = 1024.0;
/// The factor never rises over it, `2^24`, nor falls under its inverse.
const LARGEST: f32 = 16_777_216.0;
/// Steps with finite gradients after which the factor is doubled.
const PATIENCE: usize = 2000;

/// A factor on the loss that follows what the gradients can bear. All of it decides the next step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossScaling {
    /// What the loss is multiplied by; a power of two, so that gradients are divided exactly.
    pub factor: f32,
    /// Steps with finite gradients since the factor last changed.
    pub finite_steps: usize,
    /// Steps in which no weight moved, in the whole run.
    pub skipped_steps: usize,
}

impl LossScaling {
    /// Scaling by this factor at first.
    pub fn starting_at(factor: f32) -> Self {
        Self { factor, finite_steps: 0, skipped_steps: 0 }
    }

    /// What a frozen part of this precision needs: only f16 has fewer exponents than f32.
    pub fn needed_by(precision: Precision) -> Option<Self> {
        match precision {
            Precision::F16 => Some(Self::starting_at(FIRST)),
            Precision::F32 | Precision::Bf16 => None,
        }
    }

    /// Whether gradients are not finite however small the factor.
    pub fn is_exhausted(&self) -> bool {
        self.factor < LARGEST.recip()
    }

    /// Takes a step's gradients back to those of the unscaled loss; `None` when one of them is not
    /// finite. Either way the factor is ready for the next step.
    pub(crate) fn unscale<B: Backend>(
        &mut self,
        adapters: &Adapters<Autodiff<B>>,
        gradients: GradientsParams,
    ) -> Option<GradientsParams> {
        let inverse = self.factor.recip();
        let mut unscaler = Unscaler::<B> { gradients, inverse, finite: Vec::new() };
        adapters.visit(&mut unscaler);
        let Unscaler { gradients, finite, .. } = unscaler;
        let finite = finite.is_empty()
            || Tensor::cat(finite, 0).all().into_data().iter().all(|all: bool| all);
        self.follow(finite);
        finite.then_some(gradients)
    }

    fn follow(&mut self, finite: bool) {
        if !finite {
            self.factor /= 2.0;
            self.finite_steps = 0;
            self.skipped_steps += 1;
            return;
        }
        self.finite_steps += 1;
        if self.finite_steps == PATIENCE {
            self.factor = (self.factor * 2.0).min(LARGEST);
            self.finite_steps = 0;
        }
    }
}

/// Divides gradients and notes which are finite, `[1]` each.
struct Unscaler<B: Backend> {
    gradients: GradientsParams,
    inverse: f32,
    finite: Vec<Tensor<B, 1, Bool>>,
}

impl<B: Backend> ModuleVisitor<Autodiff<B>> for Unscaler<B> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<Autodiff<B>, D>>) {
        let Some(gradient) = self.gradients.remove::<B, D>(param.id) else { return };
        self.finite.push(gradient.clone().is_finite().all());
        self.gradients.register::<B, D>(param.id, gradient.mul_scalar(self.inverse));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_f16_is_scaled() {
        assert!(LossScaling::needed_by(Precision::F16).is_some());
        assert_eq!(LossScaling::needed_by(Precision::F32), None);
        assert_eq!(LossScaling::needed_by(Precision::Bf16), None);
    }

    #[test]
    fn an_overflow_halves_and_starts_the_count_again() {
        let mut scaling = LossScaling { finite_steps: 7, ..LossScaling::starting_at(1024.0) };
        scaling.follow(false);
        assert_eq!(scaling, LossScaling { factor: 512.0, finite_steps: 0, skipped_steps: 1 });
        scaling.follow(true);
        assert_eq!(scaling, LossScaling { factor: 512.0, finite_steps: 1, skipped_steps: 1 });
    }

    #[test]
    fn patience_doubles_up_to_a_limit() {
        let mut scaling = LossScaling::starting_at(LARGEST / 2.0);
        (0..PATIENCE - 1).for_each(|_| scaling.follow(true));
        assert_eq!(scaling.factor, LARGEST / 2.0);
        (0..=PATIENCE).for_each(|_| scaling.follow(true));
        assert_eq!((scaling.factor, scaling.skipped_steps), (LARGEST, 0));
    }

    #[test]
    fn gradients_that_are_never_finite_end_it() {
        let mut scaling = LossScaling::starting_at(FIRST);
        let halvings = (0..100).take_while(|_| {
            scaling.follow(false);
            !scaling.is_exhausted()
        });
        assert_eq!(halvings.count(), 34);
    }
}
