//! Placements against torchvision's tensor operations, and draws against the limits of the
//! settings.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;

const SIZE: usize = 9;

/// 1, 2, 3, ... so that every pixel tells where it came from and 0 is out of frame.
fn ramp() -> Vec<f32> {
    (1..=SIZE * SIZE).map(|value| value as f32).collect()
}

fn moved(placement: Placement) -> Vec<i32> {
    let pixels = placement.apply(&ramp(), SIZE);
    pixels.into_iter().map(|value| value as i32).collect()
}

/// torchvision 0.x `rotate(17)` with nearest neighbour.
#[test]
fn rotates_as_torchvision() {
    let placement = Placement { rotation_degrees: 17.0, ..Placement::default() };
    let expected = [
        0, 0, 4, 5, 6, 7, 17, 18, 0, 2, 3, 13, 14, 15, 16, 26, 27, 0, 11, 12, 22, 23, 24, 25, 34,
        35, 36, 19, 20, 21, 31, 32, 33, 43, 44, 45, 28, 29, 30, 40, 41, 42, 52, 53, 54, 37, 38, 39,
        49, 50, 51, 61, 62, 63, 46, 47, 48, 57, 58, 59, 60, 70, 71, 0, 55, 56, 66, 67, 68, 69, 79,
        80, 0, 64, 65, 75, 76, 77, 78, 0, 0,
    ];
    assert_eq!(moved(placement), expected);
}

/// torchvision `rotate(-30)`, `affine(translate=[2, -1])`, `hflip`, one after the other.
#[test]
fn one_pass_equals_the_sequence() {
    let placement = Placement {
        rotation_degrees: -30.0,
        shift_right: 2,
        shift_down: -1,
        flipped_horizontally: true,
        flipped_vertically: false,
    };
    let expected = [
        5, 13, 12, 21, 20, 28, 0, 0, 0, 15, 23, 22, 30, 29, 37, 37, 0, 0, 24, 32, 32, 40, 39, 47,
        46, 0, 0, 34, 42, 41, 40, 48, 56, 56, 0, 0, 43, 42, 50, 50, 58, 57, 65, 0, 0, 53, 52, 60,
        59, 67, 66, 75, 0, 0, 62, 61, 70, 69, 77, 76, 0, 0, 0, 63, 71, 70, 78, 77, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0,
    ];
    assert_eq!(moved(placement), expected);
}

/// torchvision `affine(translate=[1, 2])`, `hflip`, `vflip`.
#[test]
fn shifts_and_flips_exactly() {
    let placement = Placement {
        shift_right: 1,
        shift_down: 2,
        flipped_horizontally: true,
        flipped_vertically: true,
        ..Placement::default()
    };
    let rows = moved(placement);
    assert_eq!(rows[..SIZE], [62, 61, 60, 59, 58, 57, 56, 55, 0]);
    assert_eq!(rows[6 * SIZE..7 * SIZE], [8, 7, 6, 5, 4, 3, 2, 1, 0]);
    assert!(rows[7 * SIZE..].iter().all(|value| *value == 0));
}

#[test]
fn every_channel_moves_alike() {
    let image: Vec<f32> = ramp().into_iter().chain(ramp().iter().map(|v| v * 100.0)).collect();
    let placement = Placement { rotation_degrees: 12.0, shift_right: -2, ..Placement::default() };
    let moved = placement.apply(&image, SIZE);
    let (first, second) = moved.split_at(SIZE * SIZE);
    assert!(first.iter().zip(second).all(|(a, b)| a * 100.0 == *b));
}

#[test]
fn absurd_placements_leave_an_empty_frame() {
    for shift in [i64::MIN, i64::MAX] {
        let placement = Placement { shift_right: shift, shift_down: shift, ..Placement::default() };
        assert!(moved(placement).iter().all(|value| *value == 0));
    }
    assert!(Placement::default().apply(&[1.0], 0).is_empty());
}

fn draws(augmentation: Augmentation) -> Vec<Placement> {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    (0..2000).map(|_| augmentation.draw(100, &mut rng)).collect()
}

#[test]
fn none_draws_nothing() {
    let still = Placement::default();
    assert!(draws(Augmentation::none()).iter().all(|placement| *placement == still));
    assert_eq!(moved(still), ramp().iter().map(|v| *v as i32).collect::<Vec<_>>());
}

#[test]
fn paper_draws_within_its_limits_half_of_the_time() {
    let drawn = draws(Augmentation::default());
    assert!(drawn.iter().all(|p| p.rotation_degrees.abs() <= 30.0));
    assert!(drawn.iter().all(|p| p.shift_right.abs() <= 15 && p.shift_down.abs() <= 15));
    for reached in [15, -15] {
        assert!(drawn.iter().any(|p| p.shift_right == reached));
        assert!(drawn.iter().any(|p| p.shift_down == reached));
    }
    assert!(drawn.iter().any(|p| p.rotation_degrees > 29.0));
    assert!(drawn.iter().any(|p| p.rotation_degrees < -29.0));
    let half = |holds: fn(&Placement) -> bool| {
        let share = drawn.iter().filter(|p| holds(p)).count() as f64 / drawn.len() as f64;
        assert!((share - 0.5).abs() < 0.04, "{share}");
    };
    half(|p| p.rotation_degrees != 0.0);
    half(|p| p.flipped_horizontally);
    half(|p| p.flipped_vertically);
}

#[test]
fn values_out_of_range_are_named() {
    let cases = [
        (
            "max_rotation_degrees",
            Augmentation { max_rotation_degrees: -1.0, ..Augmentation::default() },
        ),
        ("max_shift", Augmentation { max_shift: 1.5, ..Augmentation::default() }),
        (
            "shift_probability",
            Augmentation { shift_probability: f64::NAN, ..Augmentation::default() },
        ),
    ];
    for (key, augmentation) in cases {
        let error = augmentation.validate().unwrap_err().to_string();
        assert!(error.starts_with(key), "{error}");
    }
    assert!(Augmentation::default().validate().is_ok());
}

#[test]
fn a_config_may_name_single_values_but_no_unknown_ones() {
    let parsed: Augmentation = serde_json::from_str(r#"{"max_shift": 0.1}"#).unwrap();
    assert_eq!(parsed, Augmentation { max_shift: 0.1, ..Augmentation::default() });
    assert!(serde_json::from_str::<Augmentation>(r#"{"max_shfit": 0.1}"#).is_err());
}
