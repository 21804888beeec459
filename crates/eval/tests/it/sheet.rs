//! Contact sheets: what is outlined, what a broken file looks like, and that no sheet grows without
//! bound.

use std::path::{Path, PathBuf};

use image::{GrayImage, Luma, Rgb, RgbImage};
use moeclip_data::{Label, MaskRule, Sample};
use moeclip_eval::EvalError;
use moeclip_eval::pictures::{SheetOptions, contact_sheet};
use tempfile::TempDir;

/// What the made-up images consist of; nothing else on a sheet has this colour.
const IMAGE: Rgb<u8> = Rgb([210, 120, 30]);
const OUTLINE: Rgb<u8> = Rgb([0, 255, 255]);
const FAULT: Rgb<u8> = Rgb([140, 24, 24]);

fn options(thumbnail: u32) -> SheetOptions {
    SheetOptions { thumbnail, ..SheetOptions::default() }
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn image(folder: &Path, name: &str, width: u32, height: u32) -> PathBuf {
    let path = folder.join(name);
    RgbImage::from_pixel(width, height, IMAGE).save(&path).unwrap();
    path
}

fn normal(image: PathBuf) -> Sample {
    Sample::new(image, "bolt", Label::Normal, "good")
}

fn anomalous(image: PathBuf, mask: Option<PathBuf>) -> Sample {
    Sample { masks: Vec::from_iter(mask), ..Sample::new(image, "bolt", Label::Anomalous, "bent") }
}

/// An image of this size with a mask that marks a block with the value 100.
fn marked(folder: &Path, size: (u32, u32), block: std::ops::Range<u32>) -> Sample {
    let value = |x, y| if block.contains(&x) && block.contains(&y) { 100 } else { 0 };
    let mask = folder.join("mask.png");
    GrayImage::from_fn(size.0, size.1, |x, y| Luma([value(x, y)])).save(&mask).unwrap();
    anomalous(image(folder, "image.png", size.0, size.1), Some(mask))
}

/// The part of a sheet that its only image takes.
fn thumbnail(sheet: &RgbImage) -> RgbImage {
    let of_image = |(_, _, pixel): &(u32, u32, &Rgb<u8>)| **pixel == IMAGE;
    let places = || sheet.enumerate_pixels().filter(of_image);
    let (left, right) =
        (places().map(|p| p.0).min().unwrap(), places().map(|p| p.0).max().unwrap());
    let (top, bottom) =
        (places().map(|p| p.1).min().unwrap(), places().map(|p| p.1).max().unwrap());
    image::imageops::crop_imm(sheet, left, top, right - left + 1, bottom - top + 1).to_image()
}

fn count(picture: &RgbImage, colour: Rgb<u8>) -> usize {
    picture.pixels().filter(|pixel| **pixel == colour).count()
}

#[test]
fn the_outline_runs_around_what_the_mask_marks() {
    let folder = folder();
    let sheet = contact_sheet(&[marked(folder.path(), (64, 32), 12..20)], &options(64)).unwrap();
    let drawn = thumbnail(&sheet);
    assert_eq!(drawn.dimensions(), (64, 32));
    for y in 0..32 {
        for x in 0..64 {
            let within = |margin: u32| {
                let range = 12 - margin..20 + margin;
                range.contains(&x) && range.contains(&y)
            };
            let is_outline = within(1) && !within(0);
            assert_eq!(*drawn.get_pixel(x, y) == OUTLINE, is_outline, "{x}, {y}");
            assert!(within(2) && !within(0) || *drawn.get_pixel(x, y) == IMAGE, "{x}, {y}");
        }
    }
}

#[test]
fn a_spot_of_one_pixel_and_a_mask_of_all_pixels_are_seen() {
    let folder = folder();
    let outlined = |block| {
        let sample = marked(folder.path(), (1000, 1000), block);
        count(&contact_sheet(&[sample], &options(99)).unwrap(), OUTLINE)
    };
    let words = outlined(0..0);
    assert_eq!(outlined(500..501) - words, 8);
    assert_eq!(outlined(0..1000) - words, 4 * 98);
}

#[test]
fn the_mask_rule_decides_what_is_outlined() {
    let folder = folder();
    let sample = marked(folder.path(), (64, 64), 12..20);
    for (mask_rule, is_outlined) in
        [(MaskRule::NonZero, true), (MaskRule::Above(99), true), (MaskRule::Above(100), false)]
    {
        let options = SheetOptions { mask_rule, ..options(64) };
        let drawn = thumbnail(&contact_sheet(std::slice::from_ref(&sample), &options).unwrap());
        assert_eq!(count(&drawn, OUTLINE) > 0, is_outlined, "{mask_rule:?}");
    }
}

#[test]
fn images_of_any_size_keep_their_aspect() {
    let folder = folder();
    let cases =
        [((300, 150), (96, 48)), ((7, 14), (48, 96)), ((500, 1), (96, 1)), ((1, 1), (96, 96))];
    for ((width, height), expected) in cases {
        let sample = normal(image(folder.path(), "image.png", width, height));
        let drawn = thumbnail(&contact_sheet(&[sample], &options(96)).unwrap());
        assert_eq!(drawn.dimensions(), expected, "{width}x{height}");
    }
}

#[test]
fn what_cannot_be_read_is_a_tile_that_says_so() {
    let folder = folder();
    let whole = image(folder.path(), "whole.png", 40, 40);
    let misfit = image(folder.path(), "misfit.png", 30, 30);
    let missing = folder.path().join("missing.png");
    let only_whole = contact_sheet(&[normal(whole.clone())], &options(64)).unwrap();
    assert_eq!(count(&only_whole, FAULT), 0);
    let cases = [
        (normal(missing.clone()), 64 * 64),
        (anomalous(whole.clone(), Some(missing)), 2 * 64 * 64),
        (anomalous(whole.clone(), Some(misfit)), 2 * 64 * 64),
    ];
    for (broken, most) in cases {
        let sheet = contact_sheet(&[normal(whole.clone()), broken.clone()], &options(64)).unwrap();
        assert!(count(&sheet, FAULT) > 500, "{broken:?}");
        let drawn = count(&sheet, IMAGE);
        assert!((64 * 64..=most).contains(&drawn), "{broken:?}: {drawn} pixels of images");
    }
}

#[test]
fn one_list_gives_one_sheet_in_whatever_order() {
    let folder = folder();
    let sample = |number: u8| {
        let path = folder.path().join(format!("{number:02}.png"));
        RgbImage::from_pixel(40, 40, Rgb([number * 10; 3])).save(&path).unwrap();
        if number.is_multiple_of(2) { normal(path) } else { anomalous(path, None) }
    };
    let mut samples: Vec<Sample> = (0..20).map(sample).collect();
    let sheet = contact_sheet(&samples, &options(48)).unwrap();
    assert!(count(&sheet, Rgb([160; 3])) > 2000, "the last third has its image");
    samples.reverse();
    assert!(contact_sheet(&samples, &options(48)).unwrap() == sheet);
}

#[test]
fn a_sheet_is_bounded() {
    let folder = folder();
    let path = image(folder.path(), "image.png", 8, 8);
    let of_class = |number| Sample { class: format!("class {number}"), ..normal(path.clone()) };
    let classes: Vec<Sample> = (0..400).map(of_class).collect();
    let sheet = contact_sheet(&classes, &options(32)).unwrap();
    assert!((19_800..=20_000).contains(&sheet.height()), "{}", sheet.height());
    let drawn = count(&sheet, IMAGE) / (32 * 32);
    assert!((100..400).contains(&drawn), "{drawn} images");

    let one_class: Vec<Sample> = (0..400).map(|_| normal(path.clone())).collect();
    let many = SheetOptions { normal: 400, ..options(1024) };
    let sheet = contact_sheet(&one_class, &many).unwrap();
    assert!(sheet.width() <= 2048 && sheet.height() <= 20_000, "{:?}", sheet.dimensions());
    let sheet = contact_sheet(&one_class, &SheetOptions { normal: 400, ..options(32) }).unwrap();
    assert_eq!(count(&sheet, IMAGE), 400 * 32 * 32);
    assert!(sheet.width() <= 2048);
}

#[test]
fn an_empty_list_is_a_sheet_without_images() {
    let sheet = contact_sheet(&[], &SheetOptions::default()).unwrap();
    assert!(sheet.width() > 100 && sheet.height() > 8);
}

#[test]
fn options_out_of_range_are_refused() {
    let refused = |options: SheetOptions, key: &str| {
        let error = contact_sheet(&[], &options).unwrap_err();
        assert!(matches!(error, EvalError::Setting { .. }), "{error}");
        assert!(error.to_string().starts_with(key), "{error}");
    };
    refused(options(31), "thumbnail = 31");
    refused(options(1025), "thumbnail = 1025");
    refused(SheetOptions { normal: 0, anomalous: 0, ..options(64) }, "normal = 0");
}
