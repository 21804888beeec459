//! A small CLIP with random weights, for tests of detectors: it reads real sentences, and its numbers mean nothing.

use std::collections::BTreeMap;

use anomaly::Domain;
use burn::backend::Flex;
use burn::tensor::{Distribution, Tensor};
use clip_vit::{ClipSpec, ClipSpecBuilder, Normalisation, Precision, RandomWeights};

use crate::DetectorParts;

/// Side of the images of these tests.
pub(crate) const IMAGE_SIZE: usize = 24;

type Device = <Flex as burn::tensor::backend::BackendTypes>::Device;

/// All that a detector is made of.
pub(crate) struct Example {
    clip: ClipSpec,
    weights: RandomWeights,
    classes: Vec<String>,
    pub(crate) references: BTreeMap<String, Tensor<Flex, 4>>,
    pub(crate) device: Device,
}

impl Example {
    /// A CLIP of two layers and patches of 8, which knows sentences about a nut.
    pub(crate) fn new() -> Self {
        let spec = ClipSpecBuilder::new().vision(8, 3, 16, 2).text(8, 1).tokens(40, 49408);
        Self {
            clip: spec.embed(12).build().unwrap(),
            weights: RandomWeights::new(5),
            classes: vec!["metal_nut".to_owned()],
            references: BTreeMap::new(),
            device: Device::default(),
        }
    }

    pub(crate) fn parts(&self) -> DetectorParts<'_, Flex> {
        DetectorParts {
            clip: &self.clip,
            weights: &self.weights,
            normalisation: Normalisation::CLIP,
            learned: Some(&self.weights),
            classes: &self.classes,
            domain: Domain::Industrial,
            references: &self.references,
            precision: Precision::F32,
            device: &self.device,
        }
    }

    /// Images of noise.
    pub(crate) fn images(&self, count: usize) -> Tensor<Flex, 4> {
        let shape = [count, 3, IMAGE_SIZE, IMAGE_SIZE];
        Tensor::random(shape, Distribution::Normal(0.0, 1.0), &self.device)
    }
}
