//! From a class's maps and image scores to the numbers of a table, under a protocol that the report
//! names.
//!
//! The image score and the normalisation follow the method's release; a class's two protocols come
//! from the same maps.

mod comparison;
mod scores;
mod table;

use std::fmt;

use serde::Serialize;

pub use comparison::{Auroc, Comparison, ComparisonRow, Entry, MethodResults, Number, Spread};
pub use scores::{ClassScores, ImageRecord};

/// How an image's score is made from its map and the image head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScoreRule {
    /// Industrial images: the mean of the map's maximum and the image head's score.
    MeanOfMapMaxAndImage,
    /// Medical images: the map's maximum.
    MapMax,
    /// CLIP without adapters: the image's own score, of the class token.
    Image,
}

/// What is done to maps and scores before they are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// As the published tables are made: maps and image-head scores are min-max normalised over all
    /// test images of the class before an image's score is made of them. Transductive: a score
    /// depends on the other test images.
    Paper,
    /// Maps and image-head scores as the detector gives them.
    Raw,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Paper => "paper",
            Self::Raw => "raw",
        })
    }
}

/// The metrics of a class or a mean of classes, as fractions of 1; `None` (`null`) where undefined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Metrics {
    /// AUROC of the image scores.
    pub image_auroc: Option<f64>,
    /// Average precision of the image scores.
    pub image_ap: Option<f64>,
    /// The best F1 of the image scores.
    pub image_f1_max: Option<f64>,
    /// AUROC over all pixels.
    pub pixel_auroc: Option<f64>,
    /// Average precision over all pixels.
    pub pixel_ap: Option<f64>,
    /// The best F1 over all pixels.
    pub pixel_f1_max: Option<f64>,
    /// AUPRO to a false-positive rate of 0.3, every threshold, interpolated at 0.3.
    pub aupro_exact: Option<f64>,
    /// AUPRO by the 200-step research standard.
    pub aupro_200: Option<f64>,
}

/// A class's metrics and what they were taken from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassResult {
    /// The class.
    pub class: String,
    /// Test images.
    pub images: usize,
    /// Anomalous ones among them.
    pub anomalous: usize,
    /// The numbers, in JSON beside the fields above.
    #[serde(flatten)]
    pub metrics: Metrics,
}

/// The classes of a dataset under one protocol. [`Display`](fmt::Display) prints the table, in
/// percent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The protocol behind every number.
    pub protocol: Protocol,
    /// One row for each class.
    pub classes: Vec<ClassResult>,
    /// For each metric its mean over the classes where it is defined; every class counts the same.
    pub mean: Metrics,
}

impl Report {
    /// A report of results that were all finished under `protocol`.
    pub fn new(protocol: Protocol, classes: Vec<ClassResult>) -> Self {
        let mean = Metrics::mean(classes.iter().map(|class| &class.metrics));
        Self { protocol, classes, mean }
    }
}

impl Metrics {
    /// Each metric's mean over the rows where it is defined; `None` where no row defines it.
    pub fn mean<'a>(rows: impl Iterator<Item = &'a Metrics>) -> Metrics {
        let columns: Vec<[Option<f64>; 8]> = rows.map(Metrics::columns).collect();
        let [
            image_auroc,
            image_ap,
            image_f1_max,
            pixel_auroc,
            pixel_ap,
            pixel_f1_max,
            aupro_exact,
            aupro_200,
        ] = std::array::from_fn(|column| {
            mean_of_defined(columns.iter().filter_map(|row| row[column]))
        });
        Metrics {
            image_auroc,
            image_ap,
            image_f1_max,
            pixel_auroc,
            pixel_ap,
            pixel_f1_max,
            aupro_exact,
            aupro_200,
        }
    }

    /// The metrics in the order of the table.
    fn columns(&self) -> [Option<f64>; 8] {
        [
            self.image_auroc,
            self.image_ap,
            self.image_f1_max,
            self.pixel_auroc,
            self.pixel_ap,
            self.pixel_f1_max,
            self.aupro_exact,
            self.aupro_200,
        ]
    }
}

fn mean_of_defined(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut count = 0;
    let sum: f64 = values.inspect(|_| count += 1).sum();
    (count > 0).then(|| sum / f64::from(count))
}
