//! Logs read back: every step once, whatever ended the run, and event files as TensorBoard reads them.

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
    assert_eq!(checksum(b"123456789"), 0xe306_9283_u32.rotate_right(15).wrapping_add(0xa282_ead8));
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
