//! What goes wrong: each kind changes colour, height or cover of the subject before it is lit and
//! photographed, so that nothing but its shape gives it away.

mod line;
mod patch;

use super::category::Category;
use super::chance::Chance;
use super::kind::DefectKind;
use super::marks::Mark;
use super::shape::Point;
use super::stage::Stage;
use super::subject::Alteration;
use super::texel::Canvas;

/// A picture without its defect.
pub(super) struct Sound<'a> {
    pub(super) category: Category,
    pub(super) stage: &'a Stage,
    pub(super) marks: &'a [Mark],
    /// The stage with its marks.
    pub(super) canvas: &'a Canvas,
}

/// The same canvas with a defect; `None` where no place for it was found.
pub(super) fn inflict(kind: DefectKind, sound: &Sound<'_>, chance: &mut Chance) -> Option<Canvas> {
    let mut canvas = sound.canvas.clone();
    match kind {
        DefectKind::MissingPart | DefectKind::WrongPart => {
            return exchange(kind, sound, chance);
        }
        DefectKind::Chip => patch::chip(&mut canvas, rim(sound.canvas, chance)?, chance),
        _ => {
            let at = spot(sound.canvas, chance)?;
            change(kind, sound.category, &mut canvas, at, chance);
        }
    }
    Some(canvas)
}

fn change(
    kind: DefectKind,
    category: Category,
    canvas: &mut Canvas,
    at: Point,
    chance: &mut Chance,
) {
    match kind {
        DefectKind::Scratch => line::scratch(canvas, at, chance),
        DefectKind::Crack => line::crack(canvas, at, chance),
        DefectKind::Fray => line::fray(canvas, at, chance),
        DefectKind::Stain => patch::stain(canvas, at, chance),
        DefectKind::Hole => patch::hole(canvas, at, chance),
        DefectKind::Dent => patch::dent(canvas, at, chance),
        DefectKind::Discolouration => patch::discolour(canvas, at, chance),
        DefectKind::Contamination => patch::contaminate(canvas, at, chance),
        DefectKind::Growth => patch::grow(canvas, category, at, chance),
        DefectKind::Bleeding => patch::bleed(canvas, at, chance),
        DefectKind::MissingPart | DefectKind::WrongPart | DefectKind::Chip => (),
    }
}

/// A point well inside the subject.
fn spot(canvas: &Canvas, chance: &mut Chance) -> Option<Point> {
    let is_inside = |at: &Point| {
        let around = (0..6).map(|i| *at + Point::polar(i as f32, 0.03));
        canvas.cover(*at) > 0.9 && around.filter(|at| canvas.cover(*at) > 0.5).count() >= 4
    };
    let mut draw = || Point::new(0.5, 0.5) + chance.point(0.34);
    (0..200).map(|_| draw()).find(is_inside)
}

/// A point on the subject's outline, met from outside on the way to the middle.
fn rim(canvas: &Canvas, chance: &mut Chance) -> Option<Point> {
    let middle = Point::new(0.5, 0.5) + chance.point(0.05);
    let angle = chance.angle();
    let way = (0..100).rev().map(|i| middle + Point::polar(angle, 0.005 * i as f32));
    way.into_iter().find(|at| canvas.cover(*at) > 0.5)
}

/// The stage with one part exchanged; `None` where the subject has no parts.
fn exchange(kind: DefectKind, sound: &Sound<'_>, chance: &mut Chance) -> Option<Canvas> {
    let how = match kind {
        DefectKind::MissingPart => Alteration::Missing,
        _ => Alteration::Wrong,
    };
    let mut canvas = sound.stage.paint_altered(how, sound.canvas.side, chance)?;
    sound.marks.iter().for_each(|mark| mark.apply(&mut canvas));
    Some(canvas)
}
