//! One detector from training to its answers, as a page: numbers beside other methods', what it saw, which
//! experts its patches asked, and how training went. The demo ends in it.

use super::benchmark::{DatasetSection, origin, percent};
use super::html::{
    Axis, Line, LineChart, LineStyle, Markup, Page, Picture, Section, Stat, Table, TableBody, html,
};
use super::{
    DatasetOutcome, DatasetPictures, Measured, Metric, Outcome, Protocol, Provenance, Published,
    Report, StageTime,
};

/// All that the page shows.
#[derive(Clone, Copy, Debug)]
pub struct DetectorPage<'a> {
    /// The page's name.
    pub title: &'a str,
    /// What was done, in a sentence or two.
    pub lead: &'a str,
    /// The methods, the one that the page is about first.
    pub methods: &'a [String],
    /// What became of each on the data.
    pub dataset: &'a DatasetOutcome,
    /// What stands behind the numbers.
    pub pictures: &'a DatasetPictures,
    /// What the experts of each tap did.
    pub routing: &'a [TapRouting],
    /// Images whose experts are shown.
    pub experts: &'a [ExpertView],
    /// Every step of training, in order.
    pub training: &'a [TrainingStep],
    /// What the numbers depend on.
    pub provenance: &'a [Provenance],
    /// How long every part took.
    pub times: &'a [StageTime],
}

/// The numbers that a method is told by, as the page calls them.
const HEADLINES: [Headline; 3] = [
    Headline { name: "image AUROC", metric: Metric::ImageAuroc },
    Headline { name: "pixel AUROC", metric: Metric::PixelAuroc },
    Headline { name: "AUPRO", metric: Metric::AuproExact },
];

struct Headline {
    name: &'static str,
    metric: Metric,
}

/// A method that was measured.
struct NamedReport<'a> {
    name: &'a str,
    report: &'a Report,
}

impl DetectorPage<'_> {
    /// The page.
    pub fn page(&self) -> Page {
        let section = |title: &str, body| Section { title: title.into(), body };
        let mut sections =
            vec![section("Results", self.results()), section("What it saw", self.seen())];
        if !self.routing.is_empty() {
            sections.push(section("Which experts", routing_section(self.routing, self.experts)));
        }
        if !self.training.is_empty() {
            sections.push(section("Training", training_section(self.training)));
        }
        sections.push(section("Where it comes from", origin(self.provenance, self.times)));
        Page { title: self.title.into(), lead: self.lead(), sections }
    }

    fn lead(&self) -> Markup {
        let entries = self.entries();
        let (own, others) = match entries.split_first() {
            Some((own, others)) => (Some(own), others),
            None => (None, entries.as_slice()),
        };
        let stats = own.map(|own| HEADLINES.map(|headline| headline.stat(own, others)));
        html! {
            p.lead { (self.lead) }
            @if let Some(stats) = stats { div.stats { @for stat in &stats { (stat) } } }
        }
    }

    fn entries(&self) -> Vec<NamedReport<'_>> {
        let methods = self.methods.iter().zip(&self.dataset.outcomes);
        let reports = methods.filter_map(|(name, outcome)| {
            let report = Outcome::measured(outcome).and_then(Measured::paper)?;
            Some(NamedReport { name, report })
        });
        reports.collect()
    }

    /// A row for each class, the headline numbers of every method side by side.
    fn results(&self) -> Markup {
        let entries = self.entries();
        let Some(first) = entries.first() else { return html! {} };
        let heads = HEADLINES
            .iter()
            .flat_map(|headline| entries.iter().map(|entry| headline.head(entry.name)));
        let classes = first.report.classes.len();
        let bodies = (0..=classes).map(|row| {
            let name = first.report.classes.get(row).map_or("mean", |class| class.class.as_str());
            let of_row = |headline: &Headline, report: &Report| {
                let class = report.classes.get(row).map(|class| &class.metrics);
                (if row == classes { &report.mean } else { class? })[headline.metric]
            };
            let cells = HEADLINES.iter().flat_map(|headline| {
                entries.iter().map(move |entry| percent(of_row(headline, entry.report)))
            });
            TableBody::of_texts(name, row == classes, cells)
        });
        html! {
            p {
                "Percent, protocol " (Protocol::Paper) ": scores and maps normalised over the test images "
                "of each class. Nothing of these classes was trained on."
            }
            (Table {
                caption: format!("{}, class by class", self.dataset.name),
                heads: std::iter::once("class".to_owned()).chain(heads).collect(),
                own: 0..0,
                rows: bodies.collect(),
            })
        }
    }

    fn seen(&self) -> Markup {
        let section = DatasetSection {
            dataset: self.dataset,
            pictures: self.pictures,
            methods: self.methods,
            published: &Published::nothing(),
        };
        section.body()
    }
}

impl Headline {
    fn head(&self, method: &str) -> String {
        format!("{}, {method}", self.name)
    }

    fn stat(&self, own: &NamedReport<'_>, others: &[NamedReport<'_>]) -> Stat {
        let value = |entry: &NamedReport<'_>| percent(entry.report.mean[self.metric]);
        let others = others.iter().map(|entry| format!("{} {}", entry.name, value(entry)));
        let note = others.collect::<Vec<_>>().join(", ");
        Stat { name: self.name.into(), value: value(own), note }
    }
}

/// What the experts of one tap did, mean over some images.
#[derive(Clone, Debug, PartialEq)]
pub struct TapRouting {
    /// The layer, counted from 1.
    pub layer: usize,
    /// Its experts.
    pub experts: Vec<ExpertShare>,
    /// Mean cosine between the outputs of two experts.
    pub similarity: f64,
}

/// What one expert did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExpertShare {
    /// The number that it started with, counted from 1.
    pub number: usize,
    /// Its mean routing weight; the experts' weights sum to 1.
    pub weight: f64,
    /// The share of the patches that trust it most.
    pub first_choices: f64,
}

/// An image whose experts are shown.
#[derive(Clone, Debug)]
pub struct ExpertView {
    /// What it is, in a few words.
    pub text: String,
    /// The sheet: for each tap the experts' maps.
    pub sheet: Picture,
}

fn routing_section(taps: &[TapRouting], views: &[ExpertView]) -> Markup {
    html! {
        p {
            "Behind each of these layers a router sends every patch to the experts that it trusts most. "
            "Weight: mean routing weight. First: share of the patches that trust the expert most. Cosine: "
            "how alike the outputs of two experts are, 0 where they have nothing in common."
        }
        (routing_table(taps))
        @for view in views {
            figure.sheet {
                figcaption { (view.text) }
                (view.sheet)
            }
        }
    }
}

fn routing_table(taps: &[TapRouting]) -> Table {
    let most = taps.iter().map(|tap| tap.experts.len()).max().unwrap_or(0);
    let heads = (0..most).flat_map(|place| {
        let number = taps.iter().find_map(|tap| Some(tap.experts.get(place)?.number));
        let number = number.unwrap_or(place + 1);
        [format!("expert {number}, weight"), "first".to_owned()]
    });
    let rows = taps.iter().map(|tap| {
        let shares = (0..most).flat_map(|place| match tap.experts.get(place) {
            Some(expert) => {
                [format!("{:.2}", expert.weight), format!("{:.0} %", 100.0 * expert.first_choices)]
            }
            None => ["n/a".to_owned(), "n/a".to_owned()],
        });
        let cells = shares.chain([format!("{:.2}", tap.similarity)]);
        TableBody::of_texts(&format!("layer {}", tap.layer), false, cells)
    });
    Table {
        caption: "Routing of anomalous test images".into(),
        heads: ["tap".to_owned()].into_iter().chain(heads).chain(["cosine".to_owned()]).collect(),
        own: 0..0,
        rows: rows.collect(),
    }
}

/// Steps behind and before one that its smoothed value is a mean of, as a share of all steps.
const SMOOTHED: usize = 40;

/// The losses of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainingStep {
    /// Steps done, this one included.
    pub step: usize,
    /// What is minimised.
    pub total: f64,
    /// Its part that teaches maps and scores, without what keeps experts apart and busy.
    pub detection: f64,
}

fn training_section(steps: &[TrainingStep]) -> Markup {
    let charts = [
        loss_chart("Loss", steps, |step| step.total),
        loss_chart("Loss of maps and scores", steps, |step| step.detection),
    ];
    html! {
        div.charts { @for chart in &charts { (chart) } }
    }
}

fn loss_chart(title: &str, steps: &[TrainingStep], of: fn(&TrainingStep) -> f64) -> LineChart {
    let points: Vec<[f64; 2]> = steps.iter().map(|step| [step.step as f64, of(step)]).collect();
    let smooth = smoothed(&points, points.len() / SMOOTHED);
    let last = points.last().map_or(0.0, |point| point[0]);
    let ends = points.iter().map(|point| point[1]).filter(|value| value.is_finite());
    let (low, high) = ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    let end = smooth.last().map_or(f64::NAN, |point| point[1]);
    LineChart {
        title: title.into(),
        description: format!("{title} over {} steps, {end:.3} in the end", points.len()),
        x: Axis::even("step", 0.0, last),
        y: Axis::even("loss", low, high),
        lines: vec![
            Line { name: Some("each step".into()), points, style: LineStyle::Faint },
            Line { name: Some("running mean".into()), points: smooth, style: LineStyle::First },
        ],
    }
}

/// The mean of every point and of up to `reach` points on both sides.
fn smoothed(points: &[[f64; 2]], reach: usize) -> Vec<[f64; 2]> {
    let mean = |at: usize| {
        let window = &points[at.saturating_sub(reach)..(at + reach + 1).min(points.len())];
        window.iter().map(|point| point[1]).sum::<f64>() / window.len() as f64
    };
    (0..points.len()).map(|at| [points[at][0], mean(at)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_mean_takes_what_there_is_on_both_sides() {
        let points = [[1.0, 3.0], [2.0, 0.0], [3.0, 6.0]];
        assert_eq!(smoothed(&points, 1), [[1.0, 1.5], [2.0, 3.0], [3.0, 3.0]]);
        assert_eq!(smoothed(&points, 0), points);
    }
}
