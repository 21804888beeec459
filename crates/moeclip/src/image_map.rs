//! An anomaly map at the size of the image itself.

use grid_resample::{AxisMatrix, HostResampler};

use crate::AnomalyMap;

/// An anomaly map on the host, of any size.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageMap {
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// Row by row; higher is more anomalous.
    pub values: Vec<f32>,
}

impl AnomalyMap {
    /// The map at another size: bilinear with aligned corners, as maps come from the patch grid, and
    /// without a blur of its own. At the map's own size nothing changes, to the bit.
    pub fn resampled(&self, width: usize, height: usize) -> ImageMap {
        let values = resampler(self.size, width, height).grid(&self.values);
        ImageMap { width, height, values }
    }
}

impl From<AnomalyMap> for ImageMap {
    fn from(map: AnomalyMap) -> Self {
        Self { width: map.size, height: map.size, values: map.values }
    }
}

impl ImageMap {
    /// The highest value.
    pub fn maximum(&self) -> f32 {
        self.values.iter().copied().fold(f32::NEG_INFINITY, f32::max)
    }
}

/// From a square map of `size` to `width` by `height`.
pub(crate) fn resampler(size: usize, width: usize, height: usize) -> HostResampler {
    let axis = |outputs| AxisMatrix::bilinear_aligned(size, outputs);
    HostResampler::new(&axis(height), &axis(width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_keeps_its_corners_and_its_bits() {
        let map = AnomalyMap { size: 3, values: vec![0.0, 1.0, 2.0, 3.0, 4.5, 5.0, 6.0, 7.0, 9.0] };
        let large = map.resampled(5, 7);
        assert_eq!((large.width, large.height, large.values.len()), (5, 7, 35));
        let corners = [0, 4, 30, 34].map(|at| large.values[at]);
        assert_eq!(corners, [0.0, 2.0, 6.0, 9.0]);
        assert_eq!(large.values[17], 4.5, "the middle");
        assert_eq!(map.resampled(3, 3), ImageMap::from(map.clone()));
        assert_eq!(map.resampled(1, 1).values, [0.0]);
        assert!(map.resampled(0, 4).values.is_empty());
    }
}
