//! Images that are worth a look, drawn small: what the pages of the benchmark and of the demo show.

use moeclip_data::{Label, Sample, decode_rgb};
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

/// Draws `most` of each kind. `seen` tells of the image at a place among all scores, class by class;
/// what it does not know is not shown.
///
/// # Errors
/// As `seen`; an image that cannot be read.
pub fn draw<'a>(
    classes: &[ClassDetails],
    most: usize,
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
            image: &decode_rgb(&seen.sample.image)?,
            map: MapView::new(width, height, &seen.map)?,
            mask: seen.mask.as_deref(),
            without_mask: if seen.sample.label == Label::Normal { "normal" } else { "no mask" },
            range,
        })?);
    }
    Ok(shown)
}
