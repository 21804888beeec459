//! The plane that charts are drawn in: a frame with two axes, and the way from values to places.

use maud::{Markup, html};

/// Units of the picture: its sides, and the margins around the frame.
pub(super) const WIDTH: f64 = 320.0;
pub(super) const HEIGHT: f64 = 250.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 36.0;

/// An axis from `low` to `high`.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What it measures.
    pub name: String,
    /// The value at its start.
    pub low: f64,
    /// The value at its end.
    pub high: f64,
    /// Values that are written beside it, and their texts.
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// A share from 0 to 1 with five ticks.
    pub fn share(name: impl Into<String>) -> Self {
        Self::even(name, 0.0, 1.0)
    }

    /// From `low` to `high` with five even ticks. Ends that are equal or not finite become 0 and 1.
    pub fn even(name: impl Into<String>, low: f64, high: f64) -> Self {
        let is_range = low.is_finite() && high.is_finite() && low < high;
        let (low, high) = if is_range { (low, high) } else { (0.0, 1.0) };
        let decimals = (1.5 - (high - low).log10()).ceil().clamp(0.0, 9.0) as usize;
        let at = |quarter: i32| low + (high - low) * f64::from(quarter) / 4.0;
        let ticks = (0..=4).map(|quarter| (at(quarter), format!("{:.decimals$}", at(quarter))));
        Self { name: name.into(), low, high, ticks: ticks.collect() }
    }

    /// Where a value lies, from 0 to 1; what lies outside is put at the end.
    fn fraction(&self, value: f64) -> f64 {
        let span = self.high - self.low;
        if span > 0.0 { ((value - self.low) / span).clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// A plane with axes.
pub(super) struct Plane<'a> {
    pub(super) x: &'a Axis,
    pub(super) y: &'a Axis,
}

impl Plane<'_> {
    /// Units from the left.
    pub(super) fn across(&self, value: f64) -> f64 {
        LEFT + self.x.fraction(value) * (WIDTH - LEFT - RIGHT)
    }

    /// Units from the top.
    pub(super) fn down(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.fraction(value) * (HEIGHT - TOP - BOTTOM)
    }

    /// A line through points as the path of an SVG.
    pub(super) fn path(&self, points: &[[f64; 2]]) -> String {
        let mut path = String::with_capacity(12 * points.len());
        for (number, [x, y]) in points.iter().enumerate() {
            let step = if number == 0 { 'M' } else { 'L' };
            path += &format!("{step}{:.1} {:.1}", self.across(*x), self.down(*y));
        }
        path
    }

    /// Grid, frame, ticks and the axes' names.
    pub(super) fn frame(&self) -> Markup {
        let (left, right) = (LEFT, WIDTH - RIGHT);
        let (top, bottom) = (TOP, HEIGHT - BOTTOM);
        html! {
            @for (value, text) in &self.x.ticks {
                @let x = format!("{:.1}", self.across(*value));
                path.grid d={ "M" (x) " " (top) "V" (bottom) } {}
                text x=(x) y=(bottom + 14.0) text-anchor="middle" { (text) }
            }
            @for (value, text) in &self.y.ticks {
                @let y = self.down(*value);
                path.grid d={ "M" (left) " " (format!("{y:.1}")) "H" (right) } {}
                text x=(left - 6.0) y=(format!("{:.1}", y + 4.0)) text-anchor="end" { (text) }
            }
            path.frame d={ "M" (left) " " (top) "V" (bottom) "H" (right) } {}
            text x=((left + right) / 2.0) y=(HEIGHT - 5.0) text-anchor="middle" { (self.x.name) }
            text transform={ "translate(12 " ((top + bottom) / 2.0) ") rotate(-90)" } text-anchor="middle" { (self.y.name) }
        }
    }
}

/// The view of every chart.
pub(super) fn view_box() -> String {
    format!("0 0 {WIDTH} {HEIGHT}")
}
