//! What every detector here does at its edges: which images it takes, which it refuses, and how maps and
//! scores become detections.

use std::collections::BTreeMap;

use anomaly::{AnomalyMap, DetectError, Detection, ImageInput, ScoreRule, to_host};
use burn::tensor::{Tensor, backend::Backend};
use clip_vit::Normalisation;

/// Square images of `size` pixels a side, normalised so.
pub(crate) fn image_input(size: usize, normalisation: Normalisation) -> ImageInput {
    let Normalisation { mean, deviation } = normalisation;
    ImageInput { size, mean, std: deviation }
}

/// Refuses images that are not `size` pixels a side.
///
/// # Errors
///
/// [`DetectError::Size`] with what they are.
pub(crate) fn check_size<B: Backend>(
    images: &Tensor<B, 4>,
    size: usize,
) -> Result<(), DetectError> {
    let [_, _, height, width] = images.dims();
    if (height, width) == (size, size) {
        return Ok(());
    }
    Err(DetectError::Size { width, height, size })
}

/// What is at hand for a class.
///
/// # Errors
///
/// [`DetectError::Class`] names the classes that there are.
pub(crate) fn of_class<'a, T>(
    classes: &'a BTreeMap<String, T>,
    class: &str,
) -> Result<&'a T, DetectError> {
    classes.get(class).ok_or_else(|| {
        let known: Vec<&str> = classes.keys().map(String::as_str).collect();
        DetectError::Class { class: class.into(), known: known.join(", ") }
    })
}

/// A detection for each map.
///
/// # Shapes
///
/// - maps: `[batch, size, size]`
/// - image_scores: `[batch]`
///
/// # Errors
///
/// [`DetectError`] when the device gives nothing back or a value is not finite.
pub(crate) fn detections<B: Backend>(
    maps: Tensor<B, 3>,
    image_scores: Tensor<B, 1>,
    rule: ScoreRule,
) -> Result<Vec<Detection>, DetectError> {
    let [_, _, size] = maps.dims();
    let (maps, image_scores) = (to_host(maps)?, to_host(image_scores)?);
    let detection = |(values, &image_score): (&[f32], &f32)| {
        Detection::new(AnomalyMap { size, values: values.to_vec() }, image_score, rule)
    };
    Ok(maps.chunks_exact(size * size).zip(&image_scores).map(detection).collect())
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;

    use super::*;

    #[test]
    fn each_map_is_of_its_own_image() {
        let device = Default::default();
        let maps =
            Tensor::<Flex, 3>::from_floats([[[1.0, 2.0], [3.0, 4.0]], [[0.0; 2]; 2]], &device);
        let scores = Tensor::<Flex, 1>::from_floats([0.25, 0.75], &device);
        let found = detections(maps, scores, ScoreRule::Image).unwrap();
        assert_eq!(found[0].map.values, [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(found.iter().map(|one| one.score).collect::<Vec<_>>(), [0.25, 0.75]);
    }

    #[test]
    fn images_of_another_size_are_refused() {
        let images = Tensor::<Flex, 4>::zeros([1, 3, 4, 6], &Default::default());
        let error = check_size(&images, 6).unwrap_err();
        assert!(matches!(error, DetectError::Size { width: 6, height: 4, size: 6 }), "{error}");
    }
}
