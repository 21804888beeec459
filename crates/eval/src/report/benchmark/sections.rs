//! A dataset's part of the page: curves, scores, classes, and single images.

use super::format::{heads, percent};
use super::{DatasetOutcome, DatasetPictures, Level, Measured, Outcome, Published};
use crate::metrics::Curves;
use crate::report::html::{
    Axis, Bar, Bars, Cases, Histogram, Line, LineChart, LineStyle, Mark, Markup, Table, TableBody,
    html,
};
use crate::report::{ClassDetails, DecisionRate, Report};

/// Points of a mean curve.
const GRID: usize = 100;

/// What the section is made of.
pub(in crate::report) struct DatasetSection<'a> {
    pub(in crate::report) dataset: &'a DatasetOutcome,
    pub(in crate::report) pictures: &'a DatasetPictures,
    pub(in crate::report) methods: &'a [String],
    pub(in crate::report) published: &'a Published,
}

/// One of the two curves.
struct Kind {
    name: &'static str,
    axes: [&'static str; 2],
    points: fn(&Curves) -> &Vec<[f64; 2]>,
}

const KINDS: [Kind; 2] = [
    Kind { name: "ROC", axes: ["false-positive rate", "true-positive rate"], points: |c| &c.roc },
    Kind {
        name: "precision over recall",
        axes: ["recall", "precision"],
        points: |c| &c.precision_recall,
    },
];

impl DatasetSection<'_> {
    pub(in crate::report) fn body(&self) -> Markup {
        html! {
            (self.standing())
            (self.charts())
            (self.bars())
            @for (number, method) in self.methods.iter().enumerate() {
                @if let Some(measured) = self.measured(number) {
                    (self.cases(number, method))
                    details {
                        summary { "All metrics of " (method) ", class by class" }
                        @for report in &measured.reports {
                            (class_table(method, report))
                            @if let Some(table) = decision_table(method, report) { (table) }
                        }
                    }
                }
            }
        }
    }

    fn measured(&self, method: usize) -> Option<&Measured> {
        self.dataset.outcomes.get(method).and_then(Outcome::measured)
    }

    /// How many images there are, and what was not measured.
    fn standing(&self) -> Markup {
        let counts = (0..self.methods.len()).find_map(|method| self.measured(method)?.paper());
        let sum = |count: fn(&crate::report::ClassResult) -> usize| {
            counts.map(|report| report.classes.iter().map(count).sum::<usize>()).unwrap_or(0)
        };
        let classes = counts.map_or(0, |report| report.classes.len());
        let others = self.methods.iter().zip(&self.dataset.outcomes);
        let others = others.filter_map(|(method, outcome)| match outcome {
            Outcome::Missing => Some(format!("{method}: there is no copy of this dataset")),
            Outcome::Refused(why) => Some(format!("{method} was not measured: {why}")),
            Outcome::Failed(why) => Some(format!("{method} failed: {why}")),
            Outcome::Measured(_) => None,
        });
        html! {
            @if classes > 0 {
                p.soft {
                    (sum(|class| class.images)) " images, " (sum(|class| class.anomalous)) " of them anomalous, in "
                    (classes) @if classes == 1 { " class" } @else { " classes" }
                }
            }
            @for line in others { p { (line) } }
        }
    }

    fn charts(&self) -> Markup {
        let levels = [Level::Image, Level::Pixel];
        let charts = levels
            .iter()
            .flat_map(|level| KINDS.iter().filter_map(|kind| self.chart(*level, kind)));
        let charts: Vec<LineChart> = charts.collect();
        let histograms = (0..self.methods.len())
            .flat_map(|method| [self.histogram(method), self.deployed_histogram(method)]);
        let histograms: Vec<Histogram> = histograms.flatten().collect();
        html! {
            div.charts {
                @for chart in &charts { (chart) }
                @for histogram in &histograms { (histogram) }
            }
        }
    }

    /// Every method's mean curve, and behind them the classes of the first.
    fn chart(&self, level: Level, kind: &Kind) -> Option<LineChart> {
        let curves = |method: usize| -> Vec<&[[f64; 2]]> {
            self.classes(method)
                .iter()
                .filter_map(|details| Some((kind.points)(of(details, level)?).as_slice()))
                .collect()
        };
        let mut lines: Vec<Line> = Vec::new();
        let first = (0..self.methods.len()).map(curves).find(|curves| !curves.is_empty())?;
        if first.len() > 1 {
            let points = first.iter().map(|points| points.to_vec());
            lines.extend(points.map(|points| Line { name: None, points, style: LineStyle::Faint }));
            lines[0].name = Some("its classes".into());
        }
        let styles = [LineStyle::First, LineStyle::Second].into_iter();
        let styles = styles.chain(std::iter::repeat(LineStyle::Third));
        for ((method, name), style) in self.methods.iter().enumerate().zip(styles) {
            let curves = curves(method);
            if !curves.is_empty() {
                lines.push(Line { name: Some(name.clone()), points: mean_curve(&curves), style });
            }
        }
        let title = format!("{} {}", capital(level.name()), kind.name);
        let described = format!("{title} on {}; its area is in the tables", self.dataset.name);
        let [x, y] = kind.axes.map(Axis::share);
        Some(LineChart { title, description: described, x, y, lines })
    }

    fn classes(&self, method: usize) -> &[ClassDetails] {
        self.pictures.classes.get(method).map(Vec::as_slice).unwrap_or_default()
    }

    /// All scores under the paper's protocol, with the threshold that would have been best.
    fn histogram(&self, method: usize) -> Option<Histogram> {
        let classes = self.classes(method);
        let of_kind = |label| of_kind(classes, label, |class| Some(&class.scores));
        let (normal, anomalous) = (of_kind(false), of_kind(true));
        let scores: Vec<f32> = normal.iter().chain(&anomalous).copied().collect();
        let labels: Vec<bool> = (0..scores.len()).map(|at| at >= normal.len()).collect();
        let threshold = Curves::of_finite(&scores, &labels).map(|curves| curves.best_threshold);
        let title = format!("Image scores, {}", self.methods.get(method)?);
        let threshold_name = "threshold of the best F1".into();
        let histogram = Histogram { title, normal, anomalous, threshold, threshold_name };
        (!classes.is_empty()).then_some(histogram)
    }

    /// The same as deployed, with the threshold that was calibrated.
    fn deployed_histogram(&self, method: usize) -> Option<Histogram> {
        let classes = self.classes(method);
        let threshold = Some(classes.first()?.deployed.as_ref()?.threshold);
        let of_kind =
            |label| of_kind(classes, label, |class| Some(&class.deployed.as_ref()?.scores));
        let title = format!("Image scores, {} as deployed", self.methods.get(method)?);
        let threshold_name = "calibrated threshold".into();
        let (normal, anomalous) = (of_kind(false), of_kind(true));
        Some(Histogram { title, normal, anomalous, threshold, threshold_name })
    }

    fn bars(&self) -> Markup {
        let bars = Level::ALL
            .iter()
            .flat_map(|level| [self.methods_bars(*level), self.class_bars(*level)]);
        let bars: Vec<Bars> = bars.flatten().collect();
        html! { div.charts.wide { @for one in &bars { (one) } } }
    }

    /// Ours among the published methods.
    fn methods_bars(&self, level: Level) -> Option<Bars> {
        let published = self.published.on(level, &self.dataset.name)?;
        let names = self.published.methods().iter();
        let others = names.zip(published).map(|(name, pair)| Bar {
            name: name.clone(),
            value: pair.auroc,
            is_own: false,
        });
        let mut bars: Vec<Bar> = others.collect();
        let count = bars.len();
        for (method, name) in self.methods.iter().enumerate() {
            if let Some(report) = self.measured(method).and_then(Measured::paper) {
                let value = level.pair(&report.mean).auroc;
                bars.push(Bar { name: format!("{name} (here)"), value, is_own: true });
            }
        }
        let title = format!("{} AUROC by method", capital(level.name()));
        (bars.len() > count).then_some(Bars { title, bars, mark: None })
    }

    /// The first method's classes beside the last published mean.
    fn class_bars(&self, level: Level) -> Option<Bars> {
        let measured = (0..self.methods.len())
            .find_map(|method| Some((&self.methods[method], self.measured(method)?.paper()?)));
        let (method, report) = measured?;
        let bars = report.classes.iter().map(|class| Bar {
            name: class.class.clone(),
            value: level.pair(&class.metrics).auroc,
            is_own: false,
        });
        let bars: Vec<Bar> = bars.collect();
        let last = self.published.on(level, &self.dataset.name).and_then(|row| row.last().copied());
        let name = self.published.methods().last().cloned().unwrap_or_default();
        let mark = last.and_then(|pair| pair.auroc);
        let mark = mark.map(|value| Mark { value, name: format!("published mean of {name}") });
        let title = format!("{} AUROC of {method} by class", capital(level.name()));
        (bars.len() > 1 && bars.iter().any(|bar| bar.value.is_some())).then_some(Bars {
            title,
            bars,
            mark,
        })
    }

    fn cases(&self, method: usize, name: &str) -> Cases {
        let shown = self.pictures.cases.get(method).map(Vec::as_slice).unwrap_or_default();
        Cases { title: format!("{name}: best and worst by image score"), cases: shown.to_vec() }
    }
}

/// The scores of all normal, or of all anomalous images.
fn of_kind(
    classes: &[ClassDetails],
    label: bool,
    scores: impl Fn(&ClassDetails) -> Option<&Vec<f32>>,
) -> Vec<f32> {
    let all = classes.iter().filter_map(|class| Some(scores(class)?.iter().zip(&class.labels)));
    all.flatten().filter(|(_, is)| **is == label).map(|(score, _)| *score).collect()
}

fn of(details: &ClassDetails, level: Level) -> Option<&Curves> {
    match level {
        Level::Image => details.images.as_ref(),
        Level::Pixel => details.pixels.as_ref(),
    }
}

/// The mean of curves at each place of the x axis; of one curve the curve itself.
fn mean_curve(curves: &[&[[f64; 2]]]) -> Vec<[f64; 2]> {
    if let [only] = curves {
        return only.to_vec();
    }
    let place = |step: usize| step as f64 / GRID as f64;
    let mean =
        |x: f64| curves.iter().map(|curve| height(curve, x)).sum::<f64>() / curves.len() as f64;
    // Every ROC curve starts at the origin, and may rise there.
    let origin =
        curves.iter().all(|curve| curve.first() == Some(&[0.0, 0.0])).then_some([0.0, 0.0]);
    origin.into_iter().chain((0..=GRID).map(|step| [place(step), mean(place(step))])).collect()
}

/// How high a curve is at `x`: the highest point of a step, a straight line between points.
fn height(curve: &[[f64; 2]], x: f64) -> f64 {
    let behind = curve.partition_point(|point| point[0] <= x);
    match (behind.checked_sub(1).map(|at| curve[at]), curve.get(behind)) {
        (Some(before), Some(after)) if after[0] > before[0] => {
            before[1] + (after[1] - before[1]) * (x - before[0]) / (after[0] - before[0])
        }
        (Some(point), _) => point[1],
        (None, Some(point)) => point[1],
        (None, None) => 0.0,
    }
}

fn class_table(method: &str, report: &Report) -> Table {
    let rows = report.rows();
    let last = rows.len() - 1;
    let rows = rows.iter().enumerate();
    Table {
        caption: format!("{method}, protocol {}, percent", report.protocol),
        heads: std::iter::once("class".to_owned()).chain(heads()).collect(),
        own: 0..0,
        rows: rows
            .map(|(at, row)| TableBody::of_texts(row.name, at == last, row.cells()))
            .collect(),
    }
}

/// What calibrated thresholds do, where there are any.
fn decision_table(method: &str, report: &Report) -> Option<Table> {
    let calibration = report.calibration.as_ref()?;
    let rows = report.classes.iter().map(|class| (class.class.as_str(), &class.decisions));
    let rows = rows.chain([("mean", &report.mean_decisions)]);
    let rows = rows.filter_map(|(name, decisions)| {
        let cells = decisions.as_ref()?.values().map(percent);
        Some(TableBody::of_texts(name, name == "mean", cells.into_iter()))
    });
    Some(Table {
        caption: format!(
            "{method}, decisions by thresholds that were set before, percent; {calibration}"
        ),
        heads: ["class"]
            .into_iter()
            .chain(DecisionRate::ALL.map(DecisionRate::head))
            .map(str::to_owned)
            .collect(),
        own: 0..0,
        rows: rows.collect(),
    })
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_curve_is_the_mean_at_every_place() {
        let perfect = [[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]];
        let chance = [[0.0, 0.0], [1.0, 1.0]];
        let mean = mean_curve(&[&perfect, &chance]);
        assert_eq!(mean[0], [0.0, 0.0]);
        assert_eq!(mean[1], [0.0, 0.5]);
        assert_eq!(mean.last(), Some(&[1.0, 1.0]));
        let half = mean.iter().find(|point| point[0] == 0.5).unwrap();
        assert!((half[1] - 0.75).abs() < 1e-12, "{half:?}");
        assert_eq!(mean_curve(&[&perfect]), perfect);
    }
}
