//! The losses of a run as a picture (SVG).

use plotters::prelude::*;

use crate::LoggedStep;

/// Width and height, in pixels.
const SIZE: (u32, u32) = (960, 540);

/// Points of a curve; where a run has more steps, a point is a mean of several.
const POINTS: usize = 500;

/// Colours of curves, told apart by everybody; the first is for what is minimised.
const COLOURS: [RGBColor; 5] = [
    RGBColor(31, 31, 31),
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
];

/// A loss as it is drawn: its value behind each step.
struct Curve {
    name: &'static str,
    values: Vec<(usize, f32)>,
}

impl Curve {
    fn of<S: LoggedStep>(name: &'static str, steps: &[S]) -> Self {
        let full = format!("loss/{name}");
        let value = |step: &S| {
            let scalar = step.scalars().into_iter().find(|scalar| scalar.name == full)?;
            Some((step.step(), scalar.value? as f32))
        };
        Self { name, values: steps.iter().filter_map(value).collect() }
    }
}

/// The curves of a run over its steps; `None` without a step. The error is the drawing library's.
pub(super) fn losses<S: LoggedStep>(steps: &[S]) -> Result<Option<String>, String> {
    let curves: Vec<Curve> = S::LOSSES.iter().map(|name| Curve::of(name, steps)).collect();
    let all = || curves.iter().flat_map(|curve| &curve.values).map(|(step, _)| *step);
    let Some((first, last)) = all().min().zip(all().max()) else { return Ok(None) };
    let points: Vec<Vec<(f64, f64)>> = curves.iter().map(|curve| points(&curve.values)).collect();
    let highest = points.iter().flatten().map(|(_, loss)| *loss).fold(0.0, f64::max);
    let names: Vec<&str> = curves.iter().map(|curve| curve.name).collect();
    let steps = first as f64 - 1.0..last as f64;
    let mut svg = String::new();
    draw(&mut svg, &names, &points, steps, 0.0..highest.max(f64::MIN_POSITIVE) * 1.05)
        .map_err(|error| error.to_string())?;
    Ok(Some(svg))
}

fn draw(
    svg: &mut String,
    names: &[&str],
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
    for ((name, points), colour) in names.iter().zip(curves).zip(COLOURS.iter().cycle()) {
        let style = colour.stroke_width(2);
        chart
            .draw_series(LineSeries::new(points.iter().copied(), style))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
    }
    chart.configure_series_labels().background_style(WHITE).border_style(BLACK).draw()?;
    area.present()?;
    Ok(())
}

/// A curve of few enough points, each the mean of the steps that end there.
fn points(values: &[(usize, f32)]) -> Vec<(f64, f64)> {
    let mean = |values: &[(usize, f32)]| {
        let sum: f64 = values.iter().map(|(_, value)| f64::from(*value)).sum();
        let end = values.last().map_or(0, |(step, _)| *step);
        (end as f64, sum / values.len().max(1) as f64)
    };
    values.chunks(values.len().div_ceil(POINTS).max(1)).map(mean).collect()
}
