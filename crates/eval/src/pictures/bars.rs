//! A comparison as bars: a panel for each dataset and metric, in it for each method what was measured
//! and, under it, what was published.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::EvalError;
use crate::report::{Auroc, Comparison, Entry, Number};

const MEASURED: RGBColor = RGBColor(31, 98, 158);
const PUBLISHED: RGBColor = RGBColor(186, 200, 212);
const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(225, 225, 225);

/// Pixels: of a panel across, of its bars at 100 %, of a method down, of a panel's head.
const PANEL: i32 = 190;
const FULL: i32 = 136;
const ROW: i32 = 30;
const HEAD: i32 = 34;
/// Pixels from a bar of a method to the next.
const BAR: i32 = 11;
/// Pixels of title and legend.
const TOP: i32 = 58;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

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
///
/// # Errors
/// [`EvalError::Setting`] when it cannot be drawn.
pub fn comparison_chart(comparison: &Comparison) -> Result<String, EvalError> {
    let mut text = String::new();
    draw(comparison, &mut text)
        .map_err(|cause| EvalError::setting("chart", cause, "must be drawable as SVG"))?;
    Ok(text)
}

fn draw(comparison: &Comparison, text: &mut String) -> Result<(), String> {
    let names = comparison.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    let left = 8 * names as i32 + 24;
    let (columns, rows) = (comparison.columns.len() as i32, comparison.rows.len() as i32);
    let panel_height = HEAD + ROW * rows;
    let size = (left + PANEL * columns, TOP + panel_height * METRICS.len() as i32 + 12);
    let area = SVGBackend::with_string(text, (size.0 as u32, size.1 as u32)).into_drawing_area();
    area.fill(&WHITE).map_err(failed)?;
    write(&area, &comparison.title, (left, 20), 17, HPos::Left)?;
    legend(&area, left)?;
    for (at, metric) in METRICS.iter().enumerate() {
        let top = TOP + panel_height * at as i32;
        for (row, method) in (0..).zip(&comparison.rows) {
            let middle = top + HEAD + ROW * row + BAR;
            write(&area, &method.name, (left - 10, middle), 13, HPos::Right)?;
        }
        for (column, name) in (0..).zip(&comparison.columns) {
            let corner = (left + PANEL * column, top);
            panel(&area, comparison, corner, &format!("{name}, {}", metric.name))?;
            for (row, method) in (0..).zip(&comparison.rows) {
                let y = top + HEAD + ROW * row;
                if let Some(entry) = method.entries.get(column as usize) {
                    bars(&area, (corner.0, y), (metric.measured)(entry), metric, entry)?;
                }
            }
        }
    }
    area.present().map_err(failed)
}

fn legend(area: &Area<'_>, left: i32) -> Result<(), String> {
    let entries =
        [(MEASURED, "measured, with the standard deviation over runs"), (PUBLISHED, "published")];
    let mut x = left;
    for (colour, text) in entries {
        fill(area, (x, 36), (x + 14, 36 + BAR), colour)?;
        write(area, text, (x + 20, 42), 12, HPos::Left)?;
        x += 330;
    }
    write(area, "AUROC in percent", (x - 220, 42), 12, HPos::Left)
}

/// A panel's name and the lines behind its bars.
fn panel(
    area: &Area<'_>,
    comparison: &Comparison,
    (x, y): (i32, i32),
    name: &str,
) -> Result<(), String> {
    write(area, name, (x, y + 12), 13, HPos::Left)?;
    let bottom = y + HEAD + ROW * comparison.rows.len() as i32 - 4;
    for quarter in 0..=4 {
        let x = x + FULL * quarter / 4;
        line(area, (x, y + HEAD - 8), (x, bottom), GRID)?;
        write(area, &(25 * quarter).to_string(), (x, y + HEAD - 10), 8, HPos::Center)?;
    }
    Ok(())
}

fn bars(
    area: &Area<'_>,
    (x, y): (i32, i32),
    measured: Number,
    metric: &Metric,
    entry: &Entry,
) -> Result<(), String> {
    let end = |fraction: f64| x + (fraction * f64::from(FULL)).round() as i32;
    let label = |fraction: f64| format!("{:.1}", 100.0 * fraction);
    let middle = y + BAR / 2;
    match measured {
        Number::Undefined => write(area, "n/a", (x + 5, middle), 10, HPos::Left)?,
        Number::Missing => write(area, "not measured", (x + 5, middle), 10, HPos::Left)?,
        Number::Measured(spread) => {
            fill(area, (x, y), (end(spread.mean), y + BAR), MEASURED)?;
            let mut right = end(spread.mean);
            if let Some(deviation) = spread.deviation {
                let (low, high) = (spread.mean - deviation, spread.mean + deviation);
                line(area, (end(low), middle), (end(high), middle), INK)?;
                right = right.max(end(high));
            }
            write(area, &label(spread.mean), (right + 5, middle), 10, HPos::Left)?;
        }
    }
    let Some(published) = (metric.published)(&entry.published) else { return Ok(()) };
    let (top, right) = (y + BAR, end(published));
    fill(area, (x, top), (right, top + BAR - 2), PUBLISHED)?;
    write(area, &label(published), (right + 5, top + BAR / 2), 10, HPos::Left)
}

fn fill(area: &Area<'_>, from: (i32, i32), to: (i32, i32), colour: RGBColor) -> Result<(), String> {
    area.draw(&Rectangle::new([from, to], colour.filled())).map_err(failed)
}

fn line(area: &Area<'_>, from: (i32, i32), to: (i32, i32), colour: RGBColor) -> Result<(), String> {
    area.draw(&PathElement::new([from, to], colour)).map_err(failed)
}

/// Text whose middle line is at the height of `at`.
fn write(area: &Area<'_>, text: &str, at: (i32, i32), size: i32, side: HPos) -> Result<(), String> {
    let style = ("sans-serif", size).into_font().color(&INK).pos(Pos::new(side, VPos::Center));
    area.draw(&Text::new(text.to_owned(), at, style)).map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> String {
    error.to_string()
}
