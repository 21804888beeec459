//! Blocks that compare values with values, against the references of the methods that use them:
//! AA-CLIP's first stage (within an image, and across the batch) and AnomalyCLIP's second path.

use burn::backend::{Flex, NdArray};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use clip_vit::{
    Activation, AttentionKind, ClipSpecBuilder, Precision, RandomWeights, VisionBackbone,
    VisionTower, WeightError, WeightSource,
};
use safetensors::SafeTensors;

const GOLDEN: &[u8] = include_bytes!("../goldens/attention.safetensors");

const TOLERANCE: f64 = 1e-5;

fn golden(name: &str) -> Option<TensorData> {
    let file = SafeTensors::deserialize(GOLDEN).unwrap();
    let tensor = file.tensor(name).ok()?;
    let floats = tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
    Some(TensorData::new(floats.collect::<Vec<f32>>(), tensor.shape().to_vec()))
}

/// The weights of a golden's block; all else is drawn, and plays no part in the block.
struct GoldenBlock(&'static str);

impl WeightSource for GoldenBlock {
    fn tensor(
        &self,
        name: &str,
        shape: &[usize],
        precision: Precision,
    ) -> Result<TensorData, WeightError> {
        let in_block = name.strip_prefix("visual.transformer.resblocks.0.");
        match in_block.and_then(|tensor| golden(&format!("{}.{tensor}", self.0))) {
            Some(data) => {
                assert_eq!(data.shape.as_slice(), shape, "{name}");
                Ok(data)
            }
            None => RandomWeights::new(1).tensor(name, shape, precision),
        }
    }
}

/// A golden's block, and the tokens that enter and leave it.
struct Case<B: Backend> {
    tower: VisionTower<B>,
    tokens: Tensor<B, 3>,
    expected: Tensor<B, 3>,
}

fn case<B: Backend>(name: &'static str, heads: usize, activation: Activation) -> Case<B> {
    let device = Default::default();
    let tensor =
        |part: &str| Tensor::<B, 3>::from_data(golden(&format!("{name}.{part}")).unwrap(), &device);
    let (tokens, expected) = (tensor("in"), tensor("out"));
    let [_, _, width] = tokens.dims();
    let spec = ClipSpecBuilder::new().vision(4, 2, width, 1).vision_heads(heads);
    let spec = spec.activation(activation).build().unwrap();
    let tower = VisionTower::load(&spec, &GoldenBlock(name), Precision::F32, &device).unwrap();
    Case { tower, tokens, expected }
}

fn assert_close<B: Backend>(name: &str, ours: Tensor<B, 3>, expected: Tensor<B, 3>) {
    let (ours, expected) = (ours.into_data(), expected.into_data());
    let pairs = || ours.iter::<f64>().zip(expected.iter::<f64>());
    let distance: f64 = pairs().map(|(a, b)| (a - b).powi(2)).sum();
    let norm: f64 = pairs().map(|(_, b)| b.powi(2)).sum();
    let error = (distance / norm).sqrt();
    assert!(error < TOLERANCE, "{name} is off by {error}");
}

fn check<B: Backend>() {
    let kinds = [
        ("within", 2, Activation::QuickGelu, AttentionKind::ValueValue),
        ("across", 4, Activation::Gelu, AttentionKind::ValueValueAcrossBatch),
    ];
    for (name, heads, activation, kind) in kinds {
        let Case { tower, tokens, expected } = case::<B>(name, heads, activation);
        assert_close(name, tower.with_attention(0, kind).layer(0, tokens), expected);
    }
    let Case { tower, tokens, expected } = case::<B>("path", 3, Activation::QuickGelu);
    let added = tower.attention_update(0, tokens.clone(), AttentionKind::ValueValue);
    assert_close("path", tokens + added, expected);
}

#[test]
fn values_are_compared_as_the_methods_compare_them() {
    check::<Flex>();
    check::<NdArray>();
}
