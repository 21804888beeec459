//! Mask rules, settings and the corner cases of resizing; `tests/it/pillow.rs` compares with Pillow.

use image::{Luma, Rgb};

use super::*;

#[test]
fn sizes_out_of_range_are_refused() {
    for size in [0, MAX_SIZE + 1, usize::MAX] {
        let error = Preprocessing::clip(size).unwrap_err().to_string();
        assert!(error.starts_with(&format!("image size = {size}")), "{error}");
    }
}

#[test]
fn one_colour_stays_and_is_normalised_per_channel() {
    let picture = RgbImage::from_pixel(31, 7, Rgb([255, 128, 0]));
    let values = Preprocessing::clip(4).unwrap().image(&picture).unwrap();
    assert_eq!(values.len(), 3 * 16);
    for (channel, level) in [1.0, 128.0 / 255.0, 0.0].into_iter().enumerate() {
        let expected = (level - CLIP_MEAN[channel]) / CLIP_STD[channel];
        for value in &values[channel * 16..(channel + 1) * 16] {
            assert!((value - expected).abs() < 1e-6, "{value} {expected}");
        }
    }
}

#[test]
fn any_mean_and_deviation_may_be_given() {
    let picture = RgbImage::from_pixel(3, 3, Rgb([255, 0, 51]));
    let other = Preprocessing::new(2, [0.5, 0.0, 0.2], [0.25, 1.0, 2.0]).unwrap();
    let values = other.image(&picture).unwrap();
    assert_eq!([values[0], values[4], values[8]], [2.0, 0.0, 0.0]);
}

#[test]
fn a_mean_must_be_finite() {
    let error = Preprocessing::new(2, [0.5, f32::NAN, 0.5], [1.0; 3]).unwrap_err();
    assert!(error.to_string().starts_with("mean = NaN"), "{error}");
}

#[test]
fn a_deviation_must_be_positive() {
    let error = Preprocessing::new(2, [0.5; 3], [1.0, 0.0, 1.0]).unwrap_err();
    assert!(error.to_string().starts_with("standard deviation = 0"), "{error}");
}

#[test]
fn a_picture_without_pixels_is_refused() {
    let error = Preprocessing::clip(4).unwrap().image(&RgbImage::new(0, 5)).unwrap_err();
    assert!(error.to_string().contains("0x5"), "{error}");
}

#[test]
fn extreme_shapes_resize() {
    let preprocessing = Preprocessing::clip(5).unwrap();
    for (width, height) in [(1, 1), (1, 20_000), (20_000, 1)] {
        let picture = RgbImage::from_pixel(width, height, Rgb([9, 9, 9]));
        assert_eq!(preprocessing.image(&picture).unwrap().len(), 75);
        let mask = GrayImage::from_pixel(width, height, Luma([9]));
        assert_eq!(preprocessing.mask(&mask), [1.0; 25]);
    }
}

#[test]
fn rules_tell_anomalous_from_normal() {
    let mask = GrayImage::from_raw(2, 2, vec![0, 1, 127, 128]).unwrap();
    let preprocessing = Preprocessing::clip(2).unwrap();
    assert_eq!(preprocessing.mask(&mask), [0.0, 1.0, 1.0, 1.0]);
    let lossy = preprocessing.with_mask_rule(MaskRule::Above(127));
    assert_eq!(lossy.mask(&mask), [0.0, 0.0, 0.0, 1.0]);
}

#[test]
fn rules_are_written_in_configs() {
    let rule: MaskRule = serde_json::from_str(r#"{"above": 127}"#).unwrap();
    assert_eq!(rule, MaskRule::Above(127));
    assert_eq!(serde_json::to_string(&MaskRule::NonZero).unwrap(), r#""non-zero""#);
}

#[test]
fn a_part_is_seen_as_if_it_were_a_picture() {
    let picture = RgbImage::from_fn(20, 12, |x, y| image::Rgb([x as u8 * 9, y as u8 * 5, 77]));
    let preprocessing = Preprocessing::clip(8).unwrap();
    let size = ImageSize { width: 8, height: 8 };
    let part = preprocessing.part(&picture, [12, 4], size).unwrap();
    let cut = RgbImage::from_fn(8, 8, |x, y| *picture.get_pixel(x + 12, y + 4));
    assert_eq!(part, preprocessing.image(&cut).unwrap());
    for corner in [[13, 4], [12, 5], [u32::MAX, 0]] {
        let error = preprocessing.part(&picture, corner, size).unwrap_err().to_string();
        assert!(error.contains("leaves it"), "{error}");
    }
}
