//! DICOM, the format of scanners: told by its preamble, decoded as the file itself says it is to be
//! shown. Behind the feature `dicom`, for most users have none.
//!
//! The value and window transformations of the file are applied, so bone and soft tissue look as on
//! a viewer's first screen; without a window, the picture's own range becomes 0 to 255. `MONOCHROME1`
//! is inverted. A file of several frames is refused: which one is meant, nobody said.

/// Whether these bytes say that they are DICOM.
pub(crate) fn is_dicom(bytes: &[u8]) -> bool {
    bytes.get(128..132) == Some(b"DICM")
}

/// Without the feature: says how to get it.
#[cfg(not(feature = "dicom"))]
pub(crate) fn decode(_bytes: &[u8], _limit: u64) -> Result<image::DynamicImage, String> {
    Err("a DICOM file; build with --features dicom, or export it as PNG".into())
}

/// An 8-bit picture of at most `limit` bytes.
///
/// # Errors
/// What is wrong with the file, in one line.
#[cfg(feature = "dicom")]
pub(crate) fn decode(bytes: &[u8], limit: u64) -> Result<image::DynamicImage, String> {
    use dicom_object::{OpenFileOptions, file::ReadPreamble};
    use dicom_pixeldata::{BitDepthOption, ConvertOptions, PixelDecoder, VoiLutOption};

    let broken = |error: &dyn std::fmt::Display| format!("broken DICOM ({error}); export it again");
    let object = OpenFileOptions::new()
        .read_preamble(ReadPreamble::Always)
        .from_reader(bytes)
        .map_err(|e| broken(&e))?;
    check_size(&object, limit)?;
    let options = ConvertOptions::new()
        .with_voi_lut(VoiLutOption::Default)
        .with_bit_depth(BitDepthOption::Force8Bit);
    let pixels = object.decode_pixel_data().map_err(|e| broken(&e))?;
    pixels.to_dynamic_image_with_options(0, &options).map_err(|e| broken(&e))
}

/// Refuses what the header claims before anything of that size is allocated.
#[cfg(feature = "dicom")]
fn check_size(object: &dicom_object::DefaultDicomObject, limit: u64) -> Result<(), String> {
    let number = |name: &str| {
        let element = object.element_by_name(name).ok()?;
        element.to_int::<u32>().ok()
    };
    let needed =
        |name| number(name).ok_or(format!("the DICOM file has no {name}; export it again"));
    let (rows, columns) = (needed("Rows")?, needed("Columns")?);
    let samples = number("SamplesPerPixel").unwrap_or(1);
    let frames = number("NumberOfFrames").unwrap_or(1);
    if frames != 1 {
        return Err(format!("a DICOM file of {frames} frames; export one picture for each"));
    }
    // Two bytes a sample while the transformations are applied, whatever is stored.
    let bytes = [columns, samples, 2]
        .iter()
        .try_fold(u64::from(rows), |product, factor| product.checked_mul(u64::from(*factor)));
    match bytes {
        Some(bytes) if bytes <= limit => Ok(()),
        _ => Err(format!("the DICOM file claims {columns}x{rows} pixels; scale it down first")),
    }
}
