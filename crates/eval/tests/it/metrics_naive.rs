//! The metrics against their definitions, counted over again at every threshold: random ties, one
//! class, all equal.

use moeclip_eval::metrics::{MaskedMap, binary_metrics, expected_calibration_error, pixel_metrics};
use moeclip_eval::{EvalError, MapView};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const ROUNDS: u64 = 300;

#[test]
fn binary_metrics_agree_with_counting() {
    let mut defined = 0;
    for seed in 0..ROUNDS {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let count = rng.random_range(0..40);
        let scores = scores(&mut rng, count);
        let labels: Vec<bool> = (0..count).map(|_| rng.random_bool(0.3)).collect();
        let found = binary_metrics(&scores, &labels).unwrap();
        if labels.iter().all(|&label| label) || !labels.contains(&true) {
            assert_eq!((found.auroc, found.ap, found.f1_max), (None, None, None), "seed {seed}");
            continue;
        }
        defined += 1;
        near(found.auroc, naive_auroc(&scores, &labels), seed);
        near(found.ap, naive_ap(&scores, &labels), seed);
        near(found.f1_max, naive_f1(&scores, &labels), seed);
    }
    assert!(defined > 200, "only {defined} rounds had both classes");
}

#[test]
fn pixel_metrics_agree_with_counting() {
    let (mut exact, mut stepped) = (0, 0);
    for seed in 0..ROUNDS {
        let pixels = Pixels::random(seed);
        let found = pixel_metrics(&pixels.maps()).unwrap();
        if !pixels.has_both() {
            assert_eq!(found, Default::default(), "seed {seed}");
            continue;
        }
        exact += 1;
        near(found.auroc, naive_auroc(&pixels.scores, &pixels.mask), seed);
        near(found.ap, naive_ap(&pixels.scores, &pixels.mask), seed);
        near(found.f1_max, naive_f1(&pixels.scores, &pixels.mask), seed);
        near(found.iou, naive_iou(&pixels), seed);
        near(found.aupro_exact, naive_aupro_exact(&pixels), seed);
        let expected = naive_aupro_200(&pixels);
        assert_eq!(found.aupro_200.is_some(), expected.is_some(), "seed {seed}");
        if let Some(expected) = expected {
            near(found.aupro_200, expected, seed);
            stepped += 1;
        }
    }
    assert!(exact > 200 && stepped > 60, "{exact} and {stepped} rounds were defined");
}

#[test]
fn calibration_agrees_with_its_definition() {
    for seed in 0..ROUNDS {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let count = rng.random_range(1..40);
        // Sixteenths lie on no edge of 15 bins but 0 and 1.
        let scores: Vec<f32> = (0..count).map(|_| rng.random_range(0..17) as f32 / 16.0).collect();
        let labels: Vec<bool> = (0..count).map(|_| rng.random_bool(0.3)).collect();
        let found = expected_calibration_error(&scores, &labels).unwrap();
        near(found, naive_calibration_error(&scores, &labels), seed);
    }
    let error =
        |scores: &[f32], labels: &[bool]| expected_calibration_error(scores, labels).unwrap();
    assert_eq!(error(&[0.0, 1.0], &[false, true]), Some(0.0), "sure and right");
    assert_eq!(error(&[1.0, 0.0], &[false, true]), Some(1.0), "sure and wrong");
    assert_eq!(error(&[1.0], &[true]), Some(0.0), "one class is enough");
    assert_eq!(error(&[], &[]), None);
    assert_eq!(error(&[0.5, 1.5], &[false, true]), None, "not a probability");
    assert!(expected_calibration_error(&[f32::NAN], &[true]).is_err());
}

#[test]
fn one_class_or_nothing_is_undefined() {
    for labels in [&[][..], &[true; 3], &[false; 3]] {
        let scores = vec![0.5; labels.len()];
        assert_eq!(binary_metrics(&scores, labels).unwrap(), Default::default());
    }
    let values = [0.1, 0.2, 0.3, 0.4];
    let map = MapView::new(2, 2, &values).unwrap();
    for maps in
        [vec![], vec![MaskedMap::normal(map)], vec![MaskedMap::new(map, &[true; 4]).unwrap()]]
    {
        assert_eq!(pixel_metrics(&maps).unwrap(), Default::default());
    }
}

#[test]
fn equal_scores_are_worth_a_guess() {
    let found = binary_metrics(&[0.7; 4], &[true, false, false, false]).unwrap();
    assert_eq!((found.auroc, found.ap, found.f1_max), (Some(0.5), Some(0.25), Some(0.4)));
    let map = MapView::new(2, 2, &[0.7; 4]).unwrap();
    let maps = [MaskedMap::new(map, &[true, false, false, false]).unwrap()];
    let found = pixel_metrics(&maps).unwrap();
    near(found.aupro_exact, 0.15, 0);
    assert_eq!(found.iou, Some(0.25), "everything is flagged");
    assert_eq!(found.aupro_200, None, "an empty range has no steps");
}

#[test]
fn zeros_of_either_sign_tie() {
    assert_eq!(binary_metrics(&[0.0, -0.0], &[true, false]).unwrap().auroc, Some(0.5));
}

#[test]
fn bad_scores_are_refused_in_one_line() {
    for bad in [f32::NAN, f32::INFINITY] {
        let error = binary_metrics(&[0.0, bad], &[true, false]).unwrap_err();
        assert!(matches!(error, EvalError::NotFinite { index: 1, .. }));
        assert_eq!(error.to_string().lines().count(), 1);
    }
    assert!(matches!(
        binary_metrics(&[0.0], &[]),
        Err(EvalError::Length { expected: 1, found: 0, .. })
    ));
    let map = MapView::new(2, 1, &[0.0, 1.0]).unwrap();
    assert!(matches!(MaskedMap::new(map, &[true]), Err(EvalError::Length { .. })));
}

/// A few small maps with masks, as one long row of pixels.
struct Pixels {
    width: usize,
    height: usize,
    scores: Vec<f32>,
    mask: Vec<bool>,
}

impl Pixels {
    fn random(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (width, height) = (rng.random_range(1..10), rng.random_range(1..10));
        let count = width * height * rng.random_range(1..4);
        let density = [0.0, 0.1, 0.3, 0.3, 0.3, 0.6, 1.0][rng.random_range(0..7)];
        Self {
            width,
            height,
            scores: scores(&mut rng, count),
            mask: (0..count).map(|_| rng.random_bool(density)).collect(),
        }
    }

    fn maps(&self) -> Vec<MaskedMap<'_>> {
        let size = self.width * self.height;
        let pairs = self.scores.chunks_exact(size).zip(self.mask.chunks_exact(size));
        pairs
            .map(|(map, mask)| {
                MaskedMap::new(MapView::new(self.width, self.height, map).unwrap(), mask).unwrap()
            })
            .collect()
    }

    fn has_both(&self) -> bool {
        self.mask.contains(&true) && self.mask.contains(&false)
    }

    /// The pixels of each region, found by merging neighbours until nothing changes.
    fn regions(&self) -> Vec<Vec<usize>> {
        let mut names: Vec<usize> = (0..self.mask.len()).collect();
        while self.merge_neighbours(&mut names) {}
        let of = |name: usize| {
            (0..names.len()).filter(|&pixel| self.mask[pixel] && names[pixel] == name).collect()
        };
        (0..names.len()).map(of).filter(|region: &Vec<usize>| !region.is_empty()).collect()
    }

    fn merge_neighbours(&self, names: &mut [usize]) -> bool {
        let mut changed = false;
        for a in 0..names.len() {
            for b in 0..names.len() {
                if self.touch(a, b) && names[b] < names[a] {
                    names[a] = names[b];
                    changed = true;
                }
            }
        }
        changed
    }

    fn touch(&self, a: usize, b: usize) -> bool {
        let place = |pixel: usize| {
            (
                pixel % self.width,
                pixel / self.width % self.height,
                pixel / (self.width * self.height),
            )
        };
        let ((ax, ay, az), (bx, by, bz)) = (place(a), place(b));
        self.mask[a] && self.mask[b] && az == bz && ax.abs_diff(bx) <= 1 && ay.abs_diff(by) <= 1
    }

    /// False-positive rate and mean overlap of what `is_flagged`.
    fn point(&self, regions: &[Vec<usize>], is_flagged: impl Fn(f32) -> bool) -> [f64; 2] {
        let flagged = |pixel: &usize| is_flagged(self.scores[*pixel]);
        let normal: Vec<usize> = (0..self.mask.len()).filter(|&pixel| !self.mask[pixel]).collect();
        let share = |pixels: &Vec<usize>| {
            pixels.iter().filter(|pixel| flagged(pixel)).count() as f64 / pixels.len() as f64
        };
        [share(&normal), regions.iter().map(share).sum::<f64>() / regions.len() as f64]
    }
}

fn naive_aupro_exact(pixels: &Pixels) -> f64 {
    let regions = pixels.regions();
    let thresholds = distinct(&pixels.scores);
    let mut points = vec![[0.0, 0.0]];
    points.extend(
        thresholds.iter().map(|&threshold| pixels.point(&regions, |score| score >= threshold)),
    );
    let mut area = 0.0;
    for pair in points.windows(2) {
        let ([x0, y0], [x1, y1]) = (pair[0], pair[1]);
        if x0 <= 0.3 && x1 > x0 {
            let cut = x1.min(0.3);
            let height = y0 + (y1 - y0) * (cut - x0) / (x1 - x0);
            area += (cut - x0) * (y0 + height) / 2.0;
        }
    }
    area / 0.3
}

fn naive_aupro_200(pixels: &Pixels) -> Option<f64> {
    let regions = pixels.regions();
    let sorted = distinct(&pixels.scores);
    let (high, low) = (sorted[0], sorted[sorted.len() - 1]);
    let step = f64::from((high - low) / 200.0);
    let mut points = Vec::new();
    for index in 0.. {
        let threshold = f64::from(low) + f64::from(index) * step;
        if threshold >= f64::from(high) {
            break;
        }
        points.push(pixels.point(&regions, |score| f64::from(score) > threshold));
    }
    points.retain(|[rate, _]| *rate < 0.3);
    points.sort_by(|a, b| a[0].partial_cmp(&b[0]).unwrap());
    let (first, last) = (points.first()?[0], points.last()?[0]);
    let area = |pair: &[[f64; 2]]| {
        (pair[1][0] - pair[0][0]) / (last - first) * (pair[0][1] + pair[1][1]) / 2.0
    };
    (last > first).then(|| points.windows(2).map(area).sum())
}

fn naive_auroc(scores: &[f32], labels: &[bool]) -> f64 {
    let (mut ordered, mut pairs) = (0.0, 0.0);
    for (high, _) in scores.iter().zip(labels).filter(|pair| *pair.1) {
        for (low, _) in scores.iter().zip(labels).filter(|pair| !*pair.1) {
            pairs += 1.0;
            ordered += if high > low {
                1.0
            } else if high == low {
                0.5
            } else {
                0.0
            };
        }
    }
    ordered / pairs
}

fn naive_ap(scores: &[f32], labels: &[bool]) -> f64 {
    let mut recall_before = 0.0;
    let mut sum = 0.0;
    for threshold in distinct(scores) {
        let (precision, recall) = precision_recall(scores, labels, threshold);
        sum += (recall - recall_before) * precision;
        recall_before = recall;
    }
    sum
}

/// Of the highest threshold with the best F1.
fn naive_iou(pixels: &Pixels) -> f64 {
    let best = naive_f1(&pixels.scores, &pixels.mask);
    let iou = |threshold: f32| {
        let both = |is_in: fn(bool, bool) -> bool| {
            let pairs = pixels.scores.iter().zip(&pixels.mask);
            pairs.filter(|&(&score, &label)| is_in(score >= threshold, label)).count() as f64
        };
        let (hits, sum) = (both(|a, b| a && b), both(|a, _| a) + both(|_, b| b));
        (2.0 * hits / sum, hits / both(|a, b| a || b))
    };
    let ious = distinct(&pixels.scores).into_iter().map(iou);
    ious.into_iter().find(|(f1, _)| (f1 - best).abs() < 1e-12).unwrap().1
}

fn naive_calibration_error(scores: &[f32], labels: &[bool]) -> f64 {
    let gap = |bin: usize| {
        let edge = |index: usize| index as f64 / 15.0;
        let holds = |score: f64| score >= edge(bin) && (score < edge(bin + 1) || bin == 14);
        let pairs = scores.iter().map(|&score| f64::from(score)).zip(labels);
        let inside: Vec<_> = pairs.filter(|(score, _)| holds(*score)).collect();
        if inside.is_empty() {
            return 0.0;
        }
        let count = inside.len() as f64;
        let mean = inside.iter().map(|(score, _)| score).sum::<f64>() / count;
        let share = inside.iter().filter(|(_, label)| **label).count() as f64 / count;
        (mean - share).abs() * count / scores.len() as f64
    };
    (0..15).map(gap).sum()
}

fn naive_f1(scores: &[f32], labels: &[bool]) -> f64 {
    let f1 = |threshold| {
        let (precision, recall) = precision_recall(scores, labels, threshold);
        if precision + recall > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 }
    };
    distinct(scores).into_iter().map(f1).fold(0.0, f64::max)
}

fn precision_recall(scores: &[f32], labels: &[bool], threshold: f32) -> (f64, f64) {
    let flagged = scores.iter().filter(|&&score| score >= threshold).count() as f64;
    let hits =
        scores.iter().zip(labels).filter(|&(&score, &label)| label && score >= threshold).count()
            as f64;
    (hits / flagged, hits / labels.iter().filter(|&&label| label).count() as f64)
}

/// The distinct scores, from high to low.
fn distinct(scores: &[f32]) -> Vec<f32> {
    let mut distinct = scores.to_vec();
    distinct.sort_by(|a, b| b.partial_cmp(a).unwrap());
    distinct.dedup();
    distinct
}

/// Scores with many ties, few, or none.
fn scores(rng: &mut ChaCha8Rng, count: usize) -> Vec<f32> {
    let levels = [1, 3, 10, 1_000_000][rng.random_range(0..4)];
    (0..count).map(|_| rng.random_range(0..levels) as f32 / 7.0 - 1.0).collect()
}

fn near(found: Option<f64>, expected: f64, seed: u64) {
    let found = found.unwrap();
    assert!((found - expected).abs() < 1e-12, "seed {seed}: {found}, expected {expected}");
}
