//! A module's parameters and Adam's moments of them, by names that last. Burn keeps both under ids that
//! it draws anew in every process.

use std::collections::BTreeMap;

use burn::backend::Autodiff;
use burn::module::{AutodiffModule, Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::record::AdaptorRecord;
use burn::optim::{Adam, AdamState, AdaptiveMomentumState, GradientsParams, Optimizer};
use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use moeclip::Adapters;

use crate::{CheckpointError, Movement};

/// Adam on the parameters `M` of a model in training.
pub type AdamOptimizer<M, B> = OptimizerAdaptor<Adam, M, Autodiff<B>>;

/// Adam's moments as Burn keeps them, whatever module they are of.
pub(crate) type AdamRecord<B> = <AdamOptimizer<Adapters<Autodiff<B>>, B> as Optimizer<
    Adapters<Autodiff<B>>,
    Autodiff<B>,
>>::Record;

/// What Adam remembers of one parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct OptimizerState {
    /// How often it has moved the parameter.
    pub updates: usize,
    /// Mean gradient, of the parameter's shape; f32.
    pub first: TensorData,
    /// Mean squared gradient, of the parameter's shape; f32.
    pub second: TensorData,
}

/// Adam's moments by the path of their parameter, as in `taps.0.experts.up`; none for a parameter that
/// never had a gradient.
pub(crate) fn read_moments<B: Backend, M: Module<Autodiff<B>>>(
    parameters: &M,
    record: AdamRecord<B>,
) -> BTreeMap<String, OptimizerState> {
    let mut reader =
        MomentReader::<B> { record, path: ModulePath::default(), moments: BTreeMap::new() };
    parameters.visit(&mut reader);
    reader.moments
}

/// Adam's moments for parameters of this process; `find` has what was stored of the parameter with a path.
///
/// # Errors
///
/// The first that `find` returns, or `misfit` gets the moment that is not of its parameter's shape.
pub(crate) fn place_moments<B: Backend, M: Module<Autodiff<B>>>(
    parameters: &M,
    device: &B::Device,
    find: impl Fn(&str, &[usize]) -> Result<Option<OptimizerState>, CheckpointError>,
) -> Result<AdamRecord<B>, CheckpointError> {
    let (record, path) = (AdamRecord::<B>::default(), ModulePath::default());
    let mut placer = MomentPlacer::<B, _> { find, device, path, record: Ok(record) };
    parameters.visit(&mut placer);
    placer.record
}

/// Every parameter of a module by its path, as in `vision.blocks.0.mlp.up.weight`.
pub fn named_parameters<B: Backend, M: Module<B>>(module: &M) -> BTreeMap<String, TensorData> {
    let mut reader = ParameterReader { path: ModulePath::default(), found: BTreeMap::new() };
    module.visit(&mut reader);
    reader.found
}

/// The module with the values that `find` has for the path and shape of each parameter.
///
/// # Errors
///
/// The first that `find` returns.
pub fn with_parameters<B: Backend, M: Module<B>, E>(
    module: M,
    device: &B::Device,
    find: impl FnMut(&str, &[usize]) -> Result<TensorData, E>,
) -> Result<M, E> {
    let path = ModulePath::default();
    let mut placer = ParameterPlacer::<B, _, _> { find, device, path, failed: None };
    let module = module.map(&mut placer);
    placer.failed.map_or(Ok(module), Err)
}

/// Gradients of parameters that a step moves in one way.
pub(crate) struct MovedAlike {
    pub(crate) movement: Movement,
    pub(crate) gradients: GradientsParams,
}

/// Gradients in groups, in the order in which a module names the first of each; without those of parameters
/// that stay.
pub(crate) fn movements<B: Backend, M: AutodiffModule<Autodiff<B>>>(
    module: &M,
    gradients: GradientsParams,
    movement: impl Fn(&str) -> Option<Movement>,
) -> Vec<MovedAlike> {
    let path = ModulePath::default();
    let mut sorter = GradientSorter { movement, gradients, path, groups: Vec::new() };
    module.visit(&mut sorter);
    sorter.groups
}

/// A module whose parameters, those with a gradient, are `share` of what they were.
pub(crate) fn decayed<B: Backend, M: AutodiffModule<Autodiff<B>>>(
    module: M,
    gradients: &GradientsParams,
    share: f64,
) -> M {
    module.map(&mut Decay { gradients, share })
}

/// The names of the modules that a visitor is in. Which variant of an enum it is in is no part of
/// the path: `taps.0.experts.up`, whatever the experts are.
#[derive(Default)]
struct ModulePath(Vec<String>);

impl ModulePath {
    fn enter(&mut self, name: &str, container: &str) {
        if !is_enum(container) {
            self.0.push(name.to_owned());
        }
    }

    fn exit(&mut self, container: &str) {
        if !is_enum(container) {
            self.0.pop();
        }
    }

    fn name(&self) -> String {
        self.0.join(".")
    }
}

/// Burn calls an enum that holds a module `Enum:` and its name.
fn is_enum(container: &str) -> bool {
    container.starts_with("Enum:")
}

struct GradientSorter<F> {
    movement: F,
    gradients: GradientsParams,
    path: ModulePath,
    groups: Vec<MovedAlike>,
}

impl<B: Backend, F: Fn(&str) -> Option<Movement>> ModuleVisitor<Autodiff<B>> for GradientSorter<F> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.exit(container);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<Autodiff<B>, D>>) {
        let Some(gradient) = self.gradients.remove::<B, D>(param.id) else { return };
        let Some(movement) = (self.movement)(&self.path.name()) else { return };
        let known = self.groups.iter().position(|group| group.movement == movement);
        let at = known.unwrap_or_else(|| {
            self.groups.push(MovedAlike { movement, gradients: GradientsParams::new() });
            self.groups.len() - 1
        });
        if let Some(group) = self.groups.get_mut(at) {
            group.gradients.register::<B, D>(param.id, gradient);
        }
    }
}

struct Decay<'a> {
    gradients: &'a GradientsParams,
    share: f64,
}

impl<B: Backend> ModuleMapper<Autodiff<B>> for Decay<'_> {
    fn map_float<const D: usize>(
        &mut self,
        param: Param<Tensor<Autodiff<B>, D>>,
    ) -> Param<Tensor<Autodiff<B>, D>> {
        if self.gradients.get::<B, D>(param.id).is_none() {
            return param;
        }
        let share = self.share;
        param.map(|value| {
            let smaller = value.inner().mul_scalar(share);
            Tensor::from_inner(smaller).require_grad()
        })
    }
}

struct MomentReader<B: Backend> {
    record: AdamRecord<B>,
    path: ModulePath,
    moments: BTreeMap<String, OptimizerState>,
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
        self.moments.insert(self.path.name(), OptimizerState { updates: time, first, second });
    }
}

struct MomentPlacer<'a, B: Backend, F> {
    find: F,
    device: &'a B::Device,
    path: ModulePath,
    /// What was placed so far, or the first error.
    record: Result<AdamRecord<B>, CheckpointError>,
}

impl<B, F> ModuleVisitor<Autodiff<B>> for MomentPlacer<'_, B, F>
where
    B: Backend,
    F: Fn(&str, &[usize]) -> Result<Option<OptimizerState>, CheckpointError>,
{
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.exit(container);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<Autodiff<B>, D>>) {
        let found = (self.find)(&self.path.name(), &param.val().dims());
        let Ok(record) = &mut self.record else { return };
        match found {
            Ok(Some(OptimizerState { updates, first, second })) => {
                let place = |data| Tensor::<B, D>::from_data(data, (self.device, DType::F32));
                let momentum = AdaptiveMomentumState::new(updates, place(first), place(second));
                record.insert(param.id, AdaptorRecord::from_state(AdamState::new(momentum)));
            }
            Ok(None) => {}
            Err(error) => self.record = Err(error),
        }
    }
}

struct ParameterReader {
    path: ModulePath,
    found: BTreeMap<String, TensorData>,
}

impl<B: Backend> ModuleVisitor<B> for ParameterReader {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.exit(container);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        self.found.insert(self.path.name(), param.val().into_data());
    }
}

struct ParameterPlacer<'a, B: Backend, F, E> {
    find: F,
    device: &'a B::Device,
    path: ModulePath,
    /// The first error.
    failed: Option<E>,
}

impl<B, F, E> ModuleMapper<B> for ParameterPlacer<'_, B, F, E>
where
    B: Backend,
    F: FnMut(&str, &[usize]) -> Result<TensorData, E>,
{
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.exit(container);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        match (self.find)(&self.path.name(), &param.val().dims()) {
            Ok(data) => {
                let value = Tensor::<B, D>::from_data(data, (self.device, DType::F32));
                param.map(|old| value.set_require_grad(old.is_require_grad()))
            }
            Err(error) => {
                self.failed.get_or_insert(error);
                param
            }
        }
    }
}
