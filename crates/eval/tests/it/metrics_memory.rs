//! Pixel metrics do not depend on how much memory they may take, nor on the order of maps: not by a
//! bit.

use moeclip_eval::MapView;
use moeclip_eval::metrics::{MaskedMap, PixelMetrics, PixelScores, Workspace, pixel_metrics};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// From some pixels to more than all.
const LIMITS: [usize; 4] = [2000, 9000, 60_000, 1 << 30];

#[test]
fn every_limit_and_every_order_give_the_same_bits() {
    let mut defined = 0;
    for seed in 0..40 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut pictures = pictures(&mut rng);
        let expected = measure(&pictures, 1 << 30);
        defined += usize::from(expected.aupro_exact.is_some());
        for limit in LIMITS {
            assert_eq!(measure(&pictures, limit), expected, "seed {seed}, {limit} bytes");
            pictures.shuffle(&mut rng);
        }
        let maps: Vec<_> = pictures.iter().map(Picture::masked).collect();
        assert_eq!(pixel_metrics(&maps).unwrap(), expected, "seed {seed}");
    }
    assert!(defined > 25, "only {defined} rounds had both kinds of pixels");
}

#[test]
fn a_pixel_at_a_time_is_enough() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let pictures = [Picture::of_size(&mut rng, [17, 19], 50, 0.2)];
    let expected = measure(&pictures, 1 << 30);
    assert!(expected.aupro_200.is_some());
    // 323 runs of a pixel: sixteen files of sixteen files of them, and more.
    assert_eq!(measure(&pictures, 0), expected);
}

#[test]
fn numbers_can_be_had_in_between() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let pictures: Vec<Picture> = (0..6).map(|_| Picture::random(&mut rng, 20, 0.2)).collect();
    let mut scores = PixelScores::new(Workspace { memory: 300, ..Workspace::default() });
    for (index, picture) in pictures.iter().enumerate() {
        scores.push(picture.masked()).unwrap();
        let found = scores.metrics().unwrap();
        assert_eq!(found, measure(&pictures[..=index], 1 << 30));
        assert!(found.auroc.is_some());
    }
}

#[test]
fn a_folder_that_is_not_there_is_told_only_when_it_is_needed() {
    let folder = tempfile::tempdir().unwrap().path().join("gone");
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let picture = Picture::random(&mut rng, 16, 0.2);
    let push = |memory| {
        let mut scores = PixelScores::new(Workspace { memory, folder: folder.clone() });
        scores.push(picture.masked()).and_then(|()| scores.metrics())
    };
    assert!(push(1 << 20).is_ok());
    let message = push(64).unwrap_err().to_string();
    assert!(message.starts_with(&folder.display().to_string()), "{message}");
    assert_eq!(message.lines().count(), 1);
}

fn measure(pictures: &[Picture], memory: usize) -> PixelMetrics {
    let mut scores = PixelScores::new(Workspace { memory, ..Workspace::default() });
    pictures.iter().for_each(|picture| scores.push(picture.masked()).unwrap());
    scores.metrics().unwrap()
}

/// A few maps of different sizes; some sets have one kind of pixel only.
fn pictures(rng: &mut ChaCha8Rng) -> Vec<Picture> {
    let levels = [1, 7, 1000, u32::MAX][rng.random_range(0..4)];
    let density = [0.0, 0.02, 0.3, 0.3, 0.9, 1.0][rng.random_range(0..6)];
    let count = rng.random_range(1..8);
    let mut pictures: Vec<Picture> =
        (0..count).map(|_| Picture::random(rng, levels, density)).collect();
    pictures.iter_mut().step_by(3).for_each(|picture| picture.mask = None);
    pictures
}

struct Picture {
    width: usize,
    height: usize,
    values: Vec<f32>,
    mask: Option<Vec<bool>>,
}

impl Picture {
    fn random(rng: &mut ChaCha8Rng, levels: u32, density: f64) -> Self {
        let size = [rng.random_range(1..30), rng.random_range(1..30)];
        Self::of_size(rng, size, levels, density)
    }

    fn of_size(
        rng: &mut ChaCha8Rng,
        [width, height]: [usize; 2],
        levels: u32,
        density: f64,
    ) -> Self {
        let count = width * height;
        let scale = [1e-42, 1.0, 1e30][rng.random_range(0..3)];
        let values = (0..count)
            .map(|_| (rng.random_range(0..levels) as f32 / levels as f32 - 0.3) * scale)
            .collect();
        let mask = Some((0..count).map(|_| rng.random_bool(density)).collect());
        Self { width, height, values, mask }
    }

    fn masked(&self) -> MaskedMap<'_> {
        let map = MapView::new(self.width, self.height, &self.values).unwrap();
        match &self.mask {
            None => MaskedMap::normal(map),
            Some(mask) => MaskedMap::new(map, mask).unwrap(),
        }
    }
}
