//! A comparison as bars: a panel for each dataset and metric, in it for each method what was measured
//! and, under it, what was published.

use maud::{Markup, html};

use crate::report::{Auroc, Comparison, Entry, Number};

const MEASURED: &str = "#1F629E";
const PUBLISHED: &str = "#BAC8D4";
const INK: &str = "#282828";
const GRID: &str = "#E1E1E1";

/// Pixels: of a panel across, of its bars at 100 %, of a method down, of a panel's head.
const PANEL: i32 = 190;
const FULL: i32 = 136;
const ROW: i32 = 30;
const HEAD: i32 = 34;
/// Pixels from a bar of a method to the next.
const BAR: i32 = 11;
/// Pixels of title and legend, down and across.
const TOP: i32 = 58;
const LEGEND: i32 = 560;

/// What is drawn in a row of panels.
struct Metric {
    name: &'static str,
    measured: fn(&Entry) -> Number,
    published: fn(&Auroc) -> Option<f64>,
}

const METRICS: [Metric; 2] = [
    Metric { name: "pixel", measured: |entry| entry.pixel, published: |auroc| auroc.pixel },
    Metric { name: "image", measured: |entry| entry.image, published: |auroc| auroc.image },
];

/// The chart as the text of an SVG file.
pub fn comparison_chart(comparison: &Comparison) -> String {
    let names = comparison.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    let left = 8 * names as i32 + 24;
    let (columns, rows) = (comparison.columns.len() as i32, comparison.rows.len() as i32);
    let panel_height = HEAD + ROW * rows;
    let (width, height) =
        (left + LEGEND.max(PANEL * columns), TOP + panel_height * METRICS.len() as i32 + 12);
    let picture = html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(width) height=(height)
            viewBox={ "0 0 " (width) " " (height) } font-family="sans-serif" fill=(INK) {
            rect width="100%" height="100%" fill="white" {}
            (text(&comparison.title, (left, 20), 17))
            (legend(left))
            @for (metric, top) in METRICS.iter().zip((TOP..).step_by(panel_height as usize)) {
                (row_of_panels(comparison, metric, (left, top)))
            }
        }
    };
    picture.into_string() + "\n"
}

fn legend(left: i32) -> Markup {
    let published = left + 330;
    html! {
        (bar((left, 36), left + 14, BAR, MEASURED))
        (text("measured, with the standard deviation over runs", (left + 20, 42), 12))
        (bar((published, 36), published + 14, BAR, PUBLISHED))
        (text("published", (published + 20, 42), 12))
        (text("AUROC in percent", (published + 110, 42), 12))
    }
}

/// Names of the methods, and for each dataset a panel of their bars.
fn row_of_panels(comparison: &Comparison, metric: &Metric, (left, top): (i32, i32)) -> Markup {
    let first = top + HEAD;
    let methods = || comparison.rows.iter().zip((first..).step_by(ROW as usize));
    let columns = || comparison.columns.iter().zip((left..).step_by(PANEL as usize));
    html! {
        @for (method, y) in methods() {
            text x=(left - 10) y=(y + BAR) font-size="13" text-anchor="end" dominant-baseline="central" {
                (method.name)
            }
        }
        @for (column, (name, x)) in columns().enumerate() {
            (text(&format!("{name}, {}", metric.name), (x, top + 12), 13))
            @for quarter in 0..=4 {
                @let at = x + FULL * quarter / 4;
                (line((at, first - 8), (at, first + ROW * comparison.rows.len() as i32 - 4), GRID))
                text x=(at) y=(first - 10) font-size="8" text-anchor="middle" { (25 * quarter) }
            }
            @for (method, y) in methods() {
                @if let Some(entry) = method.entries.get(column) { (bars((x, y), metric, entry)) }
            }
        }
    }
}

/// What was measured of a method, and under it what was published.
fn bars((x, y): (i32, i32), metric: &Metric, entry: &Entry) -> Markup {
    let end = |fraction: f64| x + (fraction * f64::from(FULL)).round() as i32;
    let label = |fraction: f64| format!("{:.1}", 100.0 * fraction);
    let middle = y + BAR / 2;
    html! {
        @match (metric.measured)(entry) {
            Number::Undefined => (text("n/a", (x + 5, middle), 10)),
            Number::Missing => (text("not measured", (x + 5, middle), 10)),
            Number::Measured(spread) => {
                @let ends = spread.deviation.map(|by| [spread.mean - by, spread.mean + by].map(end));
                (bar((x, y), end(spread.mean), BAR, MEASURED))
                @if let Some([low, high]) = ends { (line((low, middle), (high, middle), INK)) }
                @let right = ends.map_or(x, |[_, high]| high).max(end(spread.mean));
                (text(&label(spread.mean), (right + 5, middle), 10))
            }
        }
        @if let Some(published) = (metric.published)(&entry.published) {
            (bar((x, y + BAR), end(published), BAR - 2, PUBLISHED))
            (text(&label(published), (end(published) + 5, y + BAR + BAR / 2), 10))
        }
    }
}

fn bar((x, y): (i32, i32), right: i32, height: i32, colour: &str) -> Markup {
    html! { rect x=(x) y=(y) width=((right - x).max(0)) height=(height) fill=(colour) {} }
}

fn line((x1, y1): (i32, i32), (x2, y2): (i32, i32), colour: &str) -> Markup {
    html! { path d={ "M" (x1) " " (y1) "L" (x2) " " (y2) } stroke=(colour) {} }
}

/// Text that begins at `at`, whose middle line is at that height.
fn text(words: &str, (x, y): (i32, i32), size: i32) -> Markup {
    html! { text x=(x) y=(y) font-size=(size) dominant-baseline="central" { (words) } }
}
