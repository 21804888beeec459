//! Images that are worth a look, drawn small: what the pages of the benchmark and of the demo show.

use moeclip_data::{Label, PictureReader, Sample};
use moeclip_eval::MapView;
use moeclip_eval::report::html::{Case, CaseInput};
use moeclip_eval::report::{ClassDetails, choose_cases};

use crate::InspectError;

/// What was said of an image.
pub struct SeenImage<'a> {
    /// The image.
    pub sample: &'a Sample,
    /// What the page calls it.
    pub name: String,
    /// Columns and rows of map and mask.
    pub size: [usize; 2],
    /// Row by row.
    pub map: Vec<f32>,
    /// Where it is defective.
    pub mask: Option<Vec<bool>>,
}

/// Draws `most` of each kind, read as the detector's input was. `seen` tells of the image at a place among
/// all scores, class by class; what it does not know is not shown.
///
/// # Errors
/// As `seen`; an image that cannot be read.
pub fn draw<'a>(
    classes: &[ClassDetails],
    most: usize,
    reader: &PictureReader,
    mut seen: impl FnMut(usize) -> Result<Option<SeenImage<'a>>, InspectError>,
) -> Result<Vec<Case>, InspectError> {
    let mut shown = Vec::new();
    for place in choose_cases(classes, most) {
        let before: usize = classes[..place.class].iter().map(|class| class.scores.len()).sum();
        let study = &classes[place.class];
        let (Some(range), Some(seen)) = (study.range, seen(before + place.image)?) else {
            continue;
        };
        let [width, height] = seen.size;
        let score = study.scores[place.image];
        shown.push(Case::draw(&CaseInput {
            kind: place.kind.name(),
            text: &format!("{}, score {score:.3}", seen.name),
            image: &reader.rgb(&seen.sample.image)?,
            map: MapView::new(width, height, &seen.map)?,
            mask: seen.mask.as_deref(),
            without_mask: if seen.sample.label == Label::Normal { "normal" } else { "no mask" },
            range,
        })?);
    }
    Ok(shown)
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, ImageBuffer, Luma};
    use moeclip_data::SampleBits;
    use moeclip_eval::MapRange;

    use super::*;

    /// What a page would show of the picture at `path`.
    fn drawn(path: &std::path::Path, bits: Option<SampleBits>) -> String {
        let class = ClassDetails {
            class: "plate".into(),
            scores: vec![0.5],
            labels: vec![false],
            images: None,
            pixels: None,
            deployed: None,
            range: Some(MapRange::new(0.0, 1.0).unwrap()),
        };
        let sample = Sample::new(path.to_path_buf(), "plate", Label::Normal, "good");
        let cases = draw(&[class], 1, &PictureReader::new(bits), |_| {
            let (name, size) = ("0.png".into(), [1, 1]);
            Ok(Some(SeenImage { sample: &sample, name, size, map: vec![0.5], mask: None }))
        });
        format!("{:?}", cases.unwrap())
    }

    #[test]
    fn pictures_of_a_page_are_read_with_the_bits_of_their_dataset() {
        let folder = tempfile::tempdir().unwrap();
        let [deep, twin] = ["deep.png", "twin.png"].map(|name| folder.path().join(name));
        let value = |x: u32, y: u32| x * 16 + y;
        // 12 bits in a file of 16.
        let picture = ImageBuffer::from_fn(16, 16, |x, y| Luma([(value(x, y) as u16) << 4]));
        picture.save(&deep).unwrap();
        GrayImage::from_fn(16, 16, |x, y| Luma([value(x, y) as u8])).save(&twin).unwrap();
        let bits = SampleBits::new(12).unwrap();
        assert_eq!(drawn(&deep, Some(bits)), drawn(&twin, None));
        assert_ne!(drawn(&deep, None), drawn(&twin, None), "nearly black");
    }
}
