//! The sheet of an explanation: what lies where, in which colour, and what cannot be drawn.

use anomaly::{AnomalyMap, Detection, ExpertExplanation, Explanation, TapExplanation};
use image::{Rgb, RgbImage};
use moeclip_eval::EvalError;
use moeclip_eval::pictures::ExpertSheet;

/// Tiles and the gaps between them, in pixels.
const SIDE: u32 = 208;
const GAP: u32 = 10;

/// Two by two patches, each of which trusts another expert if there are so many; expert 2 adds to the
/// score at the second patch alone.
fn explanation(experts: usize, taps: usize) -> Explanation {
    let expert = |place: usize| ExpertExplanation {
        number: place + 1,
        first_choices: 1,
        choices: 2,
        mean_weight: 0.25,
        mean_probability: 0.25,
        grad_cam: vec![0.0, if place == 1 { 3.5 } else { 0.0 }, 0.0, 0.0],
    };
    let tap = |at: usize| TapExplanation {
        layer: 6 * (at + 1),
        first_choices: (0..4).map(|patch| patch % experts).collect(),
        experts: (0..experts).map(expert).collect(),
        similarity: (0..experts)
            .map(|row| (0..experts).map(|column| if row == column { 1.0 } else { -0.5 }).collect())
            .collect(),
        mean_similarity: -0.5,
    };
    let map = AnomalyMap { size: 2, values: vec![0.0, 1.0, 2.0, 3.0] };
    let detection = Detection { map, image_score: 0.5, score: 1.75 };
    Explanation { grid: 2, detection, taps: (0..taps).map(tap).collect() }
}

fn image() -> RgbImage {
    RgbImage::from_pixel(60, 60, Rgb([120; 3]))
}

fn draw(explanation: &Explanation) -> Result<RgbImage, EvalError> {
    ExpertSheet { image: &image(), explanation, title: "nut: 000.png" }.draw()
}

/// The first row at which the sheet has this colour in a column.
fn first(sheet: &RgbImage, x: u32, colour: [u8; 3]) -> Option<u32> {
    (0..sheet.height()).find(|y| sheet.get_pixel(x, *y).0 == colour)
}

#[test]
fn each_patch_has_the_colour_of_its_expert_and_the_matrix_its_own() {
    let sheet = draw(&explanation(4, 1)).unwrap();
    assert_eq!(sheet.width(), 6 * (SIDE + GAP) + GAP);
    // 35 % of grey 120 (119 once it is luma) and 65 % of the colour.
    let near = |pixel: Rgb<u8>, colour: [u8; 3]| {
        let mixed = colour.map(|value| 0.35 * 119.5 + 0.65 * f32::from(value));
        pixel.0.iter().zip(mixed).all(|(value, mixed)| (f32::from(*value) - mixed).abs() < 2.0)
    };
    let orange = (0..sheet.height()).find(|y| near(*sheet.get_pixel(GAP + 4, *y), [230, 159, 0]));
    let top = orange.unwrap();
    let at = |x: u32, y: u32| *sheet.get_pixel(GAP + x, top + y);
    assert!(near(at(SIDE - 5, 5), [86, 180, 233]), "the second patch trusts expert 2");
    assert!(near(at(5, SIDE - 5), [0, 158, 115]) && near(at(SIDE - 5, SIDE - 5), [240, 228, 66]));
    let (row, side) = (top + 20, SIDE + GAP);
    let cosine = |x: u32| sheet.get_pixel(GAP + side + x, row).0;
    let (same, other) = (cosine(20), cosine(70));
    assert!(same[0] > 2 * same[2] && other[2] > other[0], "red for 1, blue for -0.5: {other:?}");
    let expert = |place: u32, x: u32| sheet.get_pixel(GAP + (2 + place) * side + x, row).0;
    assert_eq!(expert(0, 5), expert(1, 5), "nothing is added there");
    assert_ne!(expert(1, SIDE - 5), expert(1, 5), "the second patch of expert 2");
}

#[test]
fn sheets_grow_with_layers_and_wrap_many_experts() {
    let height = |experts, taps| draw(&explanation(experts, taps)).unwrap().height();
    let one = height(4, 2) - height(4, 1);
    assert_eq!(height(4, 4) - height(4, 1), 3 * one);
    assert!(height(16, 2) - height(16, 1) > 2 * one, "eighteen tiles take three rows");
    assert_eq!(draw(&explanation(16, 1)).unwrap().width(), 8 * (SIDE + GAP) + GAP);
    let narrow = draw(&explanation(2, 1)).unwrap();
    assert_eq!(narrow.width(), 4 * (SIDE + GAP) + GAP);
    assert!(first(&narrow, GAP + 4, [240; 3]).is_some(), "the title stands at the left");
}

#[test]
fn an_explanation_that_does_not_fit_its_grid_is_refused() {
    let refused = |change: fn(&mut TapExplanation)| {
        let mut explanation = explanation(4, 1);
        explanation.taps.iter_mut().for_each(change);
        draw(&explanation).unwrap_err().to_string()
    };
    assert!(refused(|tap| tap.first_choices.truncate(3)).contains("first choices: 3 values"));
    assert!(refused(|tap| tap.experts[2].grad_cam.clear()).contains("grad_cam: 0 values"));
    assert!(refused(|tap| tap.similarity[1].push(0.0)).contains("similarity: 5 values"));
    let nan = refused(|tap| tap.experts[0].grad_cam[0] = f32::INFINITY);
    assert!(nan.contains("finite"), "{nan}");
    let (empty, explanation) = (RgbImage::new(0, 5), explanation(2, 1));
    let sheet = ExpertSheet { image: &empty, explanation: &explanation, title: "" };
    assert!(sheet.draw().unwrap_err().to_string().contains("0x5"));
}
