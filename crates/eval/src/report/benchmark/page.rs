//! The benchmark as a page: the numbers first, then each dataset with what stands behind its numbers,
//! then where everything comes from.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use super::sections::DatasetSection;
use super::{Benchmark, Cell, Level, Pair, Published, ResultTable, TableRow};
use crate::EvalError;
use crate::pictures::write_atomically;
use crate::report::ClassDetails;
use crate::report::benchmark::format::{LEGEND, percent};
use crate::report::html::{Case, Facts, Markup, Page, Section, Stat, Table, TableBody, Tone, html};

/// All that the page shows.
#[derive(Clone, Copy, Debug)]
pub struct BenchmarkPage<'a> {
    /// The numbers.
    pub benchmark: &'a Benchmark,
    /// Others' numbers.
    pub published: &'a Published,
    /// One for each dataset of the benchmark.
    pub pictures: &'a [DatasetPictures],
    /// What the numbers depend on.
    pub provenance: &'a [Provenance],
    /// How long everything took.
    pub times: &'a [StageTime],
}

/// What stands behind a dataset's numbers.
#[derive(Clone, Debug, Default)]
pub struct DatasetPictures {
    /// For each method its classes; none where it was not measured.
    pub classes: Vec<Vec<ClassDetails>>,
    /// For each method the images that are worth a look.
    pub cases: Vec<Vec<Case>>,
}

/// Something that numbers depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// What it is.
    pub name: String,
    /// What tells it apart from another, such as a hash.
    pub value: String,
}

/// How long a part of the work took.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageTime {
    /// The part.
    pub stage: String,
    /// Images in it; 0 where it is not of images.
    pub images: usize,
    /// Seconds, over all images, workers and sittings.
    pub seconds: f64,
}

impl BenchmarkPage<'_> {
    /// Writes `report.html`, and `times.json` with the same times, into a folder, each whole or not at
    /// all.
    ///
    /// # Errors
    /// [`EvalError::Write`] naming the file.
    pub fn write(&self, folder: &Path) -> Result<(), EvalError> {
        self.page().write(&folder.join("report.html"))?;
        write_atomically(&folder.join("times.json"), |file| {
            serde_json::to_writer_pretty(&mut *file, self.times)?;
            file.write_all(b"\n")
        })
    }

    /// The page.
    pub fn page(&self) -> Page {
        let tables = self.benchmark.tables(self.published);
        let mut sections = vec![Section { title: "Results".into(), body: self.results(&tables) }];
        let datasets = self.benchmark.datasets.iter().zip(self.pictures);
        sections.extend(datasets.map(|(dataset, pictures)| {
            let (methods, published) = (&self.benchmark.methods, self.published);
            let section = DatasetSection { dataset, pictures, methods, published };
            Section { title: dataset.name.clone(), body: section.body() }
        }));
        let origin = origin(self.provenance, self.times);
        sections.push(Section { title: "Where it comes from".into(), body: origin });
        Page { title: self.benchmark.title.clone(), lead: self.lead(&tables), sections }
    }

    fn lead(&self, tables: &[ResultTable]) -> Markup {
        let stats: Vec<Stat> = tables.iter().flat_map(|table| self.stats(table)).collect();
        html! {
            p.lead {
                (self.benchmark.methods.join(" and ")) " measured on " (self.benchmark.datasets.len())
                " datasets, beside what was published of others."
            }
            div.stats { @for stat in &stats { (stat) } }
        }
    }

    /// The average of the first method, beside the last published one's.
    fn stats(&self, table: &ResultTable) -> Vec<Stat> {
        let others = self.published.methods().len();
        let pair = |row: &TableRow, at: usize| row.cells.get(at).and_then(Cell::pair);
        let averages = table.rows.iter().filter(|row| row.is_average);
        let Some((row, ours)) = averages.filter_map(|row| Some((row, pair(row, others)?))).next()
        else {
            return Vec::new();
        };
        let theirs = others.checked_sub(1).and_then(|last| pair(row, last)).unwrap_or_default();
        let name = self.published.methods().last().cloned().unwrap_or_default();
        let level = table.level.name();
        let stat = |metric: &str, number: fn(&Pair) -> Option<f64>| Stat {
            name: format!("{level} {metric}"),
            value: percent(number(&ours)),
            note: format!(
                "{}; published {name} {}",
                row.name.to_lowercase(),
                percent(number(&theirs))
            ),
        };
        vec![stat("AUROC", |pair| pair.auroc), stat("AP", |pair| pair.ap)]
    }

    fn results(&self, tables: &[ResultTable]) -> Markup {
        let notes = self.benchmark.notes();
        html! {
            p { (LEGEND) ". Bold: the best of its row. Shaded: measured here, under the paper's protocol unless it says deployed: then with a calibration, and nothing taken from the test images." }
            @for table in tables { (table.block()) }
            @if !notes.is_empty() {
                h3 { "Not in these numbers" }
                ul.notes { @for note in &notes { li { (note) } } }
            }
            p.soft { "Published numbers: " (self.published.source()) }
        }
    }
}

impl ResultTable {
    /// The table on a page: ours stands first, where a narrow window shows it.
    fn block(&self) -> Table {
        let (own, others): (Vec<usize>, Vec<usize>) =
            (0..self.columns.len()).partition(|&column| self.columns[column].protocol.is_some());
        let order: Vec<usize> = own.iter().chain(&others).copied().collect();
        let heads = order.iter().map(|&column| self.columns[column].head());
        let what = match self.level {
            Level::Image => "Image level: is the image anomalous?",
            Level::Pixel => "Pixel level: where is it anomalous?",
        };
        Table {
            caption: format!("{what} AUROC / AP, percent"),
            heads: std::iter::once("dataset".to_owned()).chain(heads).collect(),
            own: 0..own.len(),
            rows: self.rows.iter().map(|row| self.body(row, &order)).collect(),
        }
    }

    fn body(&self, row: &TableRow, order: &[usize]) -> TableBody {
        let (auroc, ap) = (self.best(row, |pair| pair.auroc), self.best(row, |pair| pair.ap));
        let cell = |&column: &usize| markup(&row.cells[column], [auroc[column], ap[column]]);
        let tone = |&column: &usize| match row.cells[column].pair() {
            Some(pair) if pair != Pair::default() => Tone::Plain,
            _ => Tone::None,
        };
        TableBody {
            name: row.name.clone(),
            is_total: row.is_average,
            cells: order.iter().map(cell).collect(),
            tones: order.iter().map(tone).collect(),
        }
    }
}

/// A cell whose `[AUROC, AP]` may be the best of their row.
fn markup(cell: &Cell, [auroc, ap]: [bool; 2]) -> Markup {
    let number = |value: Option<f64>, is_best: bool| {
        html! { @if is_best { b { (percent(value)) } } @else { (percent(value)) } }
    };
    match cell {
        Cell::Numbers(pair) if *pair != Pair::default() => {
            html! { (number(pair.auroc, auroc)) " / " (number(pair.ap, ap)) }
        }
        _ => html! { (cell.text()) },
    }
}

/// What numbers depend on, and how long everything took.
pub(in crate::report) fn origin(provenance: &[Provenance], times: &[StageTime]) -> Markup {
    let entries = provenance.iter().map(|fact| [fact.name.clone(), fact.value.clone()]).collect();
    html! {
        (Facts { entries })
        @if !times.is_empty() { (time_table(times)) }
    }
}

fn time_table(times: &[StageTime]) -> Table {
    let rows = times.iter().map(|time| {
        let images = (time.images > 0).then_some(time.images);
        let each = images.map(|images| 1000.0 * time.seconds / images as f64);
        let images = images.map_or_else(|| "n/a".into(), |images| images.to_string());
        let each = each.map_or_else(|| "n/a".into(), |each| format!("{each:.1}"));
        let texts = [images, format!("{:.1}", time.seconds), each];
        TableBody::of_texts(&time.stage, false, texts.into_iter())
    });
    Table {
        caption: "Time, added up over workers and sittings".into(),
        heads: ["part", "images", "seconds", "ms per image"].map(str::to_owned).into(),
        own: 0..0,
        rows: rows.collect(),
    }
}
