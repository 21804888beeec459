//! Gradients and two optimiser steps on one batch, beside those of a golden. The second step is there because
//! the first, which moves a weight by nearly the sign of its gradient, cannot tell one pair of betas from another.

use std::collections::BTreeMap;

use burn::backend::Autodiff;
use burn::module::AutodiffModule;
use burn::optim::{GradientsParams, Optimizer};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use moeclip_goldens::{Comparison, GRADIENT, GoldenError};

use crate::learned::{learned_gradients, learned_values};

/// What a golden calls gradients and weights of its two steps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GoldenSteps {
    /// The gradients, as in `grad`.
    pub(crate) gradient: &'static str,
    /// The weights after the first step, as in `adam`.
    pub(crate) first: &'static str,
    /// The weights after the second step, as in `adam_second`.
    pub(crate) second: &'static str,
    /// How the second step is compared.
    pub(crate) second_by: SecondStep,
}

/// How a second step is compared.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SecondStep {
    /// By how far it moved each weight, with this tolerance.
    Movement(f64),
    /// By the weights it left: where it moves them by so little that storing them hides most of it.
    Weights,
}

/// How a module learns.
pub(crate) struct Learning<O, N> {
    /// What makes a step.
    pub(crate) optimizer: O,
    /// How large it is.
    pub(crate) rate: f64,
    /// From a parameter's path to its name in the golden.
    pub(crate) name: N,
}

impl GoldenSteps {
    /// Makes both steps with the loss of the module as it is, and compares gradients and weights.
    ///
    /// # Errors
    ///
    /// [`GoldenError`] when the golden lacks what a step is compared by.
    pub(crate) fn compare<B, M, O, N>(
        &self,
        comparison: &mut Comparison<'_>,
        module: M,
        mut learning: Learning<O, N>,
        loss: impl Fn(&M) -> Result<Tensor<Autodiff<B>, 1>, GoldenError>,
    ) -> Result<(), GoldenError>
    where
        B: Backend,
        M: AutodiffModule<Autodiff<B>>,
        O: Optimizer<M, Autodiff<B>>,
        N: Fn(&str) -> String,
    {
        let gradients = |module: &M| {
            let gradients = loss(module)?.backward();
            Ok::<_, GoldenError>(GradientsParams::from_grads(gradients, module))
        };
        let of_first = gradients(&module)?;
        for (name, data) in learned_gradients::<B, _>(&module, &of_first, &learning.name) {
            comparison.data_within(&format!("{}.{name}", self.gradient), &data, GRADIENT)?;
        }
        let module = learning.optimizer.step(learning.rate, module, of_first);
        let first = learned_values(&module, &learning.name);
        let of_second = gradients(&module)?;
        let module = learning.optimizer.step(learning.rate, module, of_second);
        let second = learned_values(&module, &learning.name);
        self.compare_weights(comparison, &first, &second)
    }

    fn compare_weights(
        &self,
        comparison: &mut Comparison<'_>,
        first: &BTreeMap<String, TensorData>,
        second: &BTreeMap<String, TensorData>,
    ) -> Result<(), GoldenError> {
        for ((name, first), second) in first.iter().zip(second.values()) {
            comparison.stepped(self.first, self.gradient, name, first)?;
            match self.second_by {
                SecondStep::Movement(tolerance) => {
                    let steps = [self.first, self.second];
                    comparison.moved(steps, name, [first, second], tolerance)?;
                }
                SecondStep::Weights => {
                    comparison.data(&format!("{}.{name}", self.second), second)?;
                }
            }
        }
        Ok(())
    }
}
