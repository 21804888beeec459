//! The metrics against scikit-learn's and scikit-image's numbers (`goldens/metrics.safetensors`):
//! 1e-9, AUPRO 1e-6.

use moeclip_eval::MapView;
use moeclip_eval::metrics::{BinaryMetrics, MaskedMap, binary_metrics, pixel_metrics};
use safetensors::SafeTensors;
use serde_json::Value;

const GOLDEN: &[u8] = include_bytes!("../goldens/metrics.safetensors");

#[test]
fn image_scores_match_scikit_learn() {
    let (tensors, expected) = golden();
    let cases = expected["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 4);
    for (index, case) in cases.iter().enumerate() {
        let scores = floats(&tensors, &format!("case{index}.s"));
        let labels = flags(&tensors, &format!("case{index}.y"));
        assert_binary(binary_metrics(&scores, &labels).unwrap(), case);
    }
}

#[test]
fn pixel_scores_match_with_ties_and_without() {
    let (tensors, expected) = golden();
    let masks = flags(&tensors, "pixel.masks");
    for name in ["pixel", "pixel_cont"] {
        let maps = floats(&tensors, &format!("{name}.maps"));
        let pixels = pixel_metrics(&masked(&maps, &masks)).unwrap();
        let binary = BinaryMetrics { auroc: pixels.auroc, ap: pixels.ap, f1_max: pixels.f1_max };
        assert_binary(binary, &expected[name]);
        assert_near("aupro_exact", pixels.aupro_exact, &expected[name]["aupro_exact"], 1e-6);
        if !expected[name]["aupro_200"].is_null() {
            assert_near("aupro_200", pixels.aupro_200, &expected[name]["aupro_200"], 1e-6);
        }
    }
    assert!(expected["pixel_cont"]["aupro_200"].is_f64());
}

fn assert_binary(found: BinaryMetrics, expected: &Value) {
    assert_near("auroc", found.auroc, &expected["auroc"], 1e-9);
    assert_near("ap", found.ap, &expected["ap"], 1e-9);
    assert_near("f1_max", found.f1_max, &expected["f1_max"], 1e-9);
}

fn assert_near(name: &str, found: Option<f64>, expected: &Value, tolerance: f64) {
    let (found, expected) = (found.unwrap(), expected.as_f64().unwrap());
    assert!((found - expected).abs() < tolerance, "{name}: {found}, expected {expected}");
}

fn golden() -> (SafeTensors<'static>, Value) {
    let (_, header) = SafeTensors::read_metadata(GOLDEN).unwrap();
    let expected = &header.metadata().as_ref().unwrap()["expected"];
    (SafeTensors::deserialize(GOLDEN).unwrap(), serde_json::from_str(expected).unwrap())
}

fn floats(tensors: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let (chunks, rest) = tensors.tensor(name).unwrap().data().as_chunks::<4>();
    assert!(rest.is_empty());
    chunks.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

/// Labels (int64) or masks (uint8).
fn flags(tensors: &SafeTensors<'_>, name: &str) -> Vec<bool> {
    let tensor = tensors.tensor(name).unwrap();
    let size = tensor.dtype().bitsize() / 8;
    tensor.data().chunks_exact(size).map(|number| number.iter().any(|&byte| byte != 0)).collect()
}

fn masked<'a>(maps: &'a [f32], masks: &'a [bool]) -> Vec<MaskedMap<'a>> {
    maps.chunks_exact(40 * 40)
        .zip(masks.chunks_exact(40 * 40))
        .map(|(map, mask)| MaskedMap::new(MapView::new(40, 40, map).unwrap(), mask).unwrap())
        .collect()
}
