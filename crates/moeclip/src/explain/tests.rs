//! An explanation of a small model with experts that have learned something, held against the same
//! numbers found in other ways.

use burn::backend::Flex;
use burn::tensor::{Distribution, TensorData};
use clip_vit::{ClipSpec, ClipSpecBuilder, Precision, RandomWeights};

use super::*;
use crate::{Adapters, Detector, FrozenClip, MoeClipDetector, PromptSet, UpStart};

const SIZE: usize = 42;
const PATCHES: usize = 36;

fn spec() -> ClipSpec {
    ClipSpecBuilder::new().vision(7, 4, 64, 4).text(64, 1).embed(32).build().unwrap()
}

fn config() -> MoeClipConfig {
    let (up, up_scale) = (UpStart::Orthogonal, 0.5);
    MoeClipConfig { image_size: SIZE, up, up_scale, ..MoeClipConfig::for_clip(&spec()) }
}

fn model(config: &MoeClipConfig, change: impl Fn(&mut Adapters<Flex>)) -> Parts {
    let (source, device) = (RandomWeights::new(1), Default::default());
    let prompts = PromptSet::default();
    let FrozenClip { tower, book } =
        FrozenClip::load(&spec(), &source, &prompts, ["nut"], Precision::F32, &device).unwrap();
    let mut adapters = Adapters::init(config, &spec(), 3, &device).unwrap();
    for tap in &mut adapters.taps {
        if let StreamAdapter::Mixture(mixture) = &mut tap.experts {
            let gate = TensorData::new(
                (0..4 * 64).map(|at| (at * 37 % 101) as f32 / 50.0 - 1.0).collect(),
                [4, 64],
            );
            mixture.gate = burn::module::Param::from_tensor(Tensor::from_data(gate, &device));
        }
    }
    change(&mut adapters);
    let model = MoeClip::new(tower, adapters, config.clone(), &device).unwrap();
    Parts { model, book }
}

struct Parts {
    model: MoeClip<Flex, VisionTower<Flex>>,
    book: PromptBook<Flex>,
}

impl Parts {
    fn explainer(self) -> Result<Explainer<Flex>, ExplainError> {
        Explainer::new(self.model, self.book, Domain::Industrial, &Default::default())
    }
}

fn image() -> Tensor<Flex, 4> {
    let pixels = (0..3 * SIZE * SIZE).map(|at| ((at * 37 % 101) as f32 / 50.0) - 1.0);
    let pixels = TensorData::new(pixels.collect::<Vec<_>>(), [1, 3, SIZE, SIZE]);
    Tensor::from_data(pixels, &Default::default())
}

#[test]
fn an_explanation_is_of_what_the_detector_sees() {
    let explainer = model(&config(), |_| {}).explainer().unwrap();
    let explanation = explainer.explain(image(), "nut").unwrap();
    let Parts { model, book } = model(&config(), |_| {});
    let mut detector = MoeClipDetector::new(model, book, Domain::Industrial, &Default::default());
    let detection = detector.detect(image(), "nut").unwrap().remove(0);
    let maps = explanation.detection.map.values.iter().zip(&detection.map.values);
    let apart = maps.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart < 1e-4, "probes of zeros change nothing but the order of sums: {apart}");
    assert!((explanation.detection.score - detection.score).abs() < 1e-4);
    assert_eq!((explanation.grid, explanation.taps.len()), (6, 4));
    for tap in &explanation.taps {
        let sum = |of: fn(&ExpertExplanation) -> f32| tap.experts.iter().map(of).sum::<f32>();
        assert_eq!(sum(|expert| expert.first_choices as f32), PATCHES as f32);
        assert_eq!(sum(|expert| expert.choices as f32), 2.0 * PATCHES as f32);
        assert!((sum(|expert| expert.mean_weight) - 1.0).abs() < 1e-5);
        assert!((sum(|expert| expert.mean_probability) - 1.0).abs() < 1e-5);
        assert_eq!(tap.first_choices.len(), PATCHES);
        for (at, expert) in tap.experts.iter().enumerate() {
            assert_eq!((expert.number, expert.grad_cam.len()), (at + 1, PATCHES));
            assert!((tap.similarity[at][at] - 1.0).abs() < 1e-5, "an expert is like itself");
            assert!(expert.grad_cam.iter().all(|value| *value >= 0.0));
        }
        assert!(tap.experts.iter().any(|expert| expert.grad_cam.iter().any(|v| *v > 0.0)));
        assert!(tap.mean_similarity.abs() < 1.0);
    }
}

/// How the score changes when all that an expert adds grows by a small share, found by trying it, is
/// what the gradient by its weighted codes says.
#[test]
fn the_gradient_is_that_of_the_score() {
    for (tap, expert) in [(0, 0), (1, 2), (3, 1)] {
        let score = |share: f32| {
            let grown = model(&config(), |adapters| {
                let StreamAdapter::Mixture(mixture) = &mut adapters.taps[tap].experts else {
                    unreachable!("the configuration has experts");
                };
                let columns = (0..32).map(|at| if at / 8 == expert { 1.0 + share } else { 1.0 });
                let columns = TensorData::new(columns.collect::<Vec<f32>>(), [1, 32]);
                let columns = Tensor::<Flex, 2>::from_data(columns, &Default::default());
                mixture.up = burn::module::Param::from_tensor(mixture.up.val() * columns);
            });
            let explainer = grown.explainer().unwrap();
            let text = explainer.text("nut").unwrap();
            let features = explainer.probed(image()).features;
            f64::from(explainer.score(&features, &text).into_scalar())
        };
        let slope = (score(0.02) - score(-0.02)) / 0.04;
        let explainer = model(&config(), |_| {}).explainer().unwrap();
        let text = explainer.text("nut").unwrap();
        let Probed { features, probes } = explainer.probed(image());
        let gradients = explainer.score(&features, &text).backward();
        let gradient = probes[tap].grad(&gradients).unwrap().narrow(1, expert * 8, 8);
        let adapted = &features.taps[tap];
        let weights = adapted.routing.as_ref().unwrap().weights.clone();
        let seen = adapted.codes.as_ref().unwrap().weighted(weights).inner();
        let found = (seen.narrow(1, expert * 8, 8) * gradient).sum().into_scalar();
        let found = f64::from(found);
        assert!((found - slope).abs() < 0.03 * slope.abs() + 0.05, "{tap}: {found} {slope}");
        assert!(slope.abs() > 0.2, "{tap}: the expert counts: {slope}");
    }
}

#[test]
fn experts_that_have_learned_nothing_add_nothing() {
    let config = MoeClipConfig { up: UpStart::Zero, up_scale: 0.01, ..config() };
    let explanation = model(&config, |_| {}).explainer().unwrap().explain(image(), "nut").unwrap();
    for tap in &explanation.taps {
        assert_eq!(tap.mean_similarity, 0.0);
        assert!(tap.experts.iter().all(|expert| expert.grad_cam.iter().all(|v| *v == 0.0)));
    }
}

#[test]
fn experts_keep_their_numbers() {
    let kept = [vec![0, 1, 2, 3], vec![1, 3], vec![0, 3], vec![0, 1, 2]];
    let Parts { model, book } = model(&config(), |_| {});
    let model = model.keeping(&kept).unwrap();
    let explainer = Parts { model, book }.explainer().unwrap();
    let explanation = explainer.explain(image(), "nut").unwrap();
    let numbers = |tap: usize| {
        let experts = explanation.taps[tap].experts.iter();
        experts.map(|expert| expert.number).collect::<Vec<_>>()
    };
    assert_eq!((numbers(1), numbers(2)), (vec![2, 4], vec![1, 4]));
}

#[test]
fn what_cannot_be_explained_is_one_line() {
    for mixture in [Mixture::SingleLora, Mixture::None] {
        let config = MoeClipConfig { mixture, up: UpStart::Zero, up_scale: 0.01, ..config() };
        let config = MoeClipConfig { experts: 4, ..config };
        let error = model(&config, |_| {}).explainer().err().unwrap().to_string();
        assert!(error.contains(mixture.name()) && error.contains("nothing to explain"), "{error}");
    }
    let explainer = model(&config(), |_| {}).explainer().unwrap();
    let error = |image, class| explainer.explain(image, class).unwrap_err().to_string();
    assert!(error(image(), "bolt").contains("known are nut"));
    assert!(error(image().narrow(2, 0, 41), "nut").contains("42x41"));
    assert!(error(image().repeat_dim(0, 2), "nut").contains("give one"));
    let noise = Tensor::random([1, 3, SIZE, SIZE], Distribution::Default, &Default::default());
    assert!(explainer.explain(noise.mul_scalar(f32::NAN), "nut").is_err());
}
