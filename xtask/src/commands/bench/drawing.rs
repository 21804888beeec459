//! The images of a dataset that are worth a look, drawn small.

use moeclip_data::{Label, decode_rgb};
use moeclip_eval::report::html::{Case, CaseInput};
use moeclip_eval::report::{ClassStudy, choose_cases};

use super::plan::{Copy, Ready};

/// Images of each kind.
const MOST: usize = 2;

/// Draws them. `indices` are the samples behind the scores of the classes, class by class.
pub(super) fn cases(
    copy: &Copy,
    ready: &Ready,
    classes: &[ClassStudy],
    indices: &[usize],
) -> anyhow::Result<Vec<Case>> {
    let mut shown = Vec::new();
    for place in choose_cases(classes, MOST) {
        let before: usize = classes[..place.class].iter().map(|class| class.scores.len()).sum();
        let (study, index) = (&classes[place.class], indices[before + place.image]);
        let sample = &copy.samples[index];
        let (Ok(key), Some(range)) = (&copy.keys[index], study.range) else { continue };
        let Some(result) = ready.results.get(key)? else { continue };
        let score = study.scores[place.image];
        let text = format!("{}, score {score:.3}", copy.path_of(sample));
        let image = decode_rgb(&sample.image)?;
        let (map, mask) = (result.view()?, result.mask.as_deref());
        let without_mask = if sample.label == Label::Normal { "normal" } else { "no mask" };
        let (kind, text) = (place.kind.name(), text.as_str());
        let input = CaseInput { kind, text, image: &image, map, mask, without_mask, range };
        shown.push(Case::draw(&input)?);
    }
    Ok(shown)
}
