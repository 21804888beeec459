//! Training of a method's own weights: what only the method knows is a [`TrainedMethod`], all else is the one
//! trainer of `moeclip-train`.

mod recipe;
mod run;

use std::collections::BTreeMap;

use burn::backend::Autodiff;
use burn::module::AutodiffModule;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Tensor, backend::Backend};
use clip_vit::{ClipSpec, Precision, WeightSource};
use moeclip_data::{Augmentation, Batch, DataError, MaskResize};
use moeclip_train::{
    AdamOptimizer, Backward, CheckpointFormat, Movement, SavedState, Trainable, Trainer,
    named_parameters,
};
use thiserror::Error;

use crate::{ClipMethod, MethodError};

pub use self::recipe::{Recipe, RunPlace, TrainingStage};
pub use self::run::{MethodCheckpoint, MethodEpochs, MethodRun, MethodStep};

/// A method whose own weights are trained on an auxiliary set.
pub trait TrainedMethod: ClipMethod {
    /// Its weights, under autodiff.
    type Learned<B: Backend>: AutodiffModule<Autodiff<B>>;
    /// All that stays as it is: towers, encoded sentences.
    type Frozen<B: Backend>;

    /// The authors' settings of training.
    fn recipe() -> Recipe;

    /// How masks are brought to the size of its images.
    fn mask_resize() -> MaskResize {
        MaskResize::Bilinear
    }

    /// How its images are moved, if they are.
    fn augmentation() -> Option<Augmentation> {
        None
    }

    /// Weights before the first step; the same for the same seed.
    fn start<B: Backend>(
        settings: &Self::Settings,
        clip: &ClipSpec,
        seed: u64,
        device: &B::Device,
    ) -> Self::Learned<B>;

    /// How often a training image gives way to a mosaic of four of its class, 0 to 1.
    fn mosaics(_settings: &Self::Settings) -> f64 {
        0.0
    }

    /// A weight's name in the method's checkpoint, from its path in [`Learned`](Self::Learned).
    fn weight_name(_settings: &Self::Settings, path: &str) -> String {
        path.to_owned()
    }

    /// Loads what stays as it is.
    ///
    /// # Errors
    ///
    /// [`MethodError`] when settings, weights and CLIP do not fit.
    fn frozen<B: Backend>(
        settings: &Self::Settings,
        parts: &TrainingParts<'_, B>,
    ) -> Result<Self::Frozen<B>, MethodError>;

    /// How a step moves the weight of a name; `None` where it stays.
    fn movement(settings: &Self::Settings, place: RunPlace, name: &str) -> Option<Movement>;

    /// The losses of a batch. What is drawn is drawn from the place's own seed.
    ///
    /// # Errors
    ///
    /// [`MethodError`] when a sentence does not fit.
    fn losses<B: Backend>(
        settings: &Self::Settings,
        frozen: &Self::Frozen<B>,
        learned: &Self::Learned<B>,
        batch: &Batch<B>,
        place: RunPlace,
    ) -> Result<MethodLosses<Autodiff<B>>, MethodError>;
}

/// Takes a method that can be trained, whichever it is.
pub trait TrainingVisitor {
    /// What it makes of it.
    type Output;

    /// Takes the method.
    fn visit<M: TrainedMethod>(self) -> Self::Output;
}

/// What a method's frozen part is loaded from.
pub struct TrainingParts<'a, B: Backend> {
    /// Sizes of the CLIP.
    pub clip: &'a ClipSpec,
    /// Its weights.
    pub weights: &'a dyn WeightSource,
    /// The classes of the auxiliary images, as they stand in sentences.
    pub classes: &'a [String],
    /// Precision of the frozen part.
    pub precision: Precision,
    /// Where it is computed.
    pub device: &'a B::Device,
}

/// What a step minimises.
pub struct MethodLosses<B: Backend> {
    /// The sum that is minimised, `[1]`.
    pub total: Tensor<B, 1>,
    /// Its terms, unweighted.
    pub terms: Vec<LossTerm<B>>,
}

/// A term of a loss.
pub struct LossTerm<B: Backend> {
    /// As logs call it.
    pub name: &'static str,
    /// Its value, `[1]`.
    pub value: Tensor<B, 1>,
}

impl<B: Backend> MethodLosses<B> {
    /// The sum of terms that are weighed alike.
    pub fn sum(terms: Vec<LossTerm<B>>, device: &B::Device) -> Self {
        let zero = Tensor::zeros([1], device);
        let total = terms.iter().fold(zero, |sum, term| sum + term.value.clone());
        Self { total, terms }
    }

    /// Every value by its name, in one transfer; `None` when the device gives none.
    fn values(&self) -> Option<BTreeMap<String, f32>> {
        let all = std::iter::once(&self.total).chain(self.terms.iter().map(|term| &term.value));
        let all = Tensor::cat(all.cloned().collect(), 0).try_into_data().ok()?;
        let names = std::iter::once("total").chain(self.terms.iter().map(|term| term.name));
        Some(names.map(str::to_owned).zip(all.iter::<f32>()).collect())
    }
}

/// A step that could not be made.
#[derive(Debug, Error)]
pub enum MethodTrainError {
    /// The method cannot be trained so.
    #[error(transparent)]
    Method(#[from] MethodError),
    /// An image could not be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The loss left the numbers.
    #[error("step {step}: the loss is {loss}; lower the learning rate or check the weights")]
    Diverged {
        /// The step, from 1.
        step: usize,
        /// What was found.
        loss: f32,
    },
    /// The device did not give its numbers back.
    #[error("step {step}: the device gave no loss; check its memory and driver")]
    Device {
        /// The step, from 1.
        step: usize,
    },
}

/// A method in training.
pub struct MethodTraining<B: Backend, M: TrainedMethod> {
    settings: M::Settings,
    recipe: Recipe,
    images: usize,
    frozen: M::Frozen<B>,
    learned: M::Learned<B>,
    /// The paths of its weights.
    paths: Vec<String>,
    device: B::Device,
}

/// What is known of a step before it is timed.
#[derive(Debug, Clone, PartialEq)]
pub struct MethodReport {
    /// The step, from 1.
    pub step: usize,
    /// Images that it saw.
    pub images: usize,
    /// The losses before it, by name.
    pub losses: BTreeMap<String, f32>,
}

impl<B: Backend, M: TrainedMethod> Trainable<B> for MethodTraining<B, M> {
    type Parameters = M::Learned<B>;
    type Batch = Batch<B>;
    type Report = MethodReport;
    type Error = MethodTrainError;
    type Run = MethodRun;

    const FORMAT: CheckpointFormat = run::FORMAT;

    fn adam(&self) -> AdamConfig {
        self.recipe.adam()
    }

    fn learning_rate(&self, step: usize) -> f64 {
        let place = self.place(step);
        let moved = self.paths.iter().filter_map(|path| self.movement_of(place, path));
        moved.map(|movement| movement.learning_rate).fold(0.0, f64::max)
    }

    fn movement(&self, step: usize, path: &str) -> Option<Movement> {
        self.movement_of(self.place(step), path)
    }

    fn parameters(&self) -> &M::Learned<B> {
        &self.learned
    }

    fn set_parameters(&mut self, parameters: M::Learned<B>) {
        self.learned = parameters;
    }

    fn backward(
        &mut self,
        step: usize,
        batch: Batch<B>,
    ) -> Result<Backward<MethodReport>, MethodTrainError> {
        let (place, images) = (self.place(step), batch.classes.len());
        let losses = M::losses(&self.settings, &self.frozen, &self.learned, &batch, place)?;
        let step = step + 1;
        let values = losses.values().ok_or(MethodTrainError::Device { step })?;
        let loss = values.get("total").copied().unwrap_or(f32::NAN);
        if !loss.is_finite() {
            return Err(MethodTrainError::Diverged { step, loss });
        }
        let gradients = GradientsParams::from_grads(losses.total.backward(), &self.learned);
        let report = MethodReport { step, images, losses: values };
        Ok(Backward { gradients: Some(gradients), report })
    }

    fn after_step(
        &mut self,
        step: usize,
        _report: &MethodReport,
        adam: &mut AdamOptimizer<M::Learned<B>, B>,
    ) -> Result<(), MethodTrainError> {
        let place = self.place(step);
        if place.stage > 0 && place.stage_step == 0 {
            *adam = self.adam().init();
        }
        Ok(())
    }

    fn saved(&self, step: usize, run: &MethodRun) -> serde_json::Result<SavedState> {
        Ok(SavedState {
            parameters: self.weights(),
            tensors: BTreeMap::new(),
            metadata: run.metadata(step)?,
        })
    }
}

impl<B: Backend, M: TrainedMethod> MethodTraining<B, M> {
    /// A method before its first step on so many images.
    ///
    /// # Errors
    ///
    /// [`MethodError`] when settings or recipe cannot be used, or weights and CLIP do not fit.
    pub fn new(
        settings: M::Settings,
        recipe: Recipe,
        images: usize,
        parts: &TrainingParts<'_, B>,
    ) -> Result<Self, MethodError> {
        M::check(&settings, parts.clip)?;
        recipe.check()?;
        let frozen = M::frozen(&settings, parts)?;
        let learned = M::start(&settings, parts.clip, recipe.seed, parts.device);
        let paths = named_parameters::<Autodiff<B>, _>(&learned).into_keys().collect();
        let device = parts.device.clone();
        Ok(Self { settings, recipe, images, frozen, learned, paths, device })
    }

    /// A trainer at step 0.
    pub fn start(self) -> Trainer<B, Self> {
        Trainer::start(self)
    }

    /// Its own weights by the names of the method's checkpoint.
    pub fn weights(&self) -> BTreeMap<String, burn::tensor::TensorData> {
        let values = named_parameters::<Autodiff<B>, _>(&self.learned);
        let name = |path: &str| M::weight_name(&self.settings, path);
        values.into_iter().map(|(path, data)| (name(&path), data)).collect()
    }

    /// Where it stands after so many steps.
    pub fn place(&self, step: usize) -> RunPlace {
        self.recipe.place(self.images, step)
    }

    fn movement_of(&self, place: RunPlace, path: &str) -> Option<Movement> {
        M::movement(&self.settings, place, &M::weight_name(&self.settings, path))
    }
}
