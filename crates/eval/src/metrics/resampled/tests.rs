//! Draws beside the metrics of the same images, taken as often one by one.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::MapView;
use crate::metrics::pixel_metrics;

const WIDTH: usize = 8;

struct Made {
    map: Vec<f32>,
    mask: Option<Vec<bool>>,
}

impl Made {
    fn masked(&self) -> MaskedMap<'_> {
        let map = MapView::new(WIDTH, self.map.len() / WIDTH, &self.map).unwrap();
        self.mask.as_ref().map_or(MaskedMap::normal(map), |mask| MaskedMap::new(map, mask).unwrap())
    }
}

/// Five images with few distinct scores, so that many tie, and masks of several regions.
fn made(rng: &mut ChaCha8Rng) -> Vec<Made> {
    let mut image = |index: usize| {
        let mask: Vec<bool> = (0..64).map(|_| rng.random_range(0..5) == 0).collect();
        let score = |&marked: &bool| (rng.random_range(0..12) + 2 * i32::from(marked)) as f32 / 7.0;
        let map = mask.iter().map(score).collect();
        Made { map, mask: index.is_multiple_of(2).then_some(mask) }
    };
    (0..5).map(&mut image).collect()
}

#[test]
fn a_draw_is_the_metrics_of_its_images_taken_so_often() {
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    for at_once in [7, 1 << 20] {
        let images = made(&mut rng);
        // The last two images are one group.
        let groups = [0, 1, 2, 3, 3];
        let mut pixels = GroupedPixels::sorting(at_once, Workspace::default());
        for (image, group) in images.iter().zip(groups) {
            pixels.push(image.masked(), group).unwrap();
        }
        let draws: Vec<Vec<u64>> =
            (0..20).map(|_| (0..4).map(|_| rng.random_range(0..3)).collect()).collect();
        let found = pixels.metrics(&draws).unwrap();
        assert_eq!(found, pixels.metrics(&draws).unwrap(), "may be asked again");
        for (draw, found) in draws.iter().zip(found) {
            let taken = images
                .iter()
                .zip(groups)
                .flat_map(|(image, group)| (0..draw[group]).map(move |_| image.masked()));
            let expected = pixel_metrics(&taken.collect::<Vec<_>>()).unwrap();
            let exact =
                |metrics: &PixelMetrics| (metrics.auroc, metrics.ap, metrics.f1_max, metrics.iou);
            assert_eq!(exact(&found), exact(&expected), "{draw:?}");
            assert_eq!(found.aupro_exact.is_some(), expected.aupro_exact.is_some());
            let gap = found.aupro_exact.unwrap_or(0.0) - expected.aupro_exact.unwrap_or(0.0);
            assert!(gap.abs() < 1e-12, "{draw:?}: {gap}");
        }
    }
}

#[test]
fn a_draw_of_one_kind_of_pixel_defines_nothing() {
    let images = made(&mut ChaCha8Rng::seed_from_u64(9));
    let mut pixels = GroupedPixels::new(Workspace::default());
    for (group, image) in images.iter().take(2).enumerate() {
        pixels.push(image.masked(), group).unwrap();
    }
    let [normal, nothing, both] =
        &pixels.metrics(&[vec![0, 3], vec![0, 0], vec![1, 1]]).unwrap()[..]
    else {
        panic!("three draws")
    };
    assert_eq!((*normal, *nothing), (PixelMetrics::default(), PixelMetrics::default()));
    assert!(both.auroc.is_some());
}
