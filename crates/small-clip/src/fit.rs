//! A whole run of pretraining.

use std::ops::ControlFlow;

use burn::tensor::backend::Backend;

use crate::learner::{PretrainError, PretrainLearner, PretrainMetrics};
use crate::pictures::Pictures;
use moeclip_train::Ending;

/// Steps between two looks at held-out pictures.
const LOOK_EVERY: usize = 500;

/// What is learned from, and what never is.
#[derive(Debug, Clone, Copy)]
pub struct Lessons<'a> {
    /// What is learned from.
    pub pictures: &'a Pictures,
    /// What is measured now and then, and behind the last step.
    pub held_out: &'a Pictures,
}

/// Steps from where the learner stands to the end of its run, or until `watch` breaks; it sees the learner
/// as each step left it.
///
/// # Errors
///
/// [`PretrainError`] when a step fails; the learner keeps what it has learned.
pub fn fit<B: Backend>(
    learner: &mut PretrainLearner<B>,
    lessons: Lessons<'_>,
    mut watch: impl FnMut(&PretrainLearner<B>, &PretrainMetrics) -> ControlFlow<()>,
) -> Result<Ending, PretrainError> {
    let steps = learner.config().steps;
    while learner.steps() < steps {
        let mut metrics = learner.step(lessons.pictures)?;
        if metrics.step.is_multiple_of(LOOK_EVERY) || metrics.step == steps {
            metrics.held_out = Some(learner.measure(lessons.held_out)?);
        }
        if watch(learner, &metrics).is_break() {
            return Ok(Ending::Interrupted);
        }
    }
    Ok(Ending::Complete)
}
