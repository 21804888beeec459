//! The images of a dataset that are worth a look, from their stored results.

use inspect::SeenImage;
use moeclip_eval::StoredResult;
use moeclip_eval::report::ClassStudy;
use moeclip_eval::report::html::Case;

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
    Ok(inspect::draw(classes, MOST, |place| {
        let index = indices[place];
        let Ok(key) = &copy.keys[index] else { return Ok(None) };
        let Some(result) = ready.results.get(key)? else { return Ok(None) };
        let StoredResult { width, height, map, mask, .. } = result;
        let sample = &copy.samples[index];
        let (name, size) = (copy.path_of(sample), [width, height]);
        Ok(Some(SeenImage { sample, name, size, map, mask }))
    })?)
}
