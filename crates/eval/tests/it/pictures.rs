//! Pictures and files: sizes, colours, the legend, and files that are whole or not there.

use std::fs::{self, File};
use std::path::Path;

use image::{DynamicImage, GenericImageView, Rgb, RgbImage};
use moeclip_eval::pictures::{Overlay, write_map_png, write_npy_f32, write_png};
use moeclip_eval::{EvalError, MapRange, MapView};

const GREY: Rgb<u8> = Rgb([100; 3]);

#[test]
fn the_image_keeps_its_size_and_the_legend_is_below() {
    for (width, height) in [(64, 64), (65, 40), (518, 300), (700, 20), (1300, 40)] {
        let picture = overlay(&RgbImage::from_pixel(width, height, GREY), &corner_map());
        assert_eq!(picture.width(), width);
        assert!(picture.height() > height + 20, "{width}x{height}: {}", picture.height());
        let legend = picture.view(0, height, width, picture.height() - height).to_image();
        let bright = legend.pixels().filter(|pixel| pixel.0 == [240; 3]).count();
        assert!(bright > 200, "{width}x{height}: {bright} pixels of text");
    }
}

#[test]
fn tiny_and_odd_images_are_drawn_too() {
    for width in (1..80).step_by(3) {
        for height in [1, 2, 700] {
            let picture = overlay(&RgbImage::from_pixel(width, height, GREY), &corner_map());
            assert_eq!(picture.width(), width.max(64));
        }
    }
}

#[test]
fn low_values_leave_the_image_and_high_values_colour_it() {
    let picture = overlay(&RgbImage::from_pixel(200, 200, GREY), &corner_map());
    assert_eq!(*picture.get_pixel(10, 10), GREY);
    let Rgb([red, green, blue]) = *picture.get_pixel(199, 199);
    assert!(red > 100 && green < 60 && blue < 60, "{red} {green} {blue}");
}

#[test]
fn a_ring_marks_the_maximum() {
    let values: Vec<f32> = (0..100).map(|pixel| f32::from(pixel == 55_u8)).collect();
    let picture = overlay(&RgbImage::from_pixel(200, 200, GREY), &values);
    // Pixel (5, 5) of 10x10 is centred at (110, 110); the ring's radius is a 25th of the side.
    assert_eq!(*picture.get_pixel(118, 110), Rgb([255; 3]));
    assert_eq!(*picture.get_pixel(110, 102), Rgb([255; 3]));
    assert_ne!(*picture.get_pixel(110, 110), Rgb([255; 3]));
}

#[test]
fn a_flat_map_colours_nothing() {
    let picture = overlay(&RgbImage::from_pixel(100, 100, GREY), &[2.0; 100]);
    assert_eq!(*picture.get_pixel(90, 50), GREY);
}

#[test]
fn an_image_without_pixels_is_refused() {
    let values = corner_map();
    let map = MapView::new(10, 10, &values).unwrap();
    let image = RgbImage::new(0, 5);
    let overlay = Overlay { image: &image, map, range: map.range(), title: "", score: 0.0 };
    assert!(matches!(overlay.draw(), Err(EvalError::EmptyPicture { width: 0, height: 5, .. })));
}

#[test]
fn a_map_png_reads_back_to_its_values() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("map.png");
    let values = [-2.5, 0.0, 1.25, 7.5, 3.0, 99.0];
    let map = MapView::new(3, 2, &values).unwrap();
    write_map_png(&path, map, MapRange::new(-2.5, 7.5).unwrap()).unwrap();
    let DynamicImage::ImageLuma16(picture) = image::open(&path).unwrap() else {
        panic!("not 16-bit grey");
    };
    assert_eq!(picture.dimensions(), (3, 2));
    let back: Vec<f32> =
        picture.as_raw().iter().map(|&grey| -2.5 + f32::from(grey) / 65535.0 * 10.0).collect();
    for (back, value) in back.iter().zip([-2.5, 0.0, 1.25, 7.5, 3.0, 7.5]) {
        assert!((back - value).abs() < 1e-4, "{back}, expected {value}");
    }
    let expected = [("Software", "MoECLIP"), ("map-low", "-2.5"), ("map-high", "7.5")];
    assert_eq!(text_chunks(&path), expected.map(owned));
}

#[test]
fn npy_has_the_header_numpy_reads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("map.npy");
    write_npy_f32(&path, &[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.5]).unwrap();
    let bytes = fs::read(&path).unwrap();
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let data = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert_eq!((data % 64, bytes[data - 1]), (0, b'\n'));
    let header = std::str::from_utf8(&bytes[10..data]).unwrap();
    assert_eq!(header.trim_end(), "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3,), }");
    assert_eq!(bytes.len(), data + 24);
    assert_eq!(bytes[data + 20..], 5.5_f32.to_le_bytes());
}

#[test]
fn an_overlay_is_written_as_it_was_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("overlay.png");
    fs::write(&path, "what was there before").unwrap();
    let picture = overlay(&RgbImage::from_pixel(90, 60, GREY), &corner_map());
    write_png(&path, &picture).unwrap();
    assert_eq!(image::open(&path).unwrap().to_rgb8(), picture);
    assert_eq!(entries(folder.path()), ["overlay.png"]);
}

#[test]
fn what_cannot_be_written_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("taken");
    fs::create_dir(&taken).unwrap();
    for path in [taken.clone(), folder.path().join("missing/map.npy")] {
        let error = write_npy_f32(&path, &[1], &[1.0]).unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, EvalError::Write { .. }));
        assert!(
            message.contains(path.to_str().unwrap()) && message.lines().count() == 1,
            "{message}"
        );
    }
    assert_eq!(entries(folder.path()), ["taken"]);
    let wrong = write_npy_f32(&taken.join("map.npy"), &[2, usize::MAX], &[1.0]);
    assert!(matches!(wrong, Err(EvalError::Length { found: 1, .. })));
}

#[test]
fn a_failure_halfway_keeps_the_file_that_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("overlay.png");
    fs::write(&path, "kept").unwrap();
    assert!(matches!(write_png(&path, &RgbImage::new(0, 0)), Err(EvalError::Write { .. })));
    assert_eq!(fs::read_to_string(&path).unwrap(), "kept");
    assert_eq!(entries(folder.path()), ["overlay.png"]);
}

#[cfg(unix)]
#[test]
fn files_are_as_open_as_any_other() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    let (ordinary, written) = (folder.path().join("ordinary"), folder.path().join("written.npy"));
    File::create(&ordinary).unwrap();
    write_npy_f32(&written, &[1], &[1.0]).unwrap();
    assert_eq!(mode(&written), mode(&ordinary));
}

/// 10x10, zero but for the lower right quarter.
fn corner_map() -> Vec<f32> {
    (0..100).map(|pixel| f32::from(pixel % 10 >= 5 && pixel / 10 >= 5)).collect()
}

fn overlay(image: &RgbImage, values: &[f32]) -> RgbImage {
    let map = MapView::new(10, 10, values).unwrap();
    let range = map.range();
    let title = "cubes/test/scratched/a-rather-long-name-of-an-image-007.jpg";
    Overlay { image, map, range, title, score: 0.873 }.draw().unwrap()
}

fn text_chunks(path: &Path) -> Vec<(String, String)> {
    let file = std::io::BufReader::new(File::open(path).unwrap());
    let reader = png::Decoder::new(file).read_info().unwrap();
    let chunks = &reader.info().uncompressed_latin1_text;
    chunks.iter().map(|chunk| (chunk.keyword.clone(), chunk.text.clone())).collect()
}

fn owned((key, value): (&str, &str)) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
