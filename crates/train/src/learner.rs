//! One step after the other: forward, losses, backward, Adam.

use std::collections::BTreeMap;

use burn::backend::Autodiff;
use burn::module::Module;
use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::{Adam, AdamConfig, GradientsParams, Optimizer};
use burn::tensor::backend::Backend;
use clip_vit::ClipSpec;
use moe_lora::Mixture;
use moeclip::{
    AdapterError, Adapters, Chosen, ClassPrompts, ConfigError, MoeClip, MoeClipConfig, PromptBook,
};
use moeclip_data::{Batch, DataError};
use thiserror::Error;

use crate::checkpoint::Metrics;
use crate::pass::{self, BatchPass, Pass, Replica, TrainedModel, WayBack, pass, train_batch};
use crate::pruning::keep_moments;
use crate::state::place_moments;
use crate::{
    BatchValues, BestEpoch, Checkpoint, CheckpointError, ExpertLoads, FitError, HeldOutMetrics,
    KeptEpoch, LossScaling, LossValues, Objective, Outcome, StepReport, TapMetrics, TrainConfig,
    TrainConfigError, TrainState,
};

/// A model in training.
pub struct Learner<B: Backend> {
    model: TrainedModel<B>,
    objective: Objective<Autodiff<B>>,
    optimizer: OptimizerAdaptor<Adam, Adapters<Autodiff<B>>, Autodiff<B>>,
    book: PromptBook<B>,
    config: TrainConfig,
    scaling: Option<LossScaling>,
    metrics: Metrics,
    step: usize,
    best: Option<BestEpoch>,
    loads: ExpertLoads,
    /// Further devices that take their shards of every batch.
    replicas: Vec<Replica<B>>,
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
    /// Experts that cannot be dropped.
    #[error(transparent)]
    Model(#[from] ConfigError),
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
        model: TrainedModel<B>,
        book: PromptBook<B>,
        config: TrainConfig,
        device: &B::Device,
    ) -> Result<Self, TrainError> {
        config.check()?;
        refuse_pruning_nothing(&config, model.config())?;
        let objective = pass::objective(&model, config.losses, device);
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
            best: None,
            loads: ExpertLoads::default(),
            replicas: Vec::new(),
        })
    }

    /// The same learner with its loss scaled in this way instead of as its precision needs.
    pub fn with_scaling(self, scaling: LossScaling) -> Self {
        Self { scaling: Some(scaling), ..self }
    }

    /// The same learner, each of whose batches is shared out over its own device and further ones.
    /// Each of these gets a frozen tower of its own; adapters and Adam stay on the first.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] as [`moeclip::MoeClip::new`].
    pub fn beside(mut self, devices: &[B::Device]) -> Result<Self, ConfigError> {
        let replica = |device| Replica::new(&self.model, self.config.losses, device);
        self.replicas = devices.iter().map(replica).collect::<Result<_, _>>()?;
        Ok(self)
    }

    /// One step on a batch.
    ///
    /// # Errors
    ///
    /// [`TrainError`] when a class has no prompts, the device gives nothing back, the loss is no number,
    /// or its gradients overflow f16 however it is scaled; the adapters are then as they were.
    /// [`TrainError::Model`] when experts cannot be dropped: the step itself was made.
    pub fn step(&mut self, batch: Batch<B>) -> Result<StepReport, TrainError> {
        let prompts = self.prompts(&batch)?;
        let (images, step) = (prompts.len(), self.step + 1);
        let way_back = WayBack {
            factor: self.scaling.map_or(1.0, |scaling| scaling.factor),
            recompute: self.config.recompute,
        };
        let pass = pass(&self.model, &self.objective, &self.replicas, &prompts, batch, way_back);
        let Pass { values: BatchValues { losses, mut taps }, gradients } =
            pass.ok_or(TrainError::Device { step })?;
        let kept = self.model.config().kept_experts.iter().flatten();
        taps.iter_mut().zip(kept).for_each(|(tap, kept)| tap.experts.clone_from(kept));
        if !losses.total.is_finite() {
            return Err(TrainError::Diverged { step, loss: losses.total });
        }
        let learning_rate = self.config.learning_rate.at(self.step);
        self.descend(gradients, learning_rate)?;
        self.metrics = losses.named();
        self.step = step;
        self.prune(&taps)?;
        Ok(StepReport { step, images, learning_rate, losses, taps })
    }

    /// Mean losses over batches that are not learned from.
    ///
    /// # Errors
    ///
    /// [`FitError`] when an image cannot be read or a batch has no losses.
    pub fn measure(
        &self,
        batches: impl IntoIterator<Item = Result<Batch<B>, DataError>>,
    ) -> Result<HeldOutMetrics, FitError> {
        let mut model = self.model.clone();
        // Without gradients no graph is kept.
        model.set_adapters(self.model.adapters().clone().no_grad());
        let (mut images, mut sum) = (0, LossValues::default());
        for batch in batches {
            let batch = batch?;
            let prompts = self.prompts(&batch)?;
            let BatchPass { terms, .. } = train_batch(&model, &self.objective, &prompts, batch);
            let values = terms.values(&[]).ok_or(TrainError::Device { step: self.step })?;
            let mut losses = values.losses;
            losses.scale(prompts.len() as f32);
            sum.add(losses);
            images += prompts.len();
        }
        sum.scale(1.0 / images.max(1) as f32);
        Ok(HeldOutMetrics { images, losses: sum })
    }

    /// Notes how an epoch (from 1) did on held-out images, and keeps its adapters where it is the
    /// best so far and the run is to end with that.
    pub fn end_epoch(&mut self, epoch: usize, held_out: &HeldOutMetrics) {
        let loss = held_out.losses.detection();
        let better = self.best.as_ref().is_none_or(|best| best.is_beaten_by(held_out));
        if !loss.is_finite() || !better {
            return;
        }
        let weights = match self.config.keep {
            KeptEpoch::Best => self.state().weights,
            KeptEpoch::Last => Default::default(),
        };
        let (step, images) = (self.step, held_out.images);
        self.best = Some(BestEpoch { epoch, step, loss, images, weights });
    }

    /// Whether as many epochs as the run's patience allows have passed since the best one.
    pub fn is_out_of_patience(&self, epochs: usize) -> bool {
        let best = self.best.as_ref().map_or(0, |best| best.epoch);
        self.config.patience > 0 && epochs >= best + self.config.patience
    }

    /// The adapters that the run ends with if it ends now, and why these; `epochs` are those made so
    /// far, parts of one included.
    pub fn outcome(&self, epochs: f64) -> Outcome {
        if let (KeptEpoch::Best, Some(best)) = (self.config.keep, &self.best) {
            return Outcome { weights: best.weights.clone(), chosen: best.chosen() };
        }
        let because = match self.config.keep {
            KeptEpoch::Last => "the last",
            KeptEpoch::Best => "the last: the run ended before its first epoch did",
        };
        let chosen = Chosen { epochs, steps: self.step, because: because.into() };
        Outcome { weights: self.state().weights, chosen }
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
        let (model, record) = (self.model.adapters(), self.optimizer.to_record());
        TrainState {
            scaling: self.scaling,
            metrics: self.metrics.clone(),
            best: self.best.clone(),
            loads: self.loads.clone(),
            kept_experts: self.model.config().kept_experts.clone(),
            ..TrainState::of(self.step, model, record)
        }
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
        let kept_experts = checkpoint.kept_experts().cloned();
        let config = MoeClipConfig { kept_experts, ..self.model.config().clone() };
        let adapters = Adapters::load(&config, clip, &checkpoint.weights(), &device)?;
        let moments = place_moments(&adapters, checkpoint, &device)?;
        let backbone = self.model.backbone().clone();
        self.model =
            MoeClip::new(backbone, adapters, config, &device).map_err(AdapterError::from)?;
        self.loads = checkpoint.loads().clone();
        self.optimizer = self.optimizer.load_record(moments);
        self.scaling = checkpoint.scaling();
        self.metrics = checkpoint.metrics().clone();
        self.step = checkpoint.position().step;
        self.best = checkpoint.best().cloned();
        Ok(self)
    }

    /// The adapters as they are now, on the inner backend.
    pub fn adapters(&self) -> Adapters<B> {
        burn::module::AutodiffModule::valid(self.model.adapters())
    }

    /// The model in training.
    pub fn model(&self) -> &TrainedModel<B> {
        &self.model
    }

    /// What was measured, by name, as in `loss/total`: the losses before the last step.
    pub fn metrics(&self) -> &BTreeMap<String, f32> {
        &self.metrics
    }

    /// How the loss is scaled, where the frozen part needs it.
    pub fn scaling(&self) -> Option<&LossScaling> {
        self.scaling.as_ref()
    }

    fn prompts(&self, batch: &Batch<B>) -> Result<Vec<ClassPrompts<B>>, TrainError> {
        let prompts = batch.prompts.iter().map(|class| {
            let missing = || TrainError::Class { class: class.clone() };
            self.book.get(class).cloned().ok_or_else(missing)
        });
        prompts.collect()
    }

    /// Moves the adapters, unless scaling the loss made a gradient overflow.
    fn descend(
        &mut self,
        gradients: GradientsParams,
        learning_rate: f64,
    ) -> Result<(), TrainError> {
        let adapters = self.model.adapters().clone();
        let Some(gradients) = self.unscaled(gradients, &adapters)? else { return Ok(()) };
        let adapters = self.optimizer.step(learning_rate, adapters, gradients);
        self.model.set_adapters(adapters);
        Ok(())
    }

    /// Drops the experts that hardly any token asked, where the run is to find how many it needs.
    fn prune(&mut self, taps: &[TapMetrics]) -> Result<(), TrainError> {
        let pruning = self.config.prune;
        if pruning.below == 0.0 {
            return Ok(());
        }
        self.loads.add(taps);
        if !pruning.is_due(self.step) {
            return Ok(());
        }
        let loads = std::mem::take(&mut self.loads);
        let Some(kept) = loads.kept(pruning.below, self.model.config().top_k) else {
            return Ok(());
        };
        let moments = keep_moments(self.model.adapters(), self.optimizer.to_record(), &kept);
        self.model = self.model.keeping(&kept)?;
        self.optimizer = self.optimizer.clone().load_record(moments);
        Ok(())
    }

    /// The gradients of the loss itself; `None` when scaling it made one overflow.
    fn unscaled(
        &mut self,
        gradients: GradientsParams,
        adapters: &Adapters<Autodiff<B>>,
    ) -> Result<Option<GradientsParams>, TrainError> {
        let Some(scaling) = &mut self.scaling else { return Ok(Some(gradients)) };
        let gradients = scaling.unscale(adapters, gradients);
        let step = self.step + 1;
        if scaling.is_exhausted() { Err(TrainError::Overflow { step }) } else { Ok(gradients) }
    }
}

/// Without experts there is nothing to drop.
fn refuse_pruning_nothing(
    config: &TrainConfig,
    model: &MoeClipConfig,
) -> Result<(), TrainConfigError> {
    let value = config.prune.below;
    if value == 0.0 || model.mixture == Mixture::MoeLora {
        return Ok(());
    }
    let must = "0 where model.mixture is not moe-lora: there are no experts to drop";
    Err(TrainConfigError { field: "training.prune.below", value, must })
}
