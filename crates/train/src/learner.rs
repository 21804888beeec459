//! One step after the other: forward, losses, backward, Adam.

use std::collections::BTreeMap;

use burn::backend::Autodiff;
use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::{Adam, AdamConfig, GradientsParams, Optimizer};
use burn::tensor::{Tensor, backend::Backend};
use clip_vit::{ClipSpec, Frozen};
use moeclip::{Adapters, ClassPrompts, Features, MapResampler, MoeClip, PromptBook, TextFeatures};
use moeclip_data::Batch;
use serde::Serialize;
use thiserror::Error;

use crate::checkpoint::Metrics;
use crate::state::place_moments;
use crate::{
    Checkpoint, CheckpointError, LossScaling, LossTerms, LossValues, Objective, TrainConfig,
    TrainConfigError, TrainState,
};

type Trained<B> = MoeClip<Autodiff<B>, Frozen<B>>;

/// A model in training.
pub struct Learner<B: Backend> {
    model: Trained<B>,
    objective: Objective<Autodiff<B>>,
    optimizer: OptimizerAdaptor<Adam, Adapters<Autodiff<B>>, Autodiff<B>>,
    book: PromptBook<B>,
    config: TrainConfig,
    scaling: Option<LossScaling>,
    metrics: Metrics,
    step: usize,
}

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StepReport {
    /// Steps done, this one included.
    pub step: usize,
    /// The rate it used.
    pub learning_rate: f64,
    /// The losses before the step.
    pub losses: LossValues,
}

/// A step that could not be made.
#[derive(Debug, Error)]
pub enum TrainError {
    /// A setting that no run can have.
    #[error(transparent)]
    Config(#[from] TrainConfigError),
    /// An image of a class without prompts.
    #[error("class {class:?} has no prompts here; encode every class before training")]
    Class {
        /// The class.
        class: String,
    },
    /// The loss left the numbers.
    #[error("step {step}: the loss is {loss}; lower learning_rate or check the weights")]
    Diverged {
        /// The step.
        step: usize,
        /// What was found.
        loss: f32,
    },
    /// Gradients that no factor on the loss makes finite.
    #[error(
        "step {step}: gradients are not finite however the loss is scaled; use --precision f32"
    )]
    Overflow {
        /// The step.
        step: usize,
    },
    /// The device did not give its numbers back.
    #[error("step {step}: the device gave no loss; check its memory and driver")]
    Device {
        /// The step.
        step: usize,
    },
}

impl<B: Backend> Learner<B> {
    /// A learner at step 0.
    ///
    /// # Errors
    ///
    /// [`TrainError::Config`] when a setting is unusable.
    pub fn new(
        model: Trained<B>,
        book: PromptBook<B>,
        config: TrainConfig,
        device: &B::Device,
    ) -> Result<Self, TrainError> {
        config.check()?;
        let image_size = model.config().image_size;
        let grid =
            model.config().grid(clip_vit::VisionBackbone::<Autodiff<B>>::spec(model.backbone()));
        let objective = Objective::new(MapResampler::new(grid, image_size, device), config.losses);
        let optimizer = AdamConfig::new()
            .with_beta_1(config.beta_1)
            .with_beta_2(config.beta_2)
            .with_epsilon(config.epsilon)
            .init();
        let scaling = LossScaling::needed_by(model.backbone().tower().precision());
        Ok(Self {
            model,
            objective,
            optimizer,
            book,
            config,
            scaling,
            metrics: Metrics::new(),
            step: 0,
        })
    }

    /// The same learner with its loss scaled in this way instead of as its precision needs.
    pub fn with_scaling(self, scaling: LossScaling) -> Self {
        Self { scaling: Some(scaling), ..self }
    }

    /// One step on a batch.
    ///
    /// # Errors
    ///
    /// [`TrainError`] when a class has no prompts or the loss is no number; the adapters are then
    /// as they were.
    pub fn step(&mut self, batch: Batch<B>) -> Result<StepReport, TrainError> {
        let prompts = batch
            .prompts
            .iter()
            .map(|class| {
                let missing = || TrainError::Class { class: class.clone() };
                self.book.get(class).cloned().ok_or_else(missing)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let (terms, _) = train_batch(&self.model, &self.objective, &prompts, batch);
        let step = self.step + 1;
        let losses = terms.values().ok_or(TrainError::Device { step })?;
        if !losses.total.is_finite() {
            return Err(TrainError::Diverged { step, loss: losses.total });
        }
        let learning_rate = self.config.learning_rate.at(self.step);
        self.descend(terms.total, learning_rate)?;
        self.metrics = losses.named();
        self.step = step;
        Ok(StepReport { step, learning_rate, losses })
    }

    /// The settings of the run.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// Steps done so far.
    pub fn steps(&self) -> usize {
        self.step
    }

    /// Everything that the next step depends on besides settings, CLIP and images, on the host.
    pub fn state(&self) -> TrainState {
        let record = self.optimizer.to_record();
        let state = TrainState::of(self.step, self.scaling, self.model.adapters(), record);
        TrainState { metrics: self.metrics.clone(), ..state }
    }

    /// The learner as it stood when a checkpoint of its run was saved.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`] when the checkpoint does not fit the model.
    pub fn restore(
        mut self,
        clip: &ClipSpec,
        checkpoint: &Checkpoint,
    ) -> Result<Self, CheckpointError> {
        let device = self.model.adapters().text.weight.val().device();
        let adapters = Adapters::load(self.model.config(), clip, &checkpoint.weights(), &device)?;
        let moments = place_moments(&adapters, checkpoint, &device)?;
        self.model.set_adapters(adapters);
        self.optimizer = self.optimizer.load_record(moments);
        self.scaling = checkpoint.scaling();
        self.metrics = checkpoint.metrics().clone();
        self.step = checkpoint.position().step;
        Ok(self)
    }

    /// The adapters as they are now, on the inner backend.
    pub fn adapters(&self) -> Adapters<B> {
        burn::module::AutodiffModule::valid(self.model.adapters())
    }

    /// The model in training.
    pub fn model(&self) -> &Trained<B> {
        &self.model
    }

    /// What was measured, by name, as in `loss.total`: the losses before the last step.
    pub fn metrics(&self) -> &BTreeMap<String, f32> {
        &self.metrics
    }

    /// How the loss is scaled, where the frozen part needs it.
    pub fn scaling(&self) -> Option<&LossScaling> {
        self.scaling.as_ref()
    }

    fn descend(
        &mut self,
        loss: Tensor<Autodiff<B>, 1>,
        learning_rate: f64,
    ) -> Result<(), TrainError> {
        let adapters = self.model.adapters().clone();
        let Some(gradients) = self.gradients(loss, &adapters)? else { return Ok(()) };
        let adapters = self.optimizer.step(learning_rate, adapters, gradients);
        self.model.set_adapters(adapters);
        Ok(())
    }

    /// The gradients of a loss; `None` when scaling it made one overflow.
    fn gradients(
        &mut self,
        loss: Tensor<Autodiff<B>, 1>,
        adapters: &Adapters<Autodiff<B>>,
    ) -> Result<Option<GradientsParams>, TrainError> {
        let of = |loss: Tensor<_, 1>| GradientsParams::from_grads(loss.backward(), adapters);
        let Some(scaling) = &mut self.scaling else { return Ok(Some(of(loss))) };
        let gradients = of(loss.mul_scalar(scaling.factor));
        let gradients = scaling.unscale(adapters, gradients);
        let step = self.step + 1;
        if scaling.is_exhausted() { Err(TrainError::Overflow { step }) } else { Ok(gradients) }
    }
}

/// Forward and losses of a batch, with the features they came from. One entry of `prompts` per
/// image.
pub fn train_batch<B: Backend>(
    model: &Trained<B>,
    objective: &Objective<Autodiff<B>>,
    prompts: &[ClassPrompts<B>],
    batch: Batch<B>,
) -> (LossTerms<Autodiff<B>>, Features<Autodiff<B>>) {
    let features = model.forward(Tensor::from_inner(batch.images));
    let text = &model.adapters().text;
    let rows = prompts.iter().map(|prompts| text.forward(&prompts.clone().under_autodiff()));
    let text = TextFeatures::stack(rows.collect());
    let masks = Tensor::from_inner(batch.masks);
    let labels = Tensor::from_inner(batch.labels.float());
    (objective.forward(&features, &text, masks, labels), features)
}
