//! Several methods on a list of benchmarks beside what was published about others: what became of
//! each dataset, the tables of it, and a page that shows what stands behind the numbers.
//!
//! Averages are made as published tables make them: a dataset's number is the mean over its classes,
//! and the average is the mean over the datasets that the published table lists. Where one of them
//! was not measured there is no such average; another row then averages everybody over those that
//! were. What is undefined is `n/a` and in no mean.

mod cells;
mod classes;
mod files;
mod format;
mod latex;
mod page;
mod published;
mod sections;

use serde::Serialize;

use super::{Metrics, Protocol, Report};
pub use cells::{Cell, ResultTable, TableColumn, TableRow};
pub use format::LEGEND as TABLE_LEGEND;
pub(super) use format::percent;
pub(super) use page::origin;
pub use page::{BenchmarkPage, DatasetPictures, Provenance, StageTime};
pub use published::{Ablation, AblationEntry, Published};
pub(super) use sections::DatasetSection;

/// What a table's numbers are taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Images: is it anomalous?
    Image,
    /// Pixels: where is it anomalous?
    Pixel,
}

/// The two numbers that published tables give, as fractions of 1; `None` where undefined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Pair {
    /// Area under the ROC curve.
    pub auroc: Option<f64>,
    /// Average precision.
    pub ap: Option<f64>,
}

/// Methods on datasets.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Benchmark {
    /// What stands above the tables.
    pub title: String,
    /// The methods that were measured, as tables call them.
    pub methods: Vec<String>,
    /// In the order of the tables' rows.
    pub datasets: Vec<DatasetOutcome>,
}

/// What became of one dataset.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DatasetOutcome {
    /// As published tables name it.
    pub name: String,
    /// For each of [`Benchmark::methods`].
    pub outcomes: Vec<Outcome>,
}

/// What became of one method on one dataset.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// There is no copy of the dataset.
    Missing,
    /// It must not be measured: the method was trained on it.
    Refused(String),
    /// It could not be measured, for this reason.
    Failed(String),
    /// It was.
    Measured(Measured),
}

/// A measured dataset.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// One for each protocol.
    pub reports: Vec<Report>,
    /// Images that could not be read, and so are in no number.
    pub unread: Vec<Unread>,
    /// Why there is no report as deployed although the method is calibrated; `None` where there is
    /// one, or no calibration.
    pub undeployed: Option<String>,
}

/// What is to be said of some datasets.
struct Note {
    /// Before their names.
    head: String,
    datasets: Vec<String>,
    /// Behind them.
    reason: String,
}

/// An image that could not be read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unread {
    /// Its path from the dataset's folder.
    pub image: String,
    /// One line.
    pub reason: String,
}

impl Level {
    /// Both, in the order in which tables are printed.
    pub const ALL: [Level; 2] = [Level::Image, Level::Pixel];

    /// As headings have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Pixel => "pixel",
        }
    }

    /// The level's two numbers among a row's metrics.
    pub fn pair(self, metrics: &Metrics) -> Pair {
        match self {
            Self::Image => Pair { auroc: metrics.image_auroc, ap: metrics.image_ap },
            Self::Pixel => Pair { auroc: metrics.pixel_auroc, ap: metrics.pixel_ap },
        }
    }
}

impl Measured {
    /// The report that is comparable with published tables.
    pub fn paper(&self) -> Option<&Report> {
        self.under(Protocol::Paper)
    }

    /// The report under a protocol, where it is defined.
    pub fn under(&self, protocol: Protocol) -> Option<&Report> {
        self.reports.iter().find(|report| report.protocol == protocol)
    }
}

impl Benchmark {
    /// The tables of both levels.
    pub fn tables(&self, published: &Published) -> Vec<ResultTable> {
        Level::ALL.map(|level| ResultTable::new(level, self, published)).into()
    }

    /// What readers of the tables have to know: what is missing, was refused or failed, and which
    /// images are in no number. Datasets that share a reason share a line.
    pub fn notes(&self) -> Vec<String> {
        let mut notes: Vec<Note> = Vec::new();
        for dataset in &self.datasets {
            let found = self.methods.iter().zip(&dataset.outcomes);
            for (head, reason) in found.flat_map(|(method, outcome)| outcome.notes(method)) {
                match notes.iter_mut().find(|note| note.head == head && note.reason == reason) {
                    // A dataset that is missing is missing for every method.
                    Some(note) if note.datasets.last() == Some(&dataset.name) => {}
                    Some(note) => note.datasets.push(dataset.name.clone()),
                    None => notes.push(Note { head, reason, datasets: vec![dataset.name.clone()] }),
                }
            }
        }
        let line =
            |note: &Note| format!("{}{}: {}", note.head, note.datasets.join(", "), note.reason);
        notes.iter().map(line).collect()
    }

    /// Whether everything that was there and allowed was measured whole.
    pub fn is_whole(&self) -> bool {
        self.datasets.iter().flat_map(|dataset| &dataset.outcomes).all(Outcome::is_whole)
    }
}

impl Outcome {
    /// What was measured, where it was.
    pub fn measured(&self) -> Option<&Measured> {
        match self {
            Self::Measured(measured) => Some(measured),
            Self::Missing | Self::Refused(_) | Self::Failed(_) => None,
        }
    }

    /// Whether nothing went wrong. A dataset that is not there, or must not be measured, is nobody's
    /// fault.
    pub fn is_whole(&self) -> bool {
        match self {
            Self::Missing | Self::Refused(_) => true,
            Self::Failed(_) => false,
            Self::Measured(measured) => measured.unread.is_empty(),
        }
    }

    /// What stands before and behind the dataset's name in each note.
    fn notes(&self, method: &str) -> Vec<(String, String)> {
        let note = |what: &str, reason: &str| (format!("{method}, {what} "), reason.to_owned());
        match self {
            Self::Missing => {
                let reason = "the data root holds no folder of that name";
                vec![("missing: ".to_owned(), reason.to_owned())]
            }
            Self::Refused(reason) => vec![note("refused on", reason)],
            Self::Failed(reason) => vec![note("failed on", reason)],
            Self::Measured(measured) => {
                let unread = measured.unread.iter().map(|Unread { image, reason }| {
                    let reason = format!("{image} could not be read and is in no number: {reason}");
                    note("on", &reason)
                });
                let undeployed = measured.undeployed.iter();
                unread.chain(undeployed.map(|why| note("not as deployed on", why))).collect()
            }
        }
    }
}
