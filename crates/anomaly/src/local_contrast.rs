//! A detector that knows nothing and was never taught: how far a pixel's surroundings differ from their
//! wider surroundings. What a method finds beyond it, the method has understood.

use burn::tensor::{Tensor, backend::Backend};

use crate::{AnomalyMap, DetectError, Detection, Detector, ImageInput, ScoreRule, to_host};

/// Side of the near surroundings as a share of the picture's, and of the wide ones.
const NEAR: usize = 40;
const WIDE: usize = 8;

/// Local contrast as a detector; prompts play no part. Map and scores have the pixels' unit.
#[derive(Debug, Clone, Copy)]
pub struct LocalContrast {
    input: ImageInput,
    weights: [f32; 3],
}

impl LocalContrast {
    /// `weights` make one grey value of the three channels, normalised as `input` says.
    pub fn new(input: ImageInput, weights: [f32; 3]) -> Self {
        Self { input, weights }
    }
}

impl<B: Backend> Detector<B> for LocalContrast {
    fn input(&self) -> ImageInput {
        self.input
    }

    fn score_rule(&self) -> ScoreRule {
        ScoreRule::MapMax
    }

    /// Both scores are the map's maximum.
    fn detect(&mut self, images: Tensor<B, 4>, _: &str) -> Result<Vec<Detection>, DetectError> {
        let ImageInput { size, .. } = self.input;
        let [_, channels, height, width] = images.dims();
        if channels != self.weights.len() || [height, width] != [size; 2] {
            return Err(DetectError::Size { width, height, size });
        }
        let pixels = to_host(images)?;
        let detections = pixels.chunks_exact(channels * size * size).map(|image| {
            let planes = image.chunks_exact(size * size).zip(self.weights);
            let mut grey = vec![0.0; size * size];
            for (plane, weight) in planes {
                grey.iter_mut().zip(plane).for_each(|(grey, value)| *grey += weight * value);
            }
            let map = AnomalyMap { size, values: local_contrast(&grey, size) };
            let score = map.maximum();
            Detection::new(map, score, ScoreRule::MapMax)
        });
        Ok(detections.collect())
    }
}

/// Of a square picture, row by row: a near mean less a wide one, and the near mean of the magnitude of
/// that.
pub fn local_contrast(grey: &[f32], size: usize) -> Vec<f32> {
    let near = box_mean(grey, size, size / NEAR);
    let wide = box_mean(grey, size, size / WIDE);
    let difference: Vec<f32> = near.iter().zip(&wide).map(|(a, b)| (a - b).abs()).collect();
    box_mean(&difference, size, size / NEAR)
}

/// The mean over the pixels up to `reach` away in both directions, of those that there are.
fn box_mean(values: &[f32], size: usize, reach: usize) -> Vec<f32> {
    let along = |values: &[f32], index: fn(usize, usize, usize) -> usize| {
        let mut means = vec![0.0; values.len()];
        for (line, place) in (0..size).flat_map(|line| (0..size).map(move |place| (line, place))) {
            let window = place.saturating_sub(reach)..(place + reach + 1).min(size);
            let count = window.len() as f32;
            let sum: f32 = window.map(|at| values[index(line, at, size)]).sum();
            means[index(line, place, size)] = sum / count;
        }
        means
    };
    let rows = along(values, |line, place, size| line * size + place);
    along(&rows, |line, place, size| place * size + line)
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;
    use burn::tensor::TensorData;

    use super::*;

    #[test]
    fn a_dot_stands_out_and_one_colour_does_not() {
        let (size, device) = (80, Default::default());
        let mut pixels = vec![0.25; 2 * 3 * size * size];
        pixels[40 * size + 20] = 1.0;
        let data = TensorData::new(pixels, [2, 3, size, size]);
        let images = Tensor::<Flex, 4>::from_data(data, &device);
        let mut red = LocalContrast::new(ImageInput::unnormalised(size), [1.0, 0.0, 0.0]);
        let found = red.detect(images, "anything").unwrap();
        let (map, plain) = (&found[0].map, &found[1].map);
        let highest = map.values.iter().position(|value| *value == map.maximum()).unwrap();
        assert!((highest / size).abs_diff(40) <= 2 && (highest % size).abs_diff(20) <= 2);
        assert_eq!(found[0].score, map.maximum());
        assert!(plain.maximum() < 1e-5 && map.maximum() > 0.01);
        let oblong = Tensor::<Flex, 4>::zeros([1, 3, 4, 5], &device);
        assert!(red.detect(oblong, "anything").is_err());
    }
}
