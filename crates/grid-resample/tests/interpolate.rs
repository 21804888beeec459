//! Resizing, blur and upsampling against torch's interpolate, pad and convolution: within 1e-5 in
//! relative L2, on both CPU backends.

use burn::backend::{Flex, NdArray};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use grid_resample::{AxisMatrix, Border, GridResampler};
use safetensors::SafeTensors;

const GOLDEN: &[u8] = include_bytes!("goldens/interpolate.safetensors");

const TOLERANCE: f64 = 1e-5;

fn values(name: &str) -> TensorData {
    let file = SafeTensors::deserialize(GOLDEN).unwrap();
    let tensor = file.tensor(name).unwrap();
    let floats = tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
    TensorData::new(floats.collect(), tensor.shape().to_vec())
}

fn assert_close<B: Backend, const D: usize>(name: &str, ours: Tensor<B, D>) {
    let expected = values(name);
    let ours = ours.into_data();
    assert_eq!(ours.num_elements(), expected.num_elements(), "{name}");
    let (mut distance, mut norm) = (0.0, 0.0);
    for (a, b) in ours.iter::<f64>().zip(expected.iter::<f64>()) {
        distance += (a - b).powi(2);
        norm += b.powi(2);
    }
    let error = (distance / norm).sqrt();
    assert!(error < TOLERANCE, "{name} is off by {error}");
}

fn check<B: Backend>() {
    let device = Default::default();
    let positions = Tensor::<B, 2>::from_data(values("pos.in"), &device).unsqueeze::<3>();
    for (grid, name) in [(16, "pos.out_16"), (37, "pos.out_37")] {
        let resampler = GridResampler::new(&AxisMatrix::bicubic_antialias(24, grid), &device);
        let resized = resampler.patches(positions.clone().narrow(1, 1, 24 * 24));
        assert_close(name, Tensor::cat(vec![positions.clone().narrow(1, 0, 1), resized], 1));
    }
    let maps = Tensor::<B, 4>::from_data(values("map.in"), &device);
    let up = AxisMatrix::bilinear_aligned(37, 518);
    // The golden keeps every seventh row and column.
    let sampled = GridResampler::new(&up, &device).maps(maps.clone());
    let every = || Tensor::arange_step(0..518, 7, &device);
    assert_close("map.bilinear_518", sampled.select(2, every()).select(3, every()));
    for (window, sigma, name) in [(7, 1.0, "map.blur_industrial"), (9, 1.5, "map.blur_medical")] {
        let blur = AxisMatrix::gaussian_blur(37, window, sigma, Border::Reflect);
        assert_close(name, GridResampler::new(&blur, &device).maps(maps.clone()));
    }
}

#[test]
fn the_matrices_are_torchs_resampling() {
    check::<Flex>();
    check::<NdArray>();
}
