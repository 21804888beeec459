//! The masks of an image as one.

use image::GrayImage;

use crate::error::DataError;
use crate::sample::{ImageSize, Sample};
use crate::verify::MaskFile;

/// The masks of a sample as one: of each pixel the highest value, so that it is marked where any mask
/// marks it.
///
/// # Errors
/// [`DataError`] naming a mask that cannot be read or that has another size than its `image`.
pub fn read_masks(sample: &Sample, image: ImageSize) -> Result<GrayImage, DataError> {
    unite(sample.masks.iter().map(|path| MaskFile::read(path)), sample, image)
}

/// The masks of `sample` as one; all zeros where there is none.
pub(crate) fn unite<'a>(
    masks: impl Iterator<Item = Result<MaskFile<'a>, DataError>>,
    sample: &Sample,
    image: ImageSize,
) -> Result<GrayImage, DataError> {
    let mut united: Option<GrayImage> = None;
    for mask in masks {
        let MaskFile { path, picture, size, .. } = mask?;
        if size != image {
            let (path, image_path) = (path.to_path_buf(), sample.image.clone());
            return Err(DataError::MaskSize { path, mask: size, image_path, image });
        }
        match &mut united {
            None => united = Some(picture),
            Some(united) => {
                let pixels = united.iter_mut().zip(picture.iter());
                pixels.for_each(|(value, other)| *value = (*value).max(*other));
            }
        }
    }
    Ok(united.unwrap_or_else(|| GrayImage::new(image.width, image.height)))
}
