//! Learned layers that keep the names and layouts of their checkpoint, so that reading, writing and
//! comparing them needs no list of names: a module's path is the tensor's name.

use std::collections::BTreeMap;

use burn::backend::Autodiff;
use burn::module::{AutodiffModule, Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData, backend::Backend};
use clip_vit::{Precision, WeightError, WeightSource};
use moeclip_train::{named_parameters, with_parameters};

/// A linear layer whose weight lies as PyTorch keeps it, `[outputs, inputs]`.
#[derive(Module, Debug)]
pub struct Dense<B: Backend> {
    /// `[outputs, inputs]`
    pub weight: Param<Tensor<B, 2>>,
    /// `[outputs]`, where there is one.
    pub bias: Option<Param<Tensor<B, 1>>>,
}

impl<B: Backend> Dense<B> {
    /// A layer of zeros with a bias, to be filled by [`read_learned`].
    pub fn zeros(inputs: usize, outputs: usize, device: &B::Device) -> Self {
        let bias = Param::from_tensor(Tensor::zeros([outputs], device));
        Self { bias: Some(bias), ..Self::zeros_without_bias(inputs, outputs, device) }
    }

    /// A layer of zeros without a bias, to be filled by [`read_learned`].
    pub fn zeros_without_bias(inputs: usize, outputs: usize, device: &B::Device) -> Self {
        let weight = Param::from_tensor(Tensor::zeros([outputs, inputs], device));
        Self { weight, bias: None }
    }

    /// The layer on the last axis.
    ///
    /// # Shapes
    ///
    /// - input: `[..., inputs]`
    /// - output: `[..., outputs]`
    pub fn forward<const D: usize>(&self, input: Tensor<B, D>) -> Tensor<B, D> {
        let mut shape = input.dims();
        let [outputs, inputs] = self.weight.val().dims();
        let rows = shape.iter().product::<usize>() / inputs.max(1);
        let output = input.reshape([rows, inputs]).matmul(self.weight.val().transpose());
        let output = match &self.bias {
            Some(bias) => output + bias.val().unsqueeze(),
            None => output,
        };
        shape[D - 1] = outputs;
        output.reshape(shape)
    }
}

/// A module with the values that `source` has for its paths; `name` turns a path into the checkpoint's name.
///
/// # Errors
///
/// [`WeightError`] when a tensor is missing, of another shape or not finite.
pub fn read_learned<B: Backend, M: Module<B>>(
    module: M,
    source: &dyn WeightSource,
    name: impl Fn(&str) -> String,
    device: &B::Device,
) -> Result<M, WeightError> {
    with_parameters::<B, _, _>(module, device, |path, shape| {
        source.tensor(&name(path), shape, Precision::F32)
    })
}

/// Every parameter of a module by its checkpoint's name.
pub fn learned_values<B: Backend, M: Module<B>>(
    module: &M,
    name: impl Fn(&str) -> String,
) -> BTreeMap<String, TensorData> {
    let values = named_parameters::<B, _>(module);
    values.into_iter().map(|(path, data)| (name(&path), data)).collect()
}

/// The gradient of every parameter that has one, by its checkpoint's name.
pub fn learned_gradients<B: Backend, M: AutodiffModule<Autodiff<B>>>(
    module: &M,
    gradients: &GradientsParams,
    name: impl Fn(&str) -> String,
) -> BTreeMap<String, TensorData> {
    let mut reader = GradientReader { gradients, path: Vec::new(), found: BTreeMap::new() };
    module.visit(&mut reader);
    reader.found.into_iter().map(|(path, data)| (name(&path), data)).collect()
}

struct GradientReader<'a> {
    gradients: &'a GradientsParams,
    path: Vec<String>,
    found: BTreeMap<String, TensorData>,
}

impl<B: Backend> ModuleVisitor<Autodiff<B>> for GradientReader<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<Autodiff<B>, D>>) {
        if let Some(gradient) = self.gradients.get::<B, D>(param.id) {
            self.found.insert(self.path.join("."), gradient.into_data());
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;
    use clip_vit::RandomWeights;

    use super::*;

    type Device = <Flex as burn::tensor::backend::BackendTypes>::Device;

    #[derive(Module, Debug)]
    struct Heads<B: Backend> {
        fc: Vec<Dense<B>>,
    }

    #[test]
    fn paths_are_the_names_of_a_checkpoint() {
        let device = Device::default();
        let heads = Heads::<Flex> { fc: vec![Dense::zeros(3, 2, &device)] };
        let source = RandomWeights::new(4);
        let heads = read_learned(heads, &source, |path| format!("head.{path}"), &device).unwrap();
        let values = learned_values(&heads, str::to_owned);
        assert_eq!(values.keys().collect::<Vec<_>>(), ["fc.0.bias", "fc.0.weight"]);
        let stored = source.tensor("head.fc.0.weight", &[2, 3], Precision::F32).unwrap();
        assert_eq!(values["fc.0.weight"], stored);
    }

    #[test]
    fn a_layer_multiplies_the_last_axis_and_adds_its_bias() {
        let device = Device::default();
        let layer = Dense::<Flex> {
            weight: Param::from_data([[1.0, 2.0], [0.0, -1.0], [3.0, 0.0]], &device),
            bias: Some(Param::from_data([0.5, 0.0, -1.0], &device)),
        };
        let input = Tensor::<Flex, 3>::from_floats([[[1.0, 1.0], [0.0, 2.0]]], &device);
        let expected = TensorData::from([[[3.5f32, -1.0, 2.0], [4.5, -2.0, -1.0]]]);
        layer.forward(input).into_data().assert_eq(&expected, true);
    }
}
