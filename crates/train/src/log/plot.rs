//! The losses of a run as a picture (SVG).

use plotters::prelude::*;

use crate::{LossValues, StepMetrics};

/// Width and height, in pixels.
const SIZE: (u32, u32) = (960, 540);

/// Points of a curve; where a run has more steps, a point is a mean of several.
const POINTS: usize = 500;

/// A loss as it is drawn.
struct Curve {
    name: &'static str,
    colour: RGBColor,
    value: fn(&LossValues) -> f32,
}

const CURVES: [Curve; 4] = [
    Curve { name: "total", colour: RGBColor(31, 31, 31), value: |losses| losses.total },
    Curve { name: "focal", colour: RGBColor(0, 114, 178), value: |losses| losses.focal },
    Curve { name: "dice", colour: RGBColor(213, 94, 0), value: |losses| losses.dice },
    Curve { name: "image", colour: RGBColor(0, 158, 115), value: |losses| losses.image },
];

/// Steps and losses; `None` without a step. The error is the drawing library's.
pub(super) fn losses(steps: &[StepMetrics]) -> Result<Option<String>, String> {
    let (Some(first), Some(last)) = (steps.first(), steps.last()) else { return Ok(None) };
    let curves: Vec<Vec<(f64, f64)>> =
        CURVES.iter().map(|curve| points(steps, curve.value)).collect();
    let highest = curves.iter().flatten().map(|(_, loss)| *loss).fold(0.0, f64::max);
    let start = first.report.step as f64 - 1.0;
    let end = last.report.step as f64;
    let mut svg = String::new();
    draw(&mut svg, &curves, start..end, 0.0..highest.max(f64::MIN_POSITIVE) * 1.05)
        .map_err(|error| error.to_string())?;
    Ok(Some(svg))
}

fn draw(
    svg: &mut String,
    curves: &[Vec<(f64, f64)>],
    steps: std::ops::Range<f64>,
    losses: std::ops::Range<f64>,
) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(16)
        .x_label_area_size(40)
        .y_label_area_size(56)
        .build_cartesian_2d(steps, losses)?;
    chart.configure_mesh().x_desc("step").y_desc("loss").light_line_style(WHITE).draw()?;
    for (curve, points) in CURVES.iter().zip(curves) {
        let style = curve.colour.stroke_width(2);
        chart
            .draw_series(LineSeries::new(points.iter().copied(), style))?
            .label(curve.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
    }
    chart.configure_series_labels().background_style(WHITE).border_style(BLACK).draw()?;
    area.present()?;
    Ok(())
}

/// A curve of few enough points, each the mean of the steps that end there.
fn points(steps: &[StepMetrics], value: fn(&LossValues) -> f32) -> Vec<(f64, f64)> {
    let mean = |steps: &[StepMetrics]| {
        let sum: f64 = steps.iter().map(|step| f64::from(value(&step.report.losses))).sum();
        let end = steps.last().map_or(0, |step| step.report.step);
        (end as f64, sum / steps.len().max(1) as f64)
    };
    steps.chunks(steps.len().div_ceil(POINTS).max(1)).map(mean).collect()
}
