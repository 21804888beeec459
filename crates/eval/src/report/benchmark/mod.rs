//! Several methods on a list of benchmarks beside what was published about others: what became of
//! each dataset, the tables of it, and a page that shows what stands behind the numbers.
//!
//! Averages are made as published tables make them: a dataset's number is the mean over its classes,
//! and the average is the mean over the datasets that the published table lists. Where one of them
//! was not measured there is no such average; another row then averages everybody over those that
//! were. What is undefined is `n/a` and in no mean.

mod cells;
mod files;
mod format;
mod page;
mod sections;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Metric, Metrics, Protocol, Report};

pub use cells::{Cell, ResultTable, TableColumn, TableRow};
pub use format::LEGEND as TABLE_LEGEND;
pub(super) use format::{markdown_escaped, percent};
pub(super) use page::origin;
pub use page::{BenchmarkPage, DatasetPictures, Provenance, StageTime};
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
            Self::Image => {
                Pair { auroc: metrics[Metric::ImageAuroc], ap: metrics[Metric::ImageAp] }
            }
            Self::Pixel => {
                Pair { auroc: metrics[Metric::PixelAuroc], ap: metrics[Metric::PixelAp] }
            }
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

/// The row of a published table that is a mean of its others.
const AVERAGE: &str = "Average";

/// A publication's tables, in percent. Deserialises from TOML; a row with another number of entries
/// than there are methods is an error.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Numbers")]
pub struct Published(Numbers);

/// The file as it stands.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Numbers {
    source: String,
    methods: Vec<String>,
    image: Vec<Row>,
    pixel: Vec<Row>,
    ablation: Vec<Ablation>,
    expert_similarity: BTreeMap<String, f64>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    dataset: String,
    numbers: Vec<[f64; 2]>,
}

/// One row of a table of components: AUROC in percent.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ablation {
    /// What was left out.
    pub method: String,
    /// For each dataset.
    pub auroc: Vec<AblationEntry>,
}

/// AUROC on one dataset, in percent; `None` where it does not exist.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AblationEntry {
    /// The dataset, or `Average`.
    pub dataset: String,
    /// Over pixels.
    pub pixel: Option<f64>,
    /// Over images.
    pub image: Option<f64>,
}

impl Published {
    /// Where nothing was published.
    pub fn nothing() -> Self {
        Self(Numbers::default())
    }

    /// Where the numbers stand.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// The methods, in the order of the tables' columns.
    pub fn methods(&self) -> &[String] {
        &self.0.methods
    }

    /// The table of components.
    pub fn ablation(&self) -> &[Ablation] {
        &self.0.ablation
    }

    /// Mean cosine similarity of the experts' outputs, by variant.
    pub fn expert_similarity(&self) -> &BTreeMap<String, f64> {
        &self.0.expert_similarity
    }

    /// The datasets that the table of a level lists, which are those of its average.
    pub fn datasets(&self, level: Level) -> impl Iterator<Item = &str> {
        let names = self.rows(level).iter().map(|row| row.dataset.as_str());
        names.filter(|name| *name != AVERAGE)
    }

    /// Each method's numbers on a dataset, as fractions of 1; `None` where the table has no such row.
    pub fn on(&self, level: Level, dataset: &str) -> Option<Vec<Pair>> {
        let row = self.rows(level).iter().find(|row| row.dataset == dataset)?;
        // So that 89.6 percent is 0.896 and not the double below it.
        let fraction = |percent: f64| Some((percent * 1e6).round() / 1e8);
        let pair = |[auroc, ap]: &[f64; 2]| Pair { auroc: fraction(*auroc), ap: fraction(*ap) };
        Some(row.numbers.iter().map(pair).collect())
    }

    /// Each method's published average.
    pub fn average(&self, level: Level) -> Option<Vec<Pair>> {
        self.on(level, AVERAGE)
    }

    fn rows(&self, level: Level) -> &[Row] {
        match level {
            Level::Image => &self.0.image,
            Level::Pixel => &self.0.pixel,
        }
    }
}

impl TryFrom<Numbers> for Published {
    type Error = String;

    fn try_from(numbers: Numbers) -> Result<Self, String> {
        let methods = numbers.methods.len();
        let mut rows = numbers.image.iter().chain(&numbers.pixel);
        match rows.find(|row| row.numbers.len() != methods) {
            None => Ok(Self(numbers)),
            Some(row) => Err(format!(
                "{}: {} number pairs for {methods} methods; give one for each",
                row.dataset,
                row.numbers.len()
            )),
        }
    }
}
