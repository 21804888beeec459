//! What a learner has become: its adapters and Adam's moments, by names that last. Burn keeps
//! moments under ids that it draws anew in every process.

use std::collections::BTreeMap;

use burn::backend::Autodiff;
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::record::AdaptorRecord;
use burn::optim::{Adam, AdamState, AdaptiveMomentumState, Optimizer};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use moeclip::Adapters;

use crate::checkpoint::Moment;
use crate::{BestEpoch, Checkpoint, CheckpointError, ExpertLoads, LossScaling};

type Trained<B> = Adapters<Autodiff<B>>;

/// Adam's moments as Burn keeps them.
pub type AdamRecord<B> =
    <OptimizerAdaptor<Adam, Trained<B>, Autodiff<B>> as Optimizer<Trained<B>, Autodiff<B>>>::Record;

/// Everything that the next step depends on besides settings, CLIP and images, on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainState {
    /// Steps made.
    pub step: usize,
    /// The adapters by the names of the authors' checkpoints, the frozen `A` included; f32.
    pub weights: BTreeMap<String, TensorData>,
    /// Adam's moments by the path of their parameter in [`Adapters`], as in `taps.0.experts.up`;
    /// none for a parameter that never had a gradient.
    pub moments: BTreeMap<String, Moments>,
    /// How the loss is scaled; `None` where it is not.
    pub scaling: Option<LossScaling>,
    /// What was measured, by name, as in `loss/total`: the losses before the last step.
    pub metrics: BTreeMap<String, f32>,
    /// The epoch that did best on held-out images so far.
    pub best: Option<BestEpoch>,
    /// What experts were asked since the last look at it.
    pub loads: ExpertLoads,
    /// The experts that are left at each tap, by the numbers they started with; `None` for all.
    pub kept_experts: Option<Vec<Vec<usize>>>,
}

/// What Adam remembers of one parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// How often it has moved the parameter.
    pub updates: usize,
    /// Mean gradient, of the parameter's shape; f32.
    pub first: TensorData,
    /// Mean squared gradient, of the parameter's shape; f32.
    pub second: TensorData,
}

impl TrainState {
    /// What adapters and Adam have become; the rest is the learner's own.
    pub(crate) fn of<B: Backend>(
        step: usize,
        adapters: &Trained<B>,
        record: AdamRecord<B>,
    ) -> Self {
        let weights = moeclip::weights(adapters).into_iter();
        let mut reader =
            MomentReader::<B> { record, path: Path::default(), moments: BTreeMap::new() };
        adapters.visit(&mut reader);
        Self {
            step,
            weights: weights.map(|tensor| (tensor.name, tensor.data)).collect(),
            moments: reader.moments,
            scaling: None,
            metrics: BTreeMap::new(),
            best: None,
            loads: ExpertLoads::default(),
            kept_experts: None,
        }
    }

    /// The first weight that holds NaN or infinity.
    pub(crate) fn not_finite(&self) -> Option<&str> {
        let finite = |data: &TensorData| data.iter::<f32>().all(f32::is_finite);
        let found = self.weights.iter().find(|(_, data)| !finite(data));
        found.map(|(name, _)| name.as_str())
    }
}

/// The moments of a checkpoint, for adapters on a device.
pub(crate) fn place_moments<B: Backend>(
    adapters: &Trained<B>,
    checkpoint: &Checkpoint,
    device: &B::Device,
) -> Result<AdamRecord<B>, CheckpointError> {
    let (record, path) = (AdamRecord::<B>::default(), Path::default());
    let mut placer = MomentPlacer::<B> { checkpoint, device, path, record: Ok(record) };
    adapters.visit(&mut placer);
    let record = placer.record?;
    let (placed, stored) = (record.len(), checkpoint.updates().len());
    if placed == stored {
        return Ok(record);
    }
    let reason = format!("{placed} of its {stored} optimiser moments belong to this model");
    Err(CheckpointError::Damaged { file: checkpoint.path().into(), reason })
}

/// The names of the modules that a visitor is in. Which variant of an enum it is in is no part of
/// the path: `taps.0.experts.up`, whatever the experts are.
#[derive(Default)]
pub struct Path(Vec<String>);

impl Path {
    /// Goes into a module.
    pub fn enter(&mut self, name: &str, container: &str) {
        if !is_enum(container) {
            self.0.push(name.to_owned());
        }
    }

    /// Leaves a module.
    pub fn exit(&mut self, container: &str) {
        if !is_enum(container) {
            self.0.pop();
        }
    }

    /// The path from the outermost module, with dots.
    pub fn name(&self) -> String {
        self.0.join(".")
    }
}

/// Burn calls an enum that holds a module `Enum:` and its name.
fn is_enum(container: &str) -> bool {
    container.starts_with("Enum:")
}

struct MomentReader<B: Backend> {
    record: AdamRecord<B>,
    path: Path,
    moments: BTreeMap<String, Moments>,
}

impl<B: Backend> ModuleVisitor<Autodiff<B>> for MomentReader<B> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.exit(container);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<Autodiff<B>, D>>) {
        let Some(record) = self.record.remove(&param.id) else { return };
        let AdaptiveMomentumState { time, moment_1, moment_2, .. } =
            record.into_state::<D>().momentum;
        let (first, second) = (moment_1.into_data(), moment_2.into_data());
        self.moments.insert(self.path.name(), Moments { updates: time, first, second });
    }
}

struct MomentPlacer<'a, B: Backend> {
    checkpoint: &'a Checkpoint,
    device: &'a B::Device,
    path: Path,
    /// What was placed so far, or the first error.
    record: Result<AdamRecord<B>, CheckpointError>,
}

impl<B: Backend> MomentPlacer<'_, B> {
    /// What the checkpoint has for the parameter of this shape that the visitor is at.
    fn state<const D: usize>(
        &self,
        shape: [usize; D],
    ) -> Result<Option<AdamState<B, D>>, CheckpointError> {
        let name = self.path.name();
        let Some(updates) = self.checkpoint.updates().get(&name) else { return Ok(None) };
        let moment = |which| self.checkpoint.moment(which, &name, shape, self.device);
        let (first, second) = (moment(Moment::First)?, moment(Moment::Second)?);
        Ok(Some(AdamState::new(AdaptiveMomentumState::new(*updates, first, second))))
    }
}

impl<B: Backend> ModuleVisitor<Autodiff<B>> for MomentPlacer<'_, B> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.exit(container);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<Autodiff<B>, D>>) {
        let state = self.state(param.val().dims());
        let Ok(record) = &mut self.record else { return };
        match state {
            Ok(Some(state)) => {
                record.insert(param.id, AdaptorRecord::from_state(state));
            }
            Ok(None) => {}
            Err(error) => self.record = Err(error),
        }
    }
}
