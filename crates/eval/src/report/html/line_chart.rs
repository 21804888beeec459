//! Lines in a plane: curves of metrics, and whatever else changes with something.

use maud::{Markup, Render, html};

use super::plane::{Axis, Plane, view_box};

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
        let plane = Plane { x: &self.x, y: &self.y };
        let named: Vec<(&String, LineStyle)> =
            self.lines.iter().filter_map(|line| Some((line.name.as_ref()?, line.style))).collect();
        html! {
            figure {
                figcaption { strong { (self.title) } }
                svg viewBox=(view_box()) role="img" aria-label=(self.description) {
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
