//! Training of MoECLIP's adapters: what a step is, what is kept of it, and what a run ends with.

use std::collections::BTreeMap;

use burn::backend::Autodiff;
use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams, Optimizer};
use burn::tensor::{TensorData, backend::Backend};
use clip_vit::ClipSpec;
use moeclip::{
    AdapterError, Adapters, Chosen, ClassPrompts, ConfigError, MoeClip, MoeClipConfig, PromptBook,
};
use moeclip_data::{Batch, DataError};

use crate::checkpoint::{self, CheckpointFormat, Metrics};
use crate::experts::keep_moments;
use crate::gradients::{
    self, BackwardSettings, BatchGradients, ForwardOutput, Replica, TrainedModel, batch_gradients,
    forward_batch,
};
use crate::{
    AdamOptimizer, Backward, BatchValues, BestEpoch, Checkpoint, CheckpointError, ExpertLoads,
    FinalAdapters, FitError, HeldOutMetrics, KeptEpoch, LossScaling, LossValues, Objective,
    RunDescription, SavedState, StepReport, TrainConfig, TrainError, TrainState, Trainable,
    Trainer,
};

/// A trainer of MoECLIP's adapters.
pub type Learner<B> = Trainer<B, AdapterTraining<B>>;

/// MoECLIP in training.
pub struct AdapterTraining<B: Backend> {
    model: TrainedModel<B>,
    objective: Objective<Autodiff<B>>,
    book: PromptBook<B>,
    config: TrainConfig,
    scaling: Option<LossScaling>,
    metrics: Metrics,
    best: Option<BestEpoch>,
    loads: ExpertLoads,
    /// Further devices that take their shards of every batch.
    replicas: Vec<Replica<B>>,
}

impl<B: Backend> Trainable<B> for AdapterTraining<B> {
    type Parameters = Adapters<Autodiff<B>>;
    type Batch = Batch<B>;
    type Report = StepReport;
    type Error = TrainError;
    type Run = RunDescription;

    const FORMAT: CheckpointFormat = checkpoint::FORMAT;

    fn adam(&self) -> AdamConfig {
        AdamConfig::new()
            .with_beta_1(self.config.beta_1)
            .with_beta_2(self.config.beta_2)
            .with_epsilon(self.config.epsilon)
    }

    fn learning_rate(&self, step: usize) -> f64 {
        self.config.learning_rate.at(step)
    }

    fn parameters(&self) -> &Adapters<Autodiff<B>> {
        self.model.adapters()
    }

    fn set_parameters(&mut self, adapters: Adapters<Autodiff<B>>) {
        self.model.set_adapters(adapters);
    }

    /// Fails when a class has no prompts, the device gives nothing back, the loss is no number, or its
    /// gradients overflow f16 however it is scaled.
    fn backward(
        &mut self,
        step: usize,
        batch: Batch<B>,
    ) -> Result<Backward<StepReport>, TrainError> {
        let learning_rate = self.learning_rate(step);
        let prompts = self.prompts(&batch)?;
        let (images, step) = (prompts.len(), step + 1);
        let settings = BackwardSettings {
            factor: self.scaling.map_or(1.0, |scaling| scaling.factor),
            recompute: self.config.recompute,
        };
        let result = batch_gradients(
            &self.model,
            &self.objective,
            &self.replicas,
            &prompts,
            batch,
            settings,
        );
        let BatchGradients { values: BatchValues { losses, mut taps }, gradients } =
            result.ok_or(TrainError::Device { step })?;
        let kept = self.model.config().kept_experts.iter().flatten();
        taps.iter_mut().zip(kept).for_each(|(tap, kept)| tap.experts.clone_from(kept));
        if !losses.total.is_finite() {
            return Err(TrainError::Diverged { step, loss: losses.total });
        }
        let gradients = self.unscaled(step, gradients)?;
        let report = StepReport { step, images, learning_rate, losses, taps };
        Ok(Backward { gradients, report })
    }

    /// Drops the experts that hardly any token asked, where the run is to find how many it needs.
    fn after_step(
        &mut self,
        step: usize,
        report: &StepReport,
        adam: &mut AdamOptimizer<Adapters<Autodiff<B>>, B>,
    ) -> Result<(), TrainError> {
        self.metrics = report.losses.named();
        let pruning = self.config.prune;
        if pruning.below == 0.0 {
            return Ok(());
        }
        self.loads.add(&report.taps);
        if !pruning.is_due(step) {
            return Ok(());
        }
        let loads = std::mem::take(&mut self.loads);
        let Some(kept) = loads.kept(pruning.below, self.model.config().top_k) else {
            return Ok(());
        };
        let moments = keep_moments(self.model.adapters(), adam.to_record(), &kept);
        self.model = self.model.keeping(&kept)?;
        *adam = adam.clone().load_record(moments);
        Ok(())
    }

    fn saved(&self, step: usize, run: &RunDescription) -> serde_json::Result<SavedState> {
        checkpoint::saved(self.state(step), run)
    }
}

impl<B: Backend> Trainer<B, AdapterTraining<B>> {
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
        Ok(Self::start(AdapterTraining::new(model, book, config, device)?))
    }

    /// The same learner with its loss scaled in this way instead of as its precision needs.
    pub fn with_scaling(mut self, scaling: LossScaling) -> Self {
        self.method.scaling = Some(scaling);
        self
    }

    /// The same learner, each of whose batches is shared out over its own device and further ones.
    /// Each of these gets a frozen tower of its own; adapters and Adam stay on the first.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] as [`moeclip::MoeClip::new`].
    pub fn beside(mut self, devices: &[B::Device]) -> Result<Self, ConfigError> {
        let replica = |device| Replica::new(&self.model, self.config.losses, device);
        self.method.replicas = devices.iter().map(replica).collect::<Result<_, _>>()?;
        Ok(self)
    }

    /// The learner as it stood when a checkpoint of its run was saved.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`] when the checkpoint does not fit the model.
    pub fn restore(
        self,
        clip: &ClipSpec,
        checkpoint: &Checkpoint,
    ) -> Result<Self, CheckpointError> {
        let device = self.model.adapters().text.weight.val().device();
        let method = self.method.restore(clip, checkpoint, &device)?;
        Self::resume(method, checkpoint.position().step, &checkpoint.file, &device)
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
            let ForwardOutput { terms, .. } =
                forward_batch(&model, &self.objective, &prompts, batch);
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
            KeptEpoch::Best => self.weights(),
            KeptEpoch::Last => Default::default(),
        };
        let (step, images) = (self.step, held_out.images);
        self.method.best = Some(BestEpoch { epoch, step, loss, images, weights });
    }

    /// The adapters that the run ends with if it ends now, and why these; `epochs` are those made so
    /// far, parts of one included.
    pub fn outcome(&self, epochs: f64) -> FinalAdapters {
        if let (KeptEpoch::Best, Some(best)) = (self.config.keep, &self.best) {
            return FinalAdapters { weights: best.weights.clone(), chosen: best.chosen() };
        }
        let because = match self.config.keep {
            KeptEpoch::Last => "the last",
            KeptEpoch::Best => "the last: the run ended before its first epoch did",
        };
        let chosen = Chosen { epochs, steps: self.step, because: because.into() };
        FinalAdapters { weights: self.weights(), chosen }
    }

    /// Everything that the next step depends on besides settings, CLIP and images, on the host.
    pub fn state(&self) -> TrainState {
        TrainState { moments: self.moments(), ..self.method.state(self.step) }
    }
}

impl<B: Backend> AdapterTraining<B> {
    fn new(
        model: TrainedModel<B>,
        book: PromptBook<B>,
        config: TrainConfig,
        device: &B::Device,
    ) -> Result<Self, TrainError> {
        config.check()?;
        config.prune.check(model.config())?;
        let objective = gradients::objective(&model, config.losses, device);
        let scaling = LossScaling::needed_by(model.backbone().tower().precision());
        Ok(Self {
            model,
            objective,
            book,
            config,
            scaling,
            metrics: Metrics::new(),
            best: None,
            loads: ExpertLoads::default(),
            replicas: Vec::new(),
        })
    }

    fn restore(
        self,
        clip: &ClipSpec,
        checkpoint: &Checkpoint,
        device: &B::Device,
    ) -> Result<Self, CheckpointError> {
        let kept_experts = checkpoint.kept_experts().cloned();
        let config = MoeClipConfig { kept_experts, ..self.model.config().clone() };
        let adapters = Adapters::load(&config, clip, &checkpoint.weights(), device)?;
        let backbone = self.model.backbone().clone();
        Ok(Self {
            model: MoeClip::new(backbone, adapters, config, device).map_err(AdapterError::from)?,
            loads: checkpoint.loads().clone(),
            scaling: checkpoint.scaling(),
            metrics: checkpoint.metrics().clone(),
            best: checkpoint.best().cloned(),
            ..self
        })
    }

    /// Whether as many epochs as the run's patience allows have passed since the best one.
    pub fn is_out_of_patience(&self, epochs: usize) -> bool {
        let best = self.best.as_ref().map_or(0, |best| best.epoch);
        self.config.patience > 0 && epochs >= best + self.config.patience
    }

    /// The settings of the run.
    pub fn config(&self) -> &TrainConfig {
        &self.config
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

    /// All but Adam's moments.
    fn state(&self, step: usize) -> TrainState {
        TrainState {
            step,
            weights: self.weights(),
            moments: BTreeMap::new(),
            scaling: self.scaling,
            metrics: self.metrics.clone(),
            best: self.best.clone(),
            loads: self.loads.clone(),
            kept_experts: self.model.config().kept_experts.clone(),
        }
    }

    /// The adapters by the names of the authors' checkpoints.
    fn weights(&self) -> BTreeMap<String, TensorData> {
        let weights = moeclip::weights(self.model.adapters()).into_iter();
        weights.map(|tensor| (tensor.name, tensor.data)).collect()
    }

    fn prompts(&self, batch: &Batch<B>) -> Result<Vec<ClassPrompts<B>>, TrainError> {
        let prompts = batch.prompts.iter().map(|class| {
            let missing = || TrainError::Class { class: class.clone() };
            self.book.get(class).cloned().ok_or_else(missing)
        });
        prompts.collect()
    }

    /// The gradients of the loss itself; `None` when scaling it made one overflow.
    fn unscaled(
        &mut self,
        step: usize,
        gradients: GradientsParams,
    ) -> Result<Option<GradientsParams>, TrainError> {
        let Some(scaling) = &mut self.scaling else { return Ok(Some(gradients)) };
        let gradients = scaling.unscale(self.model.adapters(), gradients);
        if scaling.is_exhausted() { Err(TrainError::Overflow { step }) } else { Ok(gradients) }
    }
}
