//! Tiles on a detector that gives back the brightness of what it sees, so that every pixel of a
//! blended map is known.

use burn::backend::Flex;

use super::*;
use crate::{AnomalyMap, Detection, ImageInput, ScoreRule};

/// What the detector takes.
const SIZE: usize = 32;

/// The map is the first channel; the image score its first value.
struct Brightness(ScoreRule);

impl Detector<Flex> for Brightness {
    fn input(&self) -> ImageInput {
        ImageInput::unnormalised(SIZE)
    }

    fn score_rule(&self) -> ScoreRule {
        self.0
    }

    fn detect(
        &mut self,
        images: Tensor<Flex, 4>,
        class: &str,
    ) -> Result<Vec<Detection>, DetectError> {
        if class != "nut" {
            return Err(DetectError::Class { class: class.into(), known: "nut".into() });
        }
        let [batch, _, height, width] = images.dims();
        let values = images.narrow(1, 0, 1).reshape([batch * height * width]).into_data();
        let values = values.into_vec::<f32>().unwrap();
        let detection = |values: &[f32]| {
            let map = AnomalyMap { size: SIZE, values: values.to_vec() };
            Detection { map, image_score: values[0], score: 7.0 }
        };
        Ok(values.chunks_exact(SIZE * SIZE).map(detection).collect())
    }
}

/// A picture whose tiles are cut without scaling.
struct Picture {
    width: usize,
    height: usize,
    value: fn(usize, usize) -> f32,
}

impl Picture {
    fn read(&self, tile: &Tile) -> Result<Tensor<Flex, 3>, DetectError> {
        assert!(tile.x + tile.width <= self.width && tile.y + tile.height <= self.height);
        assert_eq!((tile.width, tile.height), (SIZE, SIZE));
        let plane = (0..SIZE * SIZE).map(|at| (self.value)(tile.x + at % SIZE, tile.y + at / SIZE));
        let plane =
            Tensor::<Flex, 1>::from_floats(&*plane.collect::<Vec<_>>(), &Default::default());
        Ok(plane.reshape([1, SIZE, SIZE]).expand([3, SIZE, SIZE]))
    }

    fn detected(&self, overlap: f64, batch: usize) -> TiledDetection {
        let grid = TileGrid::new(self.width, self.height, Tiling { side: SIZE, overlap }).unwrap();
        let mut detector = Brightness(ScoreRule::MeanOfMapMaxAndImage);
        let mut tiled = TiledDetector::new(&mut detector, batch);
        let read = |tile: &Tile| self.read(tile);
        tiled.detect(&grid, "nut", read, |_| ControlFlow::Continue(())).unwrap().unwrap()
    }
}

#[test]
fn a_constant_map_stays_constant_whatever_the_overlap() {
    for overlap in [0.0, 0.25, 0.6, 0.75] {
        let picture = Picture { width: 101, height: 67, value: |_, _| 3.25 };
        let TiledDetection { map, image_score, score } = picture.detected(overlap, 3);
        assert_eq!((map.width, map.height, map.values.len()), (101, 67, 101 * 67));
        assert!(map.values.iter().all(|value| (value - 3.25).abs() < 1e-5), "{overlap}");
        assert_eq!(image_score, 3.25);
        assert_eq!(score, (map.maximum() + 3.25) / 2.0);
    }
}

#[test]
fn every_pixel_stays_in_its_place_and_batches_change_nothing() {
    let picture =
        Picture { width: 90, height: 75, value: |x, y| (x * 31 % 17 + y * 7 % 13) as f32 };
    let detection = picture.detected(0.3, 1);
    for (at, value) in detection.map.values.iter().enumerate() {
        let expected = (picture.value)(at % 90, at / 90);
        assert!((value - expected).abs() < 1e-4, "{at}: {value} {expected}");
    }
    assert_eq!(picture.detected(0.3, 4), detection);
    let first = (0..3).flat_map(|row| (0..4).map(move |column| (column, row)));
    let best = first.map(|(column, row)| {
        let start = |at: usize, length: usize, last: usize| (at * (length - 32) + last / 2) / last;
        (picture.value)(start(column, 90, 3), start(row, 75, 2))
    });
    assert_eq!(detection.image_score, best.fold(0.0, f32::max), "the highest of any tile");
}

#[test]
fn one_tile_is_the_detector_itself_to_the_bit() {
    let picture = Picture { width: SIZE, height: SIZE, value: |x, y| (x as f32).sin() + y as f32 };
    let whole = picture.detected(0.5, 8);
    let tile = Tile { x: 0, y: 0, width: SIZE, height: SIZE };
    let images = Tensor::stack(vec![picture.read(&tile).unwrap()], 0);
    let Detection { map, image_score, score } =
        Brightness(ScoreRule::MapMax).detect(images, "nut").unwrap().remove(0);
    assert_eq!(whole, TiledDetection { map: map.into(), image_score, score });
}

#[test]
fn tiles_cover_every_pixel_and_leave_the_image_nowhere() {
    for (width, height) in [(16, 16), (17, 100), (33, 32), (1, 500), (640, 3), (257, 129)] {
        for overlap in [0.0, 0.1, 0.5, 0.75] {
            for side in [16, 31, 64] {
                let grid = TileGrid::new(width, height, Tiling { side, overlap }).unwrap();
                let mut seen = vec![false; width * height];
                for Tile { x, y, width: across, height: down } in grid.tiles().iter().copied() {
                    assert_eq!((across, down), (side.min(width), side.min(height)));
                    for row in y..y + down {
                        seen[row * width + x..][..across].fill(true);
                    }
                }
                assert!(seen.into_iter().all(|seen| seen), "{width}x{height} {side} {overlap}");
                assert_eq!(grid.is_whole(), width <= side && height <= side);
                let least = (side as f64 * overlap).round() as usize;
                let apart = grid.columns.starts.windows(2).map(|pair| pair[1] - pair[0]);
                assert!(apart.max().is_none_or(|step| step <= side - least));
            }
        }
    }
}

#[test]
fn what_cannot_be_cut_is_refused_in_one_line() {
    let refused = |width, height, side, overlap| {
        let error = TileGrid::new(width, height, Tiling { side, overlap }).unwrap_err().to_string();
        assert!(!error.contains('\n'));
        error
    };
    assert!(refused(0, 9, 64, 0.0).contains("no pixels"));
    assert!(refused(99, 99, 0, 0.0).contains("too small"));
    for overlap in [1.0, 0.76, -0.1, f64::NAN, f64::INFINITY] {
        assert!(refused(99, 99, 64, overlap).contains("overlap"), "{overlap}");
    }
    assert!(refused(65_535, 65_535, 16, 0.75).contains("larger ones"));
    assert!(refused(usize::MAX, usize::MAX, 16, 0.0).contains("larger ones"));
    assert!(TileGrid::new(9, 9, Tiling { side: usize::MAX, overlap: 0.75 }).is_ok());
}

#[test]
fn who_watches_can_end_it_and_errors_come_through() {
    let picture = Picture { width: 100, height: 40, value: |_, _| 1.0 };
    let grid = TileGrid::new(100, 40, Tiling { side: SIZE, overlap: 0.0 }).unwrap();
    let mut detector = Brightness(ScoreRule::MeanOfMapMaxAndImage);
    let mut tiled = TiledDetector::new(&mut detector, 0);
    let mut done = 0;
    let watch = |_: &Tile| {
        done += 1;
        if done == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    assert!(tiled.detect(&grid, "nut", |tile| picture.read(tile), watch).unwrap().is_none());
    assert_eq!(done, 2);
    let go_on = |_: &Tile| ControlFlow::Continue(());
    let error = tiled.detect(&grid, "bolt", |tile| picture.read(tile), go_on).unwrap_err();
    assert!(error.to_string().contains("bolt"));
    let broken = |_: &Tile| Err::<Tensor<Flex, 3>, _>(DetectError::NonFinite);
    assert!(matches!(tiled.detect(&grid, "nut", broken, go_on), Err(DetectError::NonFinite)));
}
