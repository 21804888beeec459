//! How far the experts' up matrices turn: less from the paper's start than from one that has a
//! direction.
//!
//! The mixture is scaled to its token's length, so of `B` its direction is all that counts.
//! `cargo test -p moeclip-train --test model -- --ignored` makes the longer run whose plot stands in
//! `docs/deviations.md`, and draws it anew.

use std::collections::BTreeMap;
use std::path::Path;

use burn::backend::Flex;
use moeclip::{MoeClipConfig, UpStart, weights};
use moeclip_train::Learner;
use svg_charts::{Axis, Line, LineChart, LineStyle};

use crate::world::{World, learner, paper};

/// Steps between two looks at the matrices.
const STRIDE: usize = 100;

/// The up matrix of each expert.
fn up_matrices(learner: &Learner<Flex>) -> BTreeMap<String, Vec<f32>> {
    let weights = weights(&learner.adapters()).into_iter();
    let up = weights.filter(|tensor| tensor.name.ends_with("lora_B.weight"));
    up.map(|tensor| (tensor.name, tensor.data.to_vec::<f32>().unwrap())).collect()
}

/// Degrees between two directions; `None` where one of them has none.
fn angle(a: &[f32], b: &[f32]) -> Option<f64> {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
    };
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    (lengths > 0.0).then(|| (dot(a, b) / lengths).clamp(-1.0, 1.0).acos().to_degrees())
}

/// How far the matrices turned between every two looks of a run with the paper's Adam and learning
/// rate, in degrees, as the mean over the experts that have a direction.
fn turns(world: &World, model: MoeClipConfig, looks: usize) -> Vec<f64> {
    let mut learner = learner(model);
    let (mut turns, mut before) = (Vec::new(), up_matrices(&learner));
    for look in 1..=looks {
        world.advance(&mut learner, look * STRIDE);
        let now = up_matrices(&learner);
        let angles: Vec<f64> =
            now.iter().filter_map(|(name, up)| angle(up, &before[name])).collect();
        turns.push(angles.iter().sum::<f64>() / angles.len().max(1) as f64);
        before = now;
    }
    turns
}

/// Both runs on the same pictures.
fn beside(looks: usize) -> [Vec<f64>; 2] {
    let world = World::write();
    let cure = MoeClipConfig { up: UpStart::Orthogonal, ..paper() };
    [turns(&world, paper(), looks), turns(&world, cure, looks)]
}

#[test]
fn a_start_with_a_direction_turns_further() {
    // The first stride leaves zero, from which there is no angle.
    let [zero, orthogonal] = beside(3).map(|turns| turns[1..].iter().sum::<f64>());
    assert!(zero > 0.0, "B has a direction after the first steps");
    assert!(orthogonal > 2.0 * zero, "{orthogonal} and {zero} degrees in 200 steps");
}

#[test]
#[ignore = "a run of minutes that draws docs/images/turning.svg"]
fn draw() {
    let [zero, orthogonal] = beside(30);
    for (look, (zero, orthogonal)) in zero.iter().zip(&orthogonal).enumerate() {
        println!("{:5} {zero:8.3} {orthogonal:8.3}", (look + 1) * STRIDE);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/images/turning.svg");
    plot(&path, &zero, &orthogonal);
}

fn plot(path: &Path, zero: &[f64], orthogonal: &[f64]) {
    let line = |name: &str, turns: &[f64]| {
        // From a zero matrix there is no angle.
        let points = turns.iter().enumerate().filter(|(_, turn)| **turn > 0.0);
        let points = points.map(|(look, turn)| [((look + 1) * STRIDE) as f64, *turn]);
        Line { name: Some(name.into()), points: points.collect(), style: LineStyle::First }
    };
    let chart = LineChart {
        title: "How far the experts' up matrices turn".into(),
        description: "degrees per 100 steps, from zero and from orthonormal columns".into(),
        x: Axis::even("steps", 0.0, (zero.len() * STRIDE) as f64),
        y: Axis::even("degrees per 100 steps", 0.0, 70.0),
        lines: vec![line("up = zero", zero), line("up = orthogonal", orthogonal)],
    };
    std::fs::write(path, chart.to_svg([640.0, 320.0])).unwrap();
}
