//! The composed detector on a small random CLIP: shapes, the linear identity of the maps, errors.

use anomaly::{DetectError, Detector, Domain, ScoreRule};
use burn::backend::{Flex, NdArray};
use burn::tensor::{Distribution, Tensor, Tolerance, backend::Backend};
use clip_vit::{
    ClipSpec, ClipSpecBuilder, Precision, RandomWeights, TextBackbone, TextTower, VisionTower,
};
use moeclip::{
    Adapters, ClipDetector, ConfigError, FrozenClip, MapResampler, MoeClip, MoeClipConfig,
    MoeClipDetector, PlainClip, PromptSet, TextFeatures,
};

fn spec() -> ClipSpec {
    ClipSpecBuilder::new().vision(7, 4, 64, 4).text(64, 1).embed(32).build().unwrap()
}

fn config() -> MoeClipConfig {
    MoeClipConfig { image_size: 42, ..MoeClipConfig::for_clip(&spec()) }
}

fn frozen<B: Backend>() -> FrozenClip<B> {
    let source = RandomWeights::new(1);
    let (prompts, classes) = (PromptSet::default(), ["nut", "metal plate"]);
    FrozenClip::load(&spec(), &source, &prompts, classes, Precision::F32, &Default::default())
        .unwrap()
}

fn detector<B: Backend>(domain: Domain) -> MoeClipDetector<B> {
    let device = Default::default();
    let adapters = Adapters::init(&config(), &spec(), 3, &device).unwrap();
    let FrozenClip { tower, book } = frozen::<B>();
    let model: MoeClip<B, VisionTower<B>> =
        MoeClip::new(tower, adapters, config(), &device).unwrap();
    MoeClipDetector::new(model, book, domain, &device)
}

fn images<B: Backend>(count: usize) -> Tensor<B, 4> {
    let pixels = (0..count * 3 * 42 * 42).map(|i| ((i * 37 % 101) as f32 / 50.0) - 1.0);
    let pixels: Vec<f32> = pixels.collect();
    Tensor::<B, 1>::from_floats(pixels.as_slice(), &Default::default()).reshape([count, 3, 42, 42])
}

fn check<B: Backend>() {
    for domain in [Domain::Industrial, Domain::Medical] {
        let mut detector = detector::<B>(domain);
        let together = detector.detect(images(2), "nut").unwrap();
        assert_eq!(together.len(), 2);
        let alone = detector.detect(images(2).narrow(0, 1, 1), "nut").unwrap().remove(0);
        for (a, b) in together[1].map.values.iter().zip(&alone.map.values) {
            assert!((a - b).abs() < 1e-3, "an image's map does not depend on its neighbours");
        }
        assert_eq!(alone.map.values.len(), 42 * 42);
        assert!((0.0..=1.0).contains(&alone.image_score));
        let maximum = alone.map.maximum();
        assert_eq!(alone.score, ScoreRule::of(domain).score(maximum, alone.image_score));
        let other = detector.detect(images(1), "metal plate").unwrap().remove(0);
        assert_ne!(other.map, together[0].map, "the class decides what is looked for");
    }
}

#[test]
fn detections_are_per_image_and_per_class() {
    check::<Flex>();
    check::<NdArray>();
}

#[test]
fn wrong_classes_and_sizes_are_named() {
    let mut detector = detector::<Flex>(Domain::Industrial);
    let error = detector.detect(images(1), "bolt").unwrap_err();
    assert!(matches!(&error, DetectError::Class { class, .. } if class == "bolt"));
    assert!(error.to_string().contains("metal plate, nut"), "{error}");
    let small = images(1).narrow(2, 0, 41);
    assert!(matches!(detector.detect(small, "nut"), Err(DetectError::Size { height: 41, .. })));
}

#[test]
fn summing_then_resampling_once_equals_resampling_every_map() {
    let device = Default::default();
    let resampler = MapResampler::<Flex>::new(6, 42, &device);
    let draw = |shape| Tensor::<Flex, 3>::random(shape, Distribution::Normal(0.0, 0.1), &device);
    let patches: Vec<Tensor<Flex, 3>> = (0..3).map(|_| draw([2, 36, 8])).collect();
    let row = || draw([1, 1, 8]).reshape([1, 8]);
    let text = TextFeatures { normal: row(), abnormal: row() };
    for domain in [Domain::Industrial, Domain::Medical] {
        let one =
            |p: &Tensor<Flex, 3>| resampler.anomaly_map(std::slice::from_ref(p), &text, domain);
        let each = one(&patches[0]) + one(&patches[1]) + one(&patches[2]);
        let once = resampler.anomaly_map(&patches, &text, domain);
        let close = Tolerance::relative(1e-4).set_absolute(1e-3);
        once.into_data().assert_approx_eq::<f32>(&each.into_data(), close);
    }
}

#[test]
fn each_phrase_is_encoded_as_if_alone() {
    let book = frozen::<Flex>().book;
    let prompts = book.get("nut").unwrap();
    assert_eq!((prompts.normal.dims(), prompts.abnormal.dims()), ([6, 64], [10, 64]));
    let again = frozen::<Flex>().book;
    let again = again.get("nut").unwrap().normal.clone().into_data();
    prompts.normal.clone().into_data().assert_eq(&again, true);
}

fn plain() -> PlainClip<Flex> {
    let (source, prompts) = (RandomWeights::new(1), PromptSet::default());
    let classes = ["nut", "metal plate"];
    PlainClip::load(&spec(), &source, &prompts, classes, Precision::F32, &Default::default())
        .unwrap()
}

/// Rows of `[rows, embed]` made unit, on the host.
fn unit_rows(rows: Tensor<Flex, 2>) -> Vec<Vec<f32>> {
    let [_, embed] = rows.dims();
    let values = rows.into_data().into_vec::<f32>().unwrap();
    let unit = |row: &[f32]| {
        let norm = row.iter().map(|value| value * value).sum::<f32>().sqrt();
        row.iter().map(|value| value / norm).collect()
    };
    values.chunks_exact(embed).map(unit).collect()
}

#[test]
fn plain_clip_scores_an_image_by_its_own_two_towers() {
    let (source, device) = (RandomWeights::new(1), Default::default());
    let tower = VisionTower::<Flex>::load(&spec(), &source, Precision::F32, &device).unwrap();
    let text = TextTower::<Flex>::load(&spec(), &source, Precision::F32, &device).unwrap();
    let book = frozen::<Flex>().book;
    let prompts = book.get("nut").unwrap();
    let direction = |features: &Tensor<Flex, 2>| {
        let rows = unit_rows(text.project(features.clone()));
        let sum = (0..rows[0].len()).map(|at| rows.iter().map(|row| row[at]).sum::<f32>());
        let sum: Vec<f32> = sum.collect();
        let norm = sum.iter().map(|value| value * value).sum::<f32>().sqrt();
        sum.into_iter().map(|value| value / norm).collect::<Vec<f32>>()
    };
    let (normal, abnormal) = (direction(&prompts.normal), direction(&prompts.abnormal));
    let image = unit_rows(tower.encode(images(2))).remove(1);
    let dot = |text: &[f32]| image.iter().zip(text).map(|(a, b)| a * b).sum::<f32>();
    let logit = 100.0 * (dot(&abnormal) - dot(&normal));
    let expected = 1.0 / (1.0 + (-logit).exp());
    for domain in [Domain::Industrial, Domain::Medical] {
        let mut detector = ClipDetector::new(plain(), domain, 42, &device).unwrap();
        let detection = detector.detect(images(2), "nut").unwrap().remove(1);
        assert!((detection.image_score - expected).abs() < 1e-4, "{detection:?} {expected}");
        assert_eq!(detection.score, detection.image_score);
        assert_eq!(detection.map.values.len(), 42 * 42);
        let other = detector.detect(images(2), "metal plate").unwrap().remove(1);
        assert_ne!(other.map, detection.map);
        let error = detector.detect(images(1), "bolt").unwrap_err();
        assert!(error.to_string().contains("metal plate, nut"), "{error}");
        let small = images(1).narrow(2, 0, 41);
        let error = detector.detect(small, "nut").unwrap_err();
        assert!(matches!(error, DetectError::Size { height: 41, .. }));
    }
    let error = ClipDetector::new(plain(), Domain::Industrial, 6, &device).unwrap_err();
    assert!(matches!(error, ConfigError::ImageSize { image_size: 6, patch: 7 }));
}
