//! What a run leaves to read: every step as a line of JSON, a row of CSV and a TensorBoard event, and
//! at the end a picture of the losses.
//!
//! ```text
//! log/metrics.jsonl              a line a step; the other files are made from it
//! log/metrics.csv                the same as a table
//! log/events.out.tfevents.run    the same for TensorBoard
//! log/loss.svg                   written when the run ends
//! ```
//!
//! A run that is taken up at a checkpoint makes the steps behind it again, so [`RunLog::resume`] cuts
//! the lines off there and writes the other files anew: every step stands in them once.

mod events;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use svg_charts::{Axis, Line, LineChart, LineStyle};
use thiserror::Error;
use whole_file::WholeFile;

use crate::{Scalar, StepMetrics};
use events::EventLog;

const LINES: &str = "metrics.jsonl";
const TABLE: &str = "metrics.csv";
const EVENTS: &str = "events.out.tfevents.run";
const PLOT: &str = "loss.svg";

/// The log of a run.
#[derive(Debug)]
pub struct RunLog<S: LoggedStep = StepMetrics> {
    folder: PathBuf,
    lines: File,
    table: TableLog<File>,
    events: EventLog<File>,
    steps: PhantomData<S>,
}

impl<S: LoggedStep> RunLog<S> {
    /// The log of a run that starts at step 0, in a folder that is made where it is absent.
    ///
    /// # Errors
    ///
    /// [`LogError`] when the folder cannot be written or holds the log of an earlier run.
    pub fn start(folder: &Path) -> Result<Self, LogError> {
        let lines = folder.join(LINES);
        if lines.exists() {
            return Err(LogError::Occupied { file: lines });
        }
        Self::resume(folder, 0)
    }

    /// The log of a run that goes on after `step`: later steps are cut off, for they are made again.
    ///
    /// # Errors
    ///
    /// [`LogError`] when the folder cannot be read or written.
    pub fn resume(folder: &Path, step: usize) -> Result<Self, LogError> {
        let failed = |source| LogError::Write { file: folder.into(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let kept: Vec<S> = steps(&folder.join(LINES), step)?;
        let lines = replace(folder, LINES, |mut file| {
            kept.iter().try_for_each(|metrics| write_line(&mut file, metrics)).map(|()| file)
        })?;
        let table = replace(folder, TABLE, |file| {
            let mut table = TableLog::new(file);
            kept.iter().try_for_each(|metrics| table.step(metrics)).map(|()| table)
        })?;
        let events = replace(folder, EVENTS, |file| {
            let mut events = EventLog::new(file)?;
            kept.iter().try_for_each(|metrics| events.step(metrics)).map(|()| events)
        })?;
        Ok(Self { folder: folder.into(), lines, table, events, steps: PhantomData })
    }

    /// Adds a step. What is written survives the end of the process at once.
    ///
    /// # Errors
    ///
    /// [`LogError::Write`] when the system does not take it; the log may then lack the step.
    pub fn step(&mut self, metrics: &S) -> Result<(), LogError> {
        let failed = |name| {
            let file = self.folder.join(name);
            move |source| LogError::Write { file, source }
        };
        write_line(&mut self.lines, metrics).map_err(failed(LINES))?;
        self.table.step(metrics).map_err(failed(TABLE))?;
        self.events.step(metrics).map_err(failed(EVENTS))
    }

    /// Draws the losses of all steps so far; returns where. `None` before the first step.
    ///
    /// # Errors
    ///
    /// [`LogError`] when the lines cannot be read or the picture cannot be written.
    pub fn plot(&self) -> Result<Option<PathBuf>, LogError> {
        let steps: Vec<S> = steps(&self.folder.join(LINES), usize::MAX)?;
        let file = self.folder.join(PLOT);
        let Some(svg) = loss_chart(&steps) else { return Ok(None) };
        replace(&self.folder, PLOT, |mut file| file.write_all(svg.as_bytes()))?;
        Ok(Some(file))
    }
}

/// The steps of the log in a folder, in order; none where there is no log.
///
/// # Errors
///
/// [`LogError::Read`] when the log is there and cannot be read.
pub fn logged_steps(folder: &Path) -> Result<Vec<StepMetrics>, LogError> {
    steps(&folder.join(LINES), usize::MAX)
}

fn write_line(file: &mut impl Write, metrics: &impl Serialize) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(metrics)?;
    line.push(b'\n');
    file.write_all(&line)
}

/// What a line of a log says.
pub trait LoggedStep: Serialize + DeserializeOwned {
    /// The losses that are drawn, by their names behind `loss/`; the first is what is minimised.
    const LOSSES: &'static [&'static str];

    /// Its number, from 1.
    fn step(&self) -> usize;

    /// The epoch that it belongs to, from 1, where there are epochs.
    fn epoch(&self) -> Option<usize>;

    /// When it ended, in seconds since 1970.
    fn unix_seconds(&self) -> f64;

    /// Every number of the step but its place in the run, always in the same order.
    fn scalars(&self) -> Vec<Scalar>;
}

impl LoggedStep for StepMetrics {
    const LOSSES: &'static [&'static str] = &["total", "focal", "dice", "image"];

    fn step(&self) -> usize {
        self.report.step
    }

    fn epoch(&self) -> Option<usize> {
        Some(self.epoch)
    }

    fn unix_seconds(&self) -> f64 {
        self.unix_seconds
    }

    fn scalars(&self) -> Vec<Scalar> {
        self.scalars()
    }
}

/// The steps of a log up to one, each once, in order. A line that was never finished is none.
fn steps<T: LoggedStep>(file: &Path, last: usize) -> Result<Vec<T>, LogError> {
    let failed = |source| LogError::Read { file: file.into(), source };
    let opened = match File::open(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened.map_err(failed)?,
    };
    let mut steps: Vec<T> = Vec::new();
    for line in BufReader::new(opened).split(b'\n') {
        let line = line.map_err(failed)?;
        let Ok(logged) = serde_json::from_slice::<T>(&line) else { continue };
        let before = steps.last().map_or(0, T::step);
        if (before + 1..=last).contains(&logged.step()) {
            steps.push(logged);
        }
    }
    Ok(steps)
}

/// Writes a file beside its place, then gives it its name; what `write` returns may go on writing.
fn replace<T>(
    folder: &Path,
    name: &str,
    write: impl FnOnce(File) -> std::io::Result<T>,
) -> Result<T, LogError> {
    let file = folder.join(name);
    let failed = |source| LogError::Write { file: file.clone(), source };
    let unfinished = WholeFile::create(&file).map_err(failed)?;
    let written = unfinished.handle().and_then(write).map_err(failed)?;
    unfinished.commit_unsynced().map_err(failed)?;
    Ok(written)
}

/// A log that cannot be kept.
#[derive(Debug, Error)]
pub enum LogError {
    /// The log of an earlier run, where a new one was to start.
    #[error("{}: is of an earlier run; resume that run or give another folder", file.display())]
    Occupied {
        /// Its lines.
        file: PathBuf,
    },
    /// The lines cannot be read back.
    #[error("{}: cannot be read: {source}; mend or remove it", file.display())]
    Read {
        /// The lines.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The system does not take the bytes.
    #[error("{}: cannot be written: {source}; make room or give another folder", file.display())]
    Write {
        /// The file or folder.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A table that grows by a row a step.
#[derive(Debug)]
struct TableLog<W> {
    out: W,
    /// The names of the numbers; empty before the first step.
    columns: Vec<String>,
}

impl<W: Write> TableLog<W> {
    fn new(out: W) -> Self {
        Self { out, columns: Vec::new() }
    }

    /// Adds a row; a number that a step lacks is an empty field.
    fn step(&mut self, metrics: &impl LoggedStep) -> io::Result<()> {
        let scalars = metrics.scalars();
        let mut rows = csv::Writer::from_writer(Vec::new());
        if self.columns.is_empty() {
            self.columns = scalars.iter().map(|scalar| scalar.name.clone()).collect();
            let place = ["step", "epoch", "unix-seconds"].into_iter();
            rows.write_record(place.chain(self.columns.iter().map(String::as_str)))?;
        }
        let place = [
            metrics.step().to_string(),
            metrics.epoch().map(|epoch| epoch.to_string()).unwrap_or_default(),
            format!("{:.3}", metrics.unix_seconds()),
        ];
        let values = self.columns.iter().map(|column| field(&scalars, column));
        rows.write_record(place.into_iter().chain(values))?;
        let bytes = rows.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
        self.out.write_all(&bytes)
    }
}

fn field(scalars: &[Scalar], column: &str) -> String {
    let found = scalars.iter().find(|scalar| scalar.name == column);
    found.and_then(|scalar| scalar.value).map(|value| value.to_string()).unwrap_or_default()
}

/// Width and height.
const SIZE: [f64; 2] = [800.0, 400.0];

/// Points of a curve; where a run has more steps, a point is a mean of several.
const POINTS: usize = 500;

/// The curves of a run over its steps; `None` without a step.
fn loss_chart<S: LoggedStep>(steps: &[S]) -> Option<String> {
    let values: Vec<Vec<(usize, f32)>> = S::LOSSES.iter().map(|name| values(name, steps)).collect();
    let all = || values.iter().flatten().map(|(step, _)| *step);
    let (first, last) = all().min().zip(all().max())?;
    let lines = S::LOSSES.iter().zip(&values).map(|(name, values)| Line {
        name: Some((*name).to_owned()),
        points: points(values),
        style: LineStyle::First,
    });
    let lines: Vec<Line> = lines.collect();
    let heights = lines.iter().flat_map(|line| &line.points).map(|[_, loss]| *loss);
    let highest = heights.fold(0.0, f64::max);
    let chart = LineChart {
        title: "Losses".into(),
        description: format!("{} over the steps {first} to {last}", S::LOSSES.join(", ")),
        x: Axis::even("step", first as f64 - 1.0, last as f64),
        y: Axis::even("loss", 0.0, 1.05 * highest),
        lines,
    };
    Some(chart.to_svg(SIZE))
}

/// A loss behind each step that has it.
fn values<S: LoggedStep>(name: &str, steps: &[S]) -> Vec<(usize, f32)> {
    let full = format!("loss/{name}");
    let value = |step: &S| {
        let scalar = step.scalars().into_iter().find(|scalar| scalar.name == full)?;
        Some((step.step(), scalar.value? as f32))
    };
    steps.iter().filter_map(value).collect()
}

/// A curve of few enough points, each the mean of the steps that end there.
fn points(values: &[(usize, f32)]) -> Vec<[f64; 2]> {
    let mean = |values: &[(usize, f32)]| {
        let sum: f64 = values.iter().map(|(_, value)| f64::from(*value)).sum();
        let end = values.last().map_or(0, |(step, _)| *step);
        [end as f64, sum / values.len().max(1) as f64]
    };
    values.chunks(values.len().div_ceil(POINTS).max(1)).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::events::{Event, checksum};
    use super::*;
    use crate::metrics::tests::step;

    fn written(folder: &Path, steps: impl IntoIterator<Item = usize>) {
        let mut log = RunLog::start(folder).unwrap();
        steps.into_iter().for_each(|number| log.step(&step(number)).unwrap());
    }

    fn numbers(folder: &Path) -> Vec<usize> {
        let steps: Vec<StepMetrics> = steps(&folder.join(LINES), usize::MAX).unwrap();
        steps.iter().map(|metrics| metrics.report.step).collect()
    }

    fn rows(folder: &Path) -> Vec<csv::StringRecord> {
        csv::Reader::from_path(folder.join(TABLE)).unwrap().records().map(Result::unwrap).collect()
    }

    /// Reads records and checks both checksums of each.
    fn events(folder: &Path) -> Vec<Event> {
        let bytes = std::fs::read(folder.join(EVENTS)).unwrap();
        let (mut rest, mut events) = (&bytes[..], Vec::new());
        let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            assert_eq!(number(&rest[8..12]), checksum(&rest[..8]));
            let message = &rest[12..12 + length];
            assert_eq!(number(&rest[12 + length..16 + length]), checksum(message));
            events.push(Event::decode(message).unwrap());
            rest = &rest[16 + length..];
        }
        events
    }

    #[test]
    fn a_step_is_a_line_a_row_and_an_event() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path(), 1..=3);
        assert_eq!(numbers(folder.path()), [1, 2, 3]);
        let rows = rows(folder.path());
        assert_eq!((rows.len(), &rows[1][0], &rows[1][3]), (3, "2", "5"));
        let events = events(folder.path());
        assert_eq!(events[0].file_version.as_deref(), Some("brain.Event:2"));
        assert_eq!(events[1..].iter().map(|event| event.step).collect::<Vec<_>>(), [1, 2, 3]);
        let values = &events[2].summary.as_ref().unwrap().value;
        let value = |tag: &str| values.iter().find(|value| value.tag == tag)?.simple_value;
        assert_eq!(value("loss/total"), Some(5.0));
        assert_eq!(value("layer-6/similarity"), Some(-0.3));
    }

    #[test]
    fn the_checksum_is_tensorboards() {
        // CRC-32C of "123456789" is e3069283; rotated right by 15 and shifted as the format says.
        assert_eq!(
            checksum(b"123456789"),
            0xe306_9283_u32.rotate_right(15).wrapping_add(0xa282_ead8)
        );
    }

    #[test]
    fn a_resumed_log_has_every_step_once() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path(), 1..=5);
        let mut log = RunLog::resume(folder.path(), 3).unwrap();
        (4..=6).for_each(|number| log.step(&step(number)).unwrap());
        assert_eq!(numbers(folder.path()), [1, 2, 3, 4, 5, 6]);
        assert_eq!(rows(folder.path()).len(), 6);
        assert_eq!(events(folder.path()).len(), 1 + 6);
    }

    #[test]
    fn a_line_that_was_never_finished_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path(), 1..=3);
        let lines = folder.path().join(LINES);
        let bytes = std::fs::read(&lines).unwrap();
        std::fs::write(&lines, &bytes[..bytes.len() - 9]).unwrap();
        let mut log = RunLog::resume(folder.path(), 3).unwrap();
        log.step(&step(4)).unwrap();
        assert_eq!(numbers(folder.path()), [1, 2, 4]);
    }

    #[test]
    fn a_folder_of_an_earlier_run_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path(), 1..=1);
        let line = RunLog::<StepMetrics>::start(folder.path()).unwrap_err().to_string();
        assert!(line.contains("metrics.jsonl: is of an earlier run; resume"), "{line}");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("file");
        std::fs::write(&place, "in the way").unwrap();
        let line = RunLog::<StepMetrics>::start(&place.join("log")).unwrap_err().to_string();
        assert!(line.contains("cannot be") && !line.contains('\n'), "{line}");
    }

    #[test]
    fn the_losses_are_drawn_however_many_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = RunLog::start(folder.path()).unwrap();
        assert_eq!(log.plot().unwrap(), None);
        (1..=1200).for_each(|number| log.step(&step(number)).unwrap());
        let svg = std::fs::read_to_string(log.plot().unwrap().unwrap()).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        let drawn = |colour: &str| svg.matches(colour).count();
        let colours = ["#1F1F1F", "#0072B2", "#D55E00", "#009E73"].map(drawn);
        assert_eq!(colours, [2; 4], "four curves and their legends");
        assert!(["total", "focal", "dice", "image", "step"].iter().all(|word| svg.contains(word)));
    }
}
