//! What a publication says about methods on datasets, read from a file of numbers so that tables can
//! put their own beside it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Level, Pair};

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
