//! Preprocessing against Pillow and torchvision, to the last grey level.
//!
//! `goldens/preprocess_synthetic.safetensors` is cut from the project's golden of that name: the
//! cases `up_96x130` and `mask_210x333` as they are (518x518, every 7th row and column), and three
//! more that Pillow 13.0.0 made from the same two pictures, so that shrinking is proven without the
//! large inputs: `Image.fromarray(rgb).resize((n, n), BICUBIC)`, `/ 255`, `(x - mean) / std` with n
//! = 28 (`shrink_96x130`, all pixels) and n = 110 (`mixed_96x130`, every 3rd row and column), and
//! `resize((40, 40), NEAREST) != 0` (`mask_shrink_210x333`). The uncut golden and the one of photos
//! lie in `../shared` beside the clone; tests of them are ignored unless asked for.
//!
//! `goldens/jpeg.safetensors` holds three JPEGs of 45x37 pixels that Pillow 13.0.0 wrote, and the bytes
//! that it reads them as: waves and noise with a red bar in them, 4:2:0, 4:2:2 and progressive 4:4:4. The
//! fourth is the first with its components in scans of their own, by `jpegtran -scans`: the same picture.

use std::path::{Path, PathBuf};

use image::{GrayImage, RgbImage};
use moeclip_data::{CLIP_STD, Preprocessing, decode_mask, decode_rgb, decode_rgb_bytes};
use safetensors::SafeTensors;

const OWN: &[u8] = include_bytes!("../goldens/preprocess_synthetic.safetensors");

const JPEGS: &[u8] = include_bytes!("../goldens/jpeg.safetensors");
/// Grey levels by which a decoded JPEG may differ; none where both have libjpeg-turbo's.
const JPEG_LEVELS: u8 = if cfg!(feature = "libjpeg-turbo") { 0 } else { 4 };

/// A golden's output: which side the picture was brought to, and which rows and columns were kept.
#[derive(Clone, Copy)]
struct Grid {
    size: usize,
    step: usize,
}

const FULL: Grid = Grid { size: 518, step: 7 };

fn shared(path: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")).join(path)
}

fn bytes<'a>(file: &SafeTensors<'a>, name: &str) -> (Vec<u32>, &'a [u8]) {
    let tensor = file.tensor(name).unwrap();
    (tensor.shape().iter().map(|n| *n as u32).collect(), tensor.data())
}

fn floats(file: &SafeTensors, name: &str) -> Vec<f32> {
    let (_, data) = bytes(file, name);
    data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// Every `step`th row and column of `[channels, size, size]`.
fn thinned(values: &[f32], Grid { size, step }: Grid) -> Vec<f32> {
    values
        .chunks_exact(size * size)
        .flat_map(|plane| plane.chunks_exact(size).step_by(step))
        .flat_map(|row| row.iter().copied().step_by(step))
        .collect()
}

fn assert_image(file: &SafeTensors, output: &str, picture: &RgbImage, grid: Grid) {
    let expected = floats(file, output);
    let ours = Preprocessing::clip(grid.size).unwrap().image(picture).unwrap();
    let ours = thinned(&ours, grid);
    assert_eq!(ours.len(), expected.len(), "{output}");
    let plane = expected.len() / 3;
    for (at, (ours, expected)) in ours.iter().zip(&expected).enumerate() {
        let level = 1.0 / 255.0 / CLIP_STD[at / plane];
        let levels = (ours - expected).abs() / level;
        assert!(levels < 0.001, "{output}: value {at} is {levels} grey levels off");
    }
}

fn assert_mask(file: &SafeTensors, output: &str, mask: &GrayImage, grid: Grid) {
    let ours = Preprocessing::clip(grid.size).unwrap().mask(mask);
    assert_eq!(thinned(&ours, grid), floats(file, output), "{output}");
}

fn rgb(file: &SafeTensors, name: &str) -> RgbImage {
    let (shape, data) = bytes(file, name);
    RgbImage::from_raw(shape[1], shape[0], data.to_vec()).unwrap()
}

fn grey(file: &SafeTensors, name: &str) -> GrayImage {
    let (shape, data) = bytes(file, name);
    GrayImage::from_raw(shape[1], shape[0], data.to_vec()).unwrap()
}

#[test]
fn images_within_one_grey_level() {
    let file = SafeTensors::deserialize(OWN).unwrap();
    let picture = rgb(&file, "up_96x130.rgb");
    assert_image(&file, "up_96x130.out", &picture, FULL);
    assert_image(&file, "shrink_96x130.out", &picture, Grid { size: 28, step: 1 });
    assert_image(&file, "mixed_96x130.out", &picture, Grid { size: 110, step: 3 });
}

#[test]
fn jpegs() {
    let file = SafeTensors::deserialize(JPEGS).unwrap();
    for name in ["jpeg_420", "jpeg_422", "jpeg_444_progressive"] {
        let ours = decode_rgb_bytes(bytes(&file, name).1, Path::new(name)).unwrap();
        let pillows = rgb(&file, &format!("{name}.rgb"));
        assert_eq!(ours.dimensions(), pillows.dimensions(), "{name}");
        let levels = ours.iter().zip(pillows.iter()).map(|(ours, theirs)| ours.abs_diff(*theirs));
        let most = levels.max().unwrap();
        assert!((0..=JPEG_LEVELS).contains(&most), "{name}: {most} grey levels off");
    }
}

/// The other decoder would say nothing and give another picture.
#[test]
fn components_in_scans_of_their_own() {
    let file = SafeTensors::deserialize(JPEGS).unwrap();
    let read = decode_rgb_bytes(bytes(&file, "jpeg_420_separate").1, Path::new("separate"));
    if cfg!(feature = "libjpeg-turbo") {
        assert_eq!(read.unwrap(), rgb(&file, "jpeg_420.rgb"));
    } else {
        let error = read.unwrap_err().to_string();
        assert!(
            error.contains("scans of their own, which is not read; save it as a PNG"),
            "{error}"
        );
    }
}

#[test]
fn masks_exactly() {
    let file = SafeTensors::deserialize(OWN).unwrap();
    let mask = grey(&file, "mask_210x333.in");
    assert_mask(&file, "mask_210x333.out", &mask, FULL);
    assert_mask(&file, "mask_shrink_210x333.out", &mask, Grid { size: 40, step: 1 });
}

#[test]
#[ignore = "needs ../shared beside the clone"]
fn shared_files_with_the_uncut_golden() {
    let data = std::fs::read(shared("goldens/preprocess_synthetic.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&data).unwrap();
    for case in ["down_640x800", "mixed_300x700", "up_96x130"] {
        let picture = rgb(&file, &format!("{case}.rgb"));
        assert_image(&file, &format!("{case}.out"), &picture, FULL);
    }
    assert_mask(&file, "mask_210x333.out", &grey(&file, "mask_210x333.in"), FULL);
}

#[test]
#[ignore = "needs ../shared beside the clone"]
fn shared_files_with_photos() {
    let data = std::fs::read(shared("goldens/preprocess.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&data).unwrap();
    let cubes = decode_rgb(&shared("fixtures/images/cubes-640x480.png")).unwrap();
    assert_image(&file, "cubes_640x480", &cubes, FULL);
    let crop = image::imageops::crop_imm(&cubes, 100, 100, 200, 150).to_image();
    assert_image(&file, "small_to_518", &crop, FULL);
    let golden = floats(&file, "mask_hazelnut_512");
    let hazelnuts = shared("real/hazelnut-toy/hazelnut");
    let defects = ["colour", "crack"].map(|defect| {
        let mask = decode_mask(&hazelnuts.join(format!("ground_truth/{defect}/000_mask.png")));
        let image = decode_rgb(&hazelnuts.join(format!("test/{defect}/000.png")));
        (mask.unwrap(), image.unwrap())
    });
    let clip = Preprocessing::clip(FULL.size).unwrap();
    let shown = defects.iter().find(|(mask, _)| thinned(&clip.mask(mask), FULL) == golden);
    let (_, image) = shown.expect("the golden's mask is one of the two");
    assert_image(&file, "hazelnut_512", image, FULL);
}
