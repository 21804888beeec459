//! One detector from training to its answers, as a page: numbers beside other methods', what it saw, which
//! experts its patches asked, and how training went. The demo ends in it.

mod routing;
mod training;

use super::benchmark::{DatasetSection, origin, percent};
use super::html::{Markup, Page, Section, Stat, Table, TableBody, html};
use super::{
    DatasetOutcome, DatasetPictures, Measured, Metrics, Outcome, Protocol, Provenance, Published,
    Report, StageTime,
};

pub use routing::{ExpertShare, ExpertView, TapRouting};
pub use training::TrainingStep;

/// All that the page shows.
#[derive(Clone, Copy, Debug)]
pub struct TrialPage<'a> {
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

/// The numbers that a method is told by.
const HEADLINES: [Headline; 3] = [
    Headline { name: "image AUROC", of: |metrics| metrics.image_auroc },
    Headline { name: "pixel AUROC", of: |metrics| metrics.pixel_auroc },
    Headline { name: "AUPRO", of: |metrics| metrics.aupro_exact },
];

struct Headline {
    name: &'static str,
    of: fn(&Metrics) -> Option<f64>,
}

/// A method that was measured.
struct NamedReport<'a> {
    name: &'a str,
    report: &'a Report,
}

impl TrialPage<'_> {
    /// The page.
    pub fn page(&self) -> Page {
        let section = |title: &str, body| Section { title: title.into(), body };
        let mut sections =
            vec![section("Results", self.results()), section("What it saw", self.seen())];
        if !self.routing.is_empty() {
            sections.push(section("Which experts", routing::body(self.routing, self.experts)));
        }
        if !self.training.is_empty() {
            sections.push(section("Training", training::body(self.training)));
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
                (headline.of)(if row == classes { &report.mean } else { class? })
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
        let value = |entry: &NamedReport<'_>| percent((self.of)(&entry.report.mean));
        let others = others.iter().map(|entry| format!("{} {}", entry.name, value(entry)));
        let note = others.collect::<Vec<_>>().join(", ");
        Stat { name: self.name.into(), value: value(own), note }
    }
}
