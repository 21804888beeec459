//! Looking closer through the real program: why an image has its score, maps at the image's own size,
//! large images in tiles; and one line for whatever cannot be.

use std::path::Path;

use image::{GenericImage, GenericImageView, ImageReader, RgbImage};

use crate::xtask;

const MODEL: [&str; 4] =
    ["--clip", "demo/clip.safetensors", "--adapter", "demo/adapter.safetensors"];
const IMAGE: &str = "demo/unseen/speckle/test/stain/000.png";

fn succeed(args: &[&str], folder: &Path) -> serde_json::Value {
    let output = xtask(&[args, &["--json"]].concat(), folder);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {said}");
    let printed = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str(printed.lines().last().unwrap()).unwrap()
}

/// The last line that a failing command prints; no other is an error.
fn complaint(args: &[&str], folder: &Path) -> String {
    let output = xtask(args, folder);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
    let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    assert!(!errors.is_empty() && said.lines().last() == errors.last().copied(), "{said}");
    said
}

fn values(npy: &Path) -> Vec<f32> {
    let bytes = std::fs::read(npy).unwrap();
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    bytes[header..].chunks_exact(4).map(|v| f32::from_le_bytes(v.try_into().unwrap())).collect()
}

#[test]
fn an_image_is_explained_and_seen_at_its_own_size_and_in_tiles() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let demo = xtask(&["demo", "--world", "plain", "--out", "demo", "--steps", "3"], folder);
    assert!(demo.status.success(), "{}", String::from_utf8_lossy(&demo.stderr));
    write_large(folder);
    why_an_image_has_its_score(folder);
    what_has_no_experts_is_said(folder);
    maps_at_the_images_own_size(folder);
    a_large_image_in_tiles(folder);
    an_image_no_larger_than_a_tile_is_seen_whole(folder);
    mistakes_are_one_line(folder);
}

/// Six pictures of the demo side by side and one wider than high.
fn write_large(folder: &Path) {
    let normal = ImageReader::open(folder.join("demo/unseen/speckle/test/good/000.png"));
    let normal = normal.unwrap().decode().unwrap().into_rgb8();
    let mut large = RgbImage::new(300, 200);
    for (x, y) in [(0, 0), (112, 0), (188, 0), (0, 88), (112, 88), (188, 88)] {
        large.copy_from(&normal, x, y).unwrap();
    }
    large.save(folder.join("large.png")).unwrap();
}

fn why_an_image_has_its_score(folder: &Path) {
    let args = [&["explain", IMAGE, "--class", "speckle", "--out", "why"][..], &MODEL].concat();
    let said = succeed(&args, folder);
    let written = std::fs::read_to_string(folder.join("why/000.png.experts.json")).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&written).unwrap(), said);
    let predict = ["predict", IMAGE, "--class", "speckle", "--out", "maps"];
    let seen = succeed(&[&predict[..], &MODEL].concat(), folder);
    for key in ["score", "image_score", "maximum"] {
        let apart = said[key].as_f64().unwrap() - seen[key].as_f64().unwrap();
        assert!(apart.abs() < 1e-3, "{key}: {} {}", said[key], seen[key]);
    }
    assert_eq!((said["grid"].as_u64(), said["taps"].as_array().unwrap().len()), (Some(8), 4));
    let tap = &said["taps"][3];
    assert_eq!(
        (tap["layer"].as_u64(), tap["first_choices"].as_array().unwrap().len()),
        (Some(8), 64)
    );
    let experts = tap["experts"].as_array().unwrap();
    let weights = experts.iter().map(|expert| expert["mean_weight"].as_f64().unwrap());
    assert!((weights.sum::<f64>() - 1.0).abs() < 1e-4);
    assert_eq!(experts[3]["grad_cam"].as_array().unwrap().len(), 64);
    let sheet = ImageReader::open(folder.join("why/000.png.experts.png")).unwrap();
    let (width, height) = sheet.decode().unwrap().dimensions();
    assert!(width > 1200 && height > 1000, "{width}x{height}");
    let bytes = |name: &str| std::fs::read(folder.join("why").join(name)).unwrap();
    let first = ["000.png.experts.png", "000.png.experts.json"].map(bytes);
    succeed(&args, folder);
    assert_eq!(first, ["000.png.experts.png", "000.png.experts.json"].map(bytes));
}

fn what_has_no_experts_is_said(folder: &Path) {
    for (mixture, changes) in [("single-lora", "single-lora"), ("none", "none")] {
        let set = format!("model.mixture={changes}");
        let train =
            ["train", "--clip", MODEL[1], "--data", "demo/auxiliary", "--image-size", "112"];
        let run = ["--steps", "1", "--set", &set, "--out", "bare.safetensors"];
        let output = xtask(&[&train[..], &run].concat(), folder);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let args = ["explain", IMAGE, "--class", "speckle", "--out", "none", "--clip", MODEL[1]];
        let said = complaint(&[&args[..], &["--adapter", "bare.safetensors"]].concat(), folder);
        assert!(said.contains(&format!("model.mixture = {mixture} has no experts")), "{said}");
        assert!(said.contains("nothing to explain") && !folder.join("none").exists(), "{said}");
    }
}

fn maps_at_the_images_own_size(folder: &Path) {
    let predict = ["predict", "large.png", "--class", "speckle", "--npy", "--out"];
    let run = |out: &str, size: &str| {
        let args = [&predict[..], &[out, "--map-size", size], &MODEL].concat();
        succeed(&args, folder)
    };
    let (model, image) = (run("small", "model"), run("own", "image"));
    let size = |map: &serde_json::Value| {
        let path = folder.join(map["map"].as_str().unwrap());
        ImageReader::open(path).unwrap().decode().unwrap().dimensions()
    };
    assert_eq!((size(&model), size(&image)), ((112, 112), (300, 200)));
    assert_eq!(model["score"], image["score"], "the score is the same");
    let (small, own) = (
        values(&folder.join("small/large.png.map.npy")),
        values(&folder.join("own/large.png.map.npy")),
    );
    assert_eq!((small.len(), own.len()), (112 * 112, 300 * 200));
    let corners = |values: &[f32], width: usize, height: usize| {
        [0, width - 1, width * (height - 1), width * height - 1].map(|at| values[at])
    };
    assert_eq!(corners(&small, 112, 112), corners(&own, 300, 200), "aligned corners");
    let maximum = |values: &[f32]| values.iter().copied().fold(f32::MIN, f32::max);
    assert!(maximum(&own) <= maximum(&small) && maximum(&own) > maximum(&small) - 1.0);
}

fn a_large_image_in_tiles(folder: &Path) {
    let predict = ["predict", "large.png", "--class", "speckle", "--npy", "--tile", "112"];
    let run = |out: &str, options: &[&str]| {
        succeed(&[&predict[..], &["--out", out], options, &MODEL].concat(), folder)
    };
    let four = run("tiles", &[]);
    // Tiles of 112 with steps of 84: four across 300, three down 200.
    assert_eq!(four["tiles"], 12);
    let overlay = ImageReader::open(folder.join("tiles/large.png.overlay.png")).unwrap();
    assert_eq!(overlay.decode().unwrap().dimensions().0, 300);
    let map = values(&folder.join("tiles/large.png.map.npy"));
    assert_eq!(map.len(), 300 * 200);
    let maximum = map.iter().copied().fold(f32::MIN, f32::max);
    assert_eq!(four["maximum"].as_f64().unwrap() as f32, maximum);
    let (score, head) = (four["score"].as_f64().unwrap(), four["image_score"].as_f64().unwrap());
    assert!((score - (f64::from(maximum) + head) / 2.0).abs() < 1e-5);
    let one = run("single", &["--tile-batch", "1"]);
    let apart = values(&folder.join("single/large.png.map.npy"));
    let apart = apart.iter().zip(&map).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart < 1e-3, "batches change nothing but the order of sums: {apart}");
    assert_eq!(one["tiles"], 12);
    assert_eq!(run("edges", &["--tile-overlap", "0"])["tiles"], 6);
}

fn an_image_no_larger_than_a_tile_is_seen_whole(folder: &Path) {
    let predict = ["predict", IMAGE, "--class", "speckle", "--npy"];
    let whole = succeed(&[&predict[..], &["--out", "a"], &MODEL].concat(), folder);
    let tile = succeed(&[&predict[..], &["--out", "b", "--tile", "112"], &MODEL].concat(), folder);
    for key in ["score", "image_score", "maximum", "maximum_x", "tiles"] {
        assert_eq!(whole[key], tile[key], "{key}");
    }
    let bytes = |out: &str| std::fs::read(folder.join(out).join("000.png.map.npy")).unwrap();
    assert_eq!(bytes("a"), bytes("b"), "to the bit");
}

fn mistakes_are_one_line(folder: &Path) {
    let predict = |options: &[&str]| {
        let args = ["predict", "large.png", "--class", "speckle", "--out", "x"];
        let said = complaint(&[&args[..], options, &MODEL].concat(), folder);
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(!folder.join("x").exists(), "nothing was begun: {options:?}");
        said
    };
    assert!(predict(&["--tile", "4"]).contains("too small"));
    assert!(predict(&["--tile", "64", "--tile-overlap", "1"]).contains("overlap of 1"));
    assert!(predict(&["--tile", "64", "--tile-batch", "0"]).contains("--tile-batch 0"));
    assert!(predict(&["--tile", "64", "--map-size", "model"]).contains("--map-size model"));
    let overlap = xtask(&["predict", "large.png", "--out", "x", "--tile-overlap", "0.5"], folder);
    assert_eq!(overlap.status.code(), Some(2), "an overlap without tiles");
    let explain = |image: &str, class: &str| {
        let args = ["explain", image, "--class", class, "--out", "x"];
        complaint(&[&args[..], &MODEL].concat(), folder)
    };
    assert!(explain(IMAGE, " ").contains("--class is empty"));
    assert!(explain("nowhere.png", "nut").contains("nowhere.png: cannot be read"));
    assert!(explain("demo", "nut").contains("a folder"));
    std::fs::write(folder.join("broken.png"), b"\x89PNG\r\n\x1a\n").unwrap();
    assert!(explain("broken.png", "nut").contains("broken.png: "));
    std::fs::write(folder.join("file"), b"").unwrap();
    let args = ["explain", IMAGE, "--class", "speckle", "--out", "file"];
    assert!(complaint(&[&args[..], &MODEL].concat(), folder).contains("file: cannot be made"));
}
