//! Training of the methods that MoECLIP is compared with: from a set with masks to a file of weights.

mod run;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use anomaly_methods::training::{
    MethodEpochs, MethodRun, MethodStep, MethodTraining, Recipe, TrainedMethod, TrainingParts,
    TrainingVisitor,
};
use anomaly_methods::{ClipMethod, MethodDescription, write_method};
use burn::tensor::backend::Backend;
use clip_vit::ClipCheckpoint;
use moeclip::Provenance;
use moeclip_data::{Counts, ImageDataset, Sample, Split};
use moeclip_train::{CheckpointPolicy, StopReason, check_images, train};
use serde::Serialize;

use self::run::{BegunRun, Sitting, open_log};
use crate::backends::{Compute, Job, run_on};
use crate::error::{Context, refuse};
use crate::registry::MethodName;
use crate::{
    CacheRequest, ClipSource, DataRequest, Dataset, Fingerprint, InspectError, Warning, Watcher,
    WorkKind, cached, fingerprint, preprocessing, prompt_names, refuse_unwritable,
    shared_conditions, source_sha256, tell_file_faults,
};

/// A method to be trained on a set with masks.
#[derive(Debug, Clone, PartialEq)]
pub struct MethodTrainRequest {
    /// The CLIP.
    pub clip: ClipSource,
    /// The method.
    pub method: MethodName,
    /// Its description; the authors' settings where none is given.
    pub config: Option<PathBuf>,
    /// A known dataset's name, or a folder, list or description; else what the description names.
    pub data: Option<PathBuf>,
    /// How it is found and read.
    pub options: DataRequest,
    /// Where decoded pictures are kept.
    pub cache: CacheRequest,
    /// The weights to write.
    pub out: PathBuf,
    /// What is changed in the description.
    pub changes: RecipeChanges,
    /// Ends after this many steps.
    pub steps: Option<usize>,
    /// When it is saved on the way, if it is.
    pub checkpoints: Option<CheckpointPolicy>,
    /// Goes on from the newest checkpoint.
    pub resume: bool,
    /// Folder of the log, if one is kept.
    pub log: Option<PathBuf>,
    /// Program that trains, and its commit.
    pub program: ProgramVersion,
    /// Where to compute.
    pub compute: Compute,
}

/// What is changed in a description's recipe.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecipeChanges {
    /// Epochs of every stage.
    pub epochs: Option<usize>,
    /// Images of a step, in every stage.
    pub batch_size: Option<usize>,
    /// The seed.
    pub seed: Option<u64>,
}

/// The program that trains.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProgramVersion {
    /// Its version.
    pub version: String,
    /// Its commit, where it was built in git.
    pub commit: Option<String>,
}

/// A method that was trained.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MethodTrained {
    /// The file of its weights.
    pub out: String,
    /// The method, as it is typed.
    pub method: String,
    /// Steps made.
    pub steps: usize,
    /// Whether it was ended before its last step.
    pub interrupted: bool,
    /// The first step of this sitting.
    pub first: Option<MethodStep>,
    /// The last one.
    pub last: Option<MethodStep>,
    /// Seconds on the clock.
    pub seconds: f64,
}

/// Hears of every step; breaks to end the run.
pub type TellStep<'a> = &'a mut dyn FnMut(&MethodStep) -> ControlFlow<()>;

impl MethodTrainRequest {
    /// Trains, and writes the weights; what was learned is written when it is ended early, too.
    ///
    /// # Errors
    /// A method that has no weights of its own; data that it cannot learn from; what cannot be opened, read
    /// or written; a step that fails.
    pub fn run(
        &self,
        watch: &mut dyn Watcher,
        tell: TellStep<'_>,
    ) -> Result<MethodTrained, InspectError> {
        refuse_unwritable(&self.out)?;
        run_on(self.compute, MethodJob { request: self, watch, tell })
    }
}

struct MethodJob<'a> {
    request: &'a MethodTrainRequest,
    watch: &'a mut dyn Watcher,
    tell: TellStep<'a>,
}

impl Job for MethodJob<'_> {
    type Output = MethodTrained;
    type Error = InspectError;

    fn run<B: Backend>(self, device: B::Device) -> Result<MethodTrained, InspectError> {
        let Self { request, watch, tell } = self;
        request.method.train::<B>(MethodTrainCall { request, device, watch, tell })
    }
}

/// A training that waits for its method.
pub struct MethodTrainCall<'a, B: Backend> {
    request: &'a MethodTrainRequest,
    device: B::Device,
    watch: &'a mut dyn Watcher,
    tell: TellStep<'a>,
}

impl<B: Backend> MethodTrainCall<'_, B> {
    /// The refusal of a method that has another trainer, or none.
    pub(crate) fn refuse(word: &str) -> Result<MethodTrained, InspectError> {
        refuse!("--method {word}: has no weights of its own to train");
    }

    /// Trains a method of `anomaly-methods`, if it has weights of its own.
    pub(crate) fn train<M: ClipMethod>(self) -> Result<MethodTrained, InspectError> {
        M::for_training(self).unwrap_or_else(|| Self::refuse(M::WORD))
    }
}

impl<B: Backend> TrainingVisitor for MethodTrainCall<'_, B> {
    type Output = Result<MethodTrained, InspectError>;

    fn visit<M: TrainedMethod>(self) -> Self::Output {
        let Self { request, device, watch, tell } = self;
        let start = Instant::now();
        let plan = MethodPlan::<M>::make(request, watch)?;
        let clip = request.clip.open(watch)?;
        let images = plan.images(request, &clip)?;
        let parts = TrainingParts::<B> {
            clip: clip.spec(),
            weights: &clip,
            classes: &plan.classes,
            precision: request.compute.precision,
            device: &device,
        };
        let count = images.samples().len();
        let (settings, recipe) = (plan.settings.clone(), plan.recipe.clone());
        let method = MethodTraining::<B, M>::new(settings, recipe, count, &parts)?;
        let run = plan.run(request, &clip);
        let BegunRun { mut trainer, mut saving } = BegunRun::open(request, run, method, watch)?;
        let log = open_log(request, trainer.steps())?;
        let mut sitting = Sitting { log, first: None, last: None };
        let steps = plan.recipe.steps(count);
        let steps = request.steps.map_or(steps, |limit| limit.min(steps));
        watch.begin(WorkKind::Steps, steps.saturating_sub(trainer.steps()));
        let mut data = MethodEpochs::new(&images, &device);
        let ending = train(&mut trainer, &mut data, steps, |trainer, step| {
            sitting.take(step, trainer, &mut saving, watch);
            if watch.is_cancelled() { ControlFlow::Break(()) } else { tell(step) }
        });
        watch.end();
        tell_file_faults(&images, watch);
        let Sitting { first, last, log } = sitting;
        if last.is_some() {
            saving.at_end(&trainer, watch);
            let provenance = plan.provenance(request, &clip, trainer.steps());
            write_method::<M>(&request.out, &trainer.weights(), &plan.settings, &provenance)?;
        }
        if let Some(Err(error)) = log.map(|log| log.plot()) {
            watch.warn(Warning::Log { reason: error.to_string() });
        }
        let ending = ending.map_err(InspectError::from).with_context(|| match &last {
            None => "no step was made and nothing written".to_owned(),
            Some(last) => {
                format!("ended after {} whole steps, kept in {}", last.step, request.out.display())
            }
        })?;
        Ok(MethodTrained {
            out: request.out.display().to_string(),
            method: M::WORD.to_owned(),
            steps: trainer.steps(),
            interrupted: ending == StopReason::Interrupted,
            first,
            last,
            seconds: start.elapsed().as_secs_f64(),
        })
    }
}

/// What is trained, and on what.
struct MethodPlan<M: TrainedMethod> {
    settings: M::Settings,
    recipe: Recipe,
    dataset: Dataset,
    samples: Vec<Sample>,
    classes: Vec<String>,
    fingerprint: Fingerprint,
}

impl<M: TrainedMethod> MethodPlan<M> {
    fn make(request: &MethodTrainRequest, watch: &mut dyn Watcher) -> Result<Self, InspectError> {
        let described = request.config.as_deref();
        let described = described.map(|file| MethodDescription::read(file, M::WORD)).transpose()?;
        let (settings, recipe, named) = match described {
            None => (M::Settings::default(), None, None),
            Some(MethodDescription { settings, training, data, .. }) => (settings, training, data),
        };
        let mut recipe = recipe.unwrap_or_else(M::recipe);
        let RecipeChanges { epochs, batch_size, seed } = request.changes;
        for stage in &mut recipe.stages {
            stage.epochs = epochs.unwrap_or(stage.epochs);
            stage.batch_size = batch_size.unwrap_or(stage.batch_size);
        }
        recipe.seed = seed.unwrap_or(recipe.seed);
        let data = request.data.clone().or(named.map(PathBuf::from));
        let data = data.context("what to train on is missing; give --data NAME|PATH")?;
        let dataset = Dataset::open(&data, &request.options, watch)?;
        let samples = dataset.samples(Split::Test, watch)?;
        check_images(Counts::of(&samples)).with_context(|| dataset.root.display().to_string())?;
        let fingerprint = fingerprint(&dataset, &samples, watch)?;
        let classes = prompt_names(&samples);
        Ok(Self { settings, recipe, dataset, samples, classes, fingerprint })
    }

    fn images(
        &self,
        request: &MethodTrainRequest,
        clip: &ClipCheckpoint,
    ) -> Result<ImageDataset, InspectError> {
        let masks = self.dataset.descriptor.masks;
        let preprocessing = preprocessing(clip, M::image_size(&self.settings))?
            .with_mask_rule(masks.rule)
            .with_mask_resize(M::mask_resize());
        let images = ImageDataset::new(self.samples.clone(), preprocessing)
            .checking_masks(masks)
            .with_bits(self.dataset.descriptor.bits)
            .with_mosaics(M::mosaics(&self.settings), self.recipe.seed)?;
        let images = match M::augmentation() {
            Some(augmentation) => images.augmented(augmentation, self.recipe.seed)?,
            None => images,
        };
        Ok(cached(images, &request.cache.open()?))
    }

    fn run(&self, request: &MethodTrainRequest, clip: &ClipCheckpoint) -> MethodRun {
        MethodRun {
            method: M::WORD.to_owned(),
            model: serde_json::to_value(&self.settings).unwrap_or_default(),
            training: self.recipe.clone(),
            backend: request.compute.device.to_string(),
            precision: format!("{:?}", request.compute.precision),
            data: self.fingerprint.in_order.clone(),
            samples: self.samples.len(),
            shared: shared_conditions(clip, request.compute.device),
            provenance: self.provenance(request, clip, 0),
        }
    }

    fn provenance(
        &self,
        request: &MethodTrainRequest,
        clip: &ClipCheckpoint,
        steps: usize,
    ) -> Provenance {
        Provenance {
            version: request.program.version.clone(),
            commit: request.program.commit.clone(),
            preset: clip.preset().map(|preset| preset.name().to_owned()),
            clip: Some(clip.spec().clone()),
            clip_sha256: Some(source_sha256(clip)),
            classes: self.classes.clone(),
            data: Some(self.fingerprint.data.clone()),
            steps,
            seed: self.recipe.seed,
            ..Provenance::default()
        }
    }
}
