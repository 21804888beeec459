//! A golden's raw picture and mask, brought to the model's input as pictures of a data set are.

use burn::tensor::TensorData;
use image::{GrayImage, RgbImage};
use moeclip_data::Preprocessing;
use moeclip_goldens::{Comparison, Golden, GoldenError};

/// Compares `preprocessed` and `preprocessed_mask`, what becomes of `in.raw` and `in.raw_mask`.
///
/// # Errors
///
/// [`GoldenError`] when the golden lacks its raw picture or holds one of another layout.
pub(crate) fn compare_preprocessing(
    golden: &Golden,
    comparison: &mut Comparison<'_>,
    preprocessing: &Preprocessing,
) -> Result<(), GoldenError> {
    let size = preprocessing.size();
    if comparison.wants("preprocessed") {
        let picture = raw_picture(golden, "in.raw")?;
        let values = preprocessing.image(&picture).map_err(|error| golden.failed(error))?;
        comparison.data("preprocessed", &TensorData::new(values, [3, size, size]))?;
    }
    if comparison.wants("preprocessed_mask") {
        let values = preprocessing.mask(&raw_mask(golden, "in.raw_mask")?);
        comparison.data("preprocessed_mask", &TensorData::new(values, [1, size, size]))?;
    }
    Ok(())
}

/// A picture of the golden, `[height, width, 3]`.
///
/// # Errors
///
/// [`GoldenError`] when it is not there, or of another layout.
pub(crate) fn raw_picture(golden: &Golden, name: &str) -> Result<RgbImage, GoldenError> {
    let Raw { width, height, bytes } = Raw::of(golden, name)?;
    RgbImage::from_raw(width, height, bytes).ok_or_else(|| misshapen(golden, name))
}

/// A mask of the golden, `[height, width]`.
///
/// # Errors
///
/// [`GoldenError`] when it is not there, or of another layout.
pub(crate) fn raw_mask(golden: &Golden, name: &str) -> Result<GrayImage, GoldenError> {
    let Raw { width, height, bytes } = Raw::of(golden, name)?;
    GrayImage::from_raw(width, height, bytes).ok_or_else(|| misshapen(golden, name))
}

/// The bytes of a picture, row by row.
struct Raw {
    width: u32,
    height: u32,
    bytes: Vec<u8>,
}

impl Raw {
    fn of(golden: &Golden, name: &str) -> Result<Self, GoldenError> {
        let bytes = golden.integers(name)?.into_iter().map(u8::try_from).collect();
        let sides = golden.file().shape(name).and_then(|shape| shape.first_chunk::<2>());
        match (bytes, sides) {
            (Ok(bytes), Some(&[height, width])) => {
                Ok(Self { width: width as u32, height: height as u32, bytes })
            }
            _ => Err(misshapen(golden, name)),
        }
    }
}

fn misshapen(golden: &Golden, name: &str) -> GoldenError {
    let shape = golden.file().shape(name).unwrap_or_default().to_vec();
    GoldenError::Shape { file: golden.path().into(), name: name.into(), shape }
}
