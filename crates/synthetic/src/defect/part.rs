//! Parts that are missing or wrong: the subject is drawn once more with that part, and marked as before.

use super::Sound;
use crate::chance::Chance;
use crate::kind::DefectKind;
use crate::subject::Alteration;
use crate::texel::Canvas;

/// The stage with one part exchanged; `None` where the subject has no parts.
pub(super) fn exchange(kind: DefectKind, sound: &Sound<'_>, chance: &mut Chance) -> Option<Canvas> {
    let how = match kind {
        DefectKind::MissingPart => Alteration::Missing,
        _ => Alteration::Wrong,
    };
    let mut canvas = sound.stage.paint_altered(how, sound.canvas.side, chance)?;
    sound.marks.iter().for_each(|mark| mark.apply(&mut canvas));
    Some(canvas)
}
