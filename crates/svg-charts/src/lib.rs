//! Charts as SVG by hand, for they need only lines and boxes: curves in a plane with two axes, and
//! how scores of normal and anomalous images are spread, the ones above the line, the others below
//! it, so that nobody has to tell two colours apart.
//!
//! On a page a chart renders as a `figure` that takes its colours from the page's style sheet;
//! [`LineChart::to_svg`] makes a file of its own.

use maud::{Markup, Render, html};

/// Units of a chart on a page: across and down.
const PAGE: [f64; 2] = [320.0, 250.0];

/// The margins around the frame.
const LEFT: f64 = 52.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 36.0;

/// Colours of lines in a file of its own, told apart by everybody.
const COLOURS: [&str; 5] = ["#1F1F1F", "#0072B2", "#D55E00", "#009E73", "#CC79A7"];

/// What a file of its own looks like.
const STYLE: &str = "text{font:11px sans-serif;fill:#444}.grid{stroke:#DDD;fill:none}\
                     .frame{stroke:#444;fill:none}.line{fill:none;stroke-width:1.5}";

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
struct Plane<'a> {
    x: &'a Axis,
    y: &'a Axis,
    /// Units across and down.
    size: [f64; 2],
}

impl Plane<'_> {
    fn view_box(&self) -> String {
        let [width, height] = self.size;
        format!("0 0 {width} {height}")
    }

    /// Units from the left.
    fn across(&self, value: f64) -> f64 {
        LEFT + self.x.fraction(value) * (self.size[0] - LEFT - RIGHT)
    }

    /// Units from the top.
    fn down(&self, value: f64) -> f64 {
        self.size[1] - BOTTOM - self.y.fraction(value) * (self.size[1] - TOP - BOTTOM)
    }

    /// A line through points as the path of an SVG.
    fn path(&self, points: &[[f64; 2]]) -> String {
        let mut path = String::with_capacity(12 * points.len());
        for (number, [x, y]) in points.iter().enumerate() {
            let step = if number == 0 { 'M' } else { 'L' };
            path += &format!("{step}{:.1} {:.1}", self.across(*x), self.down(*y));
        }
        path
    }

    /// Grid, frame, ticks and the axes' names.
    fn frame(&self) -> Markup {
        let (left, right) = (LEFT, self.size[0] - RIGHT);
        let (top, bottom) = (TOP, self.size[1] - BOTTOM);
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
            text x=((left + right) / 2.0) y=(self.size[1] - 5.0) text-anchor="middle" { (self.x.name) }
            text transform={ "translate(12 " ((top + bottom) / 2.0) ") rotate(-90)" } text-anchor="middle" { (self.y.name) }
        }
    }
}

/// Bins over the range of all scores.
const BINS: usize = 24;

/// A histogram of scores.
#[derive(Clone, Debug)]
pub struct Histogram {
    /// What it shows, in a few words.
    pub title: String,
    /// Scores of normal images.
    pub normal: Vec<f32>,
    /// Scores of anomalous images.
    pub anomalous: Vec<f32>,
    /// What scores at least as much is flagged.
    pub threshold: Option<f32>,
    /// What the threshold is.
    pub threshold_name: String,
}

impl Render for Histogram {
    fn render(&self) -> Markup {
        let (low, high) = self.range();
        let x = Axis::even("score", low, high);
        let shares = [shares(&self.normal, &x), shares(&self.anomalous, &x)];
        let most = shares.iter().flatten().copied().fold(0.0, f64::max).max(1e-9);
        let percent = |share: f64| format!("{:.0}%", 100.0 * share.abs());
        let ticks = [-most, 0.0, most].map(|share| (share, percent(share))).to_vec();
        let y = Axis { name: "share of the kind".into(), low: -most, high: most, ticks };
        let plane = Plane { x: &x, y: &y, size: PAGE };
        html! {
            figure {
                figcaption { strong { (self.title) } }
                svg viewBox=(plane.view_box()) role="img" aria-label=(self.description()) {
                    (plane.frame())
                    @for (class, shares, side) in [("normal", &shares[0], 1.0), ("anomalous", &shares[1], -1.0)] {
                        path class=(class) d=(columns(&plane, shares, side)) {}
                    }
                    @if let Some(threshold) = self.threshold {
                        @let place = format!("{:.1}", plane.across(f64::from(threshold)));
                        path.mark d={ "M" (place) " " (plane.down(most)) "V" (plane.down(-most)) } {}
                    }
                }
                (self.legend())
            }
        }
    }
}

impl Histogram {
    fn range(&self) -> (f64, f64) {
        let scores = self.normal.iter().chain(&self.anomalous).map(|&score| f64::from(score));
        scores.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), score| {
            (low.min(score), high.max(score))
        })
    }

    fn description(&self) -> String {
        let threshold = self.threshold.map(|value| format!(", {} {value:.3}", self.threshold_name));
        format!(
            "Scores of {} normal images, above, and {} anomalous ones, below{}",
            self.normal.len(),
            self.anomalous.len(),
            threshold.unwrap_or_default()
        )
    }

    fn legend(&self) -> Markup {
        html! {
            ul.legend {
                li { span.swatch.normal {} (self.normal.len()) " normal, above" }
                li { span.swatch.anomalous {} (self.anomalous.len()) " anomalous, below" }
                @if let Some(threshold) = self.threshold {
                    li { "dashed: " (self.threshold_name) ", " (format!("{threshold:.3}")) }
                }
            }
        }
    }
}

/// The share of the scores that lies in each bin.
fn shares(scores: &[f32], axis: &Axis) -> Vec<f64> {
    let mut counts = vec![0.0; BINS];
    let span = axis.high - axis.low;
    for &score in scores {
        let bin = ((f64::from(score) - axis.low) / span * BINS as f64) as usize;
        counts[bin.min(BINS - 1)] += 1.0 / scores.len() as f64;
    }
    counts
}

/// Columns upwards (`side` 1) or downwards (-1) from the middle.
fn columns(plane: &Plane<'_>, shares: &[f64], side: f64) -> String {
    let (axis, zero) = (plane.x, plane.down(0.0));
    let edge = |bin: usize| {
        plane.across(axis.low + (axis.high - axis.low) * bin as f64 / shares.len() as f64)
    };
    let filled = shares.iter().enumerate().filter(|(_, share)| **share > 0.0);
    let columns = filled.map(|(bin, share)| {
        let (left, right, end) = (edge(bin) + 0.5, edge(bin + 1) - 0.5, plane.down(side * share));
        format!("M{left:.1} {zero:.1}V{end:.1}H{right:.1}V{zero:.1}Z")
    });
    columns.collect()
}

/// A chart of lines.
#[derive(Clone, Debug)]
pub struct LineChart {
    /// What it shows, in a few words.
    pub title: String,
    /// What a reader who cannot see it should know.
    pub description: String,
    /// To the right.
    pub x: Axis,
    /// Upwards.
    pub y: Axis,
    /// Drawn in this order.
    pub lines: Vec<Line>,
}

/// A line.
#[derive(Clone, Debug)]
pub struct Line {
    /// As the legend has it; lines without a name are not in it.
    pub name: Option<String>,
    /// `[x, y]`, one after the other.
    pub points: Vec<[f64; 2]>,
    /// How it is drawn.
    pub style: LineStyle,
}

/// How a line is drawn. Styles differ in more than their colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineStyle {
    /// What the chart is about.
    First,
    /// What it is held against.
    Second,
    /// What it is held against besides.
    Third,
    /// Many lines behind the others.
    Faint,
}

impl LineStyle {
    fn class(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Second => "second",
            Self::Third => "third",
            Self::Faint => "faint",
        }
    }
}

impl Render for LineChart {
    fn render(&self) -> Markup {
        let plane = Plane { x: &self.x, y: &self.y, size: PAGE };
        let named: Vec<(&String, LineStyle)> =
            self.lines.iter().filter_map(|line| Some((line.name.as_ref()?, line.style))).collect();
        html! {
            figure {
                figcaption { strong { (self.title) } }
                svg viewBox=(plane.view_box()) role="img" aria-label=(self.description) {
                    (plane.frame())
                    @for line in &self.lines {
                        path class={ "line " (line.style.class()) } d=(plane.path(&line.points)) {}
                    }
                }
                ul.legend {
                    @for (name, style) in named {
                        li { span class={ "swatch " (style.class()) } {} (name) }
                    }
                }
            }
        }
    }
}

impl LineChart {
    /// The chart as a file of its own, so many units across and down, with its legend inside and its
    /// colours written in; lines have colours in their order.
    pub fn to_svg(&self, size: [f64; 2]) -> String {
        let plane = Plane { x: &self.x, y: &self.y, size };
        let [width, height] = size;
        let coloured = || self.lines.iter().zip(COLOURS.into_iter().cycle());
        let named = coloured().filter_map(|(line, colour)| Some((line.name.as_ref()?, colour)));
        let picture = html! {
            svg xmlns="http://www.w3.org/2000/svg" viewBox=(plane.view_box()) width=(width) height=(height) {
                title { (self.title) }
                desc { (self.description) }
                style { (STYLE) }
                rect width="100%" height="100%" fill="white" {}
                (plane.frame())
                @for (line, colour) in coloured() {
                    path class="line" stroke=(colour) d=(plane.path(&line.points)) {}
                }
                @for (place, (name, colour)) in named.enumerate() {
                    @let (x, y) = (width - RIGHT - 110.0, TOP + 16.0 + 16.0 * place as f64);
                    path class="line" stroke=(colour) d={ "M" (x) " " (y - 4.0) "h18" } {}
                    text x=(x + 24.0) y=(y) { (name) }
                }
            }
        };
        picture.into_string() + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_its_own_has_every_line_and_its_name_as_text() {
        let line = |name: &str, height: f64| Line {
            name: Some(name.into()),
            points: vec![[0.0, 0.0], [10.0, height]],
            style: LineStyle::First,
        };
        let chart = LineChart {
            title: "Losses".into(),
            description: "two losses".into(),
            x: Axis::even("step", 0.0, 10.0),
            y: Axis::even("loss", 0.0, 1.0),
            lines: vec![line("total", 1.0), line("<focal> & more", 0.5)],
        };
        let svg = chart.to_svg([640.0, 320.0]);
        assert!(svg.starts_with("<svg xmlns=") && svg.ends_with("</svg>\n"), "{svg}");
        assert!(svg.contains("&lt;focal&gt; &amp; more"), "{svg}");
        for colour in &COLOURS[..2] {
            assert_eq!(svg.matches(colour).count(), 2, "a line and its legend: {svg}");
        }
        // From the frame's lower left corner to its upper right one, or halfway up.
        assert!(svg.contains("M52.0 284.0L626.0 8.0"), "{svg}");
        assert!(svg.contains("M52.0 284.0L626.0 146.0"), "{svg}");
    }

    #[test]
    fn an_axis_without_a_range_is_from_0_to_1() {
        for (low, high) in [(3.0, 3.0), (f64::NAN, 1.0), (0.0, f64::INFINITY)] {
            let axis = Axis::even("x", low, high);
            assert_eq!((axis.low, axis.high, axis.ticks.len()), (0.0, 1.0, 5));
        }
    }
}
